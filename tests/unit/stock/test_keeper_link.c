/* What the processes tell each other, and the queues that carry it. */
#include "small_stock.h"

#define WORKER STOCK_PLACE_OF(0)

static const struct journal_waiter waiter = {.place = WORKER, .generation = 1, .cookie = 5};

/* A queue holds as many cells as it has, in order, around its counters' wrap as well. */
static void test_queue(void **state)
{
    static const uint32_t starts[] = {0, UINT32_MAX - 2};
    enum { SIZE = 4 };

    (void)state;
    for (size_t i = 0; i < COUNT(starts); ++i) {
        struct spsc queue = {.head = starts[i], .tail = starts[i]};
        uint32_t cells[SIZE], at = 0;
        assert_false(spsc_to_read(&queue, SIZE, &at));
        for (uint32_t n = 0; n < 3 * SIZE; ++n) {
            if (n >= SIZE) {
                assert_false(spsc_to_fill(&queue, SIZE, &at));
                assert_true(spsc_to_read(&queue, SIZE, &at));
                assert_int_equal(cells[at], n - SIZE);
                spsc_read(&queue);
            }
            assert_true(spsc_to_fill(&queue, SIZE, &at));
            cells[at] = n;
            spsc_filled(&queue);
        }
        spsc_discard(&queue);
        assert_false(spsc_to_read(&queue, SIZE, &at));
        assert_true(spsc_to_fill(&queue, SIZE, &at));
    }
}

/* The steps of who sleeps and who wakes, each two, in every order: who does not see the work rings
 * or is seen to sleep. */
static void test_no_bell_is_lost(void **state)
{
    /* bits say whose step is next: 0 the sleeper's, 1 the waker's */
    static const uint8_t orders[] = {0x3, 0x5, 0x6, 0x9, 0xa, 0xc};

    (void)state;
    for (size_t i = 0; i < COUNT(orders); ++i) {
        _Atomic uint32_t asleep = 0, work = 0;
        bool saw = false, rung = false;
        for (int step = 0, sleeper = 0, waker = 0; step < 4; ++step) {
            if (orders[i] >> step & 1) {
                if (waker++ == 0)
                    atomic_store(&work, 1);
                else
                    rung = keeper_link_wake(&asleep);
            } else if (sleeper++ == 0) {
                keeper_link_sleep(&asleep);
            } else {
                saw = atomic_load(&work) != 0;
            }
        }
        assert_true(saw || rung);
        if (rung)
            assert_false(keeper_link_wake(&asleep));
    }
}

/* A sleeping keeper is rung for once, whoever comes first, and not when it is awake. */
static void test_keeper_bell(void **state)
{
    _Atomic uint32_t *asleep = &stock.segment->keeper.asleep;

    (void)state;
    assert_false(keeper_link_wants_bell(&stock, WORKER));
    keeper_link_sleep(asleep);
    assert_true(keeper_link_wants_bell(&stock, WORKER));
    assert_false(keeper_link_wants_another_bell(&stock));
    keeper_link_sleep(asleep);
    assert_true(keeper_link_wants_another_bell(&stock));
    keeper_link_sleep(asleep);
    keeper_link_awake(asleep);
    assert_false(keeper_link_wants_bell(&stock, WORKER));
}

/* A worker's promise to ring lasts until it looks, or is given up, and is its own. */
static void test_owed_bell(void **state)
{
    (void)state;
    assert_false(keeper_link_bell_is_owed(&stock));
    keeper_link_owe_bell(&stock, STOCK_PLACE_OF(3));
    keeper_link_owe_bell(&stock, WORKER);
    (void)keeper_link_wants_bell(&stock, WORKER);
    assert_true(keeper_link_bell_is_owed(&stock));
    (void)keeper_link_wants_bell(&stock, STOCK_PLACE_OF(3));
    assert_false(keeper_link_bell_is_owed(&stock));
    keeper_link_owe_bell(&stock, WORKER);
    keeper_link_forget_bells(&stock);
    assert_false(keeper_link_bell_is_owed(&stock));
}

/* Outcomes come in order, as they were sent, and to nobody else. */
static void test_outcomes_in_order(void **state)
{
    struct segment_outcome got[3];

    (void)state;
    for (uint32_t i = 0; i < 3; ++i)
        assert_true(keeper_link_complete(
            &stock, &waiter,
            &(struct segment_outcome){.sequence = i, .event = event, .cookie = i + 10}));
    assert_int_equal(keeper_link_outcomes(&stock, STOCK_PLACE_OF(1), got, 3), 0);
    assert_int_equal(keeper_link_outcomes(&stock, WORKER, got, 2), 2);
    assert_int_equal(keeper_link_outcomes(&stock, WORKER, got + 2, 3), 1);
    assert_int_equal(keeper_link_outcomes(&stock, WORKER, got, 3), 0);
    for (uint32_t i = 0; i < 3; ++i) {
        assert_int_equal(got[i].sequence, i);
        assert_int_equal(got[i].cookie, i + 10);
    }
}

/* A worker's queue has room for what it may park, twice; beyond that the keeper is told. */
static void test_outcomes_are_bounded(void **state)
{
    struct segment_outcome outcome = {.event = event};

    (void)state;
    for (uint32_t i = 0; i < 2 * PARKED_MAX; ++i)
        assert_true(keeper_link_complete(&stock, &waiter, &outcome));
    assert_false(keeper_link_complete(&stock, &waiter, &outcome));
    assert_int_equal(keeper_link_outcomes(&stock, WORKER, &outcome, 1), 1);
    assert_true(keeper_link_complete(&stock, &waiter, &outcome));
}

/* Outcomes for a dead owner's sales, and for nobody, are thrown away. */
static void test_outcome_for_nobody(void **state)
{
    const struct journal_waiter dead = {.place = WORKER, .generation = 0};
    struct segment_outcome outcome = {.event = event};

    (void)state;
    for (uint32_t i = 0; i < 9 * PARKED_MAX; ++i) {
        assert_true(keeper_link_complete(&stock, &dead, &outcome));
        assert_true(keeper_link_complete(&stock, &nobody, &outcome));
    }
    assert_int_equal(keeper_link_outcomes(&stock, WORKER, &outcome, 1), 0);
    assert_int_equal(keeper_link_outcomes(&stock, STOCK_PLACE_KEEPER, &outcome, 1), 0);
}

static void count_sent(void *context, const struct segment_outcome *outcome)
{
    *(uint64_t *)context += outcome->sequence;
}

/* What waits unread is told to a keeper that takes over, and what was read is not. */
static void test_each_sent(void **state)
{
    const struct journal_waiter other = {.place = STOCK_PLACE_OF(1), .generation = 1};
    struct segment_outcome outcome;
    uint64_t sum = 0;

    (void)state;
    for (uint64_t s = 1; s <= 4; s *= 2)
        assert_true(
            keeper_link_complete(&stock, &waiter, &(struct segment_outcome){.sequence = s}));
    assert_true(keeper_link_complete(&stock, &other, &(struct segment_outcome){.sequence = 8}));
    (void)keeper_link_outcomes(&stock, WORKER, &outcome, 1);
    keeper_link_each_sent(&stock, count_sent, &sum);
    assert_int_equal(sum, 2 + 4 + 8);
}

/* A worker does not sleep over what has come; who brings something to one that sleeps rings once,
 * and for what was published only when that is waited for. */
static void test_worker_sleeps(void **state)
{
    struct segment_outcome outcome = {.event = event};
    bool ring;

    (void)state;
    assert_false(keeper_link_wake_worker(&stock, WORKER, true));
    assert_true(keeper_link_worker_sleeps(&stock, WORKER, false));
    assert_false(keeper_link_wake_worker(&stock, WORKER, false));
    assert_true(keeper_link_wake_worker(&stock, WORKER, true));
    assert_false(keeper_link_wake_worker(&stock, WORKER, true));
    assert_true(keeper_link_worker_sleeps(&stock, WORKER, true));
    assert_true(keeper_link_wake_worker(&stock, WORKER, false));
    assert_true(keeper_link_worker_sleeps(&stock, WORKER, true));
    keeper_link_worker_awake(&stock, WORKER);
    assert_false(keeper_link_wake_worker(&stock, WORKER, true));

    assert_true(keeper_link_complete(&stock, &waiter, &outcome));
    assert_false(keeper_link_worker_sleeps(&stock, WORKER, false));
    assert_false(keeper_link_wake_worker(&stock, WORKER, true));
    (void)keeper_link_outcomes(&stock, WORKER, &outcome, 1);
    assert_int_equal(keeper_link_look_up(&stock, WORKER, &(struct segment_lookup){0}, &ring), 0);
    keeper_link_answer(&stock, WORKER, &(struct segment_order){0});
    assert_false(keeper_link_worker_sleeps(&stock, WORKER, false));
}

/* A look-up stays until it is answered; so many wait at a time. */
static void test_lookups(void **state)
{
    struct segment_lookup lookup;
    struct segment_order order;
    bool ring = true;

    (void)state;
    assert_false(keeper_link_lookup(&stock, WORKER, &lookup));
    for (uint32_t i = 0; i < SEGMENT_LOOKUPS; ++i)
        assert_int_equal(
            keeper_link_look_up(&stock, WORKER, &(struct segment_lookup){.sequence = i}, &ring),
            TICKETD_DONE);
    assert_false(ring);
    assert_int_equal(keeper_link_look_up(&stock, WORKER, &(struct segment_lookup){0}, &ring),
                     TICKETD_BUSY);
    for (uint32_t i = 0; i < SEGMENT_LOOKUPS; ++i) {
        assert_true(keeper_link_lookup(&stock, WORKER, &lookup));
        assert_true(keeper_link_lookup(&stock, WORKER, &lookup));
        assert_int_equal(lookup.sequence, i);
        keeper_link_answer(&stock, WORKER, &(struct segment_order){.sequence = i});
    }
    for (uint32_t i = 0; i < SEGMENT_LOOKUPS; ++i) {
        assert_true(keeper_link_order(&stock, WORKER, &order));
        assert_int_equal(order.sequence, i);
    }
    assert_false(keeper_link_order(&stock, WORKER, &order));
    assert_false(keeper_link_lookup(&stock, WORKER, &lookup));
}

/* While a worker reads no answers its look-ups stay where they are; when it has read some, a reader
 * that has gone to sleep over that is rung. */
static void test_lookups_wait_for_room(void **state)
{
    _Atomic uint32_t *asleep = &stock.segment->keeper.reader_asleep;
    struct segment_lookup lookup;
    struct segment_order order;
    bool ring;

    (void)state;
    for (uint32_t i = 0; i <= SEGMENT_LOOKUPS; ++i) {
        assert_int_equal(
            keeper_link_look_up(&stock, WORKER, &(struct segment_lookup){.sequence = i}, &ring),
            TICKETD_DONE);
        if (i < SEGMENT_LOOKUPS)
            keeper_link_answer(&stock, WORKER, &(struct segment_order){.sequence = i});
    }
    assert_false(keeper_link_lookup(&stock, WORKER, &lookup));
    keeper_link_sleep(asleep);
    assert_false(keeper_link_lookup(&stock, WORKER, &lookup));
    assert_true(keeper_link_order(&stock, WORKER, &order));
    assert_true(keeper_link_wants_reader(&stock, WORKER));
    assert_false(keeper_link_wants_reader(&stock, WORKER));
    assert_true(keeper_link_lookup(&stock, WORKER, &lookup));
    assert_int_equal(lookup.sequence, SEGMENT_LOOKUPS);
    keeper_link_answer(&stock, WORKER, &(struct segment_order){.sequence = lookup.sequence});
    keeper_link_sleep(asleep);
    assert_false(keeper_link_wants_reader(&stock, WORKER));
}

/* The reader is rung for look-ups when it sleeps, and for what was published only when it waits for
 * that. */
static void test_reader_bell(void **state)
{
    _Atomic uint32_t *asleep = &stock.segment->keeper.reader_asleep;
    bool ring;

    (void)state;
    keeper_link_sleep(asleep);
    assert_false(keeper_link_wake_reader(&stock));
    assert_int_equal(keeper_link_look_up(&stock, WORKER, &(struct segment_lookup){0}, &ring), 0);
    assert_true(ring);
    assert_int_equal(atomic_load(asleep), READER_AWAKE);
    atomic_store(asleep, READER_WAITS_FOR_ENTRY);
    assert_true(keeper_link_wake_reader(&stock));
    assert_false(keeper_link_wake_reader(&stock));
}

static int ask(uint64_t token)
{
    return keeper_link_ask_restock(&stock, WORKER, event, 4, 6, token);
}

/* One restock of a worker at a time, which it can take back until the keeper has it. */
static void test_restock(void **state)
{
    struct keeper_restock restock;
    uint32_t place = 0;

    (void)state;
    assert_false(keeper_link_restock_asked(&stock));
    assert_false(keeper_link_restock(&stock, &place, &restock));
    assert_int_equal(ask(1), TICKETD_DONE);
    assert_int_equal(ask(2), TICKETD_BUSY);
    assert_int_equal(keeper_link_take_back_restock(&stock, WORKER, 2), TICKETD_INVALID);
    assert_int_equal(keeper_link_take_back_restock(&stock, WORKER, 1), TICKETD_DONE);
    assert_int_equal(keeper_link_take_back_restock(&stock, WORKER, 1), TICKETD_INVALID);
    assert_int_equal(ask(3), TICKETD_DONE);
    assert_true(keeper_link_restock_asked(&stock));
    assert_false(keeper_link_restock_asked(&stock));
    for (int keeper = 0; keeper < 2; ++keeper) { /* a successor comes upon it again */
        place = 0;
        assert_true(keeper_link_restock(&stock, &place, &restock));
        assert_int_equal(place, WORKER);
    }
    assert_int_equal(restock.event, event);
    assert_int_equal(restock.quantity, 4);
    assert_int_equal(restock.token, 3);
    assert_memory_equal(&restock.waiter,
                        (&(struct journal_waiter){.place = WORKER, .generation = 1, .cookie = 6}),
                        sizeof(restock.waiter));
    assert_int_equal(keeper_link_take_back_restock(&stock, WORKER, 3), TICKETD_INVALID);
    keeper_link_restock_is_done(&stock, 2);
    assert_int_equal(ask(4), TICKETD_BUSY);
    keeper_link_restock_is_done(&stock, 3);
    assert_int_equal(ask(4), TICKETD_DONE);
    keeper_link_restock_is_done(&stock, 4); /* not taken yet: it cannot be done */
    place = 0;
    assert_true(keeper_link_restock(&stock, &place, &restock));
    keeper_link_end_restock(&stock, place);
    place = 0;
    assert_false(keeper_link_restock(&stock, &place, &restock));
}

/* A stall names the event and the sequence, until it is over. */
static void test_stalled(void **state)
{
    uint32_t where = 9, sequence = 9;

    (void)state;
    assert_false(keeper_stalled(&stock, &where, &sequence));
    keeper_link_stalled(&stock, 0, FIRST);
    assert_true(keeper_stalled(&stock, &where, &sequence));
    assert_int_equal(where, 0);
    assert_int_equal(sequence, (uint32_t)FIRST);
    keeper_link_stalled(&stock, UINT32_MAX, 0);
    assert_false(keeper_stalled(&stock, &where, &sequence));
}

/* A keeper is ready while it runs and its ledger answers in time. */
static void test_ready(void **state)
{
    _Atomic uint64_t *io = &stock.segment->keeper.io_since_ms;

    (void)state;
    assert_false(keeper_is_ready(&stock, 0));
    keeper_set_state(&stock, KEEPER_RUNNING);
    assert_true(keeper_is_ready(&stock, 1000000));
    keeper_link_begin_io(io, 1000);
    assert_true(keeper_is_ready(&stock, 1000 + KEEPER_STALL_MS - 1));
    assert_false(keeper_is_ready(&stock, 1000 + KEEPER_STALL_MS));
    keeper_link_end_io(io);
    assert_true(keeper_is_ready(&stock, 1000 + KEEPER_STALL_MS));
    keeper_set_state(&stock, KEEPER_FAULT);
    assert_false(keeper_is_ready(&stock, 0));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, small_set_up, small_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_queue),
        CASE(test_no_bell_is_lost),
        CASE(test_keeper_bell),
        CASE(test_owed_bell),
        CASE(test_outcomes_in_order),
        CASE(test_outcomes_are_bounded),
        CASE(test_outcome_for_nobody),
        CASE(test_each_sent),
        CASE(test_worker_sleeps),
        CASE(test_lookups),
        CASE(test_lookups_wait_for_room),
        CASE(test_reader_bell),
        CASE(test_restock),
        CASE(test_stalled),
        CASE(test_ready),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
