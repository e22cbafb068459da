#include "config/endpoint.h"

#include <string.h>

#include "cmocka_first.h"
#include "ticketd/error.h"

static int address(const char *text, struct endpoint *ret_endpoint)
{
    return endpoint_parse_address(text, strlen(text), ret_endpoint);
}

static void check_address(const char *text, enum endpoint_kind kind, const char *host)
{
    struct endpoint endpoint;

    if (address(text, &endpoint) != TICKETD_DONE)
        fail_msg("refused: %s", text);
    assert_int_equal(endpoint.kind, kind);
    assert_string_equal(endpoint.host, host);
    assert_int_equal(endpoint.port, 0);
}

/* Each form of an address is told apart and loses its brackets. */
static void test_address_kinds(void **state)
{
    (void)state;
    check_address("0.0.0.0", ENDPOINT_IPV4, "0.0.0.0");
    check_address("::", ENDPOINT_IPV6, "::");
    check_address("[::1]", ENDPOINT_IPV6, "::1");
    check_address("fe80::1%eth0", ENDPOINT_IPV6, "fe80::1%eth0");
    check_address("::ffff:192.0.2.1", ENDPOINT_IPV6, "::ffff:192.0.2.1");
    check_address("localhost", ENDPOINT_NAME, "localhost");
    check_address("vacancy_1.example.com.", ENDPOINT_NAME, "vacancy_1.example.com.");
    check_address("3com.example", ENDPOINT_NAME, "3com.example");
    check_address("unix:/run/ticketd/http.sock", ENDPOINT_UNIX, "/run/ticketd/http.sock");
}

/* What no socket could be bound to is refused, and the output stays as it was. */
static void test_address_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        " ",
        "256.0.0.1",
        "1.2.3",
        "1.2.3.4.5",
        "1234",
        "a..b",
        ".a",
        "-a",
        "a-",
        "a b",
        "a/b",
        "host:80",
        "[127.0.0.1]",
        "[::1",
        "::1]",
        "[::1]:80",
        ":::",
        "[]",
        "12345::",
        "fe80::1%",
        "fe80::1%interface-name-1",
        "fe80::1%a/b",
        "unix:",
        "unix:/",
        "unix:relative",
        "unix:/directory/",
        "unix:/a\nb",
        "caf\xc3\xa9",
    };
    struct endpoint endpoint = {.port = 7};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (address(wrong[i], &endpoint) != TICKETD_INVALID)
            fail_msg("accepted: %s", wrong[i]);
    assert_int_equal(endpoint.port, 7);
}

/* A socket's path may fill sun_path with its NUL, and not one byte more. */
static void test_socket_path_limit(void **state)
{
    char text[128] = "unix:/";
    struct endpoint endpoint;

    (void)state;
    memset(text + strlen(text), 'a', 106);
    assert_int_equal(strlen(text), 5 + 107);
    assert_int_equal(address(text, &endpoint), TICKETD_DONE);
    strcat(text, "a");
    assert_int_equal(address(text, &endpoint), TICKETD_INVALID);
}

/* A label has at most 63 letters and a name at most 254 with its last dot. */
static void test_name_limits(void **state)
{
    char label[65];
    char name[300] = "";
    struct endpoint endpoint;

    (void)state;
    memset(label, 'a', 64);
    label[64] = '\0';
    assert_int_equal(address(label, &endpoint), TICKETD_INVALID);
    label[63] = '\0';
    assert_int_equal(address(label, &endpoint), TICKETD_DONE);
    label[62] = '.';
    for (int i = 0; i < 4; i++)
        strcat(name, label);
    assert_int_equal(strlen(name), 252);
    strcat(name, "aa");
    assert_int_equal(address(name, &endpoint), TICKETD_DONE);
    strcat(name, "a");
    assert_int_equal(address(name, &endpoint), TICKETD_INVALID);
}

static void check_url(const char *text, enum endpoint_kind kind, const char *host, int port,
                      const char *base)
{
    struct endpoint endpoint;

    if (endpoint_parse_url(text, &endpoint) != TICKETD_DONE)
        fail_msg("refused: %s", text);
    assert_int_equal(endpoint.kind, kind);
    assert_string_equal(endpoint.host, host);
    assert_int_equal(endpoint.port, port);
    assert_string_equal(endpoint.base, base);
}

/* A URL gives host, port (80 if it names none) and a base without a slash at its end. */
static void test_url_parts(void **state)
{
    (void)state;
    check_url("http://localhost:8001", ENDPOINT_NAME, "localhost", 8001, "");
    check_url("HTTP://10.0.0.1/", ENDPOINT_IPV4, "10.0.0.1", 80, "");
    check_url("http://[::1]:65535/a/b//", ENDPOINT_IPV6, "::1", 65535, "/a/b");
    check_url("http://[fe80::1%eth0]:1/x", ENDPOINT_IPV6, "fe80::1%eth0", 1, "/x");
    check_url("unix:/run/vacancy.sock", ENDPOINT_UNIX, "/run/vacancy.sock", 0, "");
}

/* A URL that the client could not call is refused. */
static void test_url_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "localhost:8001",
        "https://localhost",
        "http:/localhost",
        "http://",
        "http:///base",
        "http://:80",
        "http://host:",
        "http://host:0",
        "http://host:65536",
        "http://host:+80",
        "http://host:080000",
        "http://host: 80",
        "http://user@host",
        "http://::1",
        "http://::1:80",
        "http://[::1",
        "http://[::1]80",
        "http://[::1]x:80",
        "http://host/a?b",
        "http://host/a#b",
        "http://host/a b",
        "http://host?b",
        "unix:run/vacancy.sock",
    };
    struct endpoint endpoint;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (endpoint_parse_url(wrong[i], &endpoint) != TICKETD_INVALID)
            fail_msg("accepted: %s", wrong[i]);
}

static void check_origin(const char *text, const char *expected)
{
    char origin[128];

    if (endpoint_canonical_origin(text, strlen(text), origin) != TICKETD_DONE)
        fail_msg("refused: %s", text);
    assert_string_equal(origin, expected);
}

/* An origin is stored as browsers send it, so that equal origins are equal strings. */
static void test_origin_canonical(void **state)
{
    (void)state;
    check_origin("https://shop.example", "https://shop.example");
    check_origin("HTTPS://Shop.Example:8443", "https://shop.example:8443");
    check_origin("http://shop.example:80", "http://shop.example");
    check_origin("https://shop.example:443", "https://shop.example");
    check_origin("http://shop.example:443", "http://shop.example:443");
    check_origin("http://[::1]:8080", "http://[::1]:8080");
    check_origin("http://[::1]:80", "http://[::1]");
    check_origin("http://[::80]", "http://[::80]");
    check_origin("chrome-extension://abcdef", "chrome-extension://abcdef");
}

/* What is not scheme://host[:port] can never equal an Origin header and is refused. */
static void test_origin_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "shop.example",
        "://shop.example",
        "https://",
        "https://shop.example/",
        "https://shop.example/path",
        "https://shop.example:",
        "https://user@shop.example",
        "https://*.example",
        "1http://shop.example",
        "ht tp://shop.example",
        "http://[fe80::1%eth0]",
        "http://::1",
        "null",
        "*",
    };
    char origin[128] = "as before";

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (endpoint_canonical_origin(wrong[i], strlen(wrong[i]), origin) != TICKETD_INVALID)
            fail_msg("accepted: %s", wrong[i]);
    assert_string_equal(origin, "as before");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_kinds),     cmocka_unit_test(test_address_refused),
        cmocka_unit_test(test_socket_path_limit), cmocka_unit_test(test_name_limits),
        cmocka_unit_test(test_url_parts),         cmocka_unit_test(test_url_refused),
        cmocka_unit_test(test_origin_canonical),  cmocka_unit_test(test_origin_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
