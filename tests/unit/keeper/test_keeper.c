/* The keeper's turns over a real ledger, and what a successor makes of one that died anywhere. */
#include <errno.h>

#include "../ledger/fixture.h"
#include "keeping.h"
#include "stock/keys.h"
#include "stock/repair.h"
#include "ticketd/error.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define CAPACITY   1000
#define PARKED_MAX 64
#define WORKER     STOCK_PLACE_OF(0)
#define OTHER      STOCK_PLACE_OF(1)

static struct stock stock;
static struct metrics metrics;
static struct keeping keeping;
static uint32_t event, second;
/* The store, and what a test makes of it: so many appends fail, or die after the transaction. */
static struct ledger_ops wrapped;
static unsigned append_fails, appends;
static unsigned sold_meanwhile; /* so many are sold by OTHER while a batch is written */
static bool append_dies;

static void sell_meanwhile(void);

static int wrapped_append(struct ledger *ledger, const struct ledger_entry *entries, size_t count)
{
    int result;

    ++appends;
    if (append_fails > 0) {
        --append_fails;
        return -EIO;
    }
    sell_meanwhile();
    result = ledger_sqlite_ops.append(ledger, entries, count);
    return result == 0 && append_dies ? -EINTR : result;
}

static int set_up(void **state)
{
    (void)state;
    if (stock_create(&stock, &(struct stock_options){.events_max = 2,
                                                     .ring_slots = 4096,
                                                     .places = 3,
                                                     .parked_max = PARKED_MAX,
                                                     .keys_max = 100}) != 0 ||
        stock_event_create(
            &stock,
            &(struct stock_event){
                .id = "first", .available = CAPACITY, .capacity = CAPACITY, .sequence = 1},
            &event) != 0 ||
        stock_event_create(
            &stock,
            &(struct stock_event){
                .id = "second", .available = CAPACITY, .capacity = CAPACITY, .sequence = 1},
            &second) != 0)
        return -1;
    for (uint32_t place = 0; place < 3; ++place)
        place_give(&stock, place);
    append_fails = appends = sold_meanwhile = 0;
    append_dies = false;
    wrapped = ledger_sqlite_ops;
    wrapped.append = wrapped_append;
    if (metrics_create(&metrics, 2, 2) < 0)
        return -1;
    metrics_own(&metrics, METRICS_SLOT_KEEPER(&metrics), 1, METRICS_KEEPER);
    metrics_add_event_id(&metrics, "first", 1);
    metrics_add_event_id(&metrics, "second", 1);
    keeping_make(&keeping, &stock, &wrapped);
    keeping.metrics = &metrics;
    keeping_open(&keeping);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    keeping_end(&keeping);
    metrics_destroy(&metrics);
    stock_destroy(&stock);
    return 0;
}

static struct ledger_key key_of(uint8_t number)
{
    return (struct ledger_key){.bytes = {number, [15] = 1}};
}

/* Sells under the place, with a key unless that is 0; the sequence is the token and the cookie. */
static uint64_t sell_of(uint32_t of, uint32_t place, uint32_t quantity, uint8_t key)
{
    uint64_t sequence = journal_end(&stock, of);
    struct stock_sale sale = {
        .quantity = quantity, .token = sequence, .cookie = (uint32_t)sequence, .waits = true};
    struct stock_entry entry;

    if (key != 0)
        sale.key = key_of(key);
    assert_int_equal(stock_sell(&stock, place, of, &sale, &entry), TICKETD_DONE);
    assert_int_equal(entry.sequence, sequence);
    return sequence;
}

static uint64_t sell(uint32_t quantity, uint8_t key)
{
    return sell_of(event, WORKER, quantity, key);
}

static void sell_meanwhile(void)
{
    for (; sold_meanwhile > 0; --sold_meanwhile)
        (void)sell_of(event, OTHER, 1, 0);
}

static int turn(void)
{
    struct keeper_stall stall;

    return keeper_turn(keeping.keeper, &stall);
}

static void work(void)
{
    assert_int_equal(keeping_work(&keeping), KEEPER_TURN_IDLE);
}

/* The keeper dies now, and its successor takes over. */
static void replace(void)
{
    keeping_kill(&keeping);
    place_reaped(&stock, STOCK_PLACE_KEEPER);
    assert_int_equal(place_repair(&stock, STOCK_PLACE_KEEPER), TICKETD_DONE);
    place_give(&stock, STOCK_PLACE_KEEPER);
    keeping_open(&keeping);
}

/* The keeper dies when its batch is in the ledger and nothing else of it is done. */
static void die_after_append(void)
{
    append_dies = true;
    assert_int_equal(turn(), KEEPER_TURN_FAULT);
    append_dies = false;
}

static void expect_outcome_at(uint32_t place, uint64_t sequence, enum keeper_outcome how,
                              uint64_t origin)
{
    struct segment_outcome outcome;

    assert_int_equal(keeper_link_outcomes(&stock, place, &outcome, 1), 1);
    assert_int_equal(outcome.sequence, sequence);
    assert_int_equal(outcome.outcome, how);
    assert_int_equal(outcome.origin, origin);
    if (how != KEEPER_RESTOCKED)
        assert_int_equal(outcome.token, origin);
    assert_int_equal(outcome.cookie, (uint32_t)sequence);
}

static void expect_outcome(uint64_t sequence, enum keeper_outcome how, uint64_t origin)
{
    expect_outcome_at(WORKER, sequence, how, origin);
}

static void expect_no_outcome(void)
{
    struct segment_outcome outcome;

    assert_int_equal(keeper_link_outcomes(&stock, WORKER, &outcome, 1), 0);
    assert_int_equal(keeper_link_outcomes(&stock, OTHER, &outcome, 1), 0);
}

/* What the ledger has of an event, as text: kind:quantity of each entry after the first one. */
static void expect_entries(const char *expected)
{
    expect_sql(keeping.scratch.ledger,
               "SELECT coalesce(group_concat(kind || ':' || quantity, ' '), '') FROM (SELECT * "
               "FROM entries WHERE event = 0 AND sequence > 0 ORDER BY sequence)",
               expected);
}

/* capacity = available + sold + owed, in the ledger, for the segment and for the keeper, and every
 * entry follows from the one before. */
static void expect_balance(uint32_t of)
{
    char query[400], text[64] = "";
    struct stock_view view = stock_view(&stock, of);
    long long capacity, sold, owed;
    char *rest = text;

    (void)snprintf(query, sizeof(query),
                   "SELECT sum(CASE kind WHEN 5 THEN -quantity ELSE 0 END) || ' ' || "
                   "sum(CASE kind WHEN 1 THEN quantity ELSE 0 END) || ' ' || "
                   "sum(CASE kind WHEN 2 THEN quantity WHEN 3 THEN quantity WHEN 4 THEN quantity "
                   "ELSE 0 END) FROM entries WHERE event = %u",
                   of);
    sql(keeping.scratch.ledger, query, text, sizeof(text));
    capacity = strtoll(rest, &rest, 10);
    sold = strtoll(rest, &rest, 10);
    owed = strtoll(rest, &rest, 10);
    assert_string_equal(rest, "");
    assert_int_equal(view.published_available, capacity - sold - owed);
    assert_int_equal(view.capacity, capacity);
    assert_int_equal(keeping.keeper->events[of].owed, owed);
    (void)snprintf(query, sizeof(query),
                   "SELECT count(*) || ' ' || max(sequence) FROM entries WHERE event = %u", of);
    (void)snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)view.published_sequence,
                   (unsigned long long)view.published_sequence - 1);
    expect_sql(keeping.scratch.ledger, query, text);
}

/* Entries go into the ledger in the order of their sequences, as they are, many in one batch; each
 * one's seller is told once. */
static void test_batch(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 4; ++i)
        (void)sell(i, 0);
    (void)sell_of(second, OTHER, 9, 0);
    assert_int_equal(turn(), KEEPER_TURN_DONE);
    assert_int_equal(turn(), KEEPER_TURN_IDLE);
    assert_int_equal(appends, 1);
    expect_entries("1:1 1:2 1:3 1:4");
    for (uint64_t s = 1; s <= 4; ++s)
        expect_outcome(s, KEEPER_SOLD, s);
    expect_outcome_at(OTHER, 1, KEEPER_SOLD, 1);
    expect_no_outcome();
    expect_balance(event);
    expect_balance(second);
    assert_int_equal(stock_durable(&stock, event), 5);
}

/* More than a batch holds is several batches, and no event waits for another one for ever. */
static void test_more_than_a_batch(void **state)
{
    static const struct journal_waiter nobody = {.place = STOCK_PLACE_KEEPER};
    uint64_t sequence;

    (void)state;
    for (int i = 0; i < KEEPER_BATCH_MAX + 10; ++i)
        assert_int_equal(journal_give(&stock, event, LEDGER_RESTOCK, 1, 0, &nobody, &sequence), 0);
    (void)sell_of(second, OTHER, 1, 0);
    assert_int_equal(turn(), KEEPER_TURN_DONE);
    assert_int_equal(stock_lag(&stock, event), 10);
    assert_int_equal(stock_lag(&stock, second), 1);
    assert_int_equal(turn(), KEEPER_TURN_DONE);
    assert_int_equal(stock_lag(&stock, second), 0);
    work();
    assert_int_equal(appends, 2);
    expect_balance(event);
    expect_balance(second);
}

/* A key sells once, whether its second sale is in the same batch or in a later one; what that took
 * comes back by one return. */
static void test_duplicates(void **state)
{
    (void)state;
    (void)sell(2, 7);
    (void)sell(2, 7);
    assert_int_equal(turn(), KEEPER_TURN_DONE);
    expect_entries("1:2 2:2");
    expect_balance(event);
    work();
    (void)sell(2, 7);
    work();
    expect_entries("1:2 2:2 4:-2 2:2 4:-2");
    expect_sql(keeping.scratch.ledger,
               "SELECT group_concat(sequence || '<' || origin, ' ') FROM entries WHERE kind = 2",
               "2<1 4<1");
    expect_outcome(1, KEEPER_SOLD, 1);
    expect_outcome(2, KEEPER_DUPLICATE, 1);
    expect_outcome(4, KEEPER_DUPLICATE, 1);
    expect_no_outcome();
    expect_balance(event);
    assert_int_equal(stock_available(&stock, event), CAPACITY - 2);
}

/* A key with another quantity has sold too, and its seller is told so. */
static void test_key_reused(void **state)
{
    (void)state;
    (void)sell(2, 7);
    (void)sell(3, 7);
    work();
    (void)sell(1, 7);
    work();
    expect_outcome(1, KEEPER_SOLD, 1);
    expect_outcome(2, KEEPER_KEY_REUSED, 1);
    expect_outcome(4, KEEPER_KEY_REUSED, 1);
    expect_balance(event);
    assert_int_equal(stock_available(&stock, event), CAPACITY - 2);
}

/* One key at two events sells at both; and a key whose sale was withdrawn may sell after it. */
static void test_keys_that_may_sell(void **state)
{
    uint64_t withdrawn = sell(5, 8);

    (void)state;
    (void)sell_of(event, WORKER, 1, 7);
    (void)sell_of(second, OTHER, 1, 7);
    assert_int_equal(stock_withdraw(&stock, event, withdrawn), TICKETD_DONE);
    (void)sell(4, 8);
    work();
    expect_entries("3:5 1:1 1:4 4:-5");
    expect_outcome(2, KEEPER_SOLD, 2);
    expect_outcome(3, KEEPER_SOLD, 3);
    expect_outcome_at(OTHER, 1, KEEPER_SOLD, 1);
    expect_no_outcome();
    expect_balance(event);
    expect_balance(second);
    expect_sql(keeping.scratch.ledger,
               "SELECT count(*) FROM entries WHERE kind = 3 AND key IS NULL", "1");
}

/* What is owed is returned once, not again while a return is on its way, and by one entry for what
 * has gathered. */
static void test_returns(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 3; ++i)
        assert_int_equal(stock_withdraw(&stock, event, sell(i, 0)), TICKETD_DONE);
    assert_int_equal(turn(), KEEPER_TURN_DONE);
    assert_int_equal(keeping.keeper->events[event].owed, 6);
    append_fails = 3;
    assert_int_equal(turn(), KEEPER_TURN_FAULT);
    assert_int_equal(turn(), KEEPER_TURN_FAULT);
    assert_int_equal(journal_end(&stock, event), 5);
    append_fails = 0;
    work();
    expect_entries("3:1 3:2 3:3 4:-6");
    expect_balance(event);
    assert_int_equal(stock_available(&stock, event), CAPACITY);
    assert_int_equal(journal_end(&stock, event), 5);
}

/* Writes a batch of `now` sales of a sleeping WORKER, while OTHER sells `meanwhile`: whether the
 * keeper then expects WORKER's turn to bring more for the next batch. */
static bool expects_more_after(unsigned now, unsigned meanwhile)
{
    struct segment_outcome outcomes[PARKED_MAX];
    bool expects;

    for (unsigned i = 0; i < now; ++i)
        (void)sell(1, 0);
    assert_true(keeper_link_worker_sleeps(&stock, WORKER, false));
    sold_meanwhile = meanwhile;
    assert_int_equal(turn(), KEEPER_TURN_DONE);
    assert_int_equal(sold_meanwhile, 0);
    expects = keeper_link_owes_bell(&stock, WORKER);
    assert_false(keeper_link_owes_bell(&stock, OTHER));
    (void)keeper_link_wants_bell(&stock, WORKER);
    work();
    assert_int_equal(keeper_link_outcomes(&stock, WORKER, outcomes, PARKED_MAX), now);
    assert_int_equal(keeper_link_outcomes(&stock, OTHER, outcomes, PARKED_MAX), meanwhile);
    return expects;
}

/* The keeper waits for the clients that it has answered where they are more than those who wait
 * already; never for nobody's sake, nor with most of them waiting, nor for a worker that is awake.
 */
static void test_expects_who_was_answered(void **state)
{
    (void)state;
    assert_true(expects_more_after(3, 2));
    assert_true(expects_more_after(2, 1));
    assert_false(expects_more_after(3, 0));
    assert_false(expects_more_after(3, 3));
    assert_false(expects_more_after(1, 4));
    keeper_link_worker_awake(&stock, WORKER);
    (void)sell(1, 0);
    (void)sell(1, 0);
    sold_meanwhile = 1;
    assert_int_equal(turn(), KEEPER_TURN_DONE);
    assert_false(keeper_link_bell_is_owed(&stock));
}

/* A batch that cannot be written is kept, and written as it was when the ledger is back; nobody is
 * told anything before. */
static void test_failing_ledger(void **state)
{
    (void)state;
    (void)sell(1, 7);
    (void)sell(2, 0);
    append_fails = 3;
    for (int i = 0; i < 3; ++i) {
        assert_int_equal(turn(), KEEPER_TURN_FAULT);
        assert_true(keeper_has_work(keeping.keeper));
        (void)sell(3, 0); /* not of this batch any more */
        expect_no_outcome();
        assert_int_equal(keys_count(&stock, SEGMENT_KEYS_OF_CLIENTS), 0);
        assert_int_equal(stock_durable(&stock, event), 1);
        assert_int_equal(stock_withdraw(&stock, event, 1), TICKETD_INVALID);
    }
    assert_int_equal(turn(), KEEPER_TURN_DONE);
    expect_entries("1:1 1:2");
    work();
    expect_entries("1:1 1:2 1:3 1:3 1:3");
    for (uint64_t s = 1; s <= 5; ++s)
        expect_outcome(s, KEEPER_SOLD, s);
    expect_no_outcome();
    expect_balance(event);
}

/* A slot that is taken and not stamped stops its event, which is told, and not the others. */
static void test_stall(void **state)
{
    struct keeper_stall stall;

    (void)state;
    (void)sell(1, 0);
    atomic_store(&segment_event(&stock, event)->word, segment_word(3, CAPACITY - 5));
    (void)sell(2, 0);
    (void)sell_of(second, OTHER, 1, 0);
    assert_int_equal(keeper_turn(keeping.keeper, &stall), KEEPER_TURN_DONE);
    assert_int_equal(stall.event, event);
    assert_int_equal(stall.sequence, 2);
    assert_int_equal(stock_lag(&stock, second), 0);
    assert_int_equal(stock_lag(&stock, event), 2);
    assert_false(keeper_has_work(keeping.keeper));
    assert_int_equal(keeper_turn(keeping.keeper, &stall), KEEPER_TURN_STALLED);
    assert_int_equal(stall.sequence, 2);
    /* its seller dies, and is repaired */
    atomic_store(&segment_place(&stock, OTHER)->intent_event, event);
    atomic_store(&segment_place(&stock, OTHER)->intent, segment_word(2, CAPACITY - 1));
    place_reaped(&stock, OTHER);
    assert_int_equal(place_repair(&stock, OTHER), TICKETD_DONE);
    work();
    expect_entries("1:1 3:4 1:2 4:-4");
    expect_balance(event);
}

/* A journal that contradicts the keeper's balance, or the ledger, ends it: nothing is guessed. */
static void test_contradiction(void **state)
{
    (void)state;
    atomic_store(&segment_event(&stock, event)->word, segment_word(1, CAPACITY - 1));
    (void)sell(1, 0);
    assert_int_equal(turn(), -EUCLEAN);
    assert_int_equal(appends, 0); /* the ledger would refuse it too, but is not asked */
    expect_entries("");
}

static void ask_restock(uint32_t quantity, uint64_t token)
{
    assert_int_equal(keeper_link_ask_restock(&stock, WORKER, event, quantity,
                                             (uint32_t)journal_end(&stock, event), token),
                     TICKETD_DONE);
}

/* A restock is an entry that adds capacity, done once; its worker is told, and may ask again. */
static void test_restock(void **state)
{
    (void)state;
    ask_restock(5, 77);
    assert_true(keeper_has_work(keeping.keeper));
    work();
    expect_entries("5:-5");
    expect_outcome(1, KEEPER_RESTOCKED, 1);
    expect_balance(event);
    ask_restock(6, 78);
    work();
    expect_entries("5:-5 5:-6");
    expect_outcome(2, KEEPER_RESTOCKED, 2);
    expect_no_outcome();
    expect_balance(event);
    assert_int_equal(stock_available(&stock, event), CAPACITY + 11);
}

/* One beyond bounds is refused: nothing is added, its worker is told, and may ask again. */
static void test_restock_refused(void **state)
{
    struct segment_outcome outcome;

    (void)state;
    ask_restock(STOCK_QUANTITY_MAX, 77);
    work();
    expect_entries("");
    assert_int_equal(keeper_link_outcomes(&stock, WORKER, &outcome, 1), 1);
    assert_int_equal(outcome.outcome, KEEPER_REFUSED);
    assert_int_equal(outcome.token, 77);
    ask_restock(1, 78);
    work();
    expect_outcome(1, KEEPER_RESTOCKED, 1);
}

/* A keeper that dies when it has refused one, told or not: its successor refuses it too, although
 * there is room now. */
static void test_restock_refused_by_a_dying_keeper(void **state)
{
    struct keeper_restock wanted;
    struct segment_outcome outcome;
    uint32_t place = STOCK_PLACE_OF(0);

    (void)state;
    ask_restock(5, 77);
    assert_true(keeper_link_restock(&stock, &place, &wanted));
    assert_false(wanted.refused);
    keeper_link_refuse_restock(&stock, place);
    keeping_kill(&keeping);
    keeping_open(&keeping);
    work();
    expect_entries("");
    assert_int_equal(keeper_link_outcomes(&stock, WORKER, &outcome, 1), 1);
    assert_int_equal(outcome.outcome, KEEPER_REFUSED);
    ask_restock(1, 78);
    work();
    expect_outcome(1, KEEPER_RESTOCKED, 1);
}

/* One that meets a full ring waits for room. */
static void test_restock_meets_a_full_ring(void **state)
{
    static const struct journal_waiter nobody = {.place = STOCK_PLACE_KEEPER};
    uint64_t sequence;

    (void)state;
    while (journal_give(&stock, event, LEDGER_RESTOCK, 1, 0, &nobody, &sequence) == TICKETD_DONE)
        continue;
    ask_restock(50, 77);
    work();
    assert_int_equal(stock_view(&stock, event).capacity, CAPACITY + 4096 + 50);
    expect_balance(event);
}

/* The points at which a keeper may die around a restock, in their order. */
enum restock_death {
    DIES_BEFORE_THE_SWAP,
    DIES_BEFORE_THE_STAMP,
    DIES_AFTER_THE_STAMP,
    DIES_AFTER_THE_MAILBOX,
    DIES_AFTER_THE_APPEND,
    DIES_AFTER_ALL,
    DEATHS,
};

/* The keeper takes the restock, and dies at that point. */
static void die_restocking(enum restock_death death)
{
    struct segment_slot *slot = segment_slot(&stock, event, 1);
    uint64_t before = atomic_load(&slot->state), sequence;
    struct keeper_restock wanted;
    uint32_t place = 0;

    if (death == DIES_AFTER_ALL) {
        work();
        return;
    }
    if (death == DIES_AFTER_THE_APPEND) {
        die_after_append();
        return;
    }
    assert_true(keeper_link_restock(&stock, &place, &wanted));
    if (death == DIES_BEFORE_THE_SWAP)
        return;
    assert_int_equal(journal_give(&stock, event, LEDGER_RESTOCK, wanted.quantity, wanted.token,
                                  &wanted.waiter, &sequence),
                     TICKETD_DONE);
    if (death == DIES_BEFORE_THE_STAMP) {
        atomic_store(&slot->state, before);
        atomic_store(&segment_place(&stock, STOCK_PLACE_KEEPER)->intent, segment_word(1, CAPACITY));
    }
    if (death == DIES_AFTER_THE_MAILBOX)
        keeper_link_end_restock(&stock, place);
}

/* Wherever the keeper dies, the restock is done once, and told once. */
static void test_restock_is_not_repeated(void **state)
{
    (void)state;
    for (int death = 0; death < DEATHS; ++death) {
        if (death > 0) {
            (void)tear_down(NULL);
            assert_int_equal(set_up(NULL), 0);
        }
        ask_restock(5, 77);
        die_restocking((enum restock_death)death);
        replace();
        work();
        expect_entries("5:-5");
        expect_outcome(1, KEEPER_RESTOCKED, 1);
        expect_no_outcome();
        expect_balance(event);
        ask_restock(6, 78); /* the mailbox is free */
        work();
        expect_entries("5:-5 5:-6");
    }
}

/* A keeper that dies when its batch is in the ledger: its successor tells the outcomes, puts the
 * keys into the index, publishes, and writes nothing twice. */
static void test_death_after_append(void **state)
{
    (void)state;
    (void)sell(1, 7);
    (void)sell(1, 7);
    (void)sell(2, 7);
    assert_int_equal(stock_withdraw(&stock, event, sell(4, 9)), TICKETD_DONE);
    (void)sell(3, 0);
    die_after_append();
    (void)sell(1, 0);
    expect_no_outcome();
    assert_int_equal(stock_durable(&stock, event), 1);
    replace();
    assert_int_equal(stock_durable(&stock, event), 6);
    assert_int_equal(keys_count(&stock, SEGMENT_KEYS_OF_CLIENTS), 1);
    work();
    expect_entries("1:1 2:1 2:2 3:4 1:3 1:1 4:-7");
    expect_outcome(1, KEEPER_SOLD, 1);
    expect_outcome(2, KEEPER_DUPLICATE, 1);
    expect_outcome(3, KEEPER_KEY_REUSED, 1);
    expect_outcome(5, KEEPER_SOLD, 5);
    expect_outcome(6, KEEPER_SOLD, 6);
    expect_no_outcome();
    expect_balance(event);
}

/* One that dies in the middle of telling outcomes: what waits unread is not told again, and keys
 * that are in the index are not put in again. */
static void test_death_while_settling(void **state)
{
    (void)state;
    for (uint8_t told = 0; told <= 3; ++told) {
        if (told > 0) {
            (void)tear_down(NULL);
            assert_int_equal(set_up(NULL), 0);
        }
        for (uint8_t i = 1; i <= 3; ++i)
            (void)sell(i, i);
        die_after_append();
        for (uint8_t i = 0; i < told; ++i)
            keeper_settle(keeping.keeper, &keeping.keeper->entries[i], &keeping.keeper->pending[i]);
        assert_int_equal(keys_count(&stock, SEGMENT_KEYS_OF_CLIENTS), told);
        replace();
        work();
        for (uint64_t s = 1; s <= 3; ++s)
            expect_outcome(s, KEEPER_SOLD, s);
        expect_no_outcome();
        assert_int_equal(keys_count(&stock, SEGMENT_KEYS_OF_CLIENTS), 3);
        expect_entries("1:1 1:2 1:3");
        expect_balance(event);
    }
}

/* One that dies when it has linked a key and not counted it: the key is known once, and the next
 * one does not take its place. */
static void test_death_while_putting_a_key(void **state)
{
    (void)state;
    (void)sell(1, 7);
    (void)sell(1, 8);
    die_after_append();
    keeper_settle(keeping.keeper, &keeping.keeper->entries[0], &keeping.keeper->pending[0]);
    atomic_fetch_sub(&stock.segment->keys[0].head, 1);
    replace();
    assert_int_equal(keys_count(&stock, SEGMENT_KEYS_OF_CLIENTS), 2);
    for (uint8_t i = 7; i <= 8; ++i) {
        struct ledger_key key = key_of(i);
        struct key_sale known;
        assert_int_equal(keys_find(&stock, event, &key, &known), TICKETD_DONE);
        assert_int_equal(known.sequence, i - 6);
    }
}

/* One that dies before its transaction, with entries taken: its successor takes them again, and
 * those that were withdrawn are void still. */
static void test_death_before_append(void **state)
{
    struct journal_entry entry;

    (void)state;
    (void)sell(1, 7);
    assert_int_equal(stock_withdraw(&stock, event, sell(2, 8)), TICKETD_DONE);
    (void)sell(3, 0);
    for (uint64_t s = 1; s <= 3; ++s)
        assert_int_equal(journal_take(&stock, event, s, &entry), JOURNAL_TAKEN);
    replace();
    work();
    expect_entries("1:1 3:2 1:3 4:-2");
    expect_balance(event);
}

/* A return that a predecessor left in the journal is not made again by its successor. */
static void test_return_is_not_repeated(void **state)
{
    static const struct journal_waiter nobody = {.place = STOCK_PLACE_KEEPER};
    uint64_t sequence;

    (void)state;
    assert_int_equal(stock_withdraw(&stock, event, sell(4, 0)), TICKETD_DONE);
    assert_int_equal(turn(), KEEPER_TURN_DONE);
    assert_int_equal(journal_give(&stock, event, LEDGER_RETURN, 4, 0, &nobody, &sequence), 0);
    (void)sell(1, 0);
    replace();
    assert_int_equal(keeping.keeper->events[event].owed, 4);
    work();
    expect_entries("3:4 4:-4 1:1");
    expect_balance(event);
    assert_int_equal(stock_available(&stock, event), CAPACITY - 1);
}

/* A return that waits behind a slot that is not stamped is not made again meanwhile. */
static void test_return_behind_a_stall(void **state)
{
    (void)state;
    assert_int_equal(stock_withdraw(&stock, event, sell(4, 0)), TICKETD_DONE);
    assert_int_equal(turn(), KEEPER_TURN_DONE);
    atomic_store(&segment_event(&stock, event)->word, segment_word(3, CAPACITY - 5));
    for (int i = 0; i < 3; ++i)
        assert_int_equal(turn(), KEEPER_TURN_STALLED);
    assert_int_equal(journal_end(&stock, event), 4);
    atomic_store(&segment_place(&stock, OTHER)->intent_event, event);
    atomic_store(&segment_place(&stock, OTHER)->intent, segment_word(2, CAPACITY - 4));
    place_reaped(&stock, OTHER);
    assert_int_equal(place_repair(&stock, OTHER), TICKETD_DONE);
    work();
    expect_entries("3:4 3:1 4:-4 4:-1");
    expect_balance(event);
}

/* Owed tickets that a predecessor had not begun to return are returned by its successor. */
static void test_successor_returns(void **state)
{
    (void)state;
    assert_int_equal(stock_withdraw(&stock, event, sell(4, 0)), TICKETD_DONE);
    assert_int_equal(turn(), KEEPER_TURN_DONE);
    replace();
    work();
    expect_entries("3:4 4:-4");
    expect_balance(event);
}

/* An outcome of a dead worker's sale goes to nobody; the sale stands, and its key is known. */
static void test_waiter_is_dead(void **state)
{
    struct ledger_key key = key_of(7);
    struct key_sale known;

    (void)state;
    (void)sell(1, 7);
    place_reaped(&stock, WORKER);
    assert_int_equal(place_repair(&stock, WORKER), TICKETD_DONE);
    place_give(&stock, WORKER);
    work();
    expect_no_outcome();
    expect_entries("1:1");
    assert_int_equal(keys_find(&stock, event, &key, &known), TICKETD_DONE);
    assert_int_equal(known.sequence, 1);
    assert_int_equal(known.quantity, 1);
    assert_int_equal(known.available, CAPACITY - 1);
}

/* A ledger that is behind or ahead of the journal is not the journal's: the keeper does not open.
 */
static void test_wrong_ledger(void **state)
{
    (void)state;
    (void)sell(1, 0);
    work();
    keeping_kill(&keeping);
    atomic_store(&segment_event(&stock, event)->durable, 3);
    atomic_store(&segment_event(&stock, event)->word, segment_word(3, CAPACITY - 2));
    assert_int_equal(keeping_try_open(&keeping), -EUCLEAN);
    atomic_store(&segment_event(&stock, event)->durable, 1);
    atomic_store(&segment_event(&stock, event)->word, segment_word(1, CAPACITY));
    assert_int_equal(keeping_try_open(&keeping), -EUCLEAN);
}

/* A clock that was set ahead is noted before the batch, once; small drifts are not; and one set
 * back does not take the ledger's time back. */
static void test_clock_steps(void **state)
{
    struct keeper_clock *clock = &keeping.keeper->clock;
    int64_t hour_us = INT64_C(3600000000);

    (void)state;
    (void)sell(1, 0);
    work();
    expect_sql(keeping.scratch.ledger, "SELECT count(*) FROM clock_steps", "1");
    (void)sell(1, 0);
    work();
    expect_sql(keeping.scratch.ledger, "SELECT count(*) FROM clock_steps", "1");
    clock->offset_us -= hour_us; /* as if the wall clock had been an hour earlier before */
    (void)sell(1, 0);
    work();
    expect_sql(keeping.scratch.ledger,
               "SELECT count(*) || ' ' || (max(step_us) / 60000000 >= 59) FROM clock_steps", "2 1");
    clock->time_us += hour_us; /* the ledger is an hour ahead of a clock that was set back */
    clock->offset_us += hour_us;
    (void)sell(1, 0);
    (void)sell(1, 0);
    work();
    expect_sql(keeping.scratch.ledger,
               "SELECT (SELECT time_us FROM entries WHERE event = 0 AND sequence = 4) >= "
               "(SELECT time_us + 3590000000 FROM entries WHERE event = 0 AND sequence = 3)",
               "1");
    expect_sql(keeping.scratch.ledger, "SELECT min(step_us) / 60000000 <= -59 FROM clock_steps",
               "1");
}

/* Keys are forgotten when their time is over, in idle turns too. */
static void test_forgets_keys(void **state)
{
    const struct key_sale old = {.key = key_of(1), .event = event, .quantity = 1};

    (void)state;
    assert_int_equal(keys_put(&stock, &old, 3600), TICKETD_DONE);
    work();
    assert_int_equal(keys_count(&stock, SEGMENT_KEYS_OF_CLIENTS), 1);
    keeping.keeper->options.ttl_s = 3599;
    work();
    assert_int_equal(keys_count(&stock, SEGMENT_KEYS_OF_CLIENTS), 0);
}

/* A worker that sleeps is woken by an outcome of its own, or by what was published if it waits for
 * that; others sleep on. */
static void test_wakes(void **state)
{
    (void)state;
    assert_true(keeper_link_worker_sleeps(&stock, WORKER, false));
    assert_true(keeper_link_worker_sleeps(&stock, OTHER, false));
    (void)sell(1, 0);
    work();
    assert_int_equal(atomic_load(&segment_place(&stock, WORKER)->asleep), 0);
    assert_int_equal(atomic_load(&segment_place(&stock, OTHER)->asleep), 1);
    assert_true(keeper_link_worker_sleeps(&stock, OTHER, true));
    (void)sell(1, 0);
    work();
    assert_int_equal(atomic_load(&segment_place(&stock, OTHER)->asleep), 0);
}

/* Batches keep their keys apart, and more keys than slots would collide for are all found. */
static void test_batch_keys(void **state)
{
    static struct batch_keys keys;
    uint32_t index = UINT32_MAX;

    (void)state;
    for (uint32_t batch = 0; batch < 3; ++batch) {
        if (batch == 2)
            keys.batch = UINT32_MAX; /* the count wraps */
        batch_keys_clear(&keys);
        for (uint32_t i = 0; i < KEEPER_BATCH_MAX; ++i) {
            struct ledger_key key = {.bytes = {(uint8_t)i, (uint8_t)(i >> 8), 1}};
            assert_false(batch_keys_find_or_put(&keys, 0, &key, i, &index));
        }
        for (uint32_t i = 0; i < KEEPER_BATCH_MAX; ++i) {
            struct ledger_key key = {.bytes = {(uint8_t)i, (uint8_t)(i >> 8), 1}};
            assert_true(batch_keys_find_or_put(&keys, 0, &key, 0, &index));
            assert_int_equal(index, i);
            assert_false(batch_keys_find_or_put(&keys, 1, &key, i, &index));
        }
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- what is counted ---- */

static uint64_t counted(uint32_t of, enum metrics_order_cell cell)
{
    struct metrics_orders orders;

    metrics_orders_read(&metrics, of, &orders);
    return orders.count[cell];
}

/* Every entry is counted as what it became, and with its event. */
static void test_counts(void **state)
{
    uint64_t withdrawn;

    (void)state;
    sell(2, 1);
    sell(3, 0);
    sell(2, 1);
    withdrawn = sell(4, 0);
    assert_int_equal(stock_withdraw(&stock, event, withdrawn), TICKETD_DONE);
    sell_of(second, WORKER, 7, 0);
    work();
    assert_int_equal(keeper_link_ask_restock(&stock, WORKER, second, 11, 5, 77), TICKETD_DONE);
    work();
    assert_int_equal(counted(event, METRICS_ORDER_orders), 2);
    assert_int_equal(counted(event, METRICS_ORDER_tickets_sold), 5);
    assert_int_equal(counted(event, METRICS_ORDER_duplicates), 1);
    assert_int_equal(counted(event, METRICS_ORDER_voids), 1);
    assert_int_equal(counted(event, METRICS_ORDER_returns), 1);
    assert_int_equal(counted(event, METRICS_ORDER_restocks), 0);
    assert_int_equal(counted(second, METRICS_ORDER_orders), 1);
    assert_int_equal(counted(second, METRICS_ORDER_tickets_sold), 7);
    assert_int_equal(counted(second, METRICS_ORDER_restocks), 1);
}

/* A keeper that dies between the ledger and its counts leaves them to its successor, and one that
 * dies after them leaves nothing to count again. */
static void test_counts_over_deaths(void **state)
{
    (void)state;
    sell(1, 0);
    die_after_append();
    assert_int_equal(counted(event, METRICS_ORDER_orders), 0);
    replace();
    assert_int_equal(counted(event, METRICS_ORDER_orders), 1);
    sell(1, 0);
    work();
    replace();
    replace();
    assert_int_equal(counted(event, METRICS_ORDER_orders), 2);
    assert_int_equal(counted(event, METRICS_ORDER_tickets_sold), 2);
    sell(1, 0);
    die_after_append();
    /* as if it had counted, and not published */
    metrics_orders_write(
        &metrics, event,
        &(struct metrics_orders){.sequence = 4, .count = {[METRICS_ORDER_orders] = 3}});
    replace();
    assert_int_equal(counted(event, METRICS_ORDER_orders), 3);
}

/* A batch is counted once, when it is written, with its size; each attempt that fails, as that. */
static void test_counts_batches(void **state)
{
    struct metrics_values batches, commits;

    (void)state;
    sell(1, 0);
    sell(1, 0);
    append_fails = 2;
    assert_int_equal(turn(), KEEPER_TURN_FAULT);
    assert_int_equal(turn(), KEEPER_TURN_FAULT);
    work();
    metrics_sum_series(&metrics, METRICS_SERIES_keeper_batch, &batches);
    metrics_sum_series(&metrics, METRICS_SERIES_ledger_commit, &commits);
    assert_int_equal(metrics_values_count(&batches), 1);
    assert_int_equal(batches.sum, 2);
    assert_int_equal(metrics_values_count(&commits), 1);
    assert_true(commits.sum > 0);
    assert_int_equal(metrics_sum(&metrics, METRICS_KEEPER, METRICS_ledger_failures), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_batch),
        CASE(test_more_than_a_batch),
        CASE(test_duplicates),
        CASE(test_key_reused),
        CASE(test_keys_that_may_sell),
        CASE(test_returns),
        CASE(test_expects_who_was_answered),
        CASE(test_failing_ledger),
        CASE(test_stall),
        CASE(test_contradiction),
        CASE(test_restock),
        CASE(test_restock_refused),
        CASE(test_restock_refused_by_a_dying_keeper),
        CASE(test_restock_meets_a_full_ring),
        CASE(test_restock_is_not_repeated),
        CASE(test_death_after_append),
        CASE(test_death_while_settling),
        CASE(test_death_while_putting_a_key),
        CASE(test_death_before_append),
        CASE(test_return_is_not_repeated),
        CASE(test_return_behind_a_stall),
        CASE(test_successor_returns),
        CASE(test_waiter_is_dead),
        CASE(test_wrong_ledger),
        CASE(test_clock_steps),
        CASE(test_forgets_keys),
        CASE(test_wakes),
        CASE(test_counts),
        CASE(test_counts_over_deaths),
        CASE(test_counts_batches),
        cmocka_unit_test(test_batch_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
