/* Each state that a killed child can leave behind, made by hand, and what the repair makes of it.
 */
#include "small_stock.h"

#define DEAD  STOCK_PLACE_OF(0)
#define OTHER STOCK_PLACE_OF(1)

static void intend(uint32_t place, uint64_t sequence, uint32_t available)
{
    atomic_store(&segment_place(&stock, place)->intent_event, event);
    atomic_store(&segment_place(&stock, place)->intent,
                 segment_word((uint32_t)sequence, available));
}

static bool intends(uint32_t place)
{
    return atomic_load(&segment_place(&stock, place)->intent) != SEGMENT_NO_INTENT;
}

/* Somebody wins the next sequence, and leaves so many tickets. */
static void win(uint32_t left)
{
    uint64_t word = atomic_load(&segment_event(&stock, event)->word);

    atomic_store(&segment_event(&stock, event)->word, segment_word(segment_high(word) + 1, left));
}

static void expect_repaired(uint32_t place)
{
    assert_true(place_is_reaped(&stock, place));
    assert_int_equal(place_repair(&stock, place), TICKETD_DONE);
    assert_false(place_is_reaped(&stock, place));
    assert_false(intends(place));
}

static void expect_orphan(uint64_t sequence, int32_t quantity, uint32_t before, uint8_t kind)
{
    struct journal_entry entry = must_take(sequence);

    assert_int_equal(entry.quantity, quantity);
    assert_int_equal(entry.before, before);
    assert_int_equal(entry.kind, kind);
    assert_true(ledger_key_is_none(&entry.key));
    assert_false(entry.withdrawn);
}

static void expect_void(uint64_t sequence, int32_t quantity, uint32_t before)
{
    expect_orphan(sequence, quantity, before, LEDGER_VOID);
    assert_int_equal(must_take(sequence).waiter.place, STOCK_PLACE_KEEPER);
    assert_int_equal(must_take(sequence).token, 0);
}

/* Killed outside of a sale: nothing changes. */
static void test_no_intent(void **state)
{
    uint64_t word = atomic_load(&segment_event(&stock, event)->word);

    (void)state;
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    assert_true(atomic_load(&segment_event(&stock, event)->word) == word);
}

/* Killed before the swap: the intent goes, the slot stays free for the next one. */
static void test_intent_only(void **state)
{
    struct journal_entry entry;

    (void)state;
    intend(DEAD, FIRST, AVAILABLE);
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    assert_int_equal(journal_take(&stock, event, FIRST, &entry), JOURNAL_END);
    assert_true(must_sell(OTHER, 1, 0) == FIRST);
}

/* Killed after the swap, with no entry behind it: what it took is told by the word. */
static void test_orphan_at_the_end(void **state)
{
    (void)state;
    intend(DEAD, FIRST, AVAILABLE);
    win(AVAILABLE - 3);
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    expect_void(FIRST, 3, AVAILABLE);
    assert_int_equal(stock_available(&stock, event), AVAILABLE - 3);
}

/* With stamped entries behind it: what it took is told by the next one. */
static void test_orphan_before_stamped(void **state)
{
    (void)state;
    intend(DEAD, FIRST, AVAILABLE);
    win(AVAILABLE - 3);
    (void)must_sell(OTHER, 4, 0);
    (void)must_sell(OTHER, 5, 0);
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    expect_void(FIRST, 3, AVAILABLE);
    assert_int_equal(must_take(FIRST + 1).quantity, 4);
}

/* With a taken slot behind it that a living seller has not stamped: what it took is told by that
 * one's intent. */
static void test_orphan_before_an_intent(void **state)
{
    (void)state;
    intend(DEAD, FIRST, AVAILABLE);
    win(AVAILABLE - 3);
    intend(OTHER, FIRST + 1, AVAILABLE - 3);
    win(AVAILABLE - 10);
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    expect_void(FIRST, 3, AVAILABLE);
    assert_true(intends(OTHER));
}

/* Two orphans in a row, repaired in either order, each get what they took. */
static void test_two_orphans_in_a_row(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 2; ++round) {
        uint64_t first = FIRST + 2 * round;
        uint32_t available = AVAILABLE - 10 * round;
        intend(DEAD, first, available);
        win(available - 3);
        intend(OTHER, first + 1, available - 3);
        win(available - 10);
        place_reaped(&stock, DEAD);
        place_reaped(&stock, OTHER);
        expect_repaired(round == 0 ? DEAD : OTHER);
        expect_repaired(round == 0 ? OTHER : DEAD);
        expect_void(first, 3, available);
        expect_void(first + 1, 7, available - 3);
        place_give(&stock, DEAD);
        place_give(&stock, OTHER);
    }
}

/* Killed after the stamp: the entry is whole and stays a sale. */
static void test_stamped_and_intent_left(void **state)
{
    (void)state;
    (void)must_sell(DEAD, 3, 5);
    intend(DEAD, FIRST, AVAILABLE);
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    assert_int_equal(must_take(FIRST).kind, LEDGER_SALE);
    assert_int_equal(must_take(FIRST).token, 7);
}

/* Two dead show the same sequence, of which one has won it: it is settled once, by what is gone. */
static void test_two_dead_of_one_slot(void **state)
{
    (void)state;
    intend(DEAD, FIRST, AVAILABLE);
    intend(OTHER, FIRST, AVAILABLE);
    win(AVAILABLE - 6);
    place_reaped(&stock, DEAD);
    place_reaped(&stock, OTHER);
    expect_repaired(OTHER);
    expect_void(FIRST, 6, AVAILABLE);
    expect_repaired(DEAD);
    expect_void(FIRST, 6, AVAILABLE);
}

/* A living one that shows the same sequence may own the slot: the repair waits until it has stamped
 * or gone on, or has been reaped too. */
static void test_living_one_blocks(void **state)
{
    (void)state;
    intend(DEAD, FIRST, AVAILABLE);
    intend(OTHER, FIRST, AVAILABLE);
    win(AVAILABLE - 6);
    place_reaped(&stock, DEAD);
    assert_int_equal(place_repair(&stock, DEAD), TICKETD_BUSY);
    assert_true(place_is_reaped(&stock, DEAD));
    assert_true(intends(DEAD));
    assert_false(journal_has_entry(&stock, event, FIRST));
    place_reaped(&stock, OTHER);
    expect_repaired(DEAD);
    expect_void(FIRST, 6, AVAILABLE);
}

/* The same one of another event blocks nobody. */
static void test_another_event_blocks_not(void **state)
{
    (void)state;
    intend(DEAD, FIRST, AVAILABLE);
    intend(OTHER, FIRST, AVAILABLE);
    atomic_store(&segment_place(&stock, OTHER)->intent_event, decoy);
    win(AVAILABLE - 6);
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    expect_void(FIRST, 6, AVAILABLE);
}

/* The keeper's orphan is completed as what it was about to put in, with who waits for it. */
static void test_orphans_of_the_keeper(void **state)
{
    static const uint8_t kinds[] = {LEDGER_RETURN, LEDGER_RESTOCK};
    struct segment_place *keeper = segment_place(&stock, STOCK_PLACE_KEEPER);
    uint32_t available = AVAILABLE;

    (void)state;
    for (uint32_t i = 0; i < COUNT(kinds); ++i, available += 5) {
        struct journal_entry entry;
        keeper->draft_kind = kinds[i];
        keeper->draft_token = 71 + i;
        keeper->draft_place = 2;
        keeper->draft_generation = 1;
        keeper->draft_cookie = 33;
        intend(STOCK_PLACE_KEEPER, FIRST + i, available);
        win(available + 5);
        place_reaped(&stock, STOCK_PLACE_KEEPER);
        expect_repaired(STOCK_PLACE_KEEPER);
        expect_orphan(FIRST + i, -5, available, kinds[i]);
        entry = must_take(FIRST + i);
        assert_int_equal(entry.token, 71 + i);
        assert_int_equal(entry.waiter.place, 2);
        assert_int_equal(entry.waiter.generation, 1);
        assert_int_equal(entry.waiter.cookie, 33);
        place_give(&stock, STOCK_PLACE_KEEPER);
    }
}

/* A worker's orphan whose neighbour in the journal is a return of the keeper is a void. */
static void test_orphan_before_a_return(void **state)
{
    uint64_t sequence;

    (void)state;
    intend(DEAD, FIRST, AVAILABLE);
    win(AVAILABLE - 3);
    assert_int_equal(journal_give(&stock, event, LEDGER_RETURN, 2, 0, &nobody, &sequence), 0);
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    expect_void(FIRST, 3, AVAILABLE);
}

/* A repair that was cut short after its stamp is run again in vain. */
static void test_repair_again(void **state)
{
    (void)state;
    intend(DEAD, FIRST, AVAILABLE);
    win(AVAILABLE - 3);
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    (void)must_sell(OTHER, 4, 0);
    place_give(&stock, DEAD);
    intend(DEAD, FIRST, AVAILABLE);
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    expect_void(FIRST, 3, AVAILABLE);
    assert_int_equal(must_take(FIRST + 1).quantity, 4);
}

/* An orphan that the repair has stamped can be withdrawn by nobody once the keeper took it, and the
 * slot serves the next lap. */
static void test_slot_goes_on_after_repair(void **state)
{
    (void)state;
    intend(DEAD, FIRST, AVAILABLE);
    win(AVAILABLE - 3);
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    expect_void(FIRST, 3, AVAILABLE);
    for (uint64_t s = FIRST + 1; s <= FIRST + RING; ++s) {
        journal_publish(&stock, event, s, stock_available(&stock, event), AVAILABLE);
        assert_true(must_sell(OTHER, 1, 0) == s);
    }
    assert_int_equal(must_take(FIRST + RING).kind, LEDGER_SALE);
}

/* Who holds up a slot is found among the living only, by event and sequence. */
static void test_place_of_intent(void **state)
{
    uint32_t place = UINT32_MAX;

    (void)state;
    assert_false(place_of_intent(&stock, event, (uint32_t)FIRST, &place));
    intend(OTHER, FIRST, AVAILABLE);
    assert_false(place_of_intent(&stock, decoy, (uint32_t)FIRST, &place));
    assert_false(place_of_intent(&stock, event, (uint32_t)FIRST + 1, &place));
    assert_int_equal(place, UINT32_MAX);
    assert_true(place_of_intent(&stock, event, (uint32_t)FIRST, &place));
    assert_int_equal(place, OTHER);
    place_reaped(&stock, OTHER);
    assert_false(place_of_intent(&stock, event, (uint32_t)FIRST, &place));
}

/* The next owner of a place finds nothing of the last one: neither flags nor messages. */
static void test_place_is_given_clean(void **state)
{
    struct segment_place *place = segment_place(&stock, DEAD);
    const struct journal_waiter waiter = {.place = DEAD, .generation = 1};
    struct segment_outcome outcome = {.outcome = KEEPER_SOLD};
    struct segment_order order;
    bool ring;

    (void)state;
    assert_true(keeper_link_complete(&stock, &waiter, &outcome));
    assert_int_equal(keeper_link_look_up(&stock, DEAD, &(struct segment_lookup){0}, &ring), 0);
    keeper_link_answer(&stock, DEAD, &(struct segment_order){0});
    keeper_link_owe_bell(&stock, DEAD);
    atomic_store(&place->asleep, 1);
    atomic_store(&place->wants_published, 1);
    place_reaped(&stock, DEAD);
    expect_repaired(DEAD);
    assert_false(keeper_link_bell_is_owed(&stock));
    place_give(&stock, DEAD);
    assert_int_equal(atomic_load(&place->asleep), 0);
    assert_int_equal(atomic_load(&place->wants_published), 0);
    assert_int_equal(atomic_load(&place->generation), 2);
    assert_int_equal(keeper_link_outcomes(&stock, DEAD, &outcome, 1), 0);
    assert_false(keeper_link_order(&stock, DEAD, &order));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, small_set_up, small_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_no_intent),
        CASE(test_intent_only),
        CASE(test_orphan_at_the_end),
        CASE(test_orphan_before_stamped),
        CASE(test_orphan_before_an_intent),
        CASE(test_two_orphans_in_a_row),
        CASE(test_stamped_and_intent_left),
        CASE(test_two_dead_of_one_slot),
        CASE(test_living_one_blocks),
        CASE(test_another_event_blocks_not),
        CASE(test_orphans_of_the_keeper),
        CASE(test_orphan_before_a_return),
        CASE(test_repair_again),
        CASE(test_slot_goes_on_after_repair),
        CASE(test_place_of_intent),
        CASE(test_place_is_given_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
