/* One exchange: what is sent, and which replies are believed. */
#include "client/upstream_reply.h"
#include "upstreaming.h"

#include <unistd.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define JSON         "Content-Type: application/json\r\n"

static uint16_t port;
static int listener;

static int set_up(void **state)
{
    int result = upstreaming_set_up(state);

    port = 0;
    listener = listen_at("127.0.0.1", &port);
    return result;
}

/* A call on a new upstream, and the other end of its connection when the request has come. */
static int start_one(struct outcome *outcome)
{
    int peer;

    upstreaming_start_at(port);
    start_call(outcome, "{\"qty\": 1}");
    peer = accept_one(listener);
    (void)read_request(peer);
    return peer;
}

/* The request's bytes, each of them, with a body and without. */
static void test_request(void **state)
{
    struct upstream_request request = {
        .method = "POST",
        .path = TEXT("/api/v1/x"),
        .headers = TEXT("X-Request-ID: a\r\nIdempotency-Key: \"b\"\r\n"),
        .body = TEXT("{\"qty\": 2}"),
        .deadline_ms = clock_monotonic_ms() + UPSTREAMING_LONG_MS,
    };
    static struct outcome outcome;
    char expected[512];
    int peer;

    (void)state;
    upstreaming_start_at(port);
    start_call(&outcome, NULL);
    peer = accept_one(listener);
    (void)snprintf(expected, sizeof(expected), "GET /p HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                   port);
    assert_string_equal(read_request(peer), expected);
    write_text(peer, OK_REPLY);
    expect_replied(&outcome, 200, "{}");

    assert_int_equal(upstream_send(upstream, &outcome.call, &request, outcome.call.on_reply), 0);
    (void)snprintf(expected, sizeof(expected),
                   "POST /api/v1/x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                   "Content-Type: application/json\r\nContent-Length: 10\r\n"
                   "X-Request-ID: a\r\nIdempotency-Key: \"b\"\r\n\r\n{\"qty\": 2}",
                   port);
    assert_string_equal(read_request(peer), expected);
}

/* The base path of the URL stands before the path, and the URL's host in Host, in brackets where
 * they belong and without a port that goes without saying. */
static void test_url(void **state)
{
    static const struct {
        const char *url, *expected;
    } cases[] = {
        {"http://several.test:8001/base/path",
         "GET /base/path/p HTTP/1.1\r\nHost: several.test:8001\r\n\r\n"},
        {"http://several.test", "GET /p HTTP/1.1\r\nHost: several.test\r\n\r\n"},
        {"http://[fe80::1%lo]:65535/", "GET /p HTTP/1.1\r\nHost: [fe80::1]:65535\r\n\r\n"},
        {"http://[::1]", "GET /p HTTP/1.1\r\nHost: [::1]\r\n\r\n"},
        {"unix:/no/such", "GET /p HTTP/1.1\r\nHost: localhost\r\n\r\n"},
    };
    static struct outcome outcome;

    (void)state;
    resolver_hold(true);
    for (size_t i = 0; i < COUNT(cases); ++i) {
        struct upstream_exchange *exchange;

        upstreaming_start(cases[i].url);
        start_call(&outcome, NULL);
        exchange = outcome.call.exchange;
        assert_memory_equal(exchange->request[0].base, cases[i].expected, exchange->request[0].len);
        assert_int_equal(exchange->request[0].len, strlen(cases[i].expected) - 2);
        upstream_free(upstream);
        assert_null(outcome.call.exchange);
    }
    upstream = NULL;
}

/* Complete replies are believed whatever their status, and say what they say. */
static void test_believed(void **state)
{
    static const struct {
        int status;
        const char *body, *reply;
    } cases[] = {
        {200, "{}", OK_REPLY},
        {200, "{}",
         "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: Application/JSON; "
         "charset=utf-8\r\n\r\n{}"},
        {200, "{}",
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json ;a=b\r\n\r\n{}"},
        {200, "{}", "HTTP/1.0 200 OK\r\n" JSON "Content-Length: 2\r\n\r\n{}"},
        {200, "", OK_HEAD("0")},
        {201, "[1]", "HTTP/1.1 201 \r\n" JSON "Content-Length: 3\r\n\r\n[1]"},
        {404, "{}",
         "HTTP/1.1 404 No\r\nContent-Type: application/problem+json\r\nContent-Length: "
         "2\r\n\r\n{}"},
        {500, "{}",
         "HTTP/1.1 500 No\r\nContent-Type: application/problem+json\r\nContent-Length: "
         "2\r\n\r\n{}"},
        {503, "{\"code\":\"busy\"}",
         "HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Type: "
         "application/problem+json\r\nContent-Length: 15\r\n\r\n{\"code\":\"busy\"}"},
    };
    static struct outcome outcome;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); ++i) {
        write_text(start_one(&outcome), cases[i].reply);
        expect_replied(&outcome, cases[i].status, cases[i].body);
        upstream_free(upstream);
    }
    upstream = NULL;
}

/* A reply may come in any pieces: here one byte a turn. */
static void test_byte_by_byte(void **state)
{
    static const char reply[] = OK_HEAD("12") "{\"qty\": 998}";
    static struct outcome outcome;
    int peer = 0;

    (void)state;
    peer = start_one(&outcome);
    for (size_t i = 0; i < sizeof(reply) - 1; ++i) {
        assert_int_equal(outcome.times, 0);
        write_bytes(peer, &reply[i], 1);
        turn();
    }
    expect_replied(&outcome, 200, "{\"qty\": 998}");
}

struct doubtful {
    const char *why;
    const char *reply;
    bool closed; /* by the peer, after the reply */
};

static const struct doubtful doubtful[] = {
    {"the connection ended without a reply", "", true},
    {"the connection ended within the reply", "H", true},
    {"the connection ended within the reply", "HTTP/1.1 200 OK\r\nContent-Le", true},
    {"the connection ended within the reply", OK_HEAD("3") "{}", true},
    {"the connection ended within the reply", OK_HEAD("3"), true},
    {"a reply that is longer than its length", OK_HEAD("2") "{}{", false},
    {"a reply that is longer than its length", OK_HEAD("0") "{}", false},
    {"a reply that is longer than its length", OK_REPLY OK_REPLY, false},
    {"a reply that is too long", OK_HEAD("4097"), false},
    {"a reply that is too long", OK_HEAD("999999999999999999"), false},
    {"a reply whose length is no number", OK_HEAD("18446744073709551618") "{}", false},
    {"a reply whose length is no number", OK_HEAD("2, 2") "{}", false},
    {"a reply whose length is no number", OK_HEAD("-2") "{}", false},
    {"a reply whose length is no number", OK_HEAD("0x2") "{}", false},
    {"a reply whose length is no number", OK_HEAD("") "{}", false},
    {"a reply without a length", "HTTP/1.1 200 OK\r\n" JSON "\r\n{}", true},
    {"a reply with two lengths",
     "HTTP/1.1 200 OK\r\n" JSON "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", false},
    {"a reply with two lengths",
     "HTTP/1.1 200 OK\r\n" JSON "Content-Length: 1\r\ncontent-length: 2\r\n\r\n{}", false},
    {"a reply with a transfer coding",
     "HTTP/1.1 200 OK\r\n" JSON "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", false},
    {"a reply with a transfer coding",
     "HTTP/1.1 200 OK\r\n" JSON
     "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
     false},
    {"a reply with a transfer coding",
     "HTTP/1.1 200 OK\r\n" JSON "Content-Length: 2\r\nTransfer-Encoding: identity\r\n\r\n{}",
     false},
    {"a reply that is not HTTP", "SSH-2.0", false},
    {"a reply that is not HTTP", "\r\n" OK_REPLY, false},
    {"a reply that is not HTTP", "HTTP/2.0 200 OK\r\n", false},
    {"a reply that is not HTTP", "HTTP/1.2 200 OK\r\n", false},
    {"a reply that is not HTTP", "HTTP/1.1 200\n", false},
    {"a reply that is not HTTP", "HTTP/1.1 20\r\n", false},
    {"a reply that is not HTTP", "HTTP/1.1 2000\r\n", false},
    {"a reply that is not HTTP", "HTTP/1.1 2x0 OK\r\n", false},
    {"a reply that is not HTTP", "HTTP/1.1  200 OK\r\n", false},
    {"a reply with a broken header line",
     "HTTP/1.1 200 OK\r\n" JSON "Content-Length: 2\r\n 0\r\n\r\n{}", false},
    {"a reply with a broken header line", "HTTP/1.1 200 OK\r\n" JSON "Content-Length : 2\r\n\r\n{}",
     false},
    {"a reply with a broken header line",
     "HTTP/1.1 200 OK\r\n" JSON "X: y\nContent-Length: 2\r\n\r\n{}", false},
    {"an interim reply", "HTTP/1.1 100 Continue\r\n\r\n" OK_REPLY, false},
    {"an interim reply", "HTTP/1.1 103 Early Hints\r\n", false},
    {"an interim reply", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false},
    {"an interim reply", "HTTP/1.1 000 Odd\r\n", false},
    {"a reply that cannot have a body", "HTTP/1.1 204 No Content\r\n\r\n", false},
    {"a reply that cannot have a body",
     "HTTP/1.1 304 Not Modified\r\n" JSON "Content-Length: 2\r\n\r\n", false},
    {"a reply of unknown status", "HTTP/1.1 600 Odd\r\n" JSON "Content-Length: 2\r\n\r\n{}", false},
    {"a reply that is not JSON",
     "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}", false},
    {"a reply that is not JSON",
     "HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\nContent-Length: 2\r\n\r\n{}", false},
    {"a reply that is not JSON",
     "HTTP/1.1 502 Bad\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}", false},
    {"a reply without a type", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false},
    {"a reply with two types", "HTTP/1.1 200 OK\r\n" JSON JSON "Content-Length: 2\r\n\r\n{}",
     false},
};

/* No reply of another form is believed, each counts as the peer's failure, and its connection is
 * not used again. */
static void test_doubtful(void **state)
{
    static struct outcome outcome;

    (void)state;
    for (size_t i = 0; i < COUNT(doubtful); ++i) {
        int peer = start_one(&outcome);

        write_text(peer, doubtful[i].reply);
        if (doubtful[i].closed)
            assert_int_equal(shutdown(peer, SHUT_WR), 0);
        expect_ended(&outcome, UPSTREAM_BROKEN, doubtful[i].why);
        await_closed(peer);
        assert_int_equal(upstream->addresses[0]->breaker.failures, 1);
        assert_int_equal(upstream_idle_count(upstream), 0);
        close_peer(peer);
        upstream_free(upstream);
    }
    upstream = NULL;
}

/* The parser sees `len` bytes that end where its memory ends. */
static const char *parse_alone(const char *bytes, size_t len, struct upstream_head *ret_head)
{
    char *copy = malloc(len);
    const char *why;

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    why = upstream_head_parse(copy, len, ret_head);
    free(copy);
    return why;
}

/* Each beginning of a sound head is sound and not whole. */
static void test_every_truncation(void **state)
{
    static const char reply[] = OK_HEAD("12") "{\"qty\": 998}";
    size_t head_len = sizeof(OK_HEAD("12")) - 1;

    (void)state;
    for (size_t len = 1; len < sizeof(reply); ++len) {
        struct upstream_head head = {.status = -1};

        assert_null(parse_alone(reply, len, &head));
        assert_int_equal(head.head_len, len < head_len ? 0 : head_len);
        if (len >= head_len)
            assert_int_equal(head.body_len, 12);
    }
}

/* Whatever one byte of it is changed to: it is doubtful, not whole, or means what it says. */
static void test_every_damaged_byte(void **state)
{
    char reply[] = OK_HEAD("12");
    size_t len = sizeof(reply) - 1, length_at = (size_t)(strstr(reply, "12\r\n") - reply);

    (void)state;
    for (size_t at = 0; at < len; ++at) {
        char sound = reply[at];
        for (int byte = 0; byte < 256; ++byte) {
            struct upstream_head head = {.status = -1};

            reply[at] = (char)byte;
            if (parse_alone(reply, len, &head) == NULL && head.head_len > 0) {
                assert_int_equal(head.head_len, len);
                assert_true(head.status >= 200 && head.status <= 599);
                /* the blank before it may have become a digit of it */
                assert_true(head.body_len == 12 || (at + 1 >= length_at && at <= length_at + 1));
            } else {
                assert_int_equal(head.body_len, 0);
            }
        }
        reply[at] = sound;
    }
}

/* A body of just body_max bytes is let in. */
static void test_body_max(void **state)
{
    static char body[4096];
    static struct outcome outcome;
    int peer = start_one(&outcome);

    (void)state;
    memset(body, ' ', sizeof(body));
    write_text(peer, OK_HEAD("4096"));
    write_bytes(peer, body, sizeof(body));
    await(&outcome);
    assert_int_equal(outcome.end, UPSTREAM_REPLIED);
    assert_int_equal(outcome.body_len, sizeof(body));
}

/* A head without an end is given up at its bound, not at the deadline. */
static void test_head_max(void **state)
{
    static char head[UPSTREAM_HEAD_MAX + 1];
    static struct outcome outcome;
    int peer = start_one(&outcome);

    (void)state;
    memset(head, 'x', sizeof(head));
    memcpy(head, "HTTP/1.1 200 ", 13);
    write_bytes(peer, head, sizeof(head) - 1);
    for (int i = 0; i < 5; ++i)
        turn();
    assert_int_equal(outcome.times, 0);
    write_bytes(peer, "x", 1);
    expect_ended(&outcome, UPSTREAM_BROKEN, "a reply whose head is too long");
}

/* A reply that comes while the request is still being sent is believed; its connection, on which
 * the request will never end, is closed. */
static void test_early(void **state)
{
    static char body[6 * 1024 * 1024];
    static struct outcome outcome;
    int peer;

    (void)state;
    memset(body, 'x', sizeof(body) - 1);
    upstreaming_start_at(port);
    start_call(&outcome, body);
    peer = accept_one(listener);
    turn();
    write_text(peer, "HTTP/1.1 413 No\r\n" JSON "Content-Length: 2\r\n\r\n{}");
    expect_replied(&outcome, 413, "{}");
    assert_int_equal(upstream_idle_count(upstream), 0);
    await_closed(peer);
}

/* A reset says nothing of what became of the request, before the reply and within it. */
static void test_reset(void **state)
{
    static struct outcome outcome;
    int peer = start_one(&outcome);

    (void)state;
    reset(peer);
    expect_ended(&outcome, UPSTREAM_BROKEN, "the connection ended without a reply");
    start_call(&outcome, "{}");
    peer = accept_one(listener);
    (void)read_request(peer);
    write_text(peer, OK_HEAD("2") "{");
    for (int i = 0; i < 3; ++i)
        turn();
    reset(peer);
    expect_ended(&outcome, UPSTREAM_BROKEN, "the connection ended within the reply");
}

/* Whatever has come of a reply by its deadline: it is broken then, not earlier, and closed. */
static void test_deadline(void **state)
{
    static const char *const beginnings[] = {"", "HTTP/1.1 200 OK\r\n", OK_HEAD("2") "{"};
    static struct outcome outcome;

    (void)state;
    upstreaming_start_at(port);
    for (size_t i = 0; i < COUNT(beginnings); ++i) {
        uint64_t start_ms = clock_monotonic_ms();
        int peer;

        assert_int_equal(try_send_within(&outcome, "{}", 60), 0);
        peer = accept_one(listener);
        (void)read_request(peer);
        write_text(peer, beginnings[i]);
        expect_ended(&outcome, UPSTREAM_BROKEN, "no reply in time");
        assert_true(clock_monotonic_ms() >= start_ms + 60);
        await_closed(peer);
        assert_int_equal(upstream->addresses[0]->breaker.failures, i + 1);
    }
}

/* A request whose time is over already is not sent, and says nothing about the peer. */
static void test_too_late(void **state)
{
    static struct outcome outcome;

    (void)state;
    upstreaming_start_at(port);
    assert_int_equal(try_send_within(&outcome, "{}", 0), 0);
    expect_ended(&outcome, UPSTREAM_NOT_SENT, "its time was over");
    assert_false(is_called(listener));
    assert_int_equal(upstream->addresses[0]->breaker.failures, 0);
}

/* Megabytes each way take many writes and reads, and arrive whole. */
static void test_large(void **state)
{
    enum { SIZE = 4 * 1024 * 1024 };
    static char body[SIZE + 1], head[256];
    static struct outcome outcome;
    const char *request;
    int peer;

    (void)state;
    for (size_t i = 0; i < SIZE; ++i)
        body[i] = (char)('a' + i % 23);
    options.body_max = SIZE;
    upstreaming_start_at(port);
    start_call(&outcome, body);
    peer = accept_one(listener);
    turn(); /* the kernel takes a part, and the rest waits */
    request = read_request(peer);
    assert_memory_equal(strstr(request, "\r\n\r\n") + 4, body, SIZE + 1);
    (void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n" JSON "Content-Length: %d\r\n\r\n",
                   SIZE);
    write_text(peer, head);
    write_bytes(peer, body, SIZE);
    await(&outcome);
    assert_int_equal(outcome.end, UPSTREAM_REPLIED);
    assert_int_equal(outcome.body_len, SIZE);
    assert_memory_equal(outcome.body, body, sizeof(outcome.body) - 1);
}

/* A service behind the path of a socket. */
static void test_unix(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/upstream.XXXXXX", url[160];
    static struct outcome outcome;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), peer;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", folder);
    (void)snprintf(url, sizeof(url), "unix:%s", name.sun_path);
    upstreaming_start(url);
    assert_string_equal(upstream->addresses[0]->text, url);
    start_call(&outcome, "{}"); /* there is no socket yet */
    expect_ended(&outcome, UPSTREAM_NOT_SENT, "failed to connect to host");
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(fd, 8), 0);
    for (int i = 0; i < 2; ++i) {
        start_call(&outcome, "{}");
        if (i == 0)
            peer = accept_one(fd);
        serve(peer);
        expect_replied(&outcome, 200, "{}");
    }
    (void)close(fd);
    (void)unlink(name.sun_path);
    (void)rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_request, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_url, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_believed, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_doubtful, set_up, upstreaming_tear_down),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_every_damaged_byte),
        cmocka_unit_test_setup_teardown(test_body_max, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_head_max, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_early, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_reset, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_deadline, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_too_late, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_large, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_unix, set_up, upstreaming_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
