/* http/event_stream.h over real sockets: a source of the test's own, whose state it sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/event_stream.h"
#include "serving.h"
#include "util/clock.h"

#define COUNT(table)  (sizeof(table) / sizeof((table)[0]))
#define PATH          "/test/stream"
#define FRESH_PATH    "/test/fresh"
#define INTERVAL_MS   10
#define HEARTBEAT_MS  60
#define STREAMS_MAX   100
#define WRITE_TIMEOUT 200
/* More than a socket takes at once. */
#define LONG_DATA (512 * 1024)
/* For what must happen. */
#define DEADLINE_MS  20000
#define SEEN_MAX     (8 * LONG_DATA)
#define GET(headers) "GET " PATH " HTTP/1.1\r\nHost: a\r\n" headers "\r\n"

/* What the source tells. */
static struct {
    bool known;
    uint64_t version;
    struct text data;
    unsigned asked;
} now;
static struct event_source *source, *fresh_source;
static char seen[SEEN_MAX];

/* What the worker says that it has. */
static uint32_t streams(void)
{
    return serving.server.slot->streams;
}

static bool tell(void *context, uint64_t *ret_version, struct text *ret_data)
{
    (void)context;
    ++now.asked;
    if (!now.known)
        return false;
    *ret_version = now.version;
    *ret_data = now.data;
    return true;
}

static void join(struct http_exchange *exchange, void *context)
{
    event_source_join(*(struct event_source **)context, exchange);
}

static void extend(struct http_server *server)
{
    struct event_source_options options = {
        .interval_ms = INTERVAL_MS,
        .heartbeat_ms = HEARTBEAT_MS,
        .streams_max = STREAMS_MAX,
        .versions_last = true,
        .state = tell,
    };

    source = event_source_new(server, &options);
    options.versions_last = false;
    options.asks_on_join = true;
    fresh_source = event_source_new(server, &options);
    http_server_add_path(&server->site, PATH, false, join, &source);
    http_server_add_path(&server->site, FRESH_PATH, false, join, &fresh_source);
    http_server_add_path(&server->control, PATH, false, join, &source);
}

static int set_up(void **state)
{
    (void)state;
    if (source == NULL) {
        serving_extend = extend;
        serving_start(NULL);
        serving.settings.write_timeout_ms = WRITE_TIMEOUT;
    }
    now.known = true;
    now.version = 7;
    now.data = TEXT("{\"a\":1}");
    return 0;
}

/* Nothing is left of a case. */
static int tear_down(void **state)
{
    (void)state;
    serving_await_no_connection();
    assert_int_equal(streams(), 0);
    return 0;
}

static int ask_site(bool control, const char *request)
{
    int fd = serving_connect(control);

    serving_send(fd, request, strlen(request));
    return fd;
}

static int ask(const char *request)
{
    return ask_site(false, request);
}

/* Adds what has come; false at the connection's end. */
static bool read_more(int fd, size_t *len)
{
    ssize_t got = read(fd, seen + *len, sizeof(seen) - 1 - *len);

    if (got > 0)
        *len += (size_t)got;
    seen[*len] = '\0';
    return got > 0 || (got == -1 && errno == EAGAIN);
}

/* Turns the loop until `wanted` is in what came, all of which is then in `seen`. */
static void await(int fd, const char *wanted)
{
    uint64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;
    size_t len = 0;

    seen[0] = '\0';
    while (strstr(seen, wanted) == NULL) {
        if (clock_monotonic_ms() > end_ms || !read_more(fd, &len))
            fail_msg("no %s in: %s", wanted, seen);
        serving_turn();
    }
}

/* Turns the loop until the connection's end; what came is in `seen`. */
static void await_end(int fd)
{
    uint64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;
    size_t len = 0;

    while (read_more(fd, &len)) {
        if (clock_monotonic_ms() > end_ms)
            fail_msg("no end");
        serving_turn();
    }
}

static void turn_for(uint64_t ms)
{
    uint64_t end_ms = clock_monotonic_ms() + ms;

    while (clock_monotonic_ms() < end_ms)
        serving_turn();
}

static void change(uint64_t version, const char *data)
{
    now.version = version;
    now.data = (struct text){.base = data, .len = strlen(data)};
}

/* ------------------------------------------------------------------ what is sent */

/* An answer is this, byte by byte: its head, when to come back, the state, and then each change. */
static void test_format(void **state)
{
    int fd = ask(GET("X-Request-ID: r\r\n"));
    char *body, expected[128];
    long retry;

    (void)state;
    await(fd, "\n\n\r\n");
    body = strstr(seen, "\r\n\r\n") + 4;
    retry = strtol(strstr(body, "retry: ") + 7, NULL, 10);
    assert_in_range(retry, EVENT_STREAM_RETRY_MIN_MS, EVENT_STREAM_RETRY_MAX_MS - 1);
    (void)snprintf(expected, sizeof(expected), "22\r\nretry: %ld\n\nid: 7\ndata: {\"a\":1}\n\n\r\n",
                   retry);
    assert_string_equal(body, expected);
    *body = '\0';
    assert_memory_equal(seen, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(seen, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(seen, "\r\ncontent-type: text/event-stream\r\n"));
    assert_non_null(strstr(seen, "\r\ncache-control: no-store, no-transform\r\n"));
    assert_non_null(strstr(seen, "\r\nX-Accel-Buffering: no\r\n"));
    assert_non_null(strstr(seen, "\r\naccess-control-allow-origin: *\r\n"));
    assert_non_null(strstr(seen, "\r\nX-Request-ID: r\r\n"));
    assert_non_null(strstr(seen, "\r\ntransfer-encoding: chunked\r\n"));
    assert_null(strcasestr(seen, "content-length"));

    change(UINT64_MAX, "b");
    await(fd, "\n\n\r\n");
    assert_string_equal(seen, "22\r\nid: 18446744073709551615\ndata: b\n\n\r\n");
    (void)close(fd);
}

/* Clients that lose a worker at one time are told different times to come back. */
static void test_retry_is_spread(void **state)
{
    unsigned kinds = 0;
    long last = 0;

    (void)state;
    for (int i = 0; i < 10; ++i) {
        int fd = ask(GET(""));
        long retry;
        await(fd, "data: ");
        retry = strtol(strstr(seen, "retry: ") + 7, NULL, 10);
        kinds += retry != last;
        last = retry;
        (void)close(fd);
    }
    assert_in_range(kinds, 5, 10);
}

/* HEAD has the head of such an answer and no stream; what is sent to HTTP/1.0 has no chunks. */
static void test_other_forms(void **state)
{
    int fd = ask("HEAD " PATH " HTTP/1.1\r\nHost: a\r\n\r\n");

    (void)state;
    await_end(fd);
    assert_non_null(strstr(seen, "\r\ncontent-type: text/event-stream\r\n"));
    assert_null(strcasestr(seen, "content-length"));
    assert_string_equal(strstr(seen, "\r\n\r\n"), "\r\n\r\n");
    assert_int_equal(streams(), 0);
    (void)close(fd);

    fd = ask("GET " PATH " HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    await(fd, "1}\n\n");
    assert_null(strcasestr(seen, "chunked"));
    assert_memory_equal(strstr(seen, "\r\n\r\n"), "\r\n\r\nretry: ", 11);
    (void)shutdown(fd, SHUT_WR);
    await_end(fd);
    (void)close(fd);
}

/* A source that has nothing to tell yet tells it when it has. */
static void test_no_state_yet(void **state)
{
    int fd;

    (void)state;
    assert_int_equal(now.asked, 0); /* it has told nothing before: this is the first case */
    now.known = false;
    fd = ask(GET(""));
    await(fd, "retry: ");
    assert_null(strstr(seen, "data"));
    now.known = true;
    await(fd, "id: 7\ndata: {\"a\":1}\n\n");
    (void)close(fd);
}

/* Who has been told the state already, and says so, hears of the next one only; anything else that
 * stands in Last-Event-ID is none that could have been told. */
static void test_last_event_id(void **state)
{
    static const struct {
        const char *id;
        bool is_known;
    } ids[] = {
        {"7", true},
        {"7 \t", true},
        {"6", false},
        {"8", false},
        {"07", false},
        {"", false},
        {"+7", false},
        {"7a", false},
        {"-7", false},
        {"7,7", false},
        {"0x7", false},
        {"18446744073709551623", false}, /* 2^64 + 7 */
        {"184467440737095516167", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(ids); ++i) {
        char request[256];
        int fd;
        (void)snprintf(request, sizeof(request), GET("Last-Event-ID: %s\r\n"), ids[i].id);
        change(7, "same");
        fd = ask(request);
        if (ids[i].is_known) {
            await(fd, ":\n\n"); /* a heartbeat, and nothing before it */
            assert_null(strstr(seen, "data"));
            change(8, "next");
            await(fd, "id: 8\ndata: next\n\n");
        } else {
            await(fd, "\n\n\r\n");
            assert_non_null(strstr(seen, "data: same"));
        }
        (void)close(fd);
        serving_await_no_connection();
    }
}

/* The greatest version is one like any other. */
static void test_greatest_id(void **state)
{
    int fd;

    (void)state;
    change(UINT64_MAX, "x");
    fd = ask(GET("Last-Event-ID: 18446744073709551615\r\n"));
    await(fd, ":\n\n");
    assert_null(strstr(seen, "data"));
    (void)close(fd);
}

/* Where versions do not last, none that a client names is believed; and whoever comes to a source
 * that is asked on joining gets what is true then, not at the last interval. */
static void test_fresh_source(void **state)
{
    int first, second;

    (void)state;
    first = ask("GET " FRESH_PATH " HTTP/1.1\r\nHost: a\r\n\r\n");
    await(first, "id: 7\n");
    change(8, "now");
    second = ask("GET " FRESH_PATH " HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 8\r\n\r\n");
    await(second, "\n\n\r\n");
    assert_non_null(strstr(seen, "id: 8\ndata: now\n\n"));
    await(first, "id: 8\n");
    (void)close(first);
    (void)close(second);
}

/* A silent stream gets comments, and no event twice. */
static void test_heartbeat(void **state)
{
    int fd = ask(GET(""));
    uint64_t begin_ms;

    (void)state;
    await(fd, "\n\n\r\n");
    begin_ms = clock_monotonic_ms();
    for (int i = 0; i < 3; ++i) {
        await(fd, "\n\n\r\n");
        assert_string_equal(seen, "3\r\n:\n\n\r\n");
    }
    assert_true(clock_monotonic_ms() - begin_ms >= 2 * HEARTBEAT_MS);
    (void)close(fd);
}

/* ------------------------------------------------------------------ who gets it */

/* A crowd larger than a slice all gets each state, and nobody gets one twice. */
static void test_crowd(void **state)
{
    int fds[STREAMS_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(fds); ++i) {
        fds[i] = ask(GET(""));
        await(fds[i], "id: 7\n");
    }
    assert_int_equal(streams(), STREAMS_MAX);
    for (uint64_t version = 8; version < 11; ++version) {
        char wanted[32];
        (void)snprintf(wanted, sizeof(wanted), "id: %" PRIu64 "\n", version);
        now.version = version;
        for (size_t i = 0; i < COUNT(fds); ++i) {
            const char *first;
            await(fds[i], wanted);
            first = strstr(seen, "id: ");
            assert_null(strstr(first + 1, "id: "));
        }
    }
    for (size_t i = 0; i < COUNT(fds); ++i)
        (void)close(fds[i]);
}

/* Nobody listens: nobody is asked. */
static void test_idle_source(void **state)
{
    int fd = ask(GET(""));
    unsigned asked;

    (void)state;
    await(fd, "id: 7\n");
    (void)close(fd);
    serving_await_no_connection();
    asked = now.asked;
    turn_for((uint64_t)(5 * INTERVAL_MS));
    assert_int_equal(now.asked, asked);
}

/* At the limit a client is refused, and served when another one has gone. */
static void test_limit(void **state)
{
    int fds[STREAMS_MAX];
    struct answer answer;
    int fd;

    (void)state;
    for (size_t i = 0; i < COUNT(fds); ++i) {
        fds[i] = ask(GET(""));
        await(fds[i], "id: 7\n");
    }
    answer = serving_ask(false, "GET", PATH, "", NULL);
    expect_problem(&answer, 503, "overloaded");
    (void)close(fds[0]);
    while (streams() == STREAMS_MAX)
        serving_turn();
    fd = ask(GET(""));
    await(fd, "id: 7\n");
    (void)close(fd);
    for (size_t i = 1; i < COUNT(fds); ++i)
        (void)close(fds[i]);
}

/* Streams of the control site leave half of its connections to commands, and one that ends makes
 * room for another. */
static void test_control_limit(void **state)
{
    int fds[HTTP_CONTROL_CONNECTIONS_MAX / 2];
    struct answer answer;
    int fd;

    (void)state;
    for (size_t i = 0; i < COUNT(fds); ++i) {
        fds[i] = ask_site(true, GET(""));
        await(fds[i], "id: 7\n");
    }
    answer = serving_ask(true, "GET", PATH, "", NULL);
    expect_problem(&answer, 503, "overloaded");
    answer = serving_ask(true, "GET", "/", "", NULL);
    assert_int_equal(answer.status, 200);
    fd = ask(GET(""));
    await(fd, "id: 7\n");
    (void)close(fd);
    (void)close(fds[0]);
    while (streams() == COUNT(fds))
        serving_turn();
    fds[0] = ask_site(true, GET(""));
    await(fds[0], "id: 7\n");
    for (size_t i = 0; i < COUNT(fds); ++i)
        (void)close(fds[i]);
}

/* ------------------------------------------------------------------ slow clients */

static const char *long_data(void)
{
    static char data[LONG_DATA + 1];

    memset(data, 'x', LONG_DATA);
    return data;
}

/* A client that does not read gets what is new when it reads on, and nothing of what lay between;
 * and an event that was begun is whole. */
static void test_slow_reader(void **state)
{
    int fd = ask(GET(""));
    const char *at;
    unsigned events = 0;

    (void)state;
    change(8, long_data());
    turn_for((uint64_t)(5 * INTERVAL_MS));
    for (uint64_t version = 9; version < 60; ++version) {
        now.version = version;
        turn_for(1);
    }
    change(60, "last");
    await(fd, "id: 60\n");
    for (at = seen; (at = strstr(at, "\ndata: ")) != NULL; ++at) {
        size_t len = strspn(at + 7, "x");
        assert_true(len == 0 || len == LONG_DATA);
        ++events;
    }
    assert_in_range(events, 2, 4);
    (void)close(fd);
}

/* A client that takes nothing for WRITE_TIMEOUT is ended. */
static void test_stuck_client(void **state)
{
    int fd = ask(GET(""));
    uint64_t begin_ms = clock_monotonic_ms();

    (void)state;
    change(8, long_data());
    serving_await_no_connection();
    assert_true(clock_monotonic_ms() - begin_ms >= WRITE_TIMEOUT);
    (void)close(fd);
}

/* ------------------------------------------------------------------ clients that leave */

/* Whenever a client goes, its stream does. */
static void test_leaving(void **state)
{
    int fd;

    (void)state;
    fd = serving_connect(false); /* before its request is read */
    assert_int_equal(write(fd, GET(""), sizeof(GET("")) - 1), sizeof(GET("")) - 1);
    (void)close(fd);
    serving_await_no_connection();

    fd = ask(GET("")); /* at once */
    (void)close(fd);
    serving_await_no_connection();

    fd = ask(GET("")); /* between two events */
    await(fd, "id: 7\n");
    (void)close(fd);
    serving_await_no_connection();

    fd = ask(GET("")); /* while an event is on its way, half of it read */
    await(fd, "id: 7\n");
    change(8, long_data());
    await(fd, "xxxx");
    (void)close(fd);
    serving_await_no_connection();
}

/* A client that closes its writing half gets an end in order, at once or after the event that is on
 * its way. */
static void test_half_closed(void **state)
{
    int fd = ask(GET(""));

    (void)state;
    await(fd, "id: 7\n");
    (void)shutdown(fd, SHUT_WR);
    await_end(fd);
    assert_non_null(strstr(seen, "0\r\n\r\n"));
    (void)close(fd);

    fd = ask(GET(""));
    await(fd, "id: 7\n");
    change(8, long_data());
    turn_for((uint64_t)(3 * INTERVAL_MS));
    (void)shutdown(fd, SHUT_WR);
    await_end(fd);
    assert_int_equal(strspn(strchr(seen, 'x'), "x"), LONG_DATA);
    assert_string_equal(strrchr(seen, 'x') + 1, "\n\n\r\n0\r\n\r\n");
    (void)close(fd);
}

/* A client's next request is not answered, and does not hide that the client goes. */
static void test_next_request(void **state)
{
    int fd = ask(GET("") GET(""));

    (void)state;
    await(fd, ":\n\n");
    (void)shutdown(fd, SHUT_WR);
    await_end(fd);
    assert_null(strstr(seen, "HTTP"));
    (void)close(fd);

    fd = ask(GET("") GET(""));
    await(fd, "id: 7\n");
    (void)close(fd);
    serving_await_no_connection();
}

/* ------------------------------------------------------------------ the end: this is the last case
 */

/* When the server drains each stream ends in order, one that is busy after its event; who still
 * comes gets the state and the same end. */
static void test_drain(void **state)
{
    int fds[STREAMS_MAX - 1], held, busy;

    (void)state;
    held = serving_connect(false);
    serving_turn();
    busy = ask(GET(""));
    change(8, long_data());
    turn_for((uint64_t)(5 * INTERVAL_MS));
    change(9, "small");
    for (size_t i = 0; i < COUNT(fds); ++i) {
        fds[i] = ask(GET(""));
        await(fds[i], "id: 9\n");
    }
    http_server_drain(&serving.server, false, DEADLINE_MS, DEADLINE_MS);
    for (size_t i = 0; i < COUNT(fds); ++i) {
        await_end(fds[i]);
        assert_string_equal(seen, "0\r\n\r\n");
        (void)close(fds[i]);
    }
    await_end(busy);
    assert_string_equal(seen + strlen(seen) - 7, "\r\n0\r\n\r\n");
    (void)close(busy);

    serving_send(held, GET(""), strlen(GET("")));
    await_end(held);
    assert_non_null(strstr(seen, "id: 9\ndata: small\n\n\r\n0\r\n\r\n"));
    (void)close(held);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_no_state_yet), CASE(test_format),        CASE(test_retry_is_spread),
        CASE(test_other_forms),  CASE(test_last_event_id), CASE(test_greatest_id),
        CASE(test_fresh_source), CASE(test_heartbeat),     CASE(test_crowd),
        CASE(test_idle_source),  CASE(test_limit),         CASE(test_control_limit),
        CASE(test_slow_reader),  CASE(test_stuck_client),  CASE(test_leaving),
        CASE(test_half_closed),  CASE(test_next_request),  CASE(test_drain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
