#include "world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "stock/keeper_link.h"
#include "stock/repair.h"
#include "ticketd/error.h"

#define RING_SLOTS      16
#define PARKED_MAX      8
#define KEYS_MAX        1000
#define TTL_S           86400
#define SALE_TIMEOUT_MS 60000
/* More turns than any of these tests leaves to do. */
#define TURNS_MAX 64

static const struct ledger_ops *const ops = &ledger_sqlite_ops;

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void make_ledger(struct world *world)
{
    char error[256] = "";
    struct ledger *ledger = NULL;

    scratch_make(&world->scratch);
    if (ops->lock(&world->hold, world->scratch.ledger, 0, error, sizeof(error)) != 0 ||
        ops->open(&ledger, world->scratch.ledger, world->hold, error, sizeof(error)) != 0)
        fail_msg("%s", error);
    assert_int_equal(ops->create_event(ledger, STOCK_DEFAULT_EVENT, WORLD_CAPACITY, now_us()), 0);
    ops->close(ledger);
}

static void world_open(struct world *world)
{
    struct stock_options options = {
        .events_max = 1,
        .ring_slots = RING_SLOTS,
        .places = WORLD_PLACE(WORLD_WORKERS),
        .parked_max = PARKED_MAX,
        .keys_max = KEYS_MAX,
    };
    struct stock_event event = {.id = STOCK_DEFAULT_EVENT,
                                .available = WORLD_CAPACITY,
                                .capacity = WORLD_CAPACITY,
                                .sequence = 1};

    *world = (struct world){.capacity = WORLD_CAPACITY};
    make_ledger(world);
    assert_int_equal(stock_create(&world->stock, &options), 0);
    assert_int_equal(stock_event_create(&world->stock, &event, &world->event), 0);
    for (uint32_t place = 0; place < options.places; ++place)
        place_give(&world->stock, place);
    world->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    world->keeper = calloc(1, sizeof(*world->keeper));
    world->seen = calloc(1, world->stock.segment->size_bytes);
    assert_true(world->bell >= 0 && world->keeper != NULL && world->seen != NULL);
    world_keeper_open(world);
}

static void world_close(struct world *world)
{
    world_keeper_close(world);
    free(world->keeper);
    free(world->seen);
    stock_destroy(&world->stock);
    (void)close(world->bell);
    (void)close(world->hold);
    scratch_remove(&world->scratch);
    *world = (struct world){0};
}

int world_set_up(void **state)
{
    world_open(*state);
    return 0;
}

int world_tear_down(void **state)
{
    world_close(*state);
    return 0;
}

void world_begin_round(struct world *world)
{
    static unsigned round;
    struct key_hasher *hasher = key_hasher_new();

    assert_non_null(hasher);
    if (world->rounds == WORLD_ROUNDS) {
        world_close(world);
        world_open(world);
    }
    ++world->rounds;
    ++round;
    for (int i = 0; i < WORLD_KEYS; ++i) {
        int len = snprintf(world->key_text[i], sizeof(world->key_text[i]), "key-%u-%d", round, i);
        struct text text = {.base = world->key_text[i], .len = (size_t)len};
        key_hash(hasher, text, &world->keys[i]);
        world->tally.key_sales[i] = 0;
    }
    key_hasher_free(hasher);
    if (!world->keeper_is_open)
        world_keeper_open(world);
    /* So that a seller takes the longer way, the bell's. */
    keeper_link_sleep(&world->stock.segment->keeper.asleep);
}

struct keeper_options world_keeper_options(struct world *world)
{
    return (struct keeper_options){
        .stock = &world->stock,
        .ops = ops,
        .location = world->scratch.ledger,
        .hold_fd = world->hold,
        .ttl_s = TTL_S,
        .reader_bell = -1,
    };
}

void world_keeper_open(struct world *world)
{
    struct keeper_options options = world_keeper_options(world);
    char error[256] = "";

    assert_false(world->keeper_is_open);
    if (keeper_open(world->keeper, &options, error, sizeof(error)) != 0)
        fail_msg("the keeper cannot take over: %s", error);
    world->keeper_is_open = true;
    keeper_set_state(&world->stock, KEEPER_RUNNING);
}

void world_keeper_close(struct world *world)
{
    if (world->keeper_is_open)
        keeper_close(world->keeper);
    world->keeper_is_open = false;
}

void world_worker_open(struct world *world, struct vacancy_local *worker, uint32_t place)
{
    struct vacancy_local_options options = {
        .stock = &world->stock,
        .place = place,
        .durable = true,
        .keeper_bell = world->bell,
        .reader_bell = world->bell,
        .sale_timeout_ms = SALE_TIMEOUT_MS,
        .parked_max = PARKED_MAX,
    };

    assert_int_equal(vacancy_local_init(worker, &options), 0);
}

void world_worker_end(struct world *world, struct vacancy_local *worker)
{
    place_reaped(&world->stock, worker->options.place);
    vacancy_local_deinit(worker);
}

static void on_complete(struct vacancy_call *call, const struct vacancy_result *result)
{
    struct answer *answer = (struct answer *)call;

    ++answer->times;
    answer->result = *result;
}

static struct vacancy_request request_of(uint32_t quantity)
{
    return (struct vacancy_request){
        .event = {.base = STOCK_DEFAULT_EVENT, .len = sizeof(STOCK_DEFAULT_EVENT) - 1},
        .quantity = quantity,
    };
}

void world_buy(struct world *world, struct vacancy_local *worker, uint32_t quantity, int key,
               struct answer *answer)
{
    struct vacancy_request request = request_of(quantity);

    if (key >= 0)
        request.key =
            (struct text){.base = world->key_text[key], .len = strlen(world->key_text[key])};
    *answer = (struct answer){.times = 0};
    vacancy_reserve(&worker->client, &answer->call, &request, on_complete);
}

void world_restock(struct world *world, struct vacancy_local *worker, uint32_t quantity,
                   struct answer *answer)
{
    struct vacancy_request request = request_of(quantity);

    *answer = (struct answer){.times = 0};
    vacancy_restock(&worker->client, &answer->call, &request, on_complete);
    world->capacity += quantity;
}

/* What a worker does for one request, from its parking to the keeper's bell. */
static void sell(void *context)
{
    const struct world_seller *seller = context;
    struct vacancy_local worker;
    struct answer answer;

    world_worker_open(seller->world, &worker, seller->place);
    world_buy(seller->world, &worker, seller->quantity, seller->key, &answer);
    (void)vacancy_local_sleep(&worker);
}

void world_start_seller(const struct world_seller *seller, struct stepper *ret_stepper)
{
    stepper_start(ret_stepper, sell, (void *)seller, (uintptr_t)stock_sell);
}

void world_kill(struct world *world, struct stepper *stepper, uint32_t place)
{
    stepper_kill(stepper);
    place_reaped(&world->stock, place);
}

bool world_repair(struct world *world)
{
    bool all = true;

    for (uint32_t place = 0; place < WORLD_PLACE(WORLD_WORKERS); ++place) {
        if (!place_is_reaped(&world->stock, place))
            continue;
        if (place_repair(&world->stock, place) != TICKETD_DONE)
            all = false;
        else
            place_give(&world->stock, place);
    }
    return all;
}

bool world_turn(struct world *world)
{
    struct keeper_stall stall;

    for (unsigned i = 0; i < TURNS_MAX; ++i) {
        int result = keeper_turn(world->keeper, &stall);
        if (result == KEEPER_TURN_IDLE)
            return true;
        if (result == KEEPER_TURN_STALLED)
            return false;
        if (result != KEEPER_TURN_DONE)
            fail_msg("the keeper's turn ended with %d: %s", result, keeper_error(world->keeper));
    }
    fail_msg("the keeper finds no rest");
    return false;
}

/* One more entry: it follows from the one before. */
static int on_entry(void *context, const struct ledger_entry *entry)
{
    struct world *world = context;
    struct tally *tally = &world->tally;

    if (entry->sequence != tally->entries ||
        entry->available != (uint32_t)(tally->available - entry->quantity))
        return 1;
    ++tally->entries;
    tally->available = entry->available;
    if (entry->kind == LEDGER_RESTOCK)
        tally->capacity -= entry->quantity;
    else if (entry->kind == LEDGER_SALE)
        tally->sold += entry->quantity;
    else
        tally->owed += entry->quantity;
    for (int i = 0; i < WORLD_KEYS; ++i) {
        if (entry->kind != LEDGER_SALE || !ledger_key_equal(&entry->key, &world->keys[i]))
            continue;
        ++tally->key_sales[i];
        tally->key_sequence[i] = entry->sequence;
    }
    return 0;
}

static int on_event(void *context, const struct ledger_event *event)
{
    const struct world *world = context;
    const struct tally *tally = &world->tally;

    return event->next_sequence == tally->entries && event->available == tally->available &&
                   (int64_t)event->capacity == tally->capacity &&
                   (int64_t)event->owed == tally->owed
               ? 0
               : 1;
}

void world_settle(struct world *world)
{
    struct ledger *ledger = world->keeper->ledger;
    const struct tally *tally = &world->tally;
    struct stock_view view;

    if (!world_turn(world))
        fail_msg("an entry is not stamped after the repair");
    if (ops->each_entry(ledger, world->event, tally->entries, UINT64_MAX, on_entry, world) != 0)
        fail_msg("entry %u of the ledger does not follow from the one before",
                 (unsigned)tally->entries);
    if (ops->each_event(ledger, on_event, world) != 0)
        fail_msg("the ledger's totals are not what its entries say");
    view = stock_view(&world->stock, world->event);
    assert_int_equal(view.sequence, tally->entries);
    assert_int_equal(view.published_sequence, tally->entries);
    assert_int_equal(view.published_available, tally->available);
    assert_int_equal(view.available, tally->available);
    assert_int_equal(tally->owed, 0);
    assert_int_equal(tally->capacity, world->capacity);
    assert_int_equal(view.capacity, world->capacity);
    assert_int_equal(view.available + tally->sold, world->capacity);
}

/* Buys under a place of its own and expects to be served. */
static void buy_and_wait(struct world *world, uint32_t place, uint32_t quantity, int key,
                         struct vacancy_result *ret_result)
{
    struct vacancy_local worker;
    struct answer answer;

    world_worker_open(world, &worker, place);
    world_buy(world, &worker, quantity, key, &answer);
    world_settle(world);
    (void)vacancy_local_deliver(&worker);
    vacancy_local_deinit(&worker);
    assert_int_equal(answer.times, 1);
    assert_int_equal(answer.result.status, TICKETD_DONE);
    *ret_result = answer.result;
}

void world_check(struct world *world, int key, uint32_t quantity)
{
    const struct tally *tally = &world->tally;
    struct vacancy_result result;
    int64_t sold_before;
    bool had_sold;

    world_settle(world);
    sold_before = tally->sold;
    buy_and_wait(world, WORLD_PLACE(WORLD_WORKERS - 1), 1, -1, &result);
    assert_false(result.replayed);
    assert_int_equal(tally->sold, sold_before + 1);
    had_sold = tally->key_sales[key] > 0;
    buy_and_wait(world, WORLD_PLACE(WORLD_WORKERS - 2), quantity, key, &result);
    assert_int_equal(tally->key_sales[key], 1);
    assert_int_equal(result.replayed, had_sold);
    assert_int_equal(result.order.sequence, tally->key_sequence[key]);
}

/* Whether the segment's bytes are others than at the last look. */
static bool has_changed(struct world *world)
{
    size_t size = world->stock.segment->size_bytes;
    bool changed = memcmp(world->seen, world->stock.segment, size) != 0;

    if (changed)
        memcpy(world->seen, world->stock.segment, size);
    return changed;
}

bool world_step_changes(struct world *world, struct stepper *stepper, unsigned count)
{
    bool alive = true;

    (void)has_changed(world);
    for (unsigned i = 0; alive && i < count; ++i)
        do
            alive = stepper_step(stepper, 1);
        while (alive && !has_changed(world));
    return alive;
}

bool world_stride(struct world *world, struct stepper *stepper, unsigned count)
{
    return getenv("TICKETD_TEST_LONG") != NULL ? stepper_step(stepper, count)
                                               : world_step_changes(world, stepper, count);
}
