#include "selling.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ticketd/error.h"

/* Once in so many calls of a mix with returns, one is made that must be refused. */
#define IMPOSSIBLE_EVERY 64

/* Remembers the first condition that did not hold, in whichever process. */
#define EXPECT(selling, condition)                                                                 \
    do {                                                                                           \
        int none = 0;                                                                              \
        if (!(condition))                                                                          \
            (void)atomic_compare_exchange_strong(&(selling)->fault_line, &none, __LINE__);         \
    } while (0)

static size_t size_of(uint32_t entries_max)
{
    return sizeof(struct selling) + (size_t)entries_max * sizeof(_Atomic uint64_t);
}

struct selling *selling_new(const struct selling_options *options)
{
    /* after the churn every call sells at least one ticket, but for one return of each seller */
    uint32_t entries_max =
        options->churn + options->capacity + options->sellers * 2 * (SELLING_QUANTITY_MAX + 1);
    struct selling *selling =
        mmap(NULL, size_of(entries_max), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t attributes;

    assert_true(selling != MAP_FAILED);
    assert_in_range(options->sellers, 1, SELLING_SELLERS_MAX);
    selling->options = *options;
    selling->entries_max = entries_max;
    assert_int_equal(stock_create(&selling->stock, 1), 0);
    assert_int_equal(stock_event_create(&selling->stock, "default", options->capacity,
                                        options->first, &selling->event),
                     0);
    assert_int_equal(pthread_barrierattr_init(&attributes), 0);
    assert_int_equal(pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), 0);
    assert_int_equal(pthread_barrier_init(&selling->gate, &attributes, options->sellers + 1), 0);
    assert_int_equal(pthread_barrierattr_destroy(&attributes), 0);
    return selling;
}

void selling_free(struct selling *selling)
{
    stock_destroy(&selling->stock);
    assert_int_equal(munmap(selling, size_of(selling->entries_max)), 0);
}

static uint32_t distance(const struct selling *selling, uint32_t sequence)
{
    return sequence - selling->options.first;
}

/* xorshift: a seller's own, so that drawing a number is no meeting point */
static uint32_t draw(uint32_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random;
}

static void record(struct selling *selling, const struct stock_entry *entry, int32_t delta)
{
    uint32_t index = distance(selling, entry->sequence);

    EXPECT(selling, index < selling->entries_max);
    EXPECT(selling, entry->available <= selling->options.capacity);
    if (index < selling->entries_max) {
        uint64_t packed = (uint64_t)(uint32_t)delta << 32 | entry->available;
        EXPECT(selling, atomic_exchange(&selling->entries[index], packed) == 0);
    }
}

static int sell(struct selling *selling, uint32_t seller, uint32_t quantity,
                struct stock_entry *ret_entry)
{
    struct selling_tally *tally = &selling->tallies[seller];
    int status;

    atomic_store(&tally->intent, -(int32_t)quantity);
    atomic_fetch_add(&tally->sell_begun, quantity);
    status = stock_sell(&selling->stock, selling->event, quantity, ret_entry);
    if (status == TICKETD_DONE)
        record(selling, ret_entry, -(int32_t)quantity);
    atomic_fetch_add(status == TICKETD_DONE ? &tally->sell_done : &tally->sell_failed, quantity);
    atomic_store(&tally->intent, 0);
    EXPECT(selling, status == TICKETD_DONE || status == TICKETD_SOLD_OUT || status == TICKETD_BUSY);
    if (status == TICKETD_SOLD_OUT)
        EXPECT(selling, ret_entry->available < quantity);
    return status;
}

static int give_back(struct selling *selling, uint32_t seller, uint32_t quantity)
{
    struct selling_tally *tally = &selling->tallies[seller];
    struct stock_entry entry;
    int status;

    atomic_store(&tally->intent, (int32_t)quantity);
    atomic_fetch_add(&tally->back_begun, quantity);
    status = stock_give_back(&selling->stock, selling->event, quantity, &entry);
    if (status == TICKETD_DONE)
        record(selling, &entry, (int32_t)quantity);
    atomic_fetch_add(status == TICKETD_DONE ? &tally->back_done : &tally->back_failed, quantity);
    atomic_store(&tally->intent, 0);
    return status;
}

/* Sells and gives back what this seller holds. */
static void churn(struct selling *selling, uint32_t seller, uint32_t *random)
{
    const struct selling_options *options = &selling->options;
    struct stock_entry entry;
    uint32_t held = 0;

    while (distance(selling, stock_peek(&selling->stock, selling->event).sequence) <
               options->churn &&
           !(options->churn_till_stop && atomic_load(&selling->stop))) {
        uint32_t quantity = 1 + draw(random) % SELLING_QUANTITY_MAX;
        if (draw(random) % IMPOSSIBLE_EVERY == 0)
            EXPECT(selling, give_back(selling, seller, options->capacity + 1) == TICKETD_INVALID);
        if (held >= quantity && draw(random) % 2 == 0) {
            int status = give_back(selling, seller, quantity);
            EXPECT(selling, status == TICKETD_DONE || status == TICKETD_BUSY);
            held -= status == TICKETD_DONE ? quantity : 0;
        } else if (sell(selling, seller, quantity, &entry) == TICKETD_DONE) {
            held += quantity;
        }
    }
    while (options->churn_till_stop && !atomic_load(&selling->stop))
        (void)sched_yield();
}

void selling_sell(struct selling *selling, uint32_t seller)
{
    const struct selling_options *options = &selling->options;
    uint32_t random = (options->seed + 1) * 2654435761U + seller * 40503U + 1;
    struct stock_entry entry = {.available = options->capacity};

    if (options->mix == SELLING_RETURNS)
        churn(selling, seller, &random);
    while (entry.available > 0) {
        uint32_t quantity = 1;
        if (options->mix != SELLING_SINGLES)
            quantity += draw(&random) % SELLING_QUANTITY_MAX;
        if (quantity > entry.available)
            quantity = entry.available; /* the last ones, if nobody is quicker */
        (void)sell(selling, seller, quantity, &entry);
    }
}

#define SUM(selling, member) sum(selling, offsetof(struct selling_tally, member))

static int64_t sum(struct selling *selling, size_t offset)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < selling->options.sellers; ++i)
        total += atomic_load((_Atomic uint64_t *)((char *)&selling->tallies[i] + offset));
    return (int64_t)total;
}

void selling_look(struct selling *selling, struct selling_look *last)
{
    const int64_t capacity = selling->options.capacity;
    /* What ended before the look was over at it, what began after the look had not begun. */
    const int64_t sold_least = SUM(selling, sell_done), sold_not = SUM(selling, sell_failed);
    const int64_t back_least = SUM(selling, back_done), back_not = SUM(selling, back_failed);
    const struct stock_entry now = stock_peek(&selling->stock, selling->event);
    const int64_t sold_most = SUM(selling, sell_begun) - sold_not;
    const int64_t back_most = SUM(selling, back_begun) - back_not;

    EXPECT(selling, now.available <= capacity);
    EXPECT(selling, now.available >= capacity - sold_most + back_least);
    EXPECT(selling, now.available <= capacity - sold_least + back_most);
    if (selling->options.mix == SELLING_SINGLES)
        EXPECT(selling, (int64_t)now.available + distance(selling, now.sequence) == capacity);
    if (last->looked) {
        EXPECT(selling, (int32_t)(now.sequence - last->entry.sequence) >= 0);
        if (now.sequence == last->entry.sequence)
            EXPECT(selling, now.available == last->entry.available);
        if (selling->options.mix != SELLING_RETURNS)
            EXPECT(selling, now.available <= last->entry.available);
    }
    EXPECT(selling, stock_capacity(&selling->stock, selling->event) == capacity);
    *last = (struct selling_look){.looked = true, .entry = now};
}

uint64_t selling_asked(struct selling *selling)
{
    return (uint64_t)(SUM(selling, sell_begun) + SUM(selling, back_begun));
}

void selling_observe(struct selling *selling)
{
    struct selling_look last = {.looked = false};

    do
        selling_look(selling, &last);
    while (!atomic_load(&selling->stop));
}

/* `missing` entries in a row of which nobody was told have added `delta` together. */
static void check_missing(uint32_t missing, int64_t delta, const int32_t *intents,
                          uint32_t intent_count)
{
    if (missing == 0) {
        assert_int_equal(delta, 0);
        return;
    }
    if (missing == 1) {
        for (uint32_t i = 0; i < intent_count; ++i)
            if (intents[i] == delta)
                return;
        fail_msg("an entry added %d, which no killed seller meant to", (int)delta);
    }
    assert_in_range(delta + (int64_t)missing * SELLING_QUANTITY_MAX, 0,
                    (int64_t)2 * missing * SELLING_QUANTITY_MAX);
}

void selling_check(struct selling *selling, const int32_t *intents, uint32_t intent_count)
{
    const struct stock_entry end = stock_peek(&selling->stock, selling->event);
    const uint32_t count = distance(selling, end.sequence);
    int64_t balance = selling->options.capacity;
    uint32_t missing = 0, missing_in_all = 0;

    if (selling->fault_line != 0)
        fail_msg("a seller or observer found a fault, selling.c line %d", selling->fault_line);
    assert_true(count <= selling->entries_max);
    for (uint32_t i = 0; i < count; ++i) {
        uint64_t packed = atomic_load(&selling->entries[i]);
        int32_t delta = (int32_t)(packed >> 32);
        if (packed == 0) {
            ++missing;
            ++missing_in_all;
            continue;
        }
        check_missing(missing, (int64_t)(uint32_t)packed - delta - balance, intents, intent_count);
        missing = 0;
        balance = (uint32_t)packed;
        assert_in_range(balance, 0, selling->options.capacity);
    }
    check_missing(missing, end.available - balance, intents, intent_count);
    assert_in_range(missing_in_all, 0, intent_count);
    for (uint32_t i = count; i < selling->entries_max; ++i)
        assert_int_equal(atomic_load(&selling->entries[i]), 0);
    assert_int_equal(end.available, 0);
    if (selling->options.mix == SELLING_SINGLES)
        assert_int_equal(count, selling->options.capacity);
    if (intent_count == 0)
        assert_int_equal(SUM(selling, sell_done) - SUM(selling, back_done),
                         selling->options.capacity);
}
