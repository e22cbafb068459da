/* What only the local client promises, and what the interface asserts of its users; the rest is
 * tests/contract. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../keeper/keeping.h"
#include "client/vacancy_local.h"
#include "late_client.h"
#include "stock/repair.h"
#include "ticketd/error.h"
#include "util/clock.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define CAPACITY   10
#define PARKED_MAX 8
/* Of calls; SOON passes first.  No clock gets there during a test. */
#define SOON  (UINT64_C(1) << 60)
#define LATER (SOON + 1000)

/* A call, and what is known of its completion. */
struct probe {
    struct vacancy_call call; /* first */
    unsigned completed;
    struct vacancy_result result;
};

static const struct journal_waiter nobody = {.place = STOCK_PLACE_KEEPER};
static struct stock stock;
static struct keeping keeping;
static uint32_t event;
/* Two workers; the second one is used where a case needs somebody else. */
static struct vacancy_local local, neighbour;
static int keeper_bell, reader_bell;

static void open_worker(struct vacancy_local *worker, uint32_t slot, bool durable)
{
    assert_int_equal(
        vacancy_local_init(worker, &(struct vacancy_local_options){.stock = &stock,
                                                                   .place = STOCK_PLACE_OF(slot),
                                                                   .durable = durable,
                                                                   .keeper_bell = keeper_bell,
                                                                   .reader_bell = reader_bell,
                                                                   .sale_timeout_ms = 60000,
                                                                   .parked_max = PARKED_MAX}),
        0);
}

static int set_up_with(uint64_t keys_max, bool durable)
{
    if (stock_create(&stock, &(struct stock_options){.events_max = 1,
                                                     .ring_slots = 64,
                                                     .places = 3,
                                                     .parked_max = PARKED_MAX,
                                                     .keys_max = keys_max}) != 0 ||
        stock_event_create(
            &stock,
            &(struct stock_event){
                .id = "default", .available = CAPACITY, .capacity = CAPACITY, .sequence = 1},
            &event) != 0)
        return -1;
    for (uint32_t place = 0; place < 3; ++place)
        place_give(&stock, place);
    keeper_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    reader_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    keeping_make(&keeping, &stock, durable ? &ledger_sqlite_ops : &ledger_memory_ops);
    keeping_open(&keeping);
    open_worker(&local, 0, durable);
    open_worker(&neighbour, 1, durable);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_with(100, true);
}

static int set_up_memory(void **state)
{
    (void)state;
    return set_up_with(100, false);
}

static int set_up_few_keys(void **state)
{
    (void)state;
    return set_up_with(1, true);
}

static int tear_down(void **state)
{
    (void)state;
    vacancy_local_deinit(&neighbour);
    vacancy_local_deinit(&local);
    keeping_end(&keeping);
    (void)close(reader_bell);
    (void)close(keeper_bell);
    stock_destroy(&stock);
    return 0;
}

static void on_complete(struct vacancy_call *call, const struct vacancy_result *result)
{
    struct probe *probe = (struct probe *)call;

    ++probe->completed;
    probe->result = *result;
}

static const struct vacancy_request one = {.event = {.base = "default", .len = 7}, .quantity = 1};

static struct vacancy_request keyed(uint32_t quantity, const char *key, uint64_t deadline_ms)
{
    return (struct vacancy_request){.event = TEXT("default"),
                                    .quantity = quantity,
                                    .key = {.base = key, .len = strlen(key)},
                                    .deadline_ms = deadline_ms};
}

static void reserve(struct vacancy_local *worker, struct probe *probe, uint32_t quantity,
                    const char *key, uint64_t deadline_ms)
{
    struct vacancy_request request = keyed(quantity, key, deadline_ms);

    vacancy_reserve(&worker->client, &probe->call, &request, on_complete);
}

static void restock(struct vacancy_local *worker, struct probe *probe, uint32_t quantity)
{
    struct vacancy_request request = keyed(quantity, "", SOON);

    vacancy_restock(&worker->client, &probe->call, &request, on_complete);
}

static void expect(const struct probe *probe, int status, uint32_t remaining)
{
    assert_int_equal(probe->completed, 1);
    assert_int_equal(probe->result.status, status);
    assert_null(probe->call.pending);
    if (status == TICKETD_DONE || status == TICKETD_SOLD_OUT)
        assert_int_equal(probe->result.remaining, remaining);
}

static void expect_pending(const struct probe *probe)
{
    assert_int_equal(probe->completed, 0);
    assert_non_null(probe->call.pending);
}

/* All that is to happen happens: the keeper has nothing left, and every worker has looked. */
static void settle(void)
{
    bool any;

    do {
        any = vacancy_local_deliver(&local);
        any |= vacancy_local_deliver(&neighbour);
        assert_int_equal(keeping_work(&keeping), KEEPER_TURN_IDLE);
        any |= vacancy_local_deliver(&local);
        any |= vacancy_local_deliver(&neighbour);
    } while (any);
}

/* Nothing is left behind: no cell, no deadline, and all that is not sold is available. */
static void expect_settled(uint32_t available)
{
    settle();
    assert_int_equal(local.parked.used, 0);
    assert_int_equal(neighbour.parked.used, 0);
    assert_true(vacancy_local_deadline(&local) == UINT64_MAX);
    assert_int_equal(stock_available(&stock, event), available);
    assert_int_equal(stock_lag(&stock, event), 0);
    assert_int_equal(keeping.keeper->events[event].owed, 0);
}

/* The keeper has taken what there is, and has not got it into the ledger. */
static void take_all(void)
{
    for (uint64_t s = stock_durable(&stock, event); s < journal_end(&stock, event); ++s) {
        struct journal_entry entry;
        assert_int_equal(journal_take(&stock, event, s, &entry), JOURNAL_TAKEN);
    }
}

static bool rung(int bell)
{
    eventfd_t count;

    return eventfd_read(bell, &count) == 0;
}

/* A durable sale completes when the keeper has it, and not before. */
static void test_completes_by_outcome(void **state)
{
    struct probe probe = {0};

    (void)state;
    reserve(&local, &probe, 2, "", SOON);
    expect_pending(&probe);
    assert_false(vacancy_local_deliver(&local));
    expect_pending(&probe);
    assert_int_equal(keeping_work(&keeping), KEEPER_TURN_IDLE);
    expect_pending(&probe);
    assert_true(vacancy_local_deliver(&local));
    expect(&probe, TICKETD_DONE, CAPACITY - 2);
    assert_int_equal(probe.result.order.event, event);
    assert_int_equal(probe.result.order.sequence, 1);
    assert_true(probe.result.order.token != 0);
    expect_settled(CAPACITY - 2);
}

/* With `memory:` what has no key completes before the call returns, and needs no keeper. */
static void test_memory_completes_inline(void **state)
{
    struct probe probes[3] = {0};

    (void)state;
    vacancy_reserve(&local.client, &probes[0].call, &one, on_complete);
    expect(&probes[0], TICKETD_DONE, CAPACITY - 1);
    vacancy_available(&local.client, &probes[1].call, &one, on_complete);
    expect(&probes[1], TICKETD_DONE, CAPACITY - 1);
    vacancy_health(&local.client, &probes[2].call, &one, on_complete);
    expect(&probes[2], TICKETD_DONE, 0);
    assert_int_equal(local.parked.used, 0);
    expect_settled(CAPACITY - 1);
}

static void reserve_fresh(struct vacancy_local *worker, struct probe *probe, uint32_t quantity,
                          const char *key)
{
    struct vacancy_request request = keyed(quantity, key, SOON);

    request.fresh = true;
    vacancy_reserve(&worker->client, &probe->call, &request, on_complete);
}

/* With `memory:` a fresh key waits for nobody either, and is found by a second attempt. */
static void test_memory_fresh_completes_inline(void **state)
{
    struct probe first = {0}, again = {0}, none_left = {0};

    (void)state;
    reserve_fresh(&local, &first, 2, KEY_TRANSIENT_PREFIX "a");
    expect(&first, TICKETD_DONE, CAPACITY - 2);
    reserve(&neighbour, &again, 2, KEY_TRANSIENT_PREFIX "a", SOON);
    settle();
    expect(&again, TICKETD_DONE, CAPACITY - 2);
    assert_true(again.result.replayed);
    assert_int_equal(again.result.order.token, first.result.order.token);
    reserve_fresh(&local, &none_left, CAPACITY, KEY_TRANSIENT_PREFIX "b");
    expect(&none_left, TICKETD_SOLD_OUT, CAPACITY - 2);
    expect_settled(CAPACITY - 2);
}

/* A second attempt that overtook the first one has the sale: what the first one takes later goes
 * back to the stock, waited for or not. */
static void test_fresh_comes_second(void **state)
{
    struct probe again = {0}, first = {0};

    (void)state;
    reserve(&neighbour, &again, 1, KEY_TRANSIENT_PREFIX "a", SOON);
    settle();
    expect(&again, TICKETD_DONE, CAPACITY - 1);
    reserve_fresh(&local, &first, 1, KEY_TRANSIENT_PREFIX "a");
    settle();
    assert_int_equal(first.completed, 1);
    expect_settled(CAPACITY - 1);
}

/* With a ledger a fresh key that finds too little is looked for all the same: whoever repeats it,
 * against the promise, is not told that it has sold nothing. */
static void test_fresh_is_looked_for_when_sold_out(void **state)
{
    struct probe all = {0}, again = {0}, other = {0};

    (void)state;
    reserve_fresh(&local, &all, CAPACITY, KEY_TRANSIENT_PREFIX "a");
    settle();
    expect(&all, TICKETD_DONE, 0);
    reserve_fresh(&local, &again, CAPACITY, KEY_TRANSIENT_PREFIX "a");
    expect(&again, TICKETD_DONE, 0);
    assert_true(again.result.replayed);
    reserve_fresh(&local, &other, 1, KEY_TRANSIENT_PREFIX "b");
    expect(&other, TICKETD_SOLD_OUT, 0);
    expect_settled(0);
}

/* A client's key is never taken for fresh, whoever says so. */
static void test_clients_key_is_not_fresh(void **state)
{
    struct probe first = {0}, again = {0};

    (void)state;
    reserve(&local, &first, 1, "a", SOON);
    settle();
    reserve_fresh(&local, &again, 1, "a");
    expect(&again, TICKETD_DONE, CAPACITY - 1);
    assert_true(again.result.replayed);
    expect_settled(CAPACITY - 1);
}

/* With `memory:` a sale with a key is parked, like a durable one. */
static void test_memory_parks_keys(void **state)
{
    struct probe probe = {0};

    (void)state;
    reserve(&local, &probe, 1, "a", SOON);
    expect_pending(&probe);
    settle();
    expect(&probe, TICKETD_DONE, CAPACITY - 1);
}

/* With `memory:` any number of sales may gather before the keeper looks, since nobody waits for
 * their outcomes: far more than a worker's queue of outcomes has room for. */
static void test_memory_sells_without_outcomes(void **state)
{
    struct vacancy_request some = one;
    struct segment_outcome outcome;

    (void)state;
    for (int i = 0; i < 5 * PARKED_MAX; ++i) {
        struct probe sale = {0}, more = {0};
        vacancy_reserve(&local.client, &sale.call, &some, on_complete);
        expect(&sale, TICKETD_DONE, sale.result.remaining);
        if (stock_available(&stock, event) == 0) {
            restock(&neighbour, &more, CAPACITY);
            settle();
        }
    }
    for (int i = 0; i < 3 * PARKED_MAX; ++i) {
        uint64_t sequence;
        struct probe sale = {0};
        assert_int_equal(journal_give(&stock, event, LEDGER_RESTOCK, 1, 0, &nobody, &sequence),
                         TICKETD_DONE);
        vacancy_reserve(&local.client, &sale.call, &some, on_complete);
        assert_int_equal(sale.result.status, TICKETD_DONE);
    }
    assert_int_equal(keeping_work(&keeping), KEEPER_TURN_IDLE);
    assert_int_equal(keeper_link_outcomes(&stock, STOCK_PLACE_OF(0), &outcome, 1), 0);
}

/* Health asks whether sales can become durable: a keeper that is not there, or whose ledger stands
 * still, is not ready. */
static void test_health(void **state)
{
    static const enum keeper_state unready[] = {KEEPER_ABSENT, KEEPER_LOADING, KEEPER_FAULT};

    (void)state;
    for (size_t i = 0; i < COUNT(unready); ++i) {
        struct probe probe = {0};
        keeper_set_state(&stock, unready[i]);
        vacancy_health(&local.client, &probe.call, &one, on_complete);
        expect(&probe, TICKETD_UNAVAILABLE, 0);
    }
    keeper_set_state(&stock, KEEPER_RUNNING);
    atomic_store(&stock.segment->keeper.io_since_ms, 1);
    struct probe stuck = {0}, well = {0};
    vacancy_health(&local.client, &stuck.call, &one, on_complete);
    expect(&stuck, TICKETD_UNAVAILABLE, 0);
    atomic_store(&stock.segment->keeper.io_since_ms, 0);
    vacancy_health(&local.client, &well.call, &one, on_complete);
    expect(&well, TICKETD_DONE, 0);
}

/* A sale that the keeper has not taken at its deadline is withdrawn: nothing is sold, and its
 * tickets come back. */
static void test_deadline_withdraws(void **state)
{
    struct probe probe = {0};

    (void)state;
    reserve(&local, &probe, 3, "a", SOON);
    assert_true(vacancy_local_expire(&local, SOON - 1) == SOON);
    expect_pending(&probe);
    assert_true(vacancy_local_expire(&local, SOON) == UINT64_MAX);
    expect(&probe, TICKETD_TIMED_OUT, 0);
    assert_int_equal(stock_available(&stock, event), CAPACITY - 3);
    expect_settled(CAPACITY);
}

/* A sale that the keeper has taken waits once more; its outcome may still come in time. */
static void test_deadline_is_extended(void **state)
{
    struct probe probe = {0};

    (void)state;
    reserve(&local, &probe, 3, "", SOON);
    take_all();
    assert_true(vacancy_local_expire(&local, SOON) == SOON + VACANCY_LOCAL_GRACE_MS);
    expect_pending(&probe);
    assert_true(vacancy_local_expire(&local, SOON + VACANCY_LOCAL_GRACE_MS - 1) != UINT64_MAX);
    settle();
    expect(&probe, TICKETD_DONE, CAPACITY - 3);
    expect_settled(CAPACITY - 3);
}

/* After that its outcome is unknown; when it comes, it frees the cell, and the key tells it. */
static void test_outcome_unknown(void **state)
{
    struct probe probe = {0}, again = {0};

    (void)state;
    reserve(&local, &probe, 3, "a", SOON);
    take_all();
    (void)vacancy_local_expire(&local, SOON);
    assert_true(vacancy_local_expire(&local, SOON + VACANCY_LOCAL_GRACE_MS) == UINT64_MAX);
    expect(&probe, TICKETD_OUTCOME_UNKNOWN, 0);
    assert_int_equal(local.parked.used, 1);
    settle();
    assert_int_equal(probe.completed, 1);
    reserve(&local, &again, 3, "a", SOON);
    expect(&again, TICKETD_DONE, CAPACITY - 3);
    assert_true(again.result.replayed);
    expect_settled(CAPACITY - 3);
}

/* While the ledger is at fault nothing waits longer: what was taken is unknown at once, what was
 * not is a fault, and new sales and restocks are refused. */
static void test_ledger_fault(void **state)
{
    struct probe taken = {0}, open = {0}, later = {0}, more = {0};

    (void)state;
    reserve(&local, &taken, 1, "", SOON);
    take_all();
    reserve(&local, &open, 2, "", SOON);
    keeper_set_state(&stock, KEEPER_FAULT);
    (void)vacancy_local_expire(&local, SOON);
    expect(&taken, TICKETD_OUTCOME_UNKNOWN, 0);
    expect(&open, TICKETD_LEDGER_FAULT, 0);
    reserve(&local, &later, 1, "k", SOON);
    expect(&later, TICKETD_LEDGER_FAULT, 0);
    restock(&local, &more, 1);
    expect(&more, TICKETD_LEDGER_FAULT, 0);
    keeper_set_state(&stock, KEEPER_RUNNING);
    expect_settled(CAPACITY - 1);
}

/* While the ledger is at fault a key whose sale is on its way is not told that nothing was sold. */
static void test_key_in_flight_at_a_fault(void **state)
{
    struct probe first = {0}, again = {0};

    (void)state;
    reserve(&neighbour, &first, 2, "a", LATER);
    take_all();
    keeper_set_state(&stock, KEEPER_FAULT);
    reserve(&local, &again, 2, "a", SOON);
    expect(&again, TICKETD_KEY_IN_FLIGHT, 0);
    keeper_set_state(&stock, KEEPER_RUNNING);
    settle();
    expect(&first, TICKETD_DONE, CAPACITY - 2);
    expect_settled(CAPACITY - 2);
}

/* Deadlines pass in their order, whatever the order in which calls came. */
static void test_deadlines_in_order(void **state)
{
    struct probe probes[3] = {0};

    (void)state;
    reserve(&local, &probes[0], 1, "", SOON + 20);
    reserve(&local, &probes[1], 1, "", SOON + 10);
    reserve(&local, &probes[2], 1, "", SOON + 30);
    assert_true(vacancy_local_deadline(&local) == SOON + 10);
    assert_true(vacancy_local_expire(&local, SOON + 10) == SOON + 20);
    expect(&probes[1], TICKETD_TIMED_OUT, 0);
    expect_pending(&probes[0]);
    assert_true(vacancy_local_expire(&local, SOON + 25) == SOON + 30);
    expect(&probes[0], TICKETD_TIMED_OUT, 0);
    settle();
    expect(&probes[2], TICKETD_DONE, probes[2].result.remaining);
    expect_settled(CAPACITY - 1);
}

/* A request without a deadline gets SALE_TIMEOUT. */
static void test_default_deadline(void **state)
{
    struct probe probe = {0};
    uint64_t before_ms = clock_monotonic_ms(), deadline_ms;

    (void)state;
    reserve(&local, &probe, 1, "", 0);
    deadline_ms = vacancy_local_deadline(&local);
    assert_in_range(deadline_ms, before_ms + 60000, clock_monotonic_ms() + 60000);
    vacancy_cancel(&probe.call);
}

/* The same key twice uses one entry of the journal; the second gets the first one's answer. */
static void test_follower_is_told_the_same(void **state)
{
    struct probe first = {0}, second = {0};

    (void)state;
    reserve(&local, &first, 2, "a", SOON);
    reserve(&local, &second, 2, "a", SOON);
    assert_int_equal(journal_end(&stock, event), 2);
    settle();
    expect(&first, TICKETD_DONE, CAPACITY - 2);
    expect(&second, TICKETD_DONE, CAPACITY - 2);
    assert_false(first.result.replayed);
    assert_true(second.result.replayed);
    assert_int_equal(second.result.order.sequence, first.result.order.sequence);
    assert_true(second.result.order.token == first.result.order.token);
    assert_int_equal(journal_end(&stock, event), 2);
    expect_settled(CAPACITY - 2);
}

/* A follower that asks for another quantity is refused when the first one has sold. */
static void test_follower_of_another_quantity(void **state)
{
    struct probe first = {0}, second = {0};

    (void)state;
    reserve(&local, &first, 2, "a", SOON);
    reserve(&local, &second, 1, "a", SOON);
    expect_pending(&second);
    settle();
    expect(&first, TICKETD_DONE, CAPACITY - 2);
    expect(&second, TICKETD_KEY_REUSED, 0);
    expect_settled(CAPACITY - 2);
}

/* When the first one is withdrawn, its follower sells; when it is cancelled, too. */
static void test_follower_takes_over(void **state)
{
    (void)state;
    for (int cancels = 0; cancels < 2; ++cancels) {
        struct probe first = {0}, second = {0}, third = {0};
        const char *key = cancels ? "b" : "a";
        reserve(&local, &first, 2, key, SOON);
        reserve(&local, &second, 1, key, LATER);
        reserve(&local, &third, 1, key, LATER);
        if (cancels)
            vacancy_cancel(&first.call);
        else
            (void)vacancy_local_expire(&local, SOON);
        assert_int_equal(first.completed, cancels ? 0 : 1);
        expect_pending(&second);
        settle();
        expect(&second, TICKETD_DONE, second.result.remaining);
        expect(&third, TICKETD_DONE, second.result.remaining);
        assert_int_equal(second.result.order.sequence, third.result.order.sequence);
        assert_int_not_equal(second.result.replayed, third.result.replayed);
        expect_settled(CAPACITY - 1 - (uint32_t)cancels);
    }
}

/* A follower whose deadline comes first learns that its key is in flight; one that is cancelled
 * leaves the first one alone. */
static void test_follower_ends_first(void **state)
{
    struct probe first = {0}, second = {0}, third = {0};

    (void)state;
    reserve(&local, &first, 2, "a", LATER);
    reserve(&local, &second, 2, "a", SOON);
    reserve(&local, &third, 2, "a", LATER);
    (void)vacancy_local_expire(&local, SOON);
    expect(&second, TICKETD_KEY_IN_FLIGHT, 0);
    vacancy_cancel(&third.call);
    settle();
    expect(&first, TICKETD_DONE, CAPACITY - 2);
    assert_int_equal(third.completed, 0);
    expect_settled(CAPACITY - 2);
}

/* Followers of a sale whose caller has gone, too late to withdraw it, get its answer. */
static void test_follower_of_an_orphan(void **state)
{
    struct probe first = {0}, second = {0};

    (void)state;
    reserve(&local, &first, 2, "a", SOON);
    reserve(&local, &second, 2, "a", LATER);
    take_all();
    vacancy_cancel(&first.call);
    expect_pending(&second);
    settle();
    assert_int_equal(first.completed, 0);
    expect(&second, TICKETD_DONE, CAPACITY - 2);
    assert_true(second.result.replayed);
    expect_settled(CAPACITY - 2);
}

/* The same key at two workers sells once: whoever comes second is told of the first one's sale, and
 * what it took comes back. */
static void test_same_key_at_two_workers(void **state)
{
    struct probe first = {0}, second = {0}, other = {0};

    (void)state;
    reserve(&local, &first, 2, "a", SOON);
    reserve(&neighbour, &second, 2, "a", SOON);
    assert_int_equal(stock_available(&stock, event), CAPACITY - 4);
    settle();
    expect(&first, TICKETD_DONE, CAPACITY - 2);
    expect(&second, TICKETD_DONE, CAPACITY - 2);
    assert_true(second.result.replayed);
    assert_true(second.result.order.token == first.result.order.token);
    assert_int_equal(second.result.order.sequence, first.result.order.sequence);
    reserve(&neighbour, &other, 1, "a", SOON);
    expect(&other, TICKETD_KEY_REUSED, 0);
    expect_settled(CAPACITY - 2);
}

/* A worker whose sale is withdrawn while another's with the same key is before it says that the key
 * is in flight. */
static void test_withdrawn_behind_the_same_key(void **state)
{
    struct probe first = {0}, second = {0};

    (void)state;
    reserve(&neighbour, &first, 2, "a", LATER);
    reserve(&local, &second, 2, "a", SOON);
    (void)vacancy_local_expire(&local, SOON);
    expect(&second, TICKETD_KEY_IN_FLIGHT, 0);
    settle();
    expect(&first, TICKETD_DONE, CAPACITY - 2);
    expect_settled(CAPACITY - 2);
}

/* With too little stock a key waits until the index knows all that was sold before: then it is sold
 * out, or it is the key of one of those. */
static void test_sold_out_waits_for_the_index(void **state)
{
    struct probe all = {0}, same = {0}, another = {0}, without = {0};

    (void)state;
    reserve(&neighbour, &all, CAPACITY, "a", SOON);
    reserve(&local, &without, 1, "", SOON);
    expect(&without, TICKETD_SOLD_OUT, 0);
    reserve(&local, &same, CAPACITY, "a", SOON);
    reserve(&local, &another, 1, "b", SOON);
    expect_pending(&same);
    expect_pending(&another);
    settle();
    expect(&same, TICKETD_DONE, 0);
    assert_true(same.result.replayed);
    assert_true(same.result.order.token == all.result.order.token);
    expect(&another, TICKETD_SOLD_OUT, 0);
    expect_settled(0);
}

/* Who follows one that waits for the index is judged when that one is sold out, and may sell. */
static void test_follower_of_an_index_wait(void **state)
{
    struct probe all = {0}, first = {0}, less = {0};

    (void)state;
    reserve(&neighbour, &all, CAPACITY - 1, "", SOON);
    reserve(&local, &first, 2, "b", SOON);
    reserve(&local, &less, 1, "b", SOON);
    expect_pending(&less);
    settle();
    expect(&first, TICKETD_SOLD_OUT, 1);
    expect(&less, TICKETD_DONE, 0);
    assert_false(less.result.replayed);
    expect_settled(0);
}

/* One that waits for the index and gets no answer until its deadline has taken nothing; whether its
 * key is on its way is told. */
static void test_deadline_while_waiting_for_the_index(void **state)
{
    struct probe all = {0}, same = {0}, another = {0}, gone = {0};

    (void)state;
    reserve(&neighbour, &all, CAPACITY, "a", LATER);
    reserve(&local, &same, CAPACITY, "a", SOON);
    reserve(&local, &another, 1, "b", SOON);
    reserve(&local, &gone, 1, "c", SOON);
    vacancy_cancel(&gone.call);
    (void)vacancy_local_expire(&local, SOON);
    expect(&same, TICKETD_KEY_IN_FLIGHT, 0);
    expect(&another, TICKETD_TIMED_OUT, 0);
    settle();
    assert_int_equal(gone.completed, 0);
    expect_settled(0);
}

/* What waited for the index sells after all when tickets have come back meanwhile. */
static void test_index_wait_may_sell(void **state)
{
    struct probe all = {0}, waits = {0};

    (void)state;
    reserve(&neighbour, &all, CAPACITY, "", SOON);
    reserve(&local, &waits, 1, "b", LATER);
    expect_pending(&waits);
    (void)vacancy_local_expire(&neighbour, SOON);
    settle();
    expect(&waits, TICKETD_DONE, CAPACITY - 1);
    expect_settled(CAPACITY - 1);
}

/* A replay needs neither stock nor a keeper. */
static void test_replay_without_stock_or_keeper(void **state)
{
    struct probe all = {0}, again = {0};

    (void)state;
    reserve(&local, &all, CAPACITY, "a", SOON);
    settle();
    expect(&all, TICKETD_DONE, 0);
    keeper_set_state(&stock, KEEPER_FAULT);
    reserve(&neighbour, &again, CAPACITY, "a", SOON);
    expect(&again, TICKETD_DONE, 0);
    assert_true(again.result.replayed);
}

/* With a full index no sale with a new key begins; known keys, sales without one, and keys of the
 * other kind, which have room of their own, go on. */
static void test_index_full(void **state)
{
    struct probe first = {0}, again = {0}, new = {0}, without = {0}, transient = {0}, more = {0};

    (void)state;
    reserve(&local, &first, 1, "a", SOON);
    settle();
    reserve(&local, &new, 1, "b", SOON);
    expect(&new, TICKETD_BUSY, 0);
    reserve(&local, &again, 1, "a", SOON);
    expect(&again, TICKETD_DONE, CAPACITY - 1);
    reserve(&local, &without, 1, "", SOON);
    settle();
    expect(&without, TICKETD_DONE, CAPACITY - 2);
    reserve(&local, &transient, 1, KEY_TRANSIENT_PREFIX "a", SOON);
    settle();
    expect(&transient, TICKETD_DONE, CAPACITY - 3);
    reserve(&local, &more, 1, KEY_TRANSIENT_PREFIX "b", SOON);
    expect(&more, TICKETD_BUSY, 0);
    expect_settled(CAPACITY - 3);
}

/* PARKED_MAX calls may wait; one more is refused and takes nothing; cells of cancelled calls that
 * came too late to withdraw count until their outcomes have come. */
static void test_parked_max(void **state)
{
    struct probe probes[PARKED_MAX] = {0}, more[4] = {0};

    (void)state;
    for (size_t i = 0; i < PARKED_MAX; ++i)
        reserve(&local, &probes[i], 1, "", SOON);
    reserve(&local, &more[0], 1, "", SOON);
    expect(&more[0], TICKETD_BUSY, 0);
    restock(&local, &more[1], 1);
    expect(&more[1], TICKETD_BUSY, 0);
    take_all();
    vacancy_cancel(&probes[0].call);
    reserve(&local, &more[2], 1, "", SOON);
    expect(&more[2], TICKETD_BUSY, 0);
    settle();
    reserve(&local, &more[3], 1, "", SOON);
    settle();
    expect(&more[3], TICKETD_DONE, CAPACITY - PARKED_MAX - 1);
    expect_settled(CAPACITY - PARKED_MAX - 1);
}

/* Sales that meet a full journal are refused, and take nothing. */
static void test_ring_full(void **state)
{
    struct stock_entry entry;
    struct probe probe = {0};
    uint64_t end;

    (void)state;
    atomic_store(&stock.segment->keeper.state, KEEPER_RUNNING);
    for (int i = 0; i < 64; ++i) {
        uint64_t sequence;
        (void)journal_give(&stock, event, LEDGER_RESTOCK, 1, 0, &nobody, &sequence);
    }
    end = journal_end(&stock, event);
    assert_int_equal(
        stock_sell(&stock, STOCK_PLACE_OF(1), event, &(struct stock_sale){.quantity = 1}, &entry),
        TICKETD_BUSY);
    reserve(&local, &probe, 1, "a", SOON);
    expect(&probe, TICKETD_BUSY, 0);
    assert_int_equal(journal_end(&stock, event), end);
}

/* A restock is done when it is in the ledger, and tells what is available then. */
static void test_restock(void **state)
{
    struct probe probe = {0}, second = {0};

    (void)state;
    restock(&local, &probe, 5);
    expect_pending(&probe);
    restock(&local, &second, 5);
    expect(&second, TICKETD_BUSY, 0);
    settle();
    expect(&probe, TICKETD_DONE, CAPACITY + 5);
    assert_int_equal(stock_view(&stock, event).capacity, CAPACITY + 5);
    expect_settled(CAPACITY + 5);
}

/* A restock that the keeper has not seen at its deadline, or when it is cancelled, is not done. */
static void test_restock_taken_back(void **state)
{
    struct probe late = {0}, cancelled = {0};

    (void)state;
    restock(&local, &late, 5);
    (void)vacancy_local_expire(&local, SOON);
    expect(&late, TICKETD_TIMED_OUT, 0);
    restock(&local, &cancelled, 5);
    vacancy_cancel(&cancelled.call);
    expect_settled(CAPACITY);
    assert_int_equal(stock_view(&stock, event).capacity, CAPACITY);
}

/* The first restock is on its way into the ledger when a second one is asked for: the first one's
 * end takes only its own back. */
static void test_restock_takes_back_only_its_own(void **state)
{
    struct probe first = {0}, second = {0};
    struct keeper_restock wanted;
    uint32_t place = 0;
    uint64_t sequence;

    (void)state;
    restock(&local, &first, 5);
    assert_true(keeper_link_restock(&stock, &place, &wanted));
    assert_int_equal(journal_give(&stock, event, LEDGER_RESTOCK, wanted.quantity, wanted.token,
                                  &wanted.waiter, &sequence),
                     TICKETD_DONE);
    keeper_link_end_restock(&stock, place);
    restock(&local, &second, 7);
    expect_pending(&second);
    vacancy_cancel(&first.call);
    settle();
    assert_int_equal(first.completed, 0);
    expect(&second, TICKETD_DONE, CAPACITY + 12);
    expect_settled(CAPACITY + 12);
}

static void ask_order(struct vacancy_local *worker, struct probe *probe,
                      const struct order_id *order, uint64_t deadline_ms)
{
    struct vacancy_request request = {.order = *order, .deadline_ms = deadline_ms};

    vacancy_order(&worker->client, &probe->call, &request, on_complete);
}

/* Plays the reader: answers the next look-up with `status`. */
static void answer(uint32_t place, int status)
{
    struct segment_lookup lookup;

    assert_true(keeper_link_lookup(&stock, place, &lookup));
    keeper_link_answer(&stock, place,
                       &(struct segment_order){.sequence = lookup.sequence,
                                               .token = lookup.token,
                                               .event = lookup.event,
                                               .cookie = lookup.cookie,
                                               .time_us = 77,
                                               .quantity = 3,
                                               .status = status});
}

/* An order is looked up by the reader, whose bell rings only when it sleeps. */
static void test_order(void **state)
{
    const struct order_id order = {.event = event, .sequence = 5, .token = 6};
    struct probe found = {0}, missing = {0}, unknown = {0};

    (void)state;
    ask_order(&local, &found, &order, SOON);
    assert_false(rung(reader_bell));
    answer(STOCK_PLACE_OF(0), TICKETD_DONE);
    expect_pending(&found);
    assert_true(vacancy_local_deliver(&local));
    expect(&found, TICKETD_DONE, 0);
    assert_int_equal(found.result.quantity, 3);
    assert_int_equal(found.result.time_us, 77);
    assert_int_equal(found.result.order.sequence, 5);
    assert_true(text_equal(found.result.event, TEXT("default")));
    keeper_link_sleep(&stock.segment->keeper.reader_asleep);
    ask_order(&local, &missing, &order, SOON);
    assert_true(rung(reader_bell));
    answer(STOCK_PLACE_OF(0), TICKETD_NOT_FOUND);
    (void)vacancy_local_deliver(&local);
    expect(&missing, TICKETD_NOT_FOUND, 0);
    ask_order(&local, &unknown, &(struct order_id){.event = event + 1}, SOON);
    expect(&unknown, TICKETD_NOT_FOUND, 0);
    expect_settled(CAPACITY);
}

/* The late answer for a cancelled look-up tells nothing to who asks, in the same cell, for the same
 * entry with a token that is wrong. */
static void test_order_of_another_token(void **state)
{
    struct order_id order = {.event = event, .sequence = 5, .token = 6};
    struct probe first = {0}, second = {0};

    (void)state;
    ask_order(&local, &first, &order, SOON);
    vacancy_cancel(&first.call);
    order.token = 7;
    ask_order(&local, &second, &order, SOON);
    answer(STOCK_PLACE_OF(0), TICKETD_DONE);
    (void)vacancy_local_deliver(&local);
    expect_pending(&second);
    answer(STOCK_PLACE_OF(0), TICKETD_NOT_FOUND);
    (void)vacancy_local_deliver(&local);
    expect(&second, TICKETD_NOT_FOUND, 0);
    assert_int_equal(first.completed, 0);
}

/* An order whose answer is late times out; the answer then meets nobody. */
static void test_order_deadline(void **state)
{
    const struct order_id order = {.event = event, .sequence = 5, .token = 6};
    struct probe probe = {0};

    (void)state;
    ask_order(&local, &probe, &order, SOON);
    (void)vacancy_local_expire(&local, SOON);
    expect(&probe, TICKETD_TIMED_OUT, 0);
    answer(STOCK_PLACE_OF(0), TICKETD_DONE);
    (void)vacancy_local_deliver(&local);
    assert_int_equal(probe.completed, 1);
    expect_settled(CAPACITY);
}

/* A worker whose turn the keeper expects looks once more for sales after its deliveries, though
 * they brought none, and rings before it sleeps; one of whom nothing is expected does neither. */
static void test_expected_turn(void **state)
{
    (void)state;
    keeper_link_sleep(&stock.segment->keeper.asleep);
    (void)vacancy_local_deliver(&local);
    assert_false(vacancy_local_gathers(&local, 1000));
    assert_true(vacancy_local_sleep(&local));
    assert_false(rung(keeper_bell));
    keeper_link_owe_bell(&stock, STOCK_PLACE_OF(0));
    (void)vacancy_local_deliver(&local);
    assert_true(vacancy_local_gathers(&local, 1000));
    assert_false(vacancy_local_gathers(&local, 1000));
    assert_true(vacancy_local_sleep(&local));
    assert_true(rung(keeper_bell));
    assert_false(keeper_link_bell_is_owed(&stock));
}

/* However much each look of the loop brings, the keeper is rung after so many, or so long. */
static void test_looks_are_bounded(void **state)
{
    (void)state;
    keeper_link_sleep(&stock.segment->keeper.asleep);
    keeper_link_owe_bell(&stock, STOCK_PLACE_OF(0));
    for (unsigned i = 0; i < VACANCY_LOCAL_GATHER_TURNS; ++i) {
        (void)vacancy_local_deliver(&local);
        assert_true(vacancy_local_gathers(&local, 1000));
    }
    (void)vacancy_local_deliver(&local);
    assert_false(vacancy_local_gathers(&local, 1000));
    assert_true(vacancy_local_sleep(&local));
    assert_true(rung(keeper_bell));
    keeper_link_owe_bell(&stock, STOCK_PLACE_OF(0));
    for (unsigned i = 0; i < VACANCY_LOCAL_GATHER_MS; ++i) {
        (void)vacancy_local_deliver(&local);
        assert_true(vacancy_local_gathers(&local, 2000 + i));
    }
    (void)vacancy_local_deliver(&local);
    assert_false(vacancy_local_gathers(&local, 2000 + VACANCY_LOCAL_GATHER_MS));
}

/* Before it sleeps a worker rings the keeper once for what it has put in, if that one sleeps. */
static void test_sleep_rings(void **state)
{
    struct probe probe = {0};
    _Atomic uint32_t *asleep = &stock.segment->keeper.asleep;

    (void)state;
    keeper_link_sleep(asleep);
    assert_true(vacancy_local_sleep(&local));
    assert_false(rung(keeper_bell));
    reserve(&local, &probe, 1, "", SOON);
    assert_false(rung(keeper_bell));
    assert_true(keeper_link_bell_is_owed(&stock));
    assert_true(vacancy_local_sleep(&local));
    assert_true(rung(keeper_bell));
    assert_false(keeper_link_bell_is_owed(&stock));
    assert_int_equal(atomic_load(asleep), 0);
    vacancy_local_awake(&local);
    keeper_link_sleep(asleep);
    assert_true(vacancy_local_sleep(&local));
    assert_false(rung(keeper_bell));
    vacancy_local_awake(&local);
    vacancy_cancel(&probe.call);
}

/* A worker does not go to sleep over an outcome, an answer of the reader, or what the index was
 * waited for; whoever brings one later sees that it sleeps. */
static void test_sleep_sees_what_came(void **state)
{
    const struct order_id order = {.event = event, .sequence = 5, .token = 6};
    struct probe sale = {0}, look = {0}, waits = {0};

    (void)state;
    reserve(&local, &sale, CAPACITY, "", SOON);
    assert_int_equal(keeping_work(&keeping), KEEPER_TURN_IDLE);
    assert_false(vacancy_local_sleep(&local));
    (void)vacancy_local_deliver(&local);
    ask_order(&local, &look, &order, SOON);
    assert_true(vacancy_local_sleep(&local));
    vacancy_local_awake(&local);
    answer(STOCK_PLACE_OF(0), TICKETD_DONE);
    assert_false(vacancy_local_sleep(&local));
    (void)vacancy_local_deliver(&local);

    atomic_store(&stock.segment->keeper.restock_asked, 0);
    struct stock_entry entry;
    uint64_t sequence;
    assert_int_equal(journal_give(&stock, event, LEDGER_RESTOCK, 1, 0, &nobody, &sequence),
                     TICKETD_DONE);
    assert_int_equal(
        stock_sell(&stock, STOCK_PLACE_OF(1), event, &(struct stock_sale){.quantity = 1}, &entry),
        TICKETD_DONE);
    reserve(&local, &waits, 1, "k", SOON);
    expect_pending(&waits);
    assert_true(vacancy_local_sleep(&local));
    assert_int_equal(atomic_load(&segment_place(&stock, STOCK_PLACE_OF(0))->asleep), 1);
    assert_int_equal(keeping_work(&keeping), KEEPER_TURN_IDLE);
    assert_int_equal(atomic_load(&segment_place(&stock, STOCK_PLACE_OF(0))->asleep), 0);
    assert_false(vacancy_local_sleep(&local));
    settle();
    expect(&waits, TICKETD_SOLD_OUT, 0);
    expect_settled(0);
}

/* An outcome that comes twice, or for a cell that has another sale by now, meets nobody. */
static void test_outcome_meant_for_another(void **state)
{
    struct probe first = {0}, second = {0};
    const struct journal_waiter waiter = {
        .place = STOCK_PLACE_OF(0),
        .generation = atomic_load(&segment_place(&stock, STOCK_PLACE_OF(0))->generation),
    };
    const uint32_t cookies[] = {0, PARKED_MAX, UINT32_MAX};

    (void)state;
    reserve(&local, &first, 1, "", SOON);
    settle();
    expect(&first, TICKETD_DONE, CAPACITY - 1);
    reserve(&local, &second, 1, "", SOON);
    for (size_t i = 0; i < COUNT(cookies); ++i) {
        struct segment_outcome outcome = {
            .sequence = 1, .event = event, .cookie = cookies[i], .outcome = KEEPER_SOLD};
        assert_true(keeper_link_complete(&stock, &waiter, &outcome));
        outcome.sequence = 2;
        outcome.event = event + 1;
        assert_true(keeper_link_complete(&stock, &waiter, &outcome));
    }
    assert_true(vacancy_local_deliver(&local));
    expect_pending(&second);
    settle();
    expect(&second, TICKETD_DONE, CAPACITY - 2);
    assert_int_equal(first.completed, 1);
}

static void expect_abort(void (*body)(void))
{
    struct rlimit none = {0};
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        if (setrlimit(RLIMIT_CORE, &none) != 0 || freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void start_pending(void)
{
    struct late_client late;
    struct probe probe = {0};

    late_client_init(&late, &local.client, LATE_JUDGED_WHEN_PUMPED);
    vacancy_reserve(&late.client, &probe.call, &one, on_complete);
    vacancy_reserve(&late.client, &probe.call, &one, on_complete);
}

static void complete_idle(void)
{
    struct probe probe = {.call = {.on_complete = on_complete}};

    vacancy_complete(&probe.call, &(struct vacancy_result){.status = TICKETD_DONE});
}

static void leave_a_slot_empty(void)
{
    struct vacancy_client_ops ops = *local.client.ops;
    struct vacancy_client client;

    ops.cancel = NULL;
    vacancy_client_init(&client, &ops);
}

/* A call that is started while pending, one that completes while idle, and a table with an empty
 * slot end the process at once. */
static void test_broken_users_die(void **state)
{
    (void)state;
    expect_abort(start_pending);
    expect_abort(complete_idle);
    expect_abort(leave_a_slot_empty);
}

#define CASE(name)      cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define IN_MEMORY(name) cmocka_unit_test_setup_teardown(name, set_up_memory, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_completes_by_outcome),
        IN_MEMORY(test_memory_completes_inline),
        IN_MEMORY(test_memory_fresh_completes_inline),
        IN_MEMORY(test_fresh_comes_second),
        CASE(test_fresh_comes_second),
        CASE(test_fresh_is_looked_for_when_sold_out),
        CASE(test_clients_key_is_not_fresh),
        IN_MEMORY(test_memory_parks_keys),
        IN_MEMORY(test_memory_sells_without_outcomes),
        CASE(test_health),
        CASE(test_deadline_withdraws),
        CASE(test_deadline_is_extended),
        CASE(test_outcome_unknown),
        CASE(test_ledger_fault),
        CASE(test_key_in_flight_at_a_fault),
        CASE(test_deadlines_in_order),
        CASE(test_default_deadline),
        CASE(test_follower_is_told_the_same),
        CASE(test_follower_of_another_quantity),
        CASE(test_follower_takes_over),
        CASE(test_follower_ends_first),
        CASE(test_follower_of_an_orphan),
        CASE(test_same_key_at_two_workers),
        CASE(test_withdrawn_behind_the_same_key),
        CASE(test_sold_out_waits_for_the_index),
        CASE(test_follower_of_an_index_wait),
        CASE(test_deadline_while_waiting_for_the_index),
        CASE(test_index_wait_may_sell),
        CASE(test_replay_without_stock_or_keeper),
        cmocka_unit_test_setup_teardown(test_index_full, set_up_few_keys, tear_down),
        CASE(test_parked_max),
        CASE(test_ring_full),
        CASE(test_restock),
        CASE(test_restock_taken_back),
        CASE(test_restock_takes_back_only_its_own),
        CASE(test_order),
        CASE(test_order_of_another_token),
        CASE(test_order_deadline),
        CASE(test_expected_turn),
        CASE(test_looks_are_bounded),
        CASE(test_sleep_rings),
        CASE(test_sleep_sees_what_came),
        CASE(test_outcome_meant_for_another),
        CASE(test_broken_users_die),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
