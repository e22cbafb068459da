#include "small_stock.h"
#include "stock/keys.h"

/* Room for sales that are on their way when the index gets full. */
#define SPARE (PLACES * PARKED_MAX + RING)
#define SLOTS ((uint8_t)(KEYS_MAX + SPARE))
/* Of keys that are old enough to be forgotten. */
#define TTL_S 100
#define OLD_S (TTL_S + 1)

static struct key_sale sale_of(uint8_t number, uint32_t of)
{
    return (struct key_sale){.key = key_of(number),
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
    struct ledger_key key = key_of(number);
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
    struct ledger_key key = key_of(number);
    struct key_sale found = {.token = 1};

    assert_int_equal(keys_find(&stock, event, &key, &found), TICKETD_NOT_FOUND);
    assert_int_equal(found.token, 1);
}

/* All keys fall into one bucket. */
static int set_up_colliding(void **state)
{
    int result = small_set_up(state);

    stock.segment->keys.seed[0] = stock.segment->keys.seed[1] = 0;
    return result;
}

static _Atomic uint32_t *only_bucket(void)
{
    return (_Atomic uint32_t *)((char *)stock.segment + stock.segment->buckets_at);
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
    assert_int_equal(keys_count(&stock), 2);
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
    struct ledger_key low = key_of(1), high = key_of(1);
    struct key_sale found;

    (void)state;
    low.bytes[0] ^= 1;
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
    assert_int_equal(keys_count(&stock), 2);
    assert_int_equal(keys_forget(&stock, TTL_S - 11, 9), 2);
    assert_int_equal(keys_count(&stock), 0);
    assert_int_equal(keys_forget(&stock, 0, 9), 0);
}

/* Full is keys_max; the spare beyond takes what was on its way; then there is no room. */
static void test_full(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < (uint8_t)SLOTS; ++i) {
        assert_int_equal(keys_are_full(&stock), i >= KEYS_MAX);
        assert_int_equal(put(i, OLD_S), TICKETD_DONE);
    }
    assert_int_equal(put(SLOTS, 0), TICKETD_BUSY);
    assert_int_equal(keys_count(&stock), SLOTS);
    for (uint8_t i = 0; i < (uint8_t)SLOTS; ++i)
        expect_found(i);
    assert_int_equal(keys_forget(&stock, TTL_S, 1), 1);
    assert_int_equal(put(SLOTS, 0), TICKETD_DONE);
    expect_missing(0);
    expect_found(1);
    expect_found(SLOTS);
    (void)keys_forget(&stock, TTL_S, SLOTS - KEYS_MAX);
    assert_true(keys_are_full(&stock));
    (void)keys_forget(&stock, TTL_S, 1);
    assert_false(keys_are_full(&stock));
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
    atomic_fetch_sub(&stock.segment->keys.head, 1);
    keys_recover(&stock);
    assert_int_equal(keys_count(&stock), 2);
    keys_recover(&stock);
    assert_int_equal(keys_count(&stock), 2);
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
    atomic_fetch_sub(&stock.segment->keys.head, 1);
    keys_recover(&stock);
    assert_int_equal(keys_count(&stock), 1);
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
    assert_int_equal(keys_count(&stock), SLOTS);
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
        atomic_fetch_sub(&stock.segment->keys.tail, 1);
        keys_recover(&stock);
        expect_missing(i);
        assert_int_equal(keys_count(&stock), 4U - i);
        assert_int_equal(keys_forget(&stock, TTL_S, 1), 1);
        for (uint8_t j = (uint8_t)(i + 1); j <= 3; ++j)
            expect_found(j);
    }
    assert_int_equal(keys_count(&stock), 0);
}

#define CASE(name)      cmocka_unit_test_setup_teardown(name, small_set_up, small_tear_down)
#define COLLIDING(name) cmocka_unit_test_setup_teardown(name, set_up_colliding, small_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_put_and_find),
        COLLIDING(test_put_and_find),
        CASE(test_events_are_apart),
        COLLIDING(test_events_are_apart),
        COLLIDING(test_halves_count),
        CASE(test_forget),
        COLLIDING(test_forget),
        CASE(test_full),
        COLLIDING(test_full),
        CASE(test_around_the_ring),
        COLLIDING(test_around_the_ring),
        CASE(test_recover_linked),
        COLLIDING(test_recover_linked),
        COLLIDING(test_recover_filled_only),
        CASE(test_recover_full),
        COLLIDING(test_recover_full),
        CASE(test_recover_half_forgotten),
        COLLIDING(test_recover_half_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
