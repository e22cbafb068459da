/* What include/ticketd/vacancy_client.h promises, tried on the implementation that the argument
 * names.  A case knows nothing of that but its fixture. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "stock/keeper_link.h"
#include "ticketd/error.h"
#include "util/clock.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define CAPACITY       5000
#define OTHER_CAPACITY 7
/* The first sequence. */
#define FIRST 1
/* How often a callback starts its call anew. */
#define RESTARTS 200

/* A deadline that passed long ago, and one that no test reaches. */
#define LONG_AGO_MS    1
#define FAR_FUTURE_MS  (clock_monotonic_ms() + (uint64_t)24 * 3600 * 1000)
#define UNKNOWN_STATUS INT32_MIN

/* A call, and what is known of its completion. */
struct probe {
    struct vacancy_call call; /* first */
    unsigned completed;
    struct vacancy_result result;
};

static struct fixture fixture;
static uint32_t event, other;
/* completions of all probes of a case */
static unsigned completed;

static int create(const char *id, uint32_t capacity, uint32_t *ret_event)
{
    /* the ledger's first entry is the event's first stock */
    return stock_event_create(
        &fixture.stock,
        &(struct stock_event){
            .id = id, .available = capacity, .capacity = capacity, .sequence = FIRST},
        ret_event);
}

static int set_up(void **state)
{
    fixture = (struct fixture){.ops = *state};
    completed = 0;
    if (stock_create(&fixture.stock, &(struct stock_options){.events_max = 2,
                                                             .ring_slots = 8192,
                                                             .places = 2,
                                                             .parked_max = PARKED_MAX,
                                                             .keys_max = 1000}) != 0 ||
        create("default", CAPACITY, &event) != 0 || create("other", OTHER_CAPACITY, &other) != 0)
        return -1;
    keeper_set_state(&fixture.stock, KEEPER_RUNNING);
    fixture.ops->make(&fixture);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture.ops->destroy(&fixture);
    stock_destroy(&fixture.stock);
    return 0;
}

static uint32_t sold(void)
{
    return CAPACITY - stock_available(&fixture.stock, event);
}

/* Lets things go on until so many calls have completed in this case. */
static void await(unsigned count)
{
    while (completed < count && fixture.ops->pump(&fixture))
        continue;
    assert_int_equal(completed, count);
}

/* Lets things go on until nothing is left to happen. */
static void settle(void)
{
    while (fixture.ops->pump(&fixture))
        continue;
}

static void on_complete(struct vacancy_call *call, const struct vacancy_result *result)
{
    struct probe *probe = (struct probe *)call;

    assert_null(call->pending);
    ++completed;
    ++probe->completed;
    probe->result = *result;
}

static struct vacancy_request ask(uint32_t quantity)
{
    return (struct vacancy_request){.event = TEXT("default"), .quantity = quantity};
}

typedef void starter(struct vacancy_client *client, struct vacancy_call *call,
                     const struct vacancy_request *request, vacancy_on_complete *on_complete);

/* Starts a call, awaits it, and sees that it completed once and never again. */
static struct vacancy_result run(starter *start, const struct vacancy_request *request)
{
    struct probe probe = {.result.status = UNKNOWN_STATUS};
    unsigned before = completed;

    start(fixture.client, &probe.call, request, on_complete);
    await(before + 1);
    assert_int_equal(probe.completed, 1);
    assert_null(probe.call.pending);
    settle();
    assert_int_equal(probe.completed, 1);
    return probe.result;
}

static void expect_reserved(uint32_t quantity, uint32_t remaining)
{
    struct vacancy_request request = ask(quantity);
    struct vacancy_result result = run(vacancy_reserve, &request);

    assert_int_equal(result.status, TICKETD_DONE);
    assert_int_equal(result.remaining, remaining);
    assert_int_equal(stock_available(&fixture.stock, event), remaining);
}

/* A reserve takes exactly what it asks for and tells what is left, down to nothing. */
static void test_reserve(void **state)
{
    (void)state;
    expect_reserved(1, CAPACITY - 1);
    expect_reserved(2, CAPACITY - 3);
    expect_reserved(CAPACITY - 4, 1);
    expect_reserved(1, 0);
    assert_int_equal(stock_available(&fixture.stock, other), OTHER_CAPACITY);
}

/* Sold out tells the true remainder and takes nothing. */
static void test_sold_out(void **state)
{
    static const uint32_t too_many[] = {11, 12, CAPACITY, STOCK_QUANTITY_MAX};

    (void)state;
    expect_reserved(CAPACITY - 10, 10);
    for (size_t i = 0; i < COUNT(too_many); ++i) {
        struct vacancy_request request = ask(too_many[i]);
        struct vacancy_result result = run(vacancy_reserve, &request);
        assert_int_equal(result.status, TICKETD_SOLD_OUT);
        assert_int_equal(result.remaining, 10);
    }
    expect_reserved(10, 0);
    struct vacancy_request request = ask(1);
    struct vacancy_result result = run(vacancy_reserve, &request);
    assert_int_equal(result.status, TICKETD_SOLD_OUT);
    assert_int_equal(result.remaining, 0);
}

/* Asking what is left takes nothing, and follows each sale; so does the name of the state, of an
 * implementation that knows it. */
static void test_available(void **state)
{
    struct vacancy_request request = ask(0);
    uint64_t sequence = 0;

    (void)state;
    for (uint32_t left = CAPACITY; left > CAPACITY - 5; --left) {
        struct vacancy_result result = run(vacancy_available, &request);
        assert_int_equal(result.status, TICKETD_DONE);
        assert_int_equal(result.remaining, left);
        assert_int_equal(stock_available(&fixture.stock, event), left);
        if (result.instance != 0) {
            assert_int_equal(result.instance, stock_instance(&fixture.stock));
            assert_int_equal(result.sequence, stock_look(&fixture.stock, event).sequence);
            assert_true(result.sequence > sequence);
            assert_int_equal(run(vacancy_available, &request).sequence, result.sequence);
            sequence = result.sequence;
        }
        expect_reserved(1, left - 1);
    }
}

/* Events are told apart, also by a client that reaches one of them only. */
static void test_events(void **state)
{
    struct vacancy_request request = {.event = TEXT("other"), .quantity = 2};
    struct vacancy_result result = run(vacancy_reserve, &request);

    (void)state;
    if (fixture.ops->narrow) {
        assert_int_equal(result.status, TICKETD_EVENT_UNKNOWN);
        assert_int_equal(sold(), 0);
        assert_int_equal(stock_available(&fixture.stock, other), OTHER_CAPACITY);
        return;
    }
    assert_int_equal(result.status, TICKETD_DONE);
    assert_int_equal(result.remaining, OTHER_CAPACITY - 2);
    result = run(vacancy_available, &request);
    assert_int_equal(result.remaining, OTHER_CAPACITY - 2);
    assert_int_equal(sold(), 0);
}

/* An event that does not exist is unknown, whatever its id looks like. */
static void test_unknown_event(void **state)
{
    static char longest[1000];
    const struct text ids[] = {
        TEXT("absent"),           TEXT("defaul"),
        TEXT("defaults"),         TEXT("Default"),
        TEXT("default\0"),        TEXT("a b/c?d#e%00\"\r\nX: y"),
        {.base = NULL, .len = 0}, {.base = longest, .len = sizeof(longest)},
    };

    (void)state;
    memset(longest, 'a', sizeof(longest));
    for (size_t i = 0; i < COUNT(ids); ++i) {
        struct vacancy_request request = {.event = ids[i], .quantity = 1};
        assert_int_equal(run(vacancy_reserve, &request).status, TICKETD_EVENT_UNKNOWN);
        assert_int_equal(run(vacancy_available, &request).status, TICKETD_EVENT_UNKNOWN);
    }
    assert_int_equal(sold(), 0);
}

/* A stock that can sell is healthy; nothing but an id and a deadline is needed to ask. */
static void test_health(void **state)
{
    struct vacancy_request request = {.request_id = TEXT("the-id")};

    (void)state;
    assert_int_equal(run(vacancy_health, &request).status, TICKETD_DONE);
    request.deadline_ms = FAR_FUTURE_MS;
    assert_int_equal(run(vacancy_health, &request).status, TICKETD_DONE);
    assert_int_equal(sold(), 0);
}

/* A call whose deadline has passed when it is started times out and takes nothing. */
static void test_deadline_past(void **state)
{
    struct vacancy_request request = ask(1);

    (void)state;
    request.deadline_ms = LONG_AGO_MS;
    assert_int_equal(run(vacancy_reserve, &request).status, TICKETD_TIMED_OUT);
    assert_int_equal(run(vacancy_available, &request).status, TICKETD_TIMED_OUT);
    assert_int_equal(run(vacancy_health, &request).status, TICKETD_TIMED_OUT);
    assert_int_equal(sold(), 0);
    assert_int_equal(stock_view(&fixture.stock, event).sequence, FIRST);
}

/* A deadline that is far away changes nothing. */
static void test_deadline_ahead(void **state)
{
    struct vacancy_request request = ask(1);

    (void)state;
    request.deadline_ms = FAR_FUTURE_MS;
    assert_int_equal(run(vacancy_reserve, &request).status, TICKETD_DONE);
    assert_int_equal(run(vacancy_available, &request).remaining, CAPACITY - 1);
}

/* The event "other" where it can be reached. */
static const char *reached_id(void)
{
    return fixture.ops->narrow ? "default" : "other";
}

static uint32_t reached_capacity(void)
{
    return fixture.ops->narrow ? CAPACITY : OTHER_CAPACITY;
}

static char *copy_of(const char *text)
{
    char *copy = strdup(text);

    assert_non_null(copy);
    return copy;
}

static void overwrite(char *text)
{
    memset(text, 'X', strlen(text));
    free(text);
}

/* The request and all it points at may be overwritten and freed once the call is started. */
static void test_request_memory_reused(void **state)
{
    static starter *const starters[] = {vacancy_reserve, vacancy_available, vacancy_health};
    struct probe probes[COUNT(starters)] = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(starters); ++i) {
        struct vacancy_request *request = malloc(sizeof(*request));
        char *id = copy_of(reached_id()), *key = copy_of("key-1"), *request_id = copy_of("id-1");
        assert_non_null(request);
        *request = (struct vacancy_request){
            .event = {.base = id, .len = strlen(id)},
            .quantity = 3,
            .key = {.base = key, .len = strlen(key)},
            .request_id = {.base = request_id, .len = strlen(request_id)},
            .deadline_ms = FAR_FUTURE_MS,
        };
        starters[i](fixture.client, &probes[i].call, request, on_complete);
        overwrite(id);
        overwrite(key);
        overwrite(request_id);
        memset(request, 0xff, sizeof(*request));
        free(request);
    }
    await(COUNT(starters));
    for (size_t i = 0; i < COUNT(starters); ++i)
        assert_int_equal(probes[i].result.status, TICKETD_DONE);
    assert_int_equal(probes[0].result.remaining, reached_capacity() - 3);
    assert_int_equal(sold(), fixture.ops->narrow ? 3 : 0);
    assert_int_equal(stock_available(&fixture.stock, other),
                     OTHER_CAPACITY - (fixture.ops->narrow ? 0 : 3));
}

/* Many calls may be pending at once: each completes once, each ticket is sold once. */
static void test_many_pending(void **state)
{
    const size_t count = fixture.ops->pending_max;
    struct probe *probes = calloc(count, sizeof(*probes));
    bool *seen = calloc(CAPACITY, sizeof(*seen));
    struct vacancy_request request = ask(1);

    (void)state;
    assert_non_null(probes);
    assert_non_null(seen);
    for (size_t i = 0; i < count; ++i)
        vacancy_reserve(fixture.client, &probes[i].call, &request, on_complete);
    await((unsigned)count);
    settle();
    assert_int_equal(completed, count);
    for (size_t i = 0; i < count; ++i) {
        assert_int_equal(probes[i].completed, 1);
        assert_int_equal(probes[i].result.status, TICKETD_DONE);
        assert_in_range(probes[i].result.remaining, CAPACITY - count, CAPACITY - 1);
        assert_false(seen[probes[i].result.remaining]);
        seen[probes[i].result.remaining] = true;
    }
    assert_int_equal(sold(), count);
    free(seen);
    free(probes);
}

/* Calls of every kind and outcome may be pending together; each gets its own answer. */
static void test_mixed_pending(void **state)
{
    struct vacancy_request some = ask(1), none = {.event = TEXT("absent"), .quantity = 1};
    struct vacancy_request all = ask(CAPACITY + 1), late = ask(1);
    struct probe probes[6] = {0};

    (void)state;
    late.deadline_ms = LONG_AGO_MS;
    vacancy_reserve(fixture.client, &probes[0].call, &some, on_complete);
    vacancy_reserve(fixture.client, &probes[1].call, &none, on_complete);
    vacancy_reserve(fixture.client, &probes[2].call, &all, on_complete);
    vacancy_reserve(fixture.client, &probes[3].call, &late, on_complete);
    vacancy_available(fixture.client, &probes[4].call, &some, on_complete);
    vacancy_health(fixture.client, &probes[5].call, &some, on_complete);
    await(COUNT(probes));
    assert_int_equal(probes[0].result.status, TICKETD_DONE);
    assert_int_equal(probes[1].result.status, TICKETD_EVENT_UNKNOWN);
    assert_int_equal(probes[2].result.status, TICKETD_SOLD_OUT);
    assert_int_equal(probes[3].result.status, TICKETD_TIMED_OUT);
    assert_int_equal(probes[4].result.status, TICKETD_DONE);
    assert_int_equal(probes[5].result.status, TICKETD_DONE);
    assert_int_equal(sold(), 1);
}

static void on_complete_restart(struct vacancy_call *call, const struct vacancy_result *result)
{
    struct probe *probe = (struct probe *)call;
    struct vacancy_request request = ask(1);

    on_complete(call, result);
    if (probe->completed < RESTARTS)
        vacancy_reserve(fixture.client, call, &request, on_complete_restart);
}

/* A callback may start its own call anew, as often as it likes. */
static void test_callback_restarts_its_call(void **state)
{
    struct probe probe = {0};
    struct vacancy_request request = ask(1);

    (void)state;
    vacancy_reserve(fixture.client, &probe.call, &request, on_complete_restart);
    await(RESTARTS);
    settle();
    assert_int_equal(probe.completed, RESTARTS);
    assert_int_equal(probe.result.remaining, CAPACITY - RESTARTS);
    assert_null(probe.call.pending);
    assert_int_equal(sold(), RESTARTS);
}

static void on_complete_free(struct vacancy_call *call, const struct vacancy_result *result)
{
    (void)result;
    ++completed;
    memset(call, 0xff, sizeof(*call));
    free(call);
}

/* A callback may free its own call, whatever its outcome: nobody touches it afterwards. */
static void test_callback_frees_its_call(void **state)
{
    static starter *const starters[] = {vacancy_reserve, vacancy_available, vacancy_health};
    const struct vacancy_request requests[] = {
        ask(1),
        ask(STOCK_QUANTITY_MAX),
        {.event = TEXT("absent"), .quantity = 1},
        {.event = TEXT("default"), .quantity = 1, .deadline_ms = LONG_AGO_MS},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(starters); ++i) {
        for (size_t j = 0; j < COUNT(requests); ++j) {
            struct vacancy_call *call = calloc(1, sizeof(*call));
            assert_non_null(call);
            starters[i](fixture.client, call, &requests[j], on_complete_free);
        }
    }
    await(COUNT(starters) * COUNT(requests));
    settle();
    assert_int_equal(completed, COUNT(starters) * COUNT(requests));
    assert_int_equal(sold(), 1);
}

static void on_complete_start_another(struct vacancy_call *call,
                                      const struct vacancy_result *result)
{
    static struct probe another;
    struct vacancy_request request = ask(2);

    on_complete(call, result);
    another = (struct probe){0};
    vacancy_reserve(fixture.client, &another.call, &request, on_complete);
}

/* A callback may start another call. */
static void test_callback_starts_another(void **state)
{
    struct probe probe = {0};
    struct vacancy_request request = ask(1);

    (void)state;
    vacancy_reserve(fixture.client, &probe.call, &request, on_complete_start_another);
    await(2);
    settle();
    assert_int_equal(completed, 2);
    assert_int_equal(sold(), 3);
}

static void expect_same_sale(const struct vacancy_result *a, const struct vacancy_result *b)
{
    assert_int_equal(a->order.event, b->order.event);
    assert_int_equal(a->order.sequence, b->order.sequence);
    assert_true(a->order.token == b->order.token);
    assert_int_equal(a->remaining, b->remaining);
}

/* A key sells once: asked again, also when nothing is left, it gets the first answer, marked. */
static void test_key_sells_once(void **state)
{
    struct vacancy_request request = ask(2), rest = ask(CAPACITY - 2);
    struct vacancy_result first, again;

    (void)state;
    request.key = TEXT("a-key");
    first = run(vacancy_reserve, &request);
    assert_int_equal(first.status, TICKETD_DONE);
    assert_false(first.replayed);
    assert_int_equal(first.remaining, CAPACITY - 2);
    assert_int_equal(run(vacancy_reserve, &rest).status, TICKETD_DONE);
    for (int i = 0; i < 2; ++i) {
        again = run(vacancy_reserve, &request);
        assert_int_equal(again.status, TICKETD_DONE);
        assert_true(again.replayed);
        expect_same_sale(&first, &again);
    }
    assert_int_equal(sold(), CAPACITY);
}

/* A key that has sold another quantity is refused; another key, and the key at another event, sell.
 */
static void test_key_reused(void **state)
{
    struct vacancy_request request = ask(2);

    (void)state;
    request.key = TEXT("a-key");
    assert_int_equal(run(vacancy_reserve, &request).status, TICKETD_DONE);
    request.quantity = 3;
    assert_int_equal(run(vacancy_reserve, &request).status, TICKETD_KEY_REUSED);
    assert_int_equal(sold(), 2);
    request.event = TEXT("other");
    if (!fixture.ops->narrow)
        assert_int_equal(run(vacancy_reserve, &request).status, TICKETD_DONE);
    request = ask(3);
    request.key = TEXT("a-keY");
    assert_int_equal(run(vacancy_reserve, &request).status, TICKETD_DONE);
    assert_int_equal(sold(), 5);
}

/* A key that is sold out has not sold: it may sell later, once there are tickets, or fewer are
 * asked for. */
static void test_key_sold_out(void **state)
{
    struct vacancy_request request = ask(CAPACITY + 1), restock = ask(1);

    (void)state;
    request.key = TEXT("a-key");
    assert_int_equal(run(vacancy_reserve, &request).status, TICKETD_SOLD_OUT);
    if (fixture.ops->narrow)
        request.quantity = CAPACITY;
    else
        assert_int_equal(run(vacancy_restock, &restock).status, TICKETD_DONE);
    struct vacancy_result result = run(vacancy_reserve, &request);
    assert_int_equal(result.status, TICKETD_DONE);
    assert_false(result.replayed);
    assert_int_equal(result.remaining, 0);
}

/* Requests with one key that are pending together sell once; all get the one answer, or learn that
 * the key has another quantity. */
static void test_key_pending_together(void **state)
{
    struct vacancy_request request = ask(2), another = ask(3);
    struct probe probes[4] = {0};
    unsigned replayed = 0;

    (void)state;
    request.key = another.key = TEXT("a-key");
    for (size_t i = 0; i < COUNT(probes); ++i)
        vacancy_reserve(fixture.client, &probes[i].call, i == 2 ? &another : &request, on_complete);
    await(COUNT(probes));
    settle();
    for (size_t i = 0; i < COUNT(probes); ++i) {
        if (i == 2) {
            assert_int_equal(probes[i].result.status, TICKETD_KEY_REUSED);
            continue;
        }
        assert_int_equal(probes[i].result.status, TICKETD_DONE);
        expect_same_sale(&probes[0].result, &probes[i].result);
        replayed += probes[i].result.replayed;
    }
    assert_int_equal(replayed, 2);
    assert_int_equal(sold(), 2);
}

/* A restock adds to what can be sold and to the capacity, and is refused beyond what fits; a client
 * that cannot do it says so. */
static void test_restock(void **state)
{
    struct vacancy_request request = ask(10), most = ask(STOCK_QUANTITY_MAX);

    (void)state;
    if (fixture.ops->narrow) {
        assert_int_equal(run(vacancy_restock, &request).status, TICKETD_UNAVAILABLE);
        assert_int_equal(stock_view(&fixture.stock, event).capacity, CAPACITY);
        return;
    }
    assert_int_equal(run(vacancy_restock, &request).status, TICKETD_DONE);
    assert_int_equal(stock_available(&fixture.stock, event), CAPACITY + 10);
    assert_int_equal(stock_view(&fixture.stock, event).capacity, CAPACITY + 10);
    assert_int_equal(run(vacancy_restock, &most).status, TICKETD_INVALID);
    assert_int_equal(stock_available(&fixture.stock, event), CAPACITY + 10);
    request.event = TEXT("absent");
    assert_int_equal(run(vacancy_restock, &request).status, TICKETD_EVENT_UNKNOWN);
    expect_reserved(CAPACITY + 10, 0);
}

/* `cancelled` reserves of one ticket each were cancelled while pending: what may they have taken?
 */
static void expect_sold(uint32_t done, uint32_t cancelled)
{
    uint32_t least = fixture.ops->cancelled == CANCELLED_STAYS_SOLD ? cancelled : 0;
    uint32_t most = fixture.ops->cancelled == CANCELLED_TAKES_NOTHING ? 0 : cancelled;

    assert_in_range(sold(), done + least, done + most);
}

/* A call that was cancelled while it was pending never completes; its neighbours do. */
static void test_cancel_pending(void **state)
{
    struct probe probes[30] = {0};
    struct vacancy_request request = ask(1);
    unsigned cancelled = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(probes); ++i)
        vacancy_reserve(fixture.client, &probes[i].call, &request, on_complete);
    for (size_t i = 0; i < COUNT(probes); i += 3) { /* the first, the last but two, some between */
        if (probes[i].call.pending != NULL)
            ++cancelled;
        vacancy_cancel(&probes[i].call);
        assert_null(probes[i].call.pending);
        vacancy_cancel(&probes[i].call);
    }
    await((unsigned)COUNT(probes) - cancelled);
    settle();
    assert_int_equal(completed, COUNT(probes) - cancelled);
    for (size_t i = 0; i < COUNT(probes); ++i)
        assert_int_equal(probes[i].completed, cancelled == 0 || i % 3 != 0 ? 1 : 0);
    expect_sold(completed, cancelled);
}

/* Every pending call may be cancelled: nothing completes, and the client goes on to serve. */
static void test_cancel_all(void **state)
{
    struct probe probes[10] = {0};
    struct vacancy_request request = ask(1);
    uint32_t done;

    (void)state;
    for (size_t i = 0; i < COUNT(probes); ++i)
        vacancy_reserve(fixture.client, &probes[i].call, &request, on_complete);
    done = completed;
    for (size_t i = COUNT(probes); i-- > 0;)
        vacancy_cancel(&probes[i].call);
    settle();
    assert_int_equal(completed, done);
    expect_sold(done, (uint32_t)COUNT(probes) - done);
    assert_int_equal(run(vacancy_available, &request).remaining,
                     stock_available(&fixture.stock, event));
}

/* A cancelled call is idle: its memory may go at once, or carry a new call. */
static void test_cancelled_call_is_idle(void **state)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    struct vacancy_request request = {.quantity = 1};
    unsigned before;

    (void)state;
    request.event = (struct text){.base = reached_id(), .len = strlen(reached_id())};
    assert_non_null(probe);
    vacancy_available(fixture.client, &probe->call, &request, on_complete);
    vacancy_cancel(&probe->call);
    before = probe->completed;
    vacancy_available(fixture.client, &probe->call, &request, on_complete);
    await(before + 1);
    assert_int_equal(probe->completed, before + 1);
    assert_int_equal(probe->result.remaining, reached_capacity());
    vacancy_reserve(fixture.client, &probe->call, &request, on_complete);
    before = completed;
    vacancy_cancel(&probe->call);
    memset(probe, 0xff, sizeof(*probe));
    free(probe);
    settle();
    assert_int_equal(completed, before);
}

/* Cancelling what is not pending does nothing: a zeroed call, one that has completed. */
static void test_cancel_idle(void **state)
{
    struct probe probe = {0};
    struct vacancy_request request = ask(1);

    (void)state;
    vacancy_cancel(&probe.call);
    vacancy_reserve(fixture.client, &probe.call, &request, on_complete);
    await(1);
    vacancy_cancel(&probe.call);
    vacancy_cancel(&probe.call);
    settle();
    assert_int_equal(completed, 1);
    assert_int_equal(sold(), 1);
}

static struct probe victims[3];

static void on_complete_cancel_all(struct vacancy_call *call, const struct vacancy_result *result)
{
    on_complete(call, result);
    vacancy_cancel(call); /* idle by now: nothing happens */
    for (size_t i = 0; i < COUNT(victims); ++i)
        vacancy_cancel(&victims[i].call);
}

/* A callback may cancel any call: its own (which is idle), ones started before and after it. */
static void test_callback_cancels(void **state)
{
    struct vacancy_request request = ask(1);
    uint32_t cancelled = 0;

    (void)state;
    memset(victims, 0, sizeof(victims));
    vacancy_reserve(fixture.client, &victims[0].call, &request, on_complete_cancel_all);
    vacancy_reserve(fixture.client, &victims[1].call, &request, on_complete_cancel_all);
    vacancy_reserve(fixture.client, &victims[2].call, &request, on_complete_cancel_all);
    settle();
    for (size_t i = 0; i < COUNT(victims); ++i) {
        assert_null(victims[i].call.pending);
        assert_in_range(victims[i].completed, 0, 1);
        cancelled += 1 - victims[i].completed;
    }
    assert_in_range(completed, 1, 3);
    expect_sold(completed, cancelled);
}

#define CASE(name) cmocka_unit_test_prestate_setup_teardown(name, set_up, tear_down, (void *)ops)

int main(int argc, char **argv)
{
    const struct fixture_ops *ops = argc == 2 ? fixture_find(argv[1]) : NULL;

    if (ops == NULL) {
        (void)fprintf(stderr, "usage: %s IMPLEMENTATION\n", argv[0]);
        return 64;
    }
    const struct CMUnitTest tests[] = {
        CASE(test_reserve),
        CASE(test_sold_out),
        CASE(test_available),
        CASE(test_events),
        CASE(test_unknown_event),
        CASE(test_health),
        CASE(test_deadline_past),
        CASE(test_deadline_ahead),
        CASE(test_request_memory_reused),
        CASE(test_many_pending),
        CASE(test_mixed_pending),
        CASE(test_callback_restarts_its_call),
        CASE(test_callback_frees_its_call),
        CASE(test_callback_starts_another),
        CASE(test_key_sells_once),
        CASE(test_key_reused),
        CASE(test_key_sold_out),
        CASE(test_key_pending_together),
        CASE(test_restock),
        CASE(test_cancel_pending),
        CASE(test_cancel_all),
        CASE(test_cancelled_call_is_idle),
        CASE(test_cancel_idle),
        CASE(test_callback_cancels),
    };

    return cmocka_run_group_tests_name(ops->name, tests, NULL, NULL);
}
