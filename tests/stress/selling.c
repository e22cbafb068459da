#include "selling.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "stock/segment.h"
#include "ticketd/error.h"

/* The tally of the keeper. */
#define KEEPER_TALLY SELLING_SELLERS_MAX
/* In a sale's cookie, beside its quantity: the keeper is to return it. */
#define COMES_BACK (UINT32_C(1) << 31)

/* Remembers the first condition that did not hold, in whichever process. */
#define EXPECT(selling, condition)                                                                 \
    do {                                                                                           \
        int none = 0;                                                                              \
        if (!(condition))                                                                          \
            (void)atomic_compare_exchange_strong(&(selling)->fault_line, &none, __LINE__);         \
    } while (0)

static size_t size_of(uint32_t entries_max)
{
    return sizeof(struct selling) + (size_t)entries_max * sizeof(struct selling_entry);
}

static uint64_t pack(int32_t quantity, uint32_t available)
{
    return (uint64_t)(uint32_t)quantity << 32 | available;
}

static struct selling_entry *entry_at(struct selling *selling, uint64_t sequence)
{
    uint64_t index = sequence - selling->options.first;

    EXPECT(selling, index < selling->entries_max);
    return &selling->entries[index < selling->entries_max ? index : 0];
}

static void on_entry(void *context, uint64_t sequence, const struct journal_entry *from)
{
    struct selling *selling = context;
    struct selling_entry *entry = entry_at(selling, sequence);
    uint64_t kept = pack(from->quantity, (uint32_t)((int64_t)from->before - from->quantity));

    EXPECT(selling, !selling->keeper.wrong);
    if (from->waiter.place != STOCK_PLACE_KEEPER) /* the fields are of one sale */
        EXPECT(selling, from->token == from->waiter.place - STOCK_PLACE_OF(0) &&
                            (from->waiter.cookie & ~COMES_BACK) == (uint32_t)from->quantity);
    EXPECT(selling, atomic_exchange(&entry->kept, kept) == 0);
    atomic_store(&entry->kind, from->kind);
}

static void on_return(void *context, uint32_t quantity, bool begins, bool done)
{
    struct selling_tally *tally = &((struct selling *)context)->tallies[KEEPER_TALLY];

    if (begins)
        atomic_fetch_add(&tally->back_begun, quantity);
    else
        atomic_fetch_add(done ? &tally->back_done : &tally->back_failed, quantity);
}

static bool is_duplicate(const struct journal_entry *entry)
{
    return (entry->waiter.cookie & COMES_BACK) != 0;
}

static void make_stock(struct selling *selling)
{
    const struct selling_options *options = &selling->options;

    assert_int_equal(stock_create(&selling->stock,
                                  &(struct stock_options){
                                      .events_max = 1,
                                      .ring_slots = SELLING_RING,
                                      .places = options->sellers + 1,
                                      .parked_max = 1,
                                      .keys_max = 1,
                                  }),
                     0);
    assert_int_equal(stock_event_create(&selling->stock,
                                        &(struct stock_event){.id = "default",
                                                              .available = options->capacity,
                                                              .capacity = options->capacity,
                                                              .sequence = options->first},
                                        &selling->event),
                     0);
    mini_keeper_init(&selling->keeper, &selling->stock, selling->event);
    selling->keeper.is_duplicate = is_duplicate;
    selling->keeper.on_entry = on_entry;
    selling->keeper.on_return = on_return;
    selling->keeper.context = selling;
}

struct selling *selling_new(const struct selling_options *options)
{
    /* after the churn every entry sells at least one ticket; each seller has one under way, and
     * the keeper returns once for each */
    uint32_t entries_max =
        2 * options->churn + 2 * options->capacity + options->sellers * 2 * SELLING_QUANTITY_MAX;
    struct selling *selling =
        mmap(NULL, size_of(entries_max), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t attributes;

    assert_true(selling != MAP_FAILED);
    assert_in_range(options->sellers, 1, SELLING_SELLERS_MAX);
    selling->options = *options;
    selling->entries_max = entries_max;
    make_stock(selling);
    assert_int_equal(pthread_barrierattr_init(&attributes), 0);
    assert_int_equal(pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), 0);
    assert_int_equal(pthread_barrier_init(&selling->gate, &attributes, options->sellers + 2), 0);
    assert_int_equal(pthread_barrierattr_destroy(&attributes), 0);
    return selling;
}

void selling_free(struct selling *selling)
{
    stock_destroy(&selling->stock);
    assert_int_equal(munmap(selling, size_of(selling->entries_max)), 0);
}

/* xorshift: a seller's own, so that drawing a number is no meeting point */
static uint32_t draw(uint32_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random;
}

static void record(struct selling *selling, const struct stock_entry *entry, uint32_t quantity)
{
    uint64_t told = pack((int32_t)quantity, entry->available);

    EXPECT(selling, entry->available <= selling->options.capacity);
    EXPECT(selling, atomic_exchange(&entry_at(selling, entry->sequence)->told, told) == 0);
}

static int sell(struct selling *selling, uint32_t seller, uint32_t quantity, uint32_t flag,
                struct stock_entry *ret_entry)
{
    struct selling_tally *tally = &selling->tallies[seller];
    const struct stock_sale sale = {
        .quantity = quantity, .token = seller, .cookie = quantity | flag, .waits = true};
    int status;

    atomic_store(&tally->intent, (int32_t)quantity);
    atomic_fetch_add(&tally->sell_begun, quantity);
    status = stock_sell(&selling->stock, STOCK_PLACE_OF(seller), selling->event, &sale, ret_entry);
    if (status == TICKETD_DONE)
        record(selling, ret_entry, quantity);
    atomic_fetch_add(status == TICKETD_DONE ? &tally->sell_done : &tally->sell_failed, quantity);
    atomic_store(&tally->intent, 0);
    EXPECT(selling, status == TICKETD_DONE || status == TICKETD_SOLD_OUT || status == TICKETD_BUSY);
    if (status == TICKETD_SOLD_OUT)
        EXPECT(selling, ret_entry->available < quantity);
    if (status != TICKETD_DONE)
        (void)sched_yield(); /* to the keeper, who is behind or has something to return */
    return status;
}

static void withdraw(struct selling *selling, uint64_t sequence)
{
    struct selling_entry *entry = entry_at(selling, sequence);

    atomic_store(&entry->withdrawing, true);
    if (stock_withdraw(&selling->stock, selling->event, sequence) == TICKETD_DONE)
        atomic_store(&entry->withdrawn, true);
}

static uint64_t entry_count(const struct selling *selling)
{
    return stock_view(&selling->stock, selling->event).sequence - selling->options.first;
}

/* Sells what the keeper will return, and withdraws some of it: at once, or when the keeper may have
 * taken it. */
static void churn(struct selling *selling, uint32_t seller, uint32_t *random)
{
    const struct selling_options *options = &selling->options;
    uint64_t held = UINT64_MAX;
    struct stock_entry entry;

    while (entry_count(selling) < options->churn &&
           !(options->churn_till_stop && atomic_load(&selling->stop))) {
        uint32_t quantity = 1 + draw(random) % SELLING_QUANTITY_MAX;
        if (held != UINT64_MAX && draw(random) % 2 == 0)
            withdraw(selling, held);
        held = sell(selling, seller, quantity, COMES_BACK, &entry) == TICKETD_DONE ? entry.sequence
                                                                                   : UINT64_MAX;
        if (held != UINT64_MAX && draw(random) % 4 == 0) {
            withdraw(selling, held);
            held = UINT64_MAX;
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
        (void)sell(selling, seller, quantity, 0, &entry);
    }
}

void selling_keep(struct selling *selling)
{
    do
        if (mini_keeper_turn(&selling->keeper) == 0)
            (void)sched_yield();
    while (!atomic_load(&selling->all_sold));
}

void selling_finish(struct selling *selling, uint32_t seller)
{
    while (mini_keeper_turn(&selling->keeper) > 0 ||
           stock_available(&selling->stock, selling->event) > 0) {
        uint32_t left = stock_available(&selling->stock, selling->event);
        struct stock_entry entry;
        if (left > 0)
            (void)sell(selling, seller, left < SELLING_QUANTITY_MAX ? left : SELLING_QUANTITY_MAX,
                       0, &entry);
    }
}

#define SUM(selling, member) sum(selling, offsetof(struct selling_tally, member))

static int64_t sum(struct selling *selling, size_t offset)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i <= KEEPER_TALLY; ++i)
        total += atomic_load((_Atomic uint64_t *)((char *)&selling->tallies[i] + offset));
    return (int64_t)total;
}

void selling_look(struct selling *selling, struct selling_look *last)
{
    const int64_t capacity = selling->options.capacity;
    /* What ended before the look was over at it, what began after the look had not begun. */
    const int64_t sold_least = SUM(selling, sell_done), sold_not = SUM(selling, sell_failed);
    const int64_t back_least = SUM(selling, back_done), back_not = SUM(selling, back_failed);
    const struct stock_view now = stock_view(&selling->stock, selling->event);
    const int64_t sold_most = SUM(selling, sell_begun) - sold_not;
    const int64_t back_most = SUM(selling, back_begun) - back_not;

    EXPECT(selling, now.available <= capacity);
    EXPECT(selling, now.available >= capacity - sold_most + back_least);
    EXPECT(selling, now.available <= capacity - sold_least + back_most);
    EXPECT(selling, now.capacity == (uint64_t)capacity);
    if (selling->options.mix == SELLING_SINGLES) {
        const uint64_t first = selling->options.first;
        EXPECT(selling, now.available + (now.sequence - first) == (uint64_t)capacity);
        EXPECT(selling,
               now.published_available + (now.published_sequence - first) == (uint64_t)capacity);
    }
    if (last->looked) {
        EXPECT(selling, now.sequence >= last->view.sequence);
        EXPECT(selling, now.published_sequence >= last->view.published_sequence);
        if (now.sequence == last->view.sequence)
            EXPECT(selling, now.available == last->view.available);
        if (selling->options.mix != SELLING_RETURNS)
            EXPECT(selling, now.available <= last->view.available);
    }
    *last = (struct selling_look){.looked = true, .view = now};
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

/* An entry that the keeper took and of which nobody was told: the keeper's own, or that of a seller
 * that was killed. */
static void check_untold(const struct selling_entry *entry, const int32_t *intents,
                         uint32_t intent_count)
{
    int32_t quantity = (int32_t)(atomic_load(&entry->kept) >> 32);

    if (atomic_load(&entry->kind) == LEDGER_RETURN) {
        assert_true(quantity < 0);
        return;
    }
    for (uint32_t i = 0; i < intent_count; ++i)
        if (intents[i] == quantity)
            return;
    fail_msg("an entry took %d, which no killed seller meant to", (int)quantity);
}

static void check_entry(const struct selling_entry *entry, int64_t balance)
{
    uint64_t told = atomic_load(&entry->told), kept = atomic_load(&entry->kept);
    enum ledger_kind kind = (enum ledger_kind)atomic_load(&entry->kind);
    bool is_void = kind == LEDGER_VOID;

    assert_true(kept != 0);
    assert_int_equal((int64_t)(uint32_t)kept + (int32_t)(kept >> 32), balance);
    if (told == 0)
        return;
    assert_int_equal(told, kept);
    assert_true(is_void || kind == LEDGER_SALE || kind == LEDGER_DUPLICATE);
    assert_true(!is_void || atomic_load(&entry->withdrawing));
    assert_true(is_void || !atomic_load(&entry->withdrawn));
}

void selling_check(struct selling *selling, const int32_t *intents, uint32_t intent_count)
{
    const uint64_t count = entry_count(selling);
    int64_t balance = selling->options.capacity, sold = 0;
    uint32_t untold = 0;

    if (selling->fault_line != 0)
        fail_msg("a seller, observer or keeper found a fault, selling.c line %d",
                 selling->fault_line);
    assert_true(count <= selling->entries_max);
    for (uint64_t i = 0; i < count; ++i) {
        const struct selling_entry *entry = &selling->entries[i];
        check_entry(entry, balance);
        balance = (uint32_t)atomic_load(&entry->kept);
        assert_in_range(balance, 0, selling->options.capacity);
        if (atomic_load(&entry->kind) == LEDGER_SALE)
            sold += (int32_t)(atomic_load(&entry->kept) >> 32);
        if (atomic_load(&entry->told) == 0) {
            check_untold(entry, intents, intent_count);
            untold += atomic_load(&entry->kind) != LEDGER_RETURN;
        }
    }
    assert_in_range(untold, 0, intent_count);
    for (uint64_t i = count; i < selling->entries_max; ++i)
        assert_true(selling->entries[i].told == 0 && selling->entries[i].kept == 0);
    /* whoever ended has forgotten what it was about to swap: it would block repairs */
    for (uint32_t place = 0; place <= selling->options.sellers; ++place)
        assert_true(segment_place(&selling->stock, place)->intent == SEGMENT_NO_INTENT);
    assert_int_equal(stock_lag(&selling->stock, selling->event), 0);
    assert_int_equal(selling->keeper.owed, 0);
    assert_int_equal(balance, 0);
    assert_int_equal(sold, selling->options.capacity);
    if (selling->options.mix == SELLING_SINGLES)
        assert_int_equal(count, selling->options.capacity);
    if (intent_count == 0)
        assert_int_equal(SUM(selling, sell_done) - SUM(selling, back_done), sold);
}
