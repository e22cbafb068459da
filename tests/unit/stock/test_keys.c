#include "small_stock.h"
#include "stock/keys.h"

/* Room for sales that are on their way when the index gets full. */
#define SPARE (PLACES * PARKED_MAX + RING)
#define SLOTS ((uint8_t)(KEYS_MAX + SPARE))
/* Of keys that are old enough to be forgotten, of either kind. */
#define TTL_S KEY_TRANSIENT_TTL_S
#define OLD_S (TTL_S + 1)

/* Which keys the test is about. */
static enum segment_key_kind kind;

static struct ledger_key key_of_kind(uint8_t number)
{
    struct ledger_key key = key_of(number);

    if (kind == SEGMENT_KEYS_TRANSIENT) {
        key.bytes[0] = 0;
        key.bytes[KEY_KIND_BYTES] = 1;
    }
    return key;
}

static struct segment_keys *keys_of_kind(void)
{
    return &stock.segment->keys[kind];
}

static uint64_t remembered(void)
{
    return keys_count(&stock, kind);
}

static bool is_full(void)
{
    struct ledger_key key = key_of_kind(1);

    return keys_are_full(&stock, &key);
}

static struct key_sale sale_of(uint8_t number, uint32_t of)
{
    return (struct key_sale){.key = key_of_kind(number),
                             .event = of,
                             .sequence = (UINT64_C(1) << 41) + number,
                             .token = UINT64_MAX - number,
                             .quantity = STOCK_QUANTITY_MAX - number,
                             .available = 2U * number};
}

static int put(uint8_t number, uint32_t age_s)
{
    struct key_sale sale = sale_of(number, event);

    return keys_put(&stock, &sale, age_s);
}

static void expect_found_of(uint8_t number, uint32_t of)
{
    struct ledger_key key = key_of_kind(number);
    struct key_sale expected = sale_of(number, of), found;

    memset(&found, 0xff, sizeof(found));
    assert_int_equal(keys_find(&stock, of, &key, &found), TICKETD_DONE);
    assert_true(ledger_key_equal(&found.key, &expected.key));
    assert_int_equal(found.event, expected.event);
    assert_true(found.sequence == expected.sequence && found.token == expected.token);
    assert_int_equal(found.quantity, expected.quantity);
    assert_int_equal(found.available, expected.available);
}

static void expect_found(uint8_t number)
{
    expect_found_of(number, event);
}

static void expect_missing(uint8_t number)
{
    struct ledger_key key = key_of_kind(number);
    struct key_sale found = {.token = 1};

    assert_int_equal(keys_find(&stock, event, &key, &found), TICKETD_NOT_FOUND);
    assert_int_equal(found.token, 1);
}

static int set_up(void **state)
{
    kind = SEGMENT_KEYS_OF_CLIENTS;
    return small_set_up(state);
}

static int set_up_transient(void **state)
{
    kind = SEGMENT_KEYS_TRANSIENT;
    return small_set_up(state);
}

/* All keys fall into one bucket. */
static void collide(void)
{
    keys_of_kind()->seed[0] = keys_of_kind()->seed[1] = 0;
}

static int set_up_colliding(void **state)
{
    int result = set_up(state);

    collide();
    return result;
}

static int set_up_transient_colliding(void **state)
{
    int result = set_up_transient(state);

    collide();
    return result;
}

static _Atomic uint32_t *only_bucket(void)
{
    return (_Atomic uint32_t *)((char *)stock.segment + keys_of_kind()->buckets_at);
}

/* What is put in is found, with all that it tells; what is not is missing. */
static void test_put_and_find(void **state)
{
    (void)state;
    expect_missing(1);
    assert_int_equal(put(1, 0), TICKETD_DONE);
    expect_found(1);
    expect_missing(2);
    assert_int_equal(put(2, 0), TICKETD_DONE);
    expect_found(1);
    expect_found(2);
    assert_int_equal(remembered(), 2);
}

/* One key at two events is two keys, also in one bucket. */
static void test_events_are_apart(void **state)
{
    struct key_sale there = sale_of(1, decoy);

    (void)state;
    there.quantity = sale_of(1, decoy).quantity;
    assert_int_equal(keys_put(&stock, &there, 0), TICKETD_DONE);
    expect_missing(1);
    assert_int_equal(put(1, 0), TICKETD_DONE);
    expect_found_of(1, decoy);
    expect_found(1);
}

/* Both halves of a key count. */
static void test_halves_count(void **state)
{
    struct ledger_key low = key_of_kind(1), high = key_of_kind(1);
    struct key_sale found;

    (void)state;
    low.bytes[KEY_KIND_BYTES] ^= 2;
    high.bytes[8] ^= 1;
    assert_int_equal(put(1, 0), TICKETD_DONE);
    assert_int_equal(keys_find(&stock, event, &low, &found), TICKETD_NOT_FOUND);
    assert_int_equal(keys_find(&stock, event, &high, &found), TICKETD_NOT_FOUND);
}

/* Keys are forgotten from the oldest on, once they are older than their time, a few at a time. */
static void test_forget(void **state)
{
    (void)state;
    for (uint8_t i = 1; i <= 3; ++i)
        assert_int_equal(put(i, OLD_S), TICKETD_DONE);
    assert_int_equal(put(4, TTL_S - 10), TICKETD_DONE);
    assert_int_equal(put(5, OLD_S), TICKETD_DONE);
    assert_int_equal(keys_forget(&stock, OLD_S + 10, 9), 0);
    assert_int_equal(keys_forget(&stock, TTL_S, 2), 2);
    expect_missing(1);
    expect_missing(2);
    expect_found(3);
    assert_int_equal(keys_forget(&stock, TTL_S, 9), 1);
    expect_missing(3);
    /* one that is older behind a younger one waits for it */
    expect_found(4);
    expect_found(5);
    assert_int_equal(remembered(), 2);
    assert_int_equal(keys_forget(&stock, TTL_S - 11, 9), 2);
    assert_int_equal(remembered(), 0);
    assert_int_equal(keys_forget(&stock, 0, 9), 0);
}

/* Full is keys_max; the spare beyond takes what was on its way; then there is no room. */
static void test_full(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < (uint8_t)SLOTS; ++i) {
        assert_int_equal(is_full(), i >= KEYS_MAX);
        assert_int_equal(put(i, OLD_S), TICKETD_DONE);
    }
    assert_int_equal(put(SLOTS, 0), TICKETD_BUSY);
    assert_int_equal(remembered(), SLOTS);
    for (uint8_t i = 0; i < (uint8_t)SLOTS; ++i)
        expect_found(i);
    assert_int_equal(keys_forget(&stock, TTL_S, 1), 1);
    assert_int_equal(put(SLOTS, 0), TICKETD_DONE);
    expect_missing(0);
    expect_found(1);
    expect_found(SLOTS);
    (void)keys_forget(&stock, TTL_S, SLOTS - KEYS_MAX);
    assert_true(is_full());
    (void)keys_forget(&stock, TTL_S, 1);
    assert_false(is_full());
}

/* Many times around the ring, with some keys remembered at a time: those, and only those, are
 * found, whether or not their buckets are shared. */
static void test_around_the_ring(void **state)
{
    const uint8_t kept = SLOTS - 3;

    (void)state;
    for (unsigned i = 0; i < 6 * SLOTS; ++i) {
        assert_int_equal(put((uint8_t)i, OLD_S), TICKETD_DONE);
        if (i >= kept)
            assert_int_equal(keys_forget(&stock, TTL_S, 1), 1);
        for (unsigned j = 0; j <= i; ++j) {
            if (j + kept > i)
                expect_found((uint8_t)j);
            else
                expect_missing((uint8_t)j);
        }
    }
}

/* A writer that was killed when it had linked a key and not counted it: the key counts. */
static void test_recover_linked(void **state)
{
    (void)state;
    assert_int_equal(put(1, 0), TICKETD_DONE);
    assert_int_equal(put(2, 0), TICKETD_DONE);
    atomic_fetch_sub(&keys_of_kind()->head, 1);
    keys_recover(&stock);
    assert_int_equal(remembered(), 2);
    keys_recover(&stock);
    assert_int_equal(remembered(), 2);
    assert_int_equal(put(3, 0), TICKETD_DONE);
    for (uint8_t i = 1; i <= 3; ++i)
        expect_found(i);
}

/* One that was killed before it had linked the key: there is none, and its slot serves the next. */
static void test_recover_filled_only(void **state)
{
    uint32_t before;

    (void)state;
    assert_int_equal(put(1, 0), TICKETD_DONE);
    before = atomic_load(only_bucket());
    assert_int_equal(put(2, 0), TICKETD_DONE);
    atomic_store(only_bucket(), before);
    atomic_fetch_sub(&keys_of_kind()->head, 1);
    keys_recover(&stock);
    assert_int_equal(remembered(), 1);
    expect_missing(2);
    assert_int_equal(put(3, 0), TICKETD_DONE);
    expect_found(1);
    expect_found(3);
}

/* One that was killed in an index that was full to its last slot: nothing is counted twice. */
static void test_recover_full(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < (uint8_t)SLOTS; ++i)
        assert_int_equal(put(i, 0), TICKETD_DONE);
    keys_recover(&stock);
    assert_int_equal(remembered(), SLOTS);
    expect_found(0);
}

/* One that was killed when it had unlinked a key and not counted that: it is forgotten again, alone
 * in its bucket or at the end of a chain, and the others stay. */
static void test_recover_half_forgotten(void **state)
{
    (void)state;
    for (uint8_t i = 1; i <= 3; ++i)
        assert_int_equal(put(i, OLD_S), TICKETD_DONE);
    for (uint8_t i = 1; i <= 3; ++i) {
        assert_int_equal(keys_forget(&stock, TTL_S, 1), 1);
        atomic_fetch_sub(&keys_of_kind()->tail, 1);
        keys_recover(&stock);
        expect_missing(i);
        assert_int_equal(remembered(), 4U - i);
        assert_int_equal(keys_forget(&stock, TTL_S, 1), 1);
        for (uint8_t j = (uint8_t)(i + 1); j <= 3; ++j)
            expect_found(j);
    }
    assert_int_equal(remembered(), 0);
}

/* Each kind has a ring, a bucket for a key and a time to live of its own: filling, emptying and
 * forgetting one leaves the other as it is. */
static void test_kinds_are_apart(void **state)
{
    const uint32_t short_s = 5, long_s = 10 * TTL_S;

    (void)state;
    for (kind = SEGMENT_KEYS_OF_CLIENTS; kind < SEGMENT_KEY_KINDS; ++kind) {
        for (uint8_t i = 0; i < (uint8_t)SLOTS; ++i) {
            expect_missing(i);
            assert_int_equal(put(i, OLD_S), TICKETD_DONE);
        }
        assert_true(is_full());
    }
    assert_int_equal(keys_forget(&stock, long_s, SLOTS), SLOTS);
    kind = SEGMENT_KEYS_OF_CLIENTS;
    assert_int_equal(remembered(), SLOTS);
    expect_found(0);
    kind = SEGMENT_KEYS_TRANSIENT;
    assert_int_equal(remembered(), 0);
    expect_missing(0);
    assert_false(is_full());

    assert_int_equal(put(7, TTL_S - 10), TICKETD_DONE);
    assert_int_equal(keys_forget(&stock, short_s, SLOTS), SLOTS);
    expect_found(7);
    kind = SEGMENT_KEYS_OF_CLIENTS;
    assert_int_equal(remembered(), 0);
    expect_missing(0);
}

/* The oldest key goes however young it is, of its kind alone; of none nothing goes. */
static void test_forget_oldest(void **state)
{
    (void)state;
    for (kind = SEGMENT_KEYS_OF_CLIENTS; kind < SEGMENT_KEY_KINDS; ++kind)
        for (uint8_t i = 1; i <= 2; ++i)
            assert_int_equal(put(i, 0), TICKETD_DONE);
    kind = SEGMENT_KEYS_TRANSIENT;
    keys_forget_oldest(&stock, kind);
    expect_missing(1);
    expect_found(2);
    keys_forget_oldest(&stock, kind);
    keys_forget_oldest(&stock, kind);
    assert_int_equal(remembered(), 0);
    kind = SEGMENT_KEYS_OF_CLIENTS;
    assert_int_equal(remembered(), 2);
    expect_found(1);
}

#define CASE(name)      cmocka_unit_test_setup_teardown(name, set_up, small_tear_down)
#define COLLIDING(name) cmocka_unit_test_setup_teardown(name, set_up_colliding, small_tear_down)
/* with keys of both kinds */
#define CASES(name)                                                                                \
    CASE(name), cmocka_unit_test_setup_teardown(name, set_up_transient, small_tear_down)
#define COLLIDINGS(name)                                                                           \
    COLLIDING(name),                                                                               \
        cmocka_unit_test_setup_teardown(name, set_up_transient_colliding, small_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASES(test_put_and_find),
        COLLIDINGS(test_put_and_find),
        CASES(test_events_are_apart),
        COLLIDINGS(test_events_are_apart),
        COLLIDINGS(test_halves_count),
        CASE(test_forget),
        COLLIDING(test_forget),
        CASES(test_full),
        COLLIDINGS(test_full),
        CASES(test_around_the_ring),
        COLLIDINGS(test_around_the_ring),
        CASES(test_recover_linked),
        COLLIDINGS(test_recover_linked),
        COLLIDINGS(test_recover_filled_only),
        CASES(test_recover_full),
        COLLIDINGS(test_recover_full),
        CASES(test_recover_half_forgotten),
        COLLIDINGS(test_recover_half_forgotten),
        CASE(test_kinds_are_apart),
        CASE(test_forget_oldest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
