/* Which address a call goes to: the resolver, the order, the time that each gets, its breaker. */
#include "upstreaming.h"

#define SERVER_ERROR                                                                               \
    "HTTP/1.1 500 No\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}"
#define UNAVAILABLE                                                                                \
    "HTTP/1.1 503 No\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}"

/* The same port at three addresses of this machine. */
static const char *const places[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};
#define ALL_PLACES "127.0.0.1 127.0.0.2 127.0.0.3"

static uint16_t port;

static int set_up(void **state)
{
    port = 0;
    return upstreaming_set_up(state);
}

static int listen_in(size_t place)
{
    return listen_at(places[place], &port);
}

/* The upstream of UPSTREAMING_NAME at the port, when it has the addresses. */
static void start_named(const char *addresses)
{
    char url[64];

    resolver_say(addresses);
    (void)snprintf(url, sizeof(url), "http://" UPSTREAMING_NAME ":%u", port);
    upstreaming_start(url);
    await_resolved(1);
}

/* A call that is answered there. */
static void call_served_by(int listener)
{
    static struct outcome outcome;

    start_call(&outcome, "{}");
    serve(accept_one(listener));
    expect_replied(&outcome, 200, "{}");
}

static void call_fails(int listener)
{
    static struct outcome outcome;
    int peer;

    start_call(&outcome, "{}");
    peer = accept_one(listener);
    (void)read_request(peer);
    close_peer(peer);
    expect_ended(&outcome, UPSTREAM_BROKEN, "the connection ended without a reply");
}

static const struct breaker *breaker_of(size_t place)
{
    return &upstream->addresses[place]->breaker;
}

/* Nobody listens anywhere: nothing was sent, and each address was tried once. */
static void test_all_refuse(void **state)
{
    static struct outcome outcome;

    (void)state;
    close_peer(listen_in(0));
    start_named(ALL_PLACES);
    start_call(&outcome, "{}");
    expect_ended(&outcome, UPSTREAM_NOT_SENT, "connection failed");
    for (size_t i = 0; i < 3; ++i)
        assert_int_equal(breaker_of(i)->failures, 1);
}

/* Those that refuse are passed over within the call, and the next call begins at the one that has
 * served, though the first would serve again. */
static void test_next_address(void **state)
{
    int last, first;

    (void)state;
    options.keepalive_max = 0;
    last = listen_in(2);
    start_named(ALL_PLACES);
    call_served_by(last);
    assert_int_equal(breaker_of(0)->failures, 1);
    assert_int_equal(breaker_of(1)->failures, 1);
    first = listen_in(0);
    call_served_by(last);
    assert_int_equal(breaker_of(0)->failures, 1);
    close_peer(last); /* the order goes on behind it, at its beginning */
    call_served_by(first);
    call_served_by(first);
}

/* A name of both families is called by the one that is listened at. */
static void test_families(void **state)
{
    int listener = listen_in(0);

    (void)state;
    start_named("::1 127.0.0.1");
    call_served_by(listener);
    assert_int_equal(upstream->address_count, 2);
}

/* An address that swallows the connection gets half of the time when there is another, which
 * then serves. */
static void test_swallowed_then_good(void **state)
{
    static struct outcome outcome;
    uint64_t start_ms;
    int good;

    (void)state;
    good = listen_in(1);
    (void)swallow_at(places[0], &port);
    start_named(ALL_PLACES);
    start_ms = clock_monotonic_ms();
    assert_int_equal(try_send_within(&outcome, "{}", 400), 0);
    serve(accept_one(good));
    expect_replied(&outcome, 200, "{}");
    assert_true(clock_monotonic_ms() >= start_ms + 200);
    assert_int_equal(breaker_of(0)->failures, 1);
}

/* Half of the time is not less than UPSTREAM_CONNECT_MIN_MS, and never beyond the deadline. */
static void test_connect_bounds(void **state)
{
    struct upstream_exchange *exchange;
    static struct outcome outcome;
    uint64_t start_ms;

    (void)state;
    (void)swallow_at(places[0], &port);
    start_named(ALL_PLACES);
    start_ms = clock_monotonic_ms();
    assert_int_equal(try_send_within(&outcome, "{}", UPSTREAM_CONNECT_MIN_MS + 20), 0);
    turn();
    exchange = outcome.call.exchange;
    assert_in_range(exchange->due_ms, start_ms + UPSTREAM_CONNECT_MIN_MS,
                    exchange->deadline_ms - 1);
    upstream_cancel(&outcome.call);
    assert_int_equal(try_send_within(&outcome, "{}", UPSTREAM_CONNECT_MIN_MS - 10), 0);
    turn();
    exchange = outcome.call.exchange;
    assert_int_equal(exchange->due_ms, exchange->deadline_ms);
}

/* The only address swallows it: nothing was sent, and that is said at the deadline. */
static void test_swallowed(void **state)
{
    static struct outcome outcome;
    uint64_t start_ms;

    (void)state;
    (void)swallow_at(places[0], &port);
    upstreaming_start_at(port);
    start_ms = clock_monotonic_ms();
    assert_int_equal(try_send_within(&outcome, "{}", 80), 0);
    expect_ended(&outcome, UPSTREAM_NOT_SENT, "no connection in time");
    assert_true(clock_monotonic_ms() >= start_ms + 80);
    assert_int_equal(breaker_of(0)->failures, 1);
}

/* Calls that come before the resolver has answered wait for it, and count as connections; the one
 * whose deadline comes first ends unsent. */
static void test_waits_for_resolver(void **state)
{
    static struct outcome outcomes[3];
    int listener = listen_in(0);
    char url[64];

    (void)state;
    options.connections_max = options.keepalive_max = 2;
    resolver_hold(true);
    resolver_say(places[0]);
    (void)snprintf(url, sizeof(url), "http://" UPSTREAMING_NAME ":%u", port);
    upstreaming_start(url);
    assert_int_equal(try_send_within(&outcomes[0], "{}", 50), 0);
    start_call(&outcomes[1], "{}");
    assert_int_equal(try_send_within(&outcomes[2], "{}", 50), TICKETD_BUSY);
    expect_ended(&outcomes[0], UPSTREAM_NOT_SENT, "the name was not resolved in time");
    assert_int_equal(outcomes[1].times, 0);
    resolver_hold(false);
    serve(accept_one(listener));
    expect_replied(&outcomes[1], 200, "{}");
}

/* A name that does not resolve: the calls that wait end unsent, further ones are refused until the
 * resolver may be asked again, which is once a second; then it is found. */
static void test_unresolvable(void **state)
{
    static struct outcome outcome;
    int listener = listen_in(0);

    (void)state;
    start_named(NULL);
    assert_int_equal(upstream_judge(upstream), TICKETD_UNAVAILABLE);
    assert_int_equal(try_send_within(&outcome, "{}", UPSTREAMING_LONG_MS), TICKETD_UNAVAILABLE);
    assert_int_equal(resolver_asked(), 1);
    pass_ms(UPSTREAM_RESOLVE_PAUSE_MS);
    start_call(&outcome, "{}");
    expect_ended(&outcome, UPSTREAM_NOT_SENT, "the name does not resolve");
    assert_int_equal(resolver_asked(), 2);
    resolver_say(places[0]);
    pass_ms(UPSTREAM_RESOLVE_PAUSE_MS);
    call_served_by(listener);
}

/* The addresses are asked for again after UPSTREAM_RESOLVE_MS, not earlier; meanwhile the old ones
 * serve, and one that stays keeps its connections and its breaker. */
static void test_resolves_again(void **state)
{
    const struct upstream_address *stays;
    static struct outcome outcome;
    int listener = listen_in(0), peer;

    (void)state;
    start_named(places[0]);
    stays = upstream->addresses[0];
    call_fails(listener);
    start_call(&outcome, "{}");
    peer = accept_one(listener);
    serve(peer);
    expect_replied(&outcome, 200, "{}");
    resolver_say("127.0.0.3 127.0.0.1 127.0.0.3");
    resolver_hold(true);
    pass_ms(UPSTREAM_RESOLVE_MS - 1000);
    start_call(&outcome, "{}");
    assert_null(upstream->resolving);
    serve(peer);
    expect_replied(&outcome, 200, "{}");
    pass_ms(1000);
    start_call(&outcome, "{}");
    assert_non_null(upstream->resolving);
    serve(peer);
    expect_replied(&outcome, 200, "{}");
    resolver_hold(false);
    await_resolved(2);
    assert_int_equal(upstream->address_count, 2);
    assert_string_equal(upstream->addresses[0]->pool.peer.host.base, "127.0.0.3");
    assert_ptr_equal(upstream->addresses[1], stays);
    start_call(&outcome, "{}"); /* the one that served last */
    serve(peer);
    expect_replied(&outcome, 200, "{}");
}

/* A service that has moved is found after the first connection that fails, within the pause of a
 * second; what is no longer listed goes when its last call has ended. */
static void test_moved(void **state)
{
    static struct outcome outcome, late;
    int old = listen_in(0), new = listen_in(1), peer;

    (void)state;
    start_named(places[0]);
    start_call(&late, "{}");
    peer = accept_one(old);
    close_peer(old);
    resolver_say(places[1]);
    start_call(&outcome, "{}");
    expect_ended(&outcome, UPSTREAM_NOT_SENT, "connection failed");
    assert_null(upstream->resolving); /* it was asked a moment ago */
    pass_ms(UPSTREAM_RESOLVE_PAUSE_MS);
    resolver_hold(true); /* or this call finds the new one by itself */
    start_call(&outcome, "{}");
    expect_ended(&outcome, UPSTREAM_NOT_SENT, "connection failed");
    resolver_hold(false);
    await_resolved(2);
    call_served_by(new);
    assert_int_equal(upstream->address_count, 1);
    serve(peer);
    expect_replied(&late, 200, "{}");
    await_closed(peer);
}

/* A resolver that fails takes nothing away. */
static void test_addresses_stay(void **state)
{
    int listener = listen_in(0);

    (void)state;
    options.keepalive_max = 0;
    start_named(places[0]);
    resolver_say(NULL);
    for (unsigned i = 2; i < 5; ++i) {
        pass_ms(UPSTREAM_RESOLVE_MS);
        call_served_by(listener);
        await_resolved(i);
    }
    assert_int_equal(upstream->address_count, 1);
}

/* More addresses than there is room for are left out. */
static void test_many_addresses(void **state)
{
    char many[256] = "127.0.1.1";

    (void)state;
    for (int i = 2; i < UPSTREAM_ADDRESSES_MAX + 5; ++i)
        (void)snprintf(many + strlen(many), sizeof(many) - strlen(many), " 127.0.1.%d", i);
    port = 80;
    start_named(many);
    assert_int_equal(upstream->address_count, UPSTREAM_ADDRESSES_MAX);
}

/* So many failures in a row, and calls are refused for the breaker's time; then one at a time may
 * try, whose failure begins the time anew and whose success ends it. */
static void test_breaker(void **state)
{
    static struct outcome probe, other;
    int listener = listen_in(0), peer;

    (void)state;
    options.breaker_failures = 3;
    options.breaker_open_ms = 5000;
    upstreaming_start_at(port);
    for (int i = 0; i < 3; ++i)
        call_fails(listener);
    assert_int_equal(upstream_judge(upstream), TICKETD_UNAVAILABLE);
    assert_int_equal(try_send_within(&other, "{}", UPSTREAMING_LONG_MS), TICKETD_UNAVAILABLE);
    pass_ms(5000);
    call_fails(listener);
    assert_int_equal(upstream_judge(upstream), TICKETD_UNAVAILABLE);
    pass_ms(5000);
    start_call(&probe, "{}");
    assert_int_equal(upstream_judge(upstream), TICKETD_UNAVAILABLE);
    assert_int_equal(try_send_within(&other, "{}", UPSTREAMING_LONG_MS), TICKETD_UNAVAILABLE);
    upstream_cancel(&probe.call); /* says nothing, and leaves its place to the next */
    start_call(&probe, "{}");
    peer = accept_one(listener);
    serve(peer);
    expect_replied(&probe, 200, "{}");
    start_call(&probe, "{}");
    start_call(&other, "{}");
}

/* A server error is a failure, but 503 shows that the peer lives, and so does any other refusal. */
static void test_statuses(void **state)
{
    static const struct {
        const char *reply;
        int status;
        uint32_t failures;
    } steps[] = {
        {SERVER_ERROR, 500, 1}, {SERVER_ERROR, 500, 2}, {UNAVAILABLE, 503, 0},
        {SERVER_ERROR, 500, 1}, {OK_REPLY, 200, 0},
    };
    static struct outcome outcome;
    int peer = -1, listener = listen_in(0);

    (void)state;
    upstreaming_start_at(port);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); ++i) {
        start_call(&outcome, "{}");
        if (peer == -1)
            peer = accept_one(listener);
        (void)read_request(peer);
        write_text(peer, steps[i].reply);
        expect_replied(&outcome, steps[i].status, "{}");
        assert_int_equal(breaker_of(0)->failures, steps[i].failures);
    }
}

/* While one address is left alone, calls go to the next. */
static void test_breaker_of_one(void **state)
{
    int first = listen_in(0), next = listen_in(1);

    (void)state;
    options.breaker_failures = 1;
    start_named("127.0.0.1 127.0.0.2");
    call_fails(first);
    call_served_by(next);
    assert_false(is_called(first));
    assert_int_equal(breaker_of(0)->state, BREAKER_OPEN);
}

/* An address whose breaker lets nobody through is not counted as another one: the last that is left
 * gets all of the time. */
static void test_time_of_the_last(void **state)
{
    struct upstream_exchange *exchange;
    static struct outcome outcome;
    int second;

    (void)state;
    options.breaker_failures = 1;
    second = listen_in(1);
    start_named("127.0.0.2 127.0.0.1");
    call_fails(second);
    close_peer(second);
    (void)swallow_at(places[0], &port);
    start_call(&outcome, "{}");
    turn();
    exchange = outcome.call.exchange;
    assert_int_equal(exchange->phase, UPSTREAM_CONNECTING);
    assert_int_equal(exchange->due_ms, exchange->deadline_ms);
}

/* At connections_max an idle connection to another address makes room. */
static void test_makes_room(void **state)
{
    static struct outcome outcome;
    int first = listen_in(0), next = listen_in(1), peer;

    (void)state;
    options.connections_max = options.keepalive_max = 1;
    options.breaker_failures = 1;
    start_named("127.0.0.1 127.0.0.2");
    start_call(&outcome, "{}");
    peer = accept_one(first);
    serve(peer);
    expect_replied(&outcome, 200, "{}");
    (void)breaker_failed(&upstream->addresses[0]->breaker, clock_monotonic_ms());
    start_call(&outcome, "{}");
    await_closed(peer);
    serve(accept_one(next));
    expect_replied(&outcome, 200, "{}");
    assert_int_equal(upstream_idle_count(upstream), 1);
}

static size_t count_in(const char *text, const char *wanted)
{
    size_t count = 0;

    while ((text = strstr(text, wanted)) != NULL) {
        ++count;
        ++text;
    }
    return count;
}

static void run_through_states(int listener)
{
    for (int i = 0; i < 3; ++i) { /* closed, then two probes */
        call_fails(listener);
        pass_ms(1000);
    }
    call_served_by(listener);
}

/* The log says once that an address fails and once that it answers again; and once that a name does
 * not resolve, and that it does. */
static void test_log(void **state)
{
    int listener = listen_in(0);
    static struct outcome outcome;
    char wanted[128];
    const char *text;

    (void)state;
    options.breaker_failures = 1;
    options.breaker_open_ms = 1000;
    log_capture_begin(LOG_LEVEL_INFO);
    start_named(NULL);
    for (int i = 0; i < 2; ++i) {
        pass_ms(UPSTREAM_RESOLVE_PAUSE_MS);
        start_call(&outcome, "{}");
        await(&outcome);
    }
    resolver_say(places[0]);
    pass_ms(UPSTREAM_RESOLVE_PAUSE_MS);
    call_served_by(listener);
    upstream_free(upstream);
    upstreaming_start_at(port);
    run_through_states(listener);
    text = log_capture_end();
    assert_int_equal(count_in(text, "\n"), 4);
    assert_int_equal(count_in(text, "WARNING ticketd: several.test does not resolve: "), 1);
    assert_int_equal(count_in(text, "INFO ticketd: several.test resolves again\n"), 1);
    (void)snprintf(wanted, sizeof(wanted), "WARNING ticketd: 127.0.0.1:%u fails again and again ",
                   port);
    assert_int_equal(count_in(text, wanted), 1);
    (void)snprintf(wanted, sizeof(wanted), "INFO ticketd: 127.0.0.1:%u answers again\n", port);
    assert_int_equal(count_in(text, wanted), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_refuse, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_next_address, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_families, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_swallowed_then_good, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_connect_bounds, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_swallowed, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_waits_for_resolver, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_unresolvable, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_resolves_again, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_moved, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_addresses_stay, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_many_addresses, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_breaker, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_statuses, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_breaker_of_one, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_time_of_the_last, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_makes_room, set_up, upstreaming_tear_down),
        cmocka_unit_test_setup_teardown(test_log, set_up, upstreaming_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
