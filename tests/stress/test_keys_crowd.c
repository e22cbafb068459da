/* Threads sell with keys, one keeps them and forgets them as fast as they come, and others look
 * them up meanwhile: what is found under a key is what was sold with it, and a key that is still
 * remembered is found.  For the thread sanitizer. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mini_keeper.h"
#include "stock/keys.h"

#define SELLERS 3
#define READERS 2
#define SALES   20000 /* of each seller */
/* Keys that the keeper leaves in the index, of the slots that it has. */
#define KEPT 24
/* Of each key, of either kind: all are old enough to be forgotten at once. */
#define OLD_S (KEY_TRANSIENT_TTL_S + 1)

struct crowd {
    struct stock stock;
    uint32_t event;
    enum segment_key_kind kind; /* of all keys */
    struct mini_keeper keeper;
    _Atomic bool stop;
    _Atomic int fault_line;
    _Atomic uint64_t newest; /* keys ever put in */
    _Atomic uint64_t found;
    /* by order in which they were put in: the number that a key is made of */
    _Atomic uint64_t numbers[SELLERS * SALES];
};

struct member {
    struct crowd *crowd;
    uint32_t index;
};

#define EXPECT(crowd, condition)                                                                   \
    do {                                                                                           \
        int none = 0;                                                                              \
        if (!(condition))                                                                          \
            (void)atomic_compare_exchange_strong(&(crowd)->fault_line, &none, __LINE__);           \
    } while (0)

static struct ledger_key key_of(const struct crowd *crowd, uint64_t number)
{
    struct ledger_key key;
    uint64_t halves[2] = {crowd->kind == SEGMENT_KEYS_TRANSIENT ? 0 : number + 1, ~number};

    memcpy(key.bytes, halves, sizeof(halves));
    return key;
}

static uint64_t number_of(const struct ledger_key *key)
{
    uint64_t half;

    memcpy(&half, key->bytes + sizeof(half), sizeof(half));
    return ~half;
}

static uint32_t quantity_of(uint64_t number)
{
    return 1 + (uint32_t)(number % 7);
}

static void *sell(void *context)
{
    const struct member *member = context;
    struct crowd *crowd = member->crowd;

    for (uint64_t i = 0; i < SALES;) {
        uint64_t number = i * SELLERS + member->index;
        struct stock_sale sale = {
            .quantity = quantity_of(number), .token = ~number * 3, .key = key_of(crowd, number)};
        struct stock_entry entry;
        int status =
            stock_sell(&crowd->stock, STOCK_PLACE_OF(member->index), crowd->event, &sale, &entry);
        EXPECT(crowd, status == TICKETD_DONE || status == TICKETD_BUSY);
        if (status == TICKETD_DONE)
            ++i;
        else
            (void)sched_yield();
    }
    return NULL;
}

/* The keeper's: into the index, with parts that a reader can check against each other. */
static void on_entry(void *context, uint64_t sequence, const struct journal_entry *entry)
{
    struct crowd *crowd = context;
    uint64_t newest = atomic_load(&crowd->newest);
    const struct key_sale sale = {.key = entry->key,
                                  .event = crowd->event,
                                  .sequence = sequence,
                                  .token = entry->token,
                                  .quantity = (uint32_t)entry->quantity,
                                  .available = (uint32_t)sequence * 5};

    if (keys_count(&crowd->stock, crowd->kind) > KEPT)
        EXPECT(crowd, keys_forget(&crowd->stock, OLD_S - 1, 1) == 1);
    EXPECT(crowd, keys_put(&crowd->stock, &sale, OLD_S) == TICKETD_DONE);
    atomic_store(&crowd->numbers[newest], number_of(&entry->key));
    atomic_store(&crowd->newest, newest + 1);
}

static void *keep(void *context)
{
    struct crowd *crowd = context;

    while (!atomic_load(&crowd->stop))
        if (mini_keeper_turn(&crowd->keeper) == 0)
            (void)sched_yield();
    return NULL;
}

/* Looks up one of the last keys, some of them just forgotten. */
static void look(struct crowd *crowd, uint64_t draw)
{
    uint64_t newest = atomic_load(&crowd->newest), back = draw % (2 * KEPT), number;
    struct key_sale sale;
    struct ledger_key key;
    int answer;

    if (newest <= back)
        return;
    number = atomic_load(&crowd->numbers[newest - 1 - back]);
    key = key_of(crowd, number);
    answer = keys_find(&crowd->stock, crowd->event, &key, &sale);
    if (answer == TICKETD_DONE) {
        EXPECT(crowd, sale.token == ~number * 3);
        EXPECT(crowd, sale.quantity == quantity_of(number));
        EXPECT(crowd, sale.available == (uint32_t)sale.sequence * 5);
        EXPECT(crowd, ledger_key_equal(&sale.key, &key));
        (void)atomic_fetch_add(&crowd->found, 1);
    } else if (answer == TICKETD_NOT_FOUND) {
        /* the keeper may have gone one further than it says */
        EXPECT(crowd, atomic_load(&crowd->newest) - newest + back + 1 >= KEPT);
    }
}

static void *look_up(void *context)
{
    const struct member *member = context;
    uint64_t draw = member->index + 1;

    while (!atomic_load(&member->crowd->stop)) {
        draw = draw * UINT64_C(6364136223846793005) + 1442695040888963407U;
        look(member->crowd, draw >> 33);
    }
    return NULL;
}

static void make_stock(struct crowd *crowd)
{
    const struct stock_options options = {.events_max = 1,
                                          .ring_slots = 64,
                                          .places = SELLERS + 1,
                                          .parked_max = 1,
                                          .keys_max = KEPT + 2};

    assert_int_equal(stock_create(&crowd->stock, &options), 0);
    assert_int_equal(stock_event_create(&crowd->stock,
                                        &(struct stock_event){.id = "e",
                                                              .available = STOCK_QUANTITY_MAX,
                                                              .capacity = STOCK_QUANTITY_MAX},
                                        &crowd->event),
                     0);
    mini_keeper_init(&crowd->keeper, &crowd->stock, crowd->event);
    crowd->keeper.on_entry = on_entry;
    crowd->keeper.context = crowd;
}

static void run(enum segment_key_kind kind, bool collide)
{
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    struct member members[SELLERS + READERS];
    pthread_t threads[SELLERS + READERS], keeper;

    assert_non_null(crowd);
    crowd->kind = kind;
    make_stock(crowd);
    if (collide) /* all keys in one bucket */
        memset(crowd->stock.segment->keys[kind].seed, 0, sizeof(uint64_t[2]));
    assert_int_equal(pthread_create(&keeper, NULL, keep, crowd), 0);
    for (uint32_t i = 0; i < SELLERS + READERS; ++i) {
        members[i] = (struct member){.crowd = crowd, .index = i};
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < SELLERS ? sell : look_up, &members[i]), 0);
    }
    for (uint32_t i = 0; i < SELLERS; ++i)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    atomic_store(&crowd->stop, true);
    for (uint32_t i = SELLERS; i < SELLERS + READERS; ++i)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(pthread_join(keeper, NULL), 0);
    assert_int_equal(crowd->fault_line, 0);
    assert_false(crowd->keeper.wrong);
    assert_true(crowd->found > 0);
    assert_true(crowd->newest > SELLERS * SALES - 64);
    stock_destroy(&crowd->stock);
    free(crowd);
}

/* Keys that are replaced under a look-up are never taken for each other, of either kind. */
static void test_keys_of_their_own(void **state)
{
    (void)state;
    run(SEGMENT_KEYS_OF_CLIENTS, false);
    run(SEGMENT_KEYS_TRANSIENT, false);
}

/* The same in one long chain, through which a reader walks while it is cut at its end. */
static void test_keys_of_one_chain(void **state)
{
    (void)state;
    run(SEGMENT_KEYS_OF_CLIENTS, true);
    run(SEGMENT_KEYS_TRANSIENT, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_of_their_own),
        cmocka_unit_test(test_keys_of_one_chain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
