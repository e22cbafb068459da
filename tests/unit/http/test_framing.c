#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/framing.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
/* A literal with its length, so that a NUL inside counts. */
#define BYTES(literal) literal, sizeof(literal) - 1
#define HEAD(lines)    BYTES("GET / HTTP/1.1\r\n" lines "\r\n")
#define UNTOUCHED      ((size_t)0xABCDEF)

/* One word of each reason that no other reason has. */
#define NO_END       "does not end"
#define BARE_LF      "without CR"
#define VERSION      "only HTTP/1.0 and HTTP/1.1"
#define FOLDED       "folded"
#define NAME         "header name"
#define NO_HOST      "Host header is missing"
#define HOST_TWICE   "more than one Host"
#define HOST_WRONG   "not a host name"
#define LENGTH_TWICE "more than one Content-Length"
#define LENGTH_WRONG "not a decimal number"
#define CODING       "Transfer-Encoding is not supported"

/* Memory with a hole on both sides: reading one byte before it or after it is SIGSEGV. */
static char *arena;
static size_t arena_size;

static int set_up(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    (void)state;
    arena_size = 4 * page;
    arena = mmap(NULL, arena_size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (arena == MAP_FAILED)
        return -1;
    arena += page;
    return mprotect(arena, arena_size, PROT_READ | PROT_WRITE);
}

static int tear_down(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    (void)state;
    return munmap(arena - page, arena_size + 2 * page);
}

/* Judges the same bytes twice: where they begin at the hole before them, where they end at the one
 * after them. */
static const char *judge(const char *bytes, size_t len, struct framing_head *ret_head)
{
    const char *first, *second;
    char *at_end = arena + arena_size - len;

    assert_true(len <= arena_size);
    memcpy(arena, bytes, len);
    first = framing_check(arena, len, ret_head);
    memcpy(at_end, bytes, len);
    second = framing_check(at_end, len, ret_head);
    assert_ptr_equal(first, second);
    return second;
}

static void expect_refused(const char *bytes, size_t len, const char *reason)
{
    struct framing_head head = {.head_len = UNTOUCHED};
    const char *said = judge(bytes, len, &head);

    if (said == NULL)
        fail_msg("accepted: %.*s", (int)len, bytes);
    else if (strstr(said, reason) == NULL)
        fail_msg("refused for \"%s\" instead of \"%s\": %.*s", said, reason, (int)len, bytes);
    assert_int_equal(head.head_len, UNTOUCHED);
}

static void expect_accepted(const char *bytes, size_t len, size_t expected_len)
{
    struct framing_head head = {.head_len = UNTOUCHED};
    const char *said = judge(bytes, len, &head);

    if (said != NULL)
        fail_msg("refused for \"%s\": %.*s", said, (int)len, bytes);
    if (head.head_len != expected_len)
        fail_msg("length %zu instead of %zu: %.*s", head.head_len, expected_len, (int)len, bytes);
}

struct head {
    const char *bytes;
    size_t len;
};

static const struct head good[] = {
    {HEAD("Host: a\r\n")},
    {BYTES("GET / HTTP/1.0\r\nHost: a\r\n\r\n")},
    {BYTES("POST /api/v1/reserve HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")},
    {BYTES("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")},
    /* names in any case, blanks around values or none */
    {HEAD("HOST: a\r\nCONTENT-LENGTH: 1\r\n")},
    {HEAD("host:a\r\ncontent-length:1\r\n")},
    {HEAD("Host: \t a \t \r\nContent-Length:\t1 \r\n")},
    /* empty values */
    {HEAD("Host: a\r\nX-Empty:\r\n")},
    {HEAD("Host: a\r\nX-Blank: \t\r\n")},
    {HEAD("Host:\r\n")},
    /* every character of a name */
    {HEAD("Host: a\r\n!#$%&'*+-.^_`|~0189AZaz: x\r\n")},
    /* hosts */
    {HEAD("Host: shop.example\r\n")},
    {HEAD("Host: shop.example:8000\r\n")},
    {HEAD("Host: 127.0.0.1:65535\r\n")},
    {HEAD("Host: [::1]\r\n")},
    {HEAD("Host: [fe80::1]:8000\r\n")},
    {HEAD("Host: caf%C3%A9.example\r\n")},
    {HEAD("Host: a_b~c!d$e&f'g(h)i*j+k;l=m\r\n")},
    /* lengths */
    {HEAD("Host: a\r\nContent-Length: 007\r\n")},
    {HEAD("Host: a\r\nContent-Length: 1234567890\r\n")},
    {HEAD("Host: a\r\nContent-Length: 999999999999999999\r\n")},
    /* names that only begin or end like those that are judged */
    {HEAD("Host: a\r\nHosts: b\r\nHos: c\r\nX-Host: d\r\n")},
    {HEAD("Host: a\r\nContent-Length: 1\r\nContent-Lengths: x\r\nX-Content-Length: y\r\n")},
    {HEAD("Host: a\r\nTransfer-Encodings: x\r\nX-Transfer-Encoding: y\r\n")},
    /* values are not judged here */
    {HEAD("Host: a\r\nX: Host: b\r\nY: Transfer-Encoding: chunked\r\nZ: \xff:\r\n")},
    {HEAD("Host: a\r\nX: a\r\nX: a\r\n")},
    {HEAD("X: a b\r\nHost: a\r\n")},
};

/* Each form that is sound is accepted, with exactly its length. */
static void test_sound_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); ++i)
        expect_accepted(good[i].bytes, good[i].len, good[i].len);
}

/* What follows the blank line (a body, another request, nonsense) changes nothing. */
static void test_bytes_after_the_head(void **state)
{
    static const struct head rest[] = {
        {BYTES("\n")},
        {BYTES("\r\n")},
        {BYTES("{\"qty\":1}")},
        {BYTES("\r\n\r\n")},
        {BYTES("a\nb\n\n")},
        {BYTES("Host: b\r\nTransfer-Encoding: chunked\r\n\r\n")},
        {BYTES("GET / HTTP/1.1\r\n\r\n")},
        {BYTES("\0\xff")},
    };
    char bytes[512];

    (void)state;
    for (size_t i = 0; i < COUNT(good); ++i) {
        for (size_t j = 0; j < COUNT(rest); ++j) {
            assert_true(good[i].len + rest[j].len <= sizeof(bytes));
            memcpy(bytes, good[i].bytes, good[i].len);
            memcpy(bytes + good[i].len, rest[j].bytes, rest[j].len);
            expect_accepted(bytes, good[i].len + rest[j].len, good[i].len);
        }
    }
}

/* A sound head cut short anywhere has no end yet, and nothing past `len` is read to see that. */
static void test_every_truncation(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); ++i)
        for (size_t len = 0; len < good[i].len; ++len) {
            /* a lone CR LF, or the request line alone, is not refused for anything but its end */
            expect_refused(good[i].bytes, len, NO_END);
        }
}

struct refusal {
    const char *bytes;
    size_t len;
    const char *reason;
};

static const struct refusal bad_lines[] = {
    {BYTES(""), NO_END},
    {BYTES("\r"), NO_END},
    {BYTES("\r\n"), NO_END},
    {BYTES("nonsense"), NO_END},
    {BYTES("GET / HTTP/1.1\r\n\r"), NO_END},
    /* only one empty line may come first */
    {BYTES("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), VERSION},
    /* bare LF, in each place where a line ends */
    {BYTES("\n"), BARE_LF},
    {BYTES("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), BARE_LF},
    {BYTES("\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), BARE_LF},
    {BYTES("GET / HTTP/1.1\nHost: a\r\n\r\n"), BARE_LF},
    {BYTES("GET / HTTP/1.1\r\nHost: a\n\r\n"), BARE_LF},
    {BYTES("GET / HTTP/1.1\r\nHost: a\r\n\n"), BARE_LF},
    {BYTES("GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n"), BARE_LF},
    {BYTES("GET / HTTP/1.1\nHost: a\n\n"), BARE_LF},
    {BYTES("GET / HTTP/1.1\r\nHost: a\r\nX: a\r \n\r\n"), BARE_LF},
    {BYTES("GET / HTTP/1.1\r\n\nHost: a\r\n\r\n"), BARE_LF},
    /* versions */
    {BYTES("GET /\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / \r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / HTTP/1.9\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / HTTP/1.\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / HTTP/1.1.1\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), VERSION},
    {BYTES("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / http/1.1\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / HTTP/1,1\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET / HTTP 1.1\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET /HTTP/1.1\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("HTTP/1.1\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("Host: a\r\n\r\n"), VERSION},
    {BYTES(" HTTP/1.\r\nHost: a\r\n\r\n"), VERSION},
    {BYTES("\r\nHTTP/1.1\r\nHost: a\r\n\r\n"), VERSION},
    /* folding */
    {HEAD("Host: a\r\n b\r\n"), FOLDED},
    {HEAD("Host: a\r\n\tb\r\n"), FOLDED},
    {HEAD(" Host: a\r\n"), FOLDED},
    {HEAD("Host: a\r\n \r\n"), FOLDED},
    {HEAD("Host: a\r\nContent-Length: 1\r\n 0\r\n"), FOLDED},
    /* names */
    {HEAD("Host: a\r\n: x\r\n"), NAME},
    {HEAD("Host: a\r\n:\r\n"), NAME},
    {HEAD("Host: a\r\nX\r\n"), NAME},
    {HEAD("Host: a\r\nX : x\r\n"), NAME},
    {HEAD("Host: a\r\nX\t: x\r\n"), NAME},
    {HEAD("Host : a\r\n"), NAME},
    {HEAD("Host: a\r\nContent-Length : 1\r\n"), NAME},
    {HEAD("Host: a\r\nTransfer-Encoding : chunked\r\n"), NAME},
    {HEAD("Host: a\r\nX Y: x\r\n"), NAME},
    {HEAD("Host: a\r\nX\0Y: x\r\n"), NAME},
    {HEAD("Host: a\r\nX\x7f: x\r\n"), NAME},
    {HEAD("Host: a\r\nX\xc3\xa9: x\r\n"), NAME},
    {HEAD("Host: a\r\n\rX: x\r\n"), NAME},
    {HEAD("Host: a\r\nX\r: x\r\n"), NAME},
};

static const struct refusal bad_fields[] = {
    /* hosts */
    {HEAD(""), NO_HOST},
    {HEAD("X: a\r\n"), NO_HOST},
    {HEAD("Hosts: a\r\nX-Host: a\r\n"), NO_HOST},
    {BYTES("GET / HTTP/1.0\r\n\r\n"), NO_HOST},
    {BYTES("GET / HTTP/1.1\r\n\r\nHost: a\r\n\r\n"), NO_HOST},
    {HEAD("Host: a\r\nHost: b\r\n"), HOST_TWICE},
    {HEAD("Host: a\r\nHost: a\r\n"), HOST_TWICE},
    {HEAD("Host: a\r\nX: x\r\nhOST:\r\n"), HOST_TWICE},
    {HEAD("Host: a b\r\n"), HOST_WRONG},
    {HEAD("Host: a,b\r\n"), HOST_WRONG},
    {HEAD("Host: a/b\r\n"), HOST_WRONG},
    {HEAD("Host: a\\b\r\n"), HOST_WRONG},
    {HEAD("Host: http://a\r\n"), HOST_WRONG},
    {HEAD("Host: user@a\r\n"), HOST_WRONG},
    {HEAD("Host: a?b\r\n"), HOST_WRONG},
    {HEAD("Host: a#b\r\n"), HOST_WRONG},
    {HEAD("Host: \"a\"\r\n"), HOST_WRONG},
    {HEAD("Host: <a>\r\n"), HOST_WRONG},
    {HEAD("Host: a^b\r\n"), HOST_WRONG},
    {HEAD("Host: a`b\r\n"), HOST_WRONG},
    {HEAD("Host: a|b\r\n"), HOST_WRONG},
    {HEAD("Host: {a}\r\n"), HOST_WRONG},
    {HEAD("Host: caf\xc3\xa9\r\n"), HOST_WRONG},
    {HEAD("Host: a\0b\r\n"), HOST_WRONG},
    {HEAD("Host: a\rb\r\n"), HOST_WRONG},
    {HEAD("Host: a\x7f\r\n"), HOST_WRONG},
    /* lengths */
    {HEAD("Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n"), LENGTH_TWICE},
    {HEAD("Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n"), LENGTH_TWICE},
    {HEAD("Host: a\r\ncontent-length: 1\r\nX: x\r\nCONTENT-LENGTH:\r\n"), LENGTH_TWICE},
    {HEAD("Host: a\r\nContent-Length:\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: \t\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: +1\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: -1\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: -0\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 1,1\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 1 1\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 1;x\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 1.0\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 1e3\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 0x1\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 1_0\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 1/\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 1:\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 1\0\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: \v1\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: \xef\xbc\x91\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 1000000000000000000\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 18446744073709551617\r\n"), LENGTH_WRONG},
    {HEAD("Host: a\r\nContent-Length: 0000000000000000001\r\n"), LENGTH_WRONG},
    /* codings */
    {HEAD("Host: a\r\nTransfer-Encoding: chunked\r\n"), CODING},
    {HEAD("Host: a\r\nTransfer-Encoding: identity\r\n"), CODING},
    {HEAD("Host: a\r\nTransfer-Encoding:\r\n"), CODING},
    {HEAD("Host: a\r\ntransfer-encoding: x\r\n"), CODING},
    {HEAD("Host: a\r\nTRANSFER-ENCODING: gzip, chunked\r\n"), CODING},
    {HEAD("Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"), CODING},
    {HEAD("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n"), CODING},
    {BYTES("GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), CODING},
};

/* Lines that other parsers read otherwise are refused, each for its reason. */
static void test_unsound_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_lines); ++i)
        expect_refused(bad_lines[i].bytes, bad_lines[i].len, bad_lines[i].reason);
}

/* So are fields that say where a request goes or ends in more than one way. */
static void test_unsound_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_fields); ++i)
        expect_refused(bad_fields[i].bytes, bad_fields[i].len, bad_fields[i].reason);
}

/* Every byte value in a header's name: accepted exactly when RFC 9110 calls it a tchar. */
static void test_every_byte_in_a_name(void **state)
{
    static const char tchars[] = "!#$%&'*+-.^_`|~0123456789"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char bytes[] = "GET / HTTP/1.1\r\nHost: a\r\nX?Y: x\r\n\r\n";
    char *at = strchr(bytes, '?');

    (void)state;
    for (int c = 0; c < 256; ++c) {
        *at = (char)c;
        if (c != 0 && strchr(tchars, c) != NULL)
            expect_accepted(bytes, sizeof(bytes) - 1, sizeof(bytes) - 1);
        else if (c == '\n')
            expect_refused(bytes, sizeof(bytes) - 1, BARE_LF);
        else if (c != ':') /* that ends the name, and Y: x is its value */
            expect_refused(bytes, sizeof(bytes) - 1, NAME);
    }
}

/* What must hold of anything that is accepted, by a reading of its own. */
static void expect_sound(const char *bytes, size_t len, size_t head_len)
{
    assert_true(head_len >= 4 && head_len <= len);
    assert_memory_equal(bytes + head_len - 4, "\r\n\r\n", 4);
    for (size_t i = 0; i < head_len; ++i) {
        if (bytes[i] == '\n')
            assert_true(i > 0 && bytes[i - 1] == '\r');
        /* the request line begins at 2, and how it begins is libh2o's to judge */
        if (i > 2 && bytes[i - 1] == '\n')
            assert_true(bytes[i] != ' ' && bytes[i] != '\t');
        if (i >= 4 && i < head_len)
            assert_int_not_equal(memcmp(bytes + i - 4, "\r\n\r\n", 4), 0);
    }
}

/* A head with one byte changed to any other, or one byte lost, is read within its bounds; if it is
 * still accepted, its lines are whole and its first blank line is its end. */
static void test_every_damaged_byte(void **state)
{
    static const char original[] =
        "\r\nPOST / HTTP/1.1\r\nHost: a:1\r\nContent-Length: 2\r\nX: y\r\n\r\n{}";
    const size_t len = sizeof(original) - 1;
    char bytes[sizeof(original)];
    struct framing_head head;

    (void)state;
    for (size_t i = 0; i < len; ++i) {
        for (int c = 0; c < 256; ++c) {
            memcpy(bytes, original, len);
            bytes[i] = (char)c;
            if (judge(bytes, len, &head) == NULL)
                expect_sound(bytes, len, head.head_len);
        }
        memcpy(bytes, original, i);
        memcpy(bytes + i, original + i + 1, len - i - 1);
        if (judge(bytes, len - 1, &head) == NULL)
            expect_sound(bytes, len - 1, head.head_len);
    }
}

static void expect_fit_for_a_client(const char *reason)
{
    assert_in_range(strlen(reason), 1, 100);
    for (const char *at = reason; *at != '\0'; ++at)
        assert_in_range(*at, ' ', '~');
}

/* A reason is short printable text: it goes into an answer. */
static void test_reasons_are_fit_for_clients(void **state)
{
    struct framing_head head;

    (void)state;
    for (size_t i = 0; i < COUNT(bad_lines); ++i)
        expect_fit_for_a_client(judge(bad_lines[i].bytes, bad_lines[i].len, &head));
    for (size_t i = 0; i < COUNT(bad_fields); ++i)
        expect_fit_for_a_client(judge(bad_fields[i].bytes, bad_fields[i].len, &head));
}

/* A long head is measured exactly, whatever its size. */
static void test_long_head(void **state)
{
    char bytes[8192];
    size_t len = 0;

    (void)state;
    len += (size_t)snprintf(bytes, sizeof(bytes), "GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 0; len < sizeof(bytes) - 64; ++i)
        len +=
            (size_t)snprintf(bytes + len, sizeof(bytes) - len, "X-Header-%u: value %u\r\n", i, i);
    len += (size_t)snprintf(bytes + len, sizeof(bytes) - len, "\r\n");
    expect_accepted(bytes, len, len);
    expect_refused(bytes, len - 1, NO_END);
}

/* The announced length of a body is told to its last digit, and is 0 without one. */
static void test_length_of_the_body(void **state)
{
    static const struct {
        struct head head;
        uint64_t body_len;
    } cases[] = {
        {{HEAD("Host: a\r\n")}, 0},
        {{HEAD("Host: a\r\nContent-Length: 0\r\n")}, 0},
        {{HEAD("Host: a\r\nContent-Length: 007\r\n")}, 7},
        {{HEAD("content-length:\t16384 \r\nHost: a\r\n")}, 16384},
        {{HEAD("Host: a\r\nContent-Length: 999999999999999999\r\n")}, 999999999999999999U},
        {{HEAD("Host: a\r\nX-Content-Length: 5\r\n")}, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); ++i) {
        struct framing_head head = {.body_len = 4711};
        assert_null(judge(cases[i].head.bytes, cases[i].head.len, &head));
        assert_true(head.body_len == cases[i].body_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_heads),
        cmocka_unit_test(test_bytes_after_the_head),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_unsound_lines),
        cmocka_unit_test(test_unsound_fields),
        cmocka_unit_test(test_every_byte_in_a_name),
        cmocka_unit_test(test_every_damaged_byte),
        cmocka_unit_test(test_reasons_are_fit_for_clients),
        cmocka_unit_test(test_long_head),
        cmocka_unit_test(test_length_of_the_body),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
