/* master/stock_owner.h: which keys a start brings back from the ledger. */
#include <stdio.h>
#include <string.h>

#include "../../crash/cmocka_first.h"

#include "../../crash/scratch.h"
#include "master/stock_owner.h"
#include "stock/keys.h"
#include "ticketd/error.h"
#include "ticketd/ledger.h"

enum {
    KEYS_MAX = 1000, /* the least that the setting allows */
    /* what the index has beyond it, with the fewest workers and the smallest tables */
    PARKED_MAX = 16,
    JOURNAL_SLOTS = 64,
    SLOTS_OF_WORKERS = 1,
    SPARE = (SLOTS_OF_WORKERS + 1) * PARKED_MAX + JOURNAL_SLOTS,
    CLIENT_TTL_S = 1000,
};

#define NOW_US   INT64_C(1700000000000000)
#define US_PER_S INT64_C(1000000)

static struct scratch scratch;
static struct settings settings;
static struct stock_owner owner;
static char error[SETTINGS_ERROR_MAX];

static int set_up(void **state)
{
    (void)state;
    scratch_make(&scratch);
    settings = (struct settings){
        .initial_stock = STOCK_QUANTITY_MAX,
        .events_max = 1,
        .journal_slots = JOURNAL_SLOTS,
        .parked_max = PARKED_MAX,
        .idempotency_keys_max = KEYS_MAX,
        .idempotency_ttl_s = CLIENT_TTL_S,
    };
    (void)snprintf(settings.ledger_url, sizeof(settings.ledger_url), "sqlite:%s", scratch.ledger);
    owner = (struct stock_owner){.hold = -1};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stock_owner_close(&owner);
    scratch_remove(&scratch);
    return 0;
}

static struct ledger_key key_of(uint32_t number, bool transient)
{
    struct ledger_key key = {.bytes = {transient ? 0 : 1, [15] = 1}};

    memcpy(&key.bytes[8], &number, sizeof(number));
    return key;
}

/* Appends `count` sales of one age, of keys from `first` on. */
static void append(struct ledger *ledger, uint64_t *sequence, uint32_t first, uint32_t count,
                   bool transient, int64_t age_us)
{
    static struct ledger_entry entries[2 * KEYS_MAX];

    for (uint32_t i = 0; i < count; ++i)
        entries[i] = (struct ledger_entry){
            .sequence = *sequence + i,
            .kind = LEDGER_SALE,
            .quantity = 1,
            .available = STOCK_QUANTITY_MAX - (uint32_t)(*sequence + i),
            .token = *sequence + i,
            .time_us = NOW_US - age_us,
            .key = key_of(first + i, transient),
        };
    assert_int_equal(ledger_sqlite_ops.append(ledger, entries, count), 0);
    *sequence += count;
}

static struct ledger *new_ledger(void)
{
    struct ledger *ledger = NULL;

    assert_int_equal(ledger_sqlite_ops.open(&ledger, scratch.ledger, -1, error, sizeof(error)), 0);
    assert_int_equal(ledger_sqlite_ops.create_event(ledger, STOCK_DEFAULT_EVENT, STOCK_QUANTITY_MAX,
                                                    NOW_US - 10 * CLIENT_TTL_S * US_PER_S),
                     0);
    return ledger;
}

static int start(struct ledger *ledger)
{
    ledger_sqlite_ops.close(ledger);
    return stock_owner_open(&owner, &settings, SLOTS_OF_WORKERS, error);
}

static bool is_known(uint32_t number, bool transient)
{
    struct ledger_key key = key_of(number, transient);
    struct key_sale sale;

    return keys_find(&owner.stock, 0, &key, &sale) == TICKETD_DONE;
}

/* Each kind of key comes back for as long as it lives: the last moment of it, and none after. */
static void test_each_by_its_own_time(void **state)
{
    struct ledger *ledger = new_ledger();
    uint64_t sequence = 1;

    (void)state;
    append(ledger, &sequence, 1, 1, false, CLIENT_TTL_S * US_PER_S + 1);
    append(ledger, &sequence, 2, 1, false, CLIENT_TTL_S * US_PER_S);
    append(ledger, &sequence, 3, 1, true, KEY_TRANSIENT_TTL_S * US_PER_S + 1);
    append(ledger, &sequence, 4, 1, true, KEY_TRANSIENT_TTL_S * US_PER_S);
    append(ledger, &sequence, 5, 1, false, KEY_TRANSIENT_TTL_S * US_PER_S);
    append(ledger, &sequence, 6, 1, true, 0);
    assert_int_equal(start(ledger), 0);
    assert_false(is_known(1, false));
    assert_true(is_known(2, false));
    assert_false(is_known(3, true));
    assert_true(is_known(4, true));
    assert_true(is_known(5, false));
    assert_true(is_known(6, true));
    assert_int_equal(owner.keys, 2);
    assert_int_equal(keys_count(&owner.stock, SEGMENT_KEYS_TRANSIENT), 2);
    /* their ages came with them */
    assert_int_equal(keys_forget(&owner.stock, CLIENT_TTL_S - 1, 9), 1);
    assert_false(is_known(2, false));
    assert_true(is_known(5, false));
}

/* Where clients' keys live shorter than transient ones, these come back all the same. */
static void test_short_life_of_clients_keys(void **state)
{
    struct ledger *ledger = new_ledger();
    uint64_t sequence = 1;

    (void)state;
    settings.idempotency_ttl_s = 1;
    append(ledger, &sequence, 1, 1, true, 100 * US_PER_S);
    append(ledger, &sequence, 2, 1, false, 100 * US_PER_S);
    append(ledger, &sequence, 3, 1, false, 0);
    assert_int_equal(start(ledger), 0);
    assert_true(is_known(1, true));
    assert_false(is_known(2, false));
    assert_true(is_known(3, false));
}

/* More keys of clients than the setting has room for refuse the start; what the spare holds does
 * not. */
static void test_too_many_keys_of_clients(void **state)
{
    struct ledger *ledger = new_ledger();
    uint64_t sequence = 1;

    (void)state;
    append(ledger, &sequence, 1, KEYS_MAX + SPARE, false, 0);
    assert_int_equal(start(ledger), 0);
    assert_int_equal(owner.keys, KEYS_MAX + SPARE);
    stock_owner_close(&owner);

    assert_int_equal(ledger_sqlite_ops.open(&ledger, scratch.ledger, -1, error, sizeof(error)), 0);
    append(ledger, &sequence, KEYS_MAX + SPARE + 1, 1, false, 0);
    assert_int_equal(start(ledger), TICKETD_INVALID);
    assert_non_null(strstr(error, "IDEMPOTENCY_KEYS_MAX"));
}

/* Too many transient keys refuse nothing: the youngest of them are kept, beside all of the
 * clients'.
 */
static void test_too_many_transient_keys(void **state)
{
    struct ledger *ledger = new_ledger();
    uint64_t sequence = 1;

    (void)state;
    append(ledger, &sequence, 1, KEYS_MAX, false, 0);
    append(ledger, &sequence, 1, 2 * KEYS_MAX, true, 0);
    assert_int_equal(start(ledger), 0);
    assert_int_equal(owner.keys, KEYS_MAX);
    assert_int_equal(keys_count(&owner.stock, SEGMENT_KEYS_TRANSIENT), KEYS_MAX);
    assert_false(is_known(KEYS_MAX, true));
    assert_true(is_known(KEYS_MAX + 1, true));
    assert_true(is_known(2 * KEYS_MAX, true));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_each_by_its_own_time),
        CASE(test_short_life_of_clients_keys),
        CASE(test_too_many_keys_of_clients),
        CASE(test_too_many_transient_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
