/* Selling, withdrawing, giving, taking and publishing, one step at a time. */
#include "small_stock.h"

/* What a seller says of a sale is what the keeper takes. */
static void test_entry_is_whole(void **state)
{
    const uint32_t place = STOCK_PLACE_OF(2);
    uint64_t sequence = must_sell(place, 3, 42);
    struct journal_entry entry = must_take(sequence);
    struct ledger_key key = key_of(42);

    (void)state;
    assert_true(sequence == FIRST);
    assert_true(ledger_key_equal(&entry.key, &key));
    assert_int_equal(entry.token, 7);
    assert_int_equal(entry.quantity, 3);
    assert_int_equal(entry.before, AVAILABLE);
    assert_int_equal(entry.kind, LEDGER_SALE);
    assert_false(entry.withdrawn);
    assert_int_equal(entry.waiter.place, place);
    assert_int_equal(entry.waiter.generation, 1);
    assert_int_equal(entry.waiter.cookie, 9);
    assert_true(atomic_load(&segment_place(&stock, place)->intent) == SEGMENT_NO_INTENT);
}

/* A sale that nobody waits for names nobody. */
static void test_entry_without_waiter(void **state)
{
    struct stock_entry entry;

    (void)state;
    assert_int_equal(
        stock_sell(&stock, STOCK_PLACE_OF(2), event, &(struct stock_sale){.quantity = 1}, &entry),
        TICKETD_DONE);
    assert_int_equal(must_take(entry.sequence).waiter.place, STOCK_PLACE_KEEPER);
}

/* Sales stop where the reserve of the ring begins, and the keeper's own entries at its end; what is
 * published makes room again. */
static void test_ring_full(void **state)
{
    struct stock_entry entry = {.sequence = 1, .available = 2};
    uint64_t sequence;

    (void)state;
    for (int i = 0; i < RING - STOCK_RING_RESERVE; ++i)
        (void)must_sell(STOCK_PLACE_OF(0), 1, 0);
    assert_int_equal(
        stock_sell(&stock, STOCK_PLACE_OF(0), event, &(struct stock_sale){.quantity = 1}, &entry),
        TICKETD_BUSY);
    assert_true(entry.sequence == 1 && entry.available == 2);
    for (int i = 0; i < STOCK_RING_RESERVE; ++i)
        assert_int_equal(journal_give(&stock, event, LEDGER_RETURN, 1, 0, &nobody, &sequence), 0);
    assert_int_equal(journal_give(&stock, event, LEDGER_RETURN, 1, 0, &nobody, &sequence),
                     TICKETD_BUSY);
    assert_int_equal(stock_lag(&stock, event), RING);
    journal_publish(&stock, event, FIRST + 1, AVAILABLE - 1, AVAILABLE);
    assert_int_equal(journal_give(&stock, event, LEDGER_RETURN, 1, 0, &nobody, &sequence), 0);
    assert_true(sequence == FIRST + RING);
    journal_publish(&stock, event, FIRST + RING + 1, AVAILABLE, AVAILABLE);
    assert_true(must_sell(STOCK_PLACE_OF(0), 1, 0) == FIRST + RING + 1);
    for (uint32_t place = 0; place < PLACES; ++place)
        assert_true(atomic_load(&segment_place(&stock, place)->intent) == SEGMENT_NO_INTENT);
}

/* The word's sequence wraps at 2^32 while the ledger's goes on, many laps of the ring through. */
static void test_sequences_beyond_32_bits(void **state)
{
    uint64_t expected = FIRST;
    uint32_t available = AVAILABLE;

    (void)state;
    for (; available > 0; --available, ++expected) {
        struct stock_view view;
        assert_true(must_sell(STOCK_PLACE_OF(0), 1, 0) == expected);
        assert_int_equal(must_take(expected).before, available);
        view = stock_view(&stock, event);
        assert_true(view.published_sequence == expected && view.sequence == expected + 1);
        assert_int_equal(stock_lag(&stock, event), 1);
        journal_publish(&stock, event, expected + 1, available - 1, AVAILABLE);
        assert_true(stock_durable(&stock, event) == expected + 1);
        assert_true(journal_end(&stock, event) == expected + 1);
    }
}

/* There is no entry at the journal's end; a slot that is taken and not stamped stalls. */
static void test_end_and_stall(void **state)
{
    struct journal_entry entry;

    (void)state;
    assert_int_equal(journal_take(&stock, event, FIRST, &entry), JOURNAL_END);
    assert_false(journal_has_entry(&stock, event, FIRST));
    atomic_store(&segment_event(&stock, event)->word,
                 segment_word((uint32_t)FIRST + 1, AVAILABLE - 1));
    assert_int_equal(journal_take(&stock, event, FIRST, &entry), JOURNAL_STALLED);
    assert_false(journal_has_entry(&stock, event, FIRST));
    assert_true(must_sell(STOCK_PLACE_OF(0), 1, 0) == FIRST + 1);
    assert_int_equal(journal_take(&stock, event, FIRST, &entry), JOURNAL_STALLED);
    assert_true(journal_has_entry(&stock, event, FIRST + 1));
}

/* Whoever comes first decides: a withdrawn entry is taken as withdrawn, a taken one stays a sale,
 * and either may be repeated without a change. */
static void test_withdraw_or_take(void **state)
{
    uint64_t withdrawn = must_sell(STOCK_PLACE_OF(0), 1, 0);
    uint64_t taken = must_sell(STOCK_PLACE_OF(0), 1, 0);
    struct journal_entry entry;

    (void)state;
    assert_int_equal(stock_withdraw(&stock, event, withdrawn), TICKETD_DONE);
    assert_int_equal(stock_withdraw(&stock, event, withdrawn), TICKETD_INVALID);
    (void)must_take(taken);
    assert_int_equal(stock_withdraw(&stock, event, taken), TICKETD_INVALID);
    for (int i = 0; i < 2; ++i) {
        assert_true(must_take(withdrawn).withdrawn);
        assert_false(must_take(taken).withdrawn);
    }
    journal_read(&stock, event, withdrawn, &entry);
    assert_true(entry.withdrawn);
    assert_int_equal(stock_available(&stock, event), AVAILABLE - 2);
}

/* What is not there yet, or has another entry in its slot by now, cannot be withdrawn. */
static void test_withdraw_of_another_lap(void **state)
{
    uint64_t old = must_sell(STOCK_PLACE_OF(0), 1, 0);

    (void)state;
    assert_int_equal(stock_withdraw(&stock, event, old + 1), TICKETD_INVALID);
    journal_publish(&stock, event, old + 1, AVAILABLE - 1, AVAILABLE);
    for (uint64_t s = old + 1; s <= old + RING; ++s) {
        assert_true(must_sell(STOCK_PLACE_OF(0), 1, 0) == s);
        if (s < old + RING)
            journal_publish(&stock, event, s + 1, stock_available(&stock, event), AVAILABLE);
    }
    assert_int_equal(stock_withdraw(&stock, event, old), TICKETD_INVALID);
    assert_int_equal(stock_withdraw(&stock, event, old + 2 * RING), TICKETD_INVALID);
    assert_false(must_take(old + RING).withdrawn);
}

static bool in_flight(uint64_t before, uint8_t number)
{
    struct ledger_key key = key_of(number);

    return stock_key_in_flight(&stock, event, before, &key);
}

/* A key is in flight from its sale until that is published or withdrawn, for those behind it. */
static void test_key_in_flight(void **state)
{
    uint64_t first = must_sell(STOCK_PLACE_OF(0), 1, 1);
    uint64_t second = must_sell(STOCK_PLACE_OF(1), 1, 2);
    struct ledger_key key = key_of(1);

    (void)state;
    assert_false(in_flight(first, 1));
    assert_true(in_flight(second, 1));
    assert_false(in_flight(second, 2));
    assert_true(in_flight(second + 1, 2));
    assert_false(in_flight(second + 1, 3));
    assert_false(stock_key_in_flight(&stock, decoy, 0, &key));
    (void)must_take(first);
    assert_true(in_flight(second, 1));
    assert_int_equal(stock_withdraw(&stock, event, second), TICKETD_DONE);
    assert_false(in_flight(second + 1, 2));
    journal_publish(&stock, event, first + 1, AVAILABLE - 1, AVAILABLE);
    assert_false(in_flight(second + 1, 1));
}

/* Giving names its waiter, its kind and its token, and is bounded by what a word holds. */
static void test_give(void **state)
{
    const struct journal_waiter waiter = {.place = 3, .generation = 4, .cookie = 5};
    struct journal_entry entry;
    uint64_t sequence = 0;

    (void)state;
    assert_int_equal(journal_give(&stock, event, LEDGER_RESTOCK, 11, 12, &waiter, &sequence),
                     TICKETD_DONE);
    assert_true(sequence == FIRST);
    entry = must_take(sequence);
    assert_int_equal(entry.kind, LEDGER_RESTOCK);
    assert_int_equal(entry.quantity, -11);
    assert_int_equal(entry.token, 12);
    assert_memory_equal(&entry.waiter, &waiter, sizeof(waiter));
    assert_true(ledger_key_is_none(&entry.key));
    assert_int_equal(
        journal_give(&stock, event, LEDGER_RESTOCK, STOCK_QUANTITY_MAX, 0, &nobody, &sequence),
        TICKETD_INVALID);
    assert_int_equal(stock_available(&stock, event), AVAILABLE + 11);
    assert_true(atomic_load(&segment_place(&stock, STOCK_PLACE_KEEPER)->intent) ==
                SEGMENT_NO_INTENT);
}

/* A keeper that was killed in the middle of publishing leaves a view that can be read, and that
 * its successor's publication makes whole. */
static void test_view_of_half_a_publication(void **state)
{
    struct stock_view view;

    (void)state;
    (void)must_sell(STOCK_PLACE_OF(0), 4, 0);
    atomic_store(&segment_event(&stock, event)->published,
                 segment_word((uint32_t)FIRST + 1, AVAILABLE - 4));
    view = stock_view(&stock, event);
    assert_true(view.published_sequence == FIRST + 1);
    assert_int_equal(view.published_available, AVAILABLE - 4);
    assert_true(view.sequence == FIRST + 1);
    assert_true(stock_durable(&stock, event) == FIRST);
    journal_publish(&stock, event, FIRST + 1, AVAILABLE - 4, AVAILABLE);
    assert_true(stock_durable(&stock, event) == FIRST + 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, small_set_up, small_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_entry_is_whole),
        CASE(test_entry_without_waiter),
        CASE(test_ring_full),
        CASE(test_sequences_beyond_32_bits),
        CASE(test_end_and_stall),
        CASE(test_withdraw_or_take),
        CASE(test_withdraw_of_another_lap),
        CASE(test_key_in_flight),
        CASE(test_give),
        CASE(test_view_of_half_a_publication),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
