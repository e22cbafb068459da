/* How connections are opened, kept, bounded and given up. */
#include "upstreaming.h"

#include <netinet/tcp.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static uint16_t port;
static int listener;

static int set_up(void **state)
{
    int result = upstreaming_set_up(state);

    port = 0;
    listener = listen_at("127.0.0.1", &port);
    return result;
}

static void serve_one(struct outcome *outcome, int peer)
{
    serve(peer);
    expect_replied(outcome, 200, "{}");
}

static bool asks_to_close(const char *request)
{
    return strstr(request, "\r\nConnection: close\r\n") != NULL;
}

/* One connection serves any number of calls one after the other, without Nagle's delay. */
static void test_reuse(void **state)
{
    static struct outcome outcome;
    struct upstream_exchange *exchange;
    socklen_t size = sizeof(int);
    int peer, no_delay = 0;

    (void)state;
    upstreaming_start_at(port);
    start_call(&outcome, "{}");
    peer = accept_one(listener);
    turn();
    exchange = outcome.call.exchange;
    assert_int_equal(
        getsockopt(h2o_socket_get_fd(exchange->sock), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size),
        0);
    assert_int_not_equal(no_delay, 0);
    for (int i = 0; i < 20; ++i) {
        serve_one(&outcome, peer);
        assert_int_equal(upstream_idle_count(upstream), 1);
        assert_false(is_called(listener));
        start_call(&outcome, "{}");
    }
    serve_one(&outcome, peer);
    assert_true(is_quiet(peer));
}

/* An exchange without a reply in time takes the idle connections with it: who holds that one and
 * has stopped may hold them too. */
static void test_no_reply_closes_idle(void **state)
{
    static struct outcome outcomes[2];
    int peers[2];

    (void)state;
    upstreaming_start_at(port);
    for (size_t i = 0; i < 2; ++i) {
        start_call(&outcomes[i], "{}");
        peers[i] = accept_one(listener);
    }
    for (size_t i = 0; i < 2; ++i)
        serve_one(&outcomes[i], peers[i]);
    assert_int_equal(upstream_idle_count(upstream), 2);
    assert_int_equal(try_send_within(&outcomes[0], "{}", 1000), TICKETD_DONE);
    (void)read_request(peers[0]);
    pass_ms(1000);
    expect_ended(&outcomes[0], UPSTREAM_BROKEN, "no reply in time");
    assert_int_equal(upstream_idle_count(upstream), 0);
    await_closed(peers[1]);
    start_call(&outcomes[1], "{}");
    serve_one(&outcomes[1], accept_one(listener));
}

static struct outcome second;

/* Sends `second` as soon as the first is over. */
static void on_first(struct upstream_call *call, const struct upstream_reply *reply)
{
    struct outcome *first = (struct outcome *)call;

    ++first->times;
    first->end = reply->end;
    start_call(&second, "{\"second\": 1}");
}

/* A call that its predecessor's callback makes takes the connection that has just become free, even
 * if there may be no other. */
static void test_reuse_at_once(void **state)
{
    static struct outcome first;
    int peer;

    (void)state;
    options.connections_max = options.keepalive_max = 1;
    upstreaming_start_at(port);
    start_call(&first, "{}");
    first.call.on_reply = on_first;
    peer = accept_one(listener);
    serve(peer);
    await(&first);
    assert_int_equal(first.end, UPSTREAM_REPLIED);
    assert_non_null(strstr(read_request(peer), "second"));
    write_text(peer, OK_REPLY);
    expect_replied(&second, 200, "{}");
}

/* With keepalive_max 0 each request asks for its connection to be closed, and it is closed here
 * whatever the peer says. */
static void test_keep_none(void **state)
{
    static struct outcome outcome;

    (void)state;
    options.keepalive_max = 0;
    upstreaming_start_at(port);
    for (int i = 0; i < 3; ++i) {
        int peer;

        start_call(&outcome, "{}");
        peer = accept_one(listener);
        assert_true(asks_to_close(read_request(peer)));
        write_text(peer, OK_REPLY);
        expect_replied(&outcome, 200, "{}");
        assert_int_equal(upstream_idle_count(upstream), 0);
        await_closed(peer);
    }
}

/* With keepalive_max 1 one of three that run at once stays, the others ask to be closed; and when
 * that one is in use again, another asks likewise. */
static void test_keep_one(void **state)
{
    static struct outcome outcomes[3];
    int peers[3];

    (void)state;
    options.keepalive_max = 1;
    upstreaming_start_at(port);
    for (size_t i = 0; i < 3; ++i) {
        start_call(&outcomes[i], "{}");
        peers[i] = accept_one(listener);
        assert_int_equal(asks_to_close(read_request(peers[i])), i != 0);
    }
    for (size_t i = 3; i-- > 0;) {
        write_text(peers[i], OK_REPLY);
        expect_replied(&outcomes[i], 200, "{}");
    }
    assert_int_equal(upstream_idle_count(upstream), 1);
    await_closed(peers[1]);
    await_closed(peers[2]);
    start_call(&outcomes[0], "{}");
    assert_false(asks_to_close(read_request(peers[0])));
    start_call(&outcomes[1], "{}");
    assert_true(asks_to_close(read_request(accept_one(listener))));
}

/* A peer that says that it will close, or speaks HTTP/1.0, is not asked twice on one connection. */
static void test_peer_closes(void **state)
{
    static const char *const replies[] = {
        "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Type: application/json\r\n"
        "Content-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        "Connection: x, close\r\n\r\n{}",
        "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    };
    static struct outcome outcome;

    (void)state;
    upstreaming_start_at(port);
    for (size_t i = 0; i < COUNT(replies); ++i) {
        int peer;

        start_call(&outcome, "{}");
        peer = accept_one(listener);
        (void)read_request(peer);
        write_text(peer, replies[i]);
        expect_replied(&outcome, 200, "{}");
        assert_int_equal(upstream_idle_count(upstream), 0);
        await_closed(peer);
    }
}

/* At connections_max calls nothing more begins; one that ends makes room for one. */
static void test_connections_max(void **state)
{
    static struct outcome outcomes[3];
    int peers[2];

    (void)state;
    options.connections_max = options.keepalive_max = 2;
    upstreaming_start_at(port);
    for (size_t i = 0; i < 2; ++i) {
        start_call(&outcomes[i], "{}");
        peers[i] = accept_one(listener);
    }
    assert_int_equal(upstream_judge(upstream), TICKETD_BUSY);
    assert_int_equal(try_send_within(&outcomes[2], "{}", UPSTREAMING_LONG_MS), TICKETD_BUSY);
    serve_one(&outcomes[1], peers[1]);
    start_call(&outcomes[2], "{}");
    assert_int_equal(upstream_judge(upstream), TICKETD_BUSY);
    serve_one(&outcomes[2], peers[1]);
    assert_false(is_called(listener));
    upstream_cancel(&outcomes[0].call);
    start_call(&outcomes[0], "{}");
    start_call(&outcomes[1], "{}");
}

/* An idle connection that the peer has closed is replaced, and the call does not notice; the count
 * of connections stays right, however often.  What libh2o prints about it is a line of our log. */
static void test_closed_while_idle(void **state)
{
    static struct outcome outcome;

    (void)state;
    log_capture_begin(LOG_LEVEL_DEBUG);
    options.connections_max = options.keepalive_max = 1;
    upstreaming_start_at(port);
    for (int i = 0; i < 5; ++i) {
        int peer;

        start_call(&outcome, "{}");
        peer = accept_one(listener);
        serve_one(&outcome, peer);
        assert_int_equal(upstream_idle_count(upstream), 1);
        say_goodbye(peer);
    }
    assert_non_null(
        strstr(log_capture_end(), " DEBUG ticketd: stderr: [WARN] detected close by upstream"));
}

/* Bytes that nobody has asked for make an idle connection useless: they are nobody's reply. */
static void test_bytes_while_idle(void **state)
{
    static struct outcome outcome;
    int peer;

    (void)state;
    upstreaming_start_at(port);
    start_call(&outcome, "{}");
    peer = accept_one(listener);
    serve_one(&outcome, peer);
    write_text(peer, OK_HEAD("4") "null");
    await_delivered(peer);
    start_call(&outcome, "{}");
    await_closed(peer);
    serve_one(&outcome, accept_one(listener));
}

/* A kept connection that ends when the request is on its way: the request may have been carried
 * out. */
static void test_closed_in_race(void **state)
{
    static struct outcome outcome;
    int peer;

    (void)state;
    upstreaming_start_at(port);
    start_call(&outcome, "{}");
    peer = accept_one(listener);
    serve_one(&outcome, peer);
    start_call(&outcome, "{}");
    (void)read_request(peer);
    close_peer(peer);
    expect_ended(&outcome, UPSTREAM_BROKEN, "the connection ended without a reply");
    start_call(&outcome, "{}");
    serve_one(&outcome, accept_one(listener));
}

enum stage { RESOLVING, CHOSEN, CONNECTING, SENDING, SENT, IN_HEAD, IN_BODY, ENDED, STAGES };

/* Its connection ends outside of a turn, so that its caller is told in the next. */
static void end_now(const struct outcome *outcome)
{
    const struct upstream_exchange *exchange = outcome->call.exchange;

    exchange->sock->_cb.read(exchange->sock, h2o_socket_error_closed);
    assert_int_equal(exchange->phase, UPSTREAM_ENDED);
}

/* Begins a call on a new upstream and brings it there.  Returns the other end, or -1. */
static int bring_to(enum stage stage, struct outcome *outcome)
{
    static char large[6 * 1024 * 1024];
    uint16_t silent = 0;
    int peer;

    memset(large, 'x', sizeof(large) - 1);
    resolver_say("127.0.0.1");
    resolver_hold(stage == RESOLVING);
    if (stage == CONNECTING)
        (void)swallow_at("127.0.0.1", &silent);
    if (stage == RESOLVING)
        upstreaming_start("http://" UPSTREAMING_NAME);
    else
        upstreaming_start_at(stage == CONNECTING ? silent : port);
    start_call(outcome, stage == SENDING ? large : "{}");
    if (stage != CHOSEN)
        turn();
    if (stage <= CONNECTING)
        return -1;
    peer = accept_one(listener);
    if (stage == SENDING)
        return peer;
    (void)read_request(peer);
    if (stage == ENDED) {
        end_now(outcome);
        return peer;
    }
    if (stage != SENT)
        write_text(peer, stage == IN_HEAD ? "HTTP/1.1 200" : OK_HEAD("2") "{");
    for (int i = 0; i < 3; ++i)
        turn();
    return peer;
}

/* A call that is cancelled in any stage never hears of it; its connection is closed, its place is
 * free, and nothing is said about the peer. */
static void test_cancel(void **state)
{
    static struct outcome outcome;

    (void)state;
    options.connections_max = options.keepalive_max = 1;
    for (enum stage stage = RESOLVING; stage < STAGES; ++stage) {
        int peer = bring_to(stage, &outcome);

        assert_non_null(outcome.call.exchange);
        upstream_cancel(&outcome.call);
        assert_null(outcome.call.exchange);
        upstream_cancel(&outcome.call);
        if (peer != -1)
            await_closed(peer);
        for (int i = 0; i < 3; ++i)
            turn();
        assert_int_equal(outcome.times, 0);
        assert_int_equal(upstream_judge(upstream), 0);
        assert_int_equal(upstream_idle_count(upstream), 0);
        if (stage != RESOLVING)
            assert_int_equal(upstream->addresses[0]->breaker.failures, stage == ENDED);
        upstream_free(upstream);
        upstream = NULL;
        if (stage == RESOLVING)
            resolver_hold(false);
    }
}

/* The same of an upstream that is freed with a call in any stage. */
static void test_freed(void **state)
{
    static struct outcome outcome;

    (void)state;
    for (enum stage stage = RESOLVING; stage < STAGES; ++stage) {
        int peer = bring_to(stage, &outcome);

        upstream_free(upstream);
        upstream = NULL;
        assert_null(outcome.call.exchange);
        resolver_hold(false);
        if (peer != -1)
            await_closed(peer);
        for (int i = 0; i < 3; ++i)
            turn();
        assert_int_equal(outcome.times, 0);
    }
    upstream_free(NULL);
}

static void on_last(struct upstream_call *call, const struct upstream_reply *reply)
{
    ++((struct outcome *)call)->times;
    upstream_free(upstream);
    upstream = NULL;
    /* still there */
    assert_int_equal(reply->body.len, 2);
    assert_memory_equal(reply->body.base, "{}", 2);
}

/* A callback may free the upstream that it is called by, with another call under way. */
static void test_free_in_callback(void **state)
{
    static struct outcome first, other;
    int peer;

    (void)state;
    upstreaming_start_at(port);
    start_call(&first, "{}");
    first.call.on_reply = on_last;
    peer = accept_one(listener);
    start_call(&other, "{}");
    serve(peer);
    await(&first);
    assert_null(other.call.exchange);
    await_closed(accept_one(listener));
    assert_int_equal(other.times, 0);
}

/* An idle connection is closed after UPSTREAM_IDLE_MS, by libh2o's clock. */
static void test_idle_timeout(void **state)
{
    static struct outcome outcome;
    struct upstream_address *address;
    int peer;

    (void)state;
    upstreaming_start_at(port);
    start_call(&outcome, "{}");
    peer = accept_one(listener);
    serve_one(&outcome, peer);
    address = upstream->addresses[0];
    assert_int_equal(address->pool.timeout, UPSTREAM_IDLE_MS);
    address->pool.timeout = 0;
    await_closed(peer);
    assert_int_equal(upstream_idle_count(upstream), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reuse, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_no_reply_closes_idle, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_reuse_at_once, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_keep_none, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_keep_one, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_peer_closes, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_connections_max, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_closed_while_idle, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_bytes_while_idle, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_closed_in_race, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_cancel, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_freed, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_free_in_callback, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_idle_timeout, set_up, upstreaming_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
