/* What the core does without HTTP: sells, moves entries through its journals, and keeps them.
 *
 *   core-scaling sell SELLERS one|own|random WARMUP_MS COUNTED_MS
 *       that many processes sell one ticket after the other: all of one event, each of its own, or
 *       each of one of 64 at random; a consumer that does nothing drains the journals
 *   core-scaling keep LEDGER_URL plain|keyed WARMUP_MS COUNTED_MS
 *       one process sells as fast as the keeper's journal lets it, and the real keeper moves it
 * into the ledger, which is made for it core-scaling alone LAPS one process sells into an empty
 * journal, which it empties itself between laps core-scaling fill SALES one process sells once so
 * many tickets into a journal that has room for all: for whoever counts the instructions of two
 * such runs
 *
 * The last line tells, in whole numbers: core-scaling name=… name=… */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/unistd.h>

#include "core_drain.h"
#include "core_keeper.h"
#include "core_seller.h"
#include "core_stage.h"

/* Of all events together, so that whatever is sold of walks through as much memory. */
#define RING_SLOTS 262144U
/* What the setting JOURNAL_SLOTS is unless somebody sets it. */
#define KEEPER_RING_SLOTS 16384
/* As many as there can be with as many buckets as the default of IDEMPOTENCY_KEYS_MAX has. */
#define KEYS_MAX  16700000
#define LAP_SALES 8192
#define LAPS_MAX  1000000
#define FILL_MAX  (RING_SLOTS - STOCK_RING_RESERVE)
#define RUN_MS    600000
#define NS_PER_S  UINT64_C(1000000000)

static uint32_t number_of(const char *text, const char *what, int64_t least, int64_t most)
{
    const char *problem;
    int64_t number = strtonum(text, least, most, &problem);

    if (problem != NULL)
        errx(EXIT_FAILURE, "%s %s is %s", what, text, problem);
    return (uint32_t)number;
}

static uint32_t power_of_two_below(uint32_t most)
{
    uint32_t power = 1;

    while (power <= most / 2)
        power *= 2;
    return power;
}

/* What all sellers have done together. */
struct sold {
    uint64_t entries, counted, per_s, cpu_ns, wall_ns, idle_wall_ns;
};

static struct sold sum_up(const struct stage *stage)
{
    struct sold sum = {0};

    for (uint32_t i = 0; i < stage->sellers; ++i) {
        const struct stage_tally *tally = &stage->shared->sellers[i];
        uint64_t all_ns = tally->wall_ns + tally->idle_wall_ns;
        sum.entries += tally->entries;
        sum.counted += tally->counted;
        sum.cpu_ns += tally->cpu_ns;
        sum.wall_ns += all_ns;
        sum.idle_wall_ns += tally->idle_wall_ns;
        sum.per_s += all_ns > 0 ? tally->counted * NS_PER_S / all_ns : 0;
    }
    return sum;
}

/* What is gone from the stock, and what of it has been published. */
static uint64_t taken(const struct stage *stage, uint64_t *ret_published)
{
    const struct stock *stock = &stage->heritage.stock;
    uint64_t gone = 0;

    *ret_published = 0;
    for (uint32_t i = 0; i < stock_event_count(stock); ++i) {
        struct stock_view view = stock_view(stock, i);
        gone += STAGE_CAPACITY - view.available;
        *ret_published += STAGE_CAPACITY - view.published_available;
    }
    return gone;
}

static void print_sold(const struct stage *stage, const struct sold *sold)
{
    uint64_t published, gone = taken(stage, &published);

    printf("core-scaling cpus=%u sellers=%u sold=%" PRIu64 " taken=%" PRIu64 " published=%" PRIu64
           " counted=%" PRIu64 " per_s=%" PRIu64 " cpu_ns=%" PRIu64 " wall_ns=%" PRIu64
           " idle_wall_ns=%" PRIu64,
           stage_cpu_count(stage), stage->sellers, sold->entries, gone, published, sold->counted,
           sold->per_s, sold->cpu_ns, sold->wall_ns, sold->idle_wall_ns);
}

/* Which events the sellers sell of. */
enum way { WAY_ONE, WAY_OWN, WAY_RANDOM };

static enum way way_of(const char *word)
{
    if (strcmp(word, "own") == 0)
        return WAY_OWN;
    if (strcmp(word, "random") == 0)
        return WAY_RANDOM;
    if (strcmp(word, "one") != 0)
        errx(EXIT_FAILURE, "%s is not one, own or random", word);
    return WAY_ONE;
}

/* Sellers and drain, until all is sold and drained. */
static void run_sellers(struct stage *stage, enum way way, uint32_t warmup_ms, uint32_t counted_ms)
{
    static struct seller_options options[STAGE_SELLERS_MAX];
    /* on the last CPU, where sellers come last */
    pid_t drain = stage_start(stage, stage_cpu_count(stage) - 1, drain_run, NULL);
    pid_t children[STAGE_SELLERS_MAX] = {0};

    for (uint32_t i = 0; i < stage->sellers; ++i) {
        options[i] =
            (struct seller_options){.index = i,
                                    .first_event = way == WAY_OWN ? i : 0,
                                    .event_mask = way == WAY_RANDOM ? STAGE_EVENTS_MAX - 1 : 0};
        children[i] = stage_start(stage, i, seller_run, &options[i]);
    }
    stage_measure(stage, warmup_ms, counted_ms, NULL, NULL);
    for (uint32_t i = 0; i < stage->sellers; ++i)
        stage_expect_end(children[i]);
    stage_set_phase(stage, STAGE_SOLD);
    stage_expect_end(drain);
}

static void sell(char **arguments)
{
    static struct stage stage;
    uint32_t sellers = number_of(arguments[0], "SELLERS", 1, STAGE_SELLERS_MAX);
    enum way way = way_of(arguments[1]);
    uint32_t events = way == WAY_OWN ? sellers : way == WAY_RANDOM ? STAGE_EVENTS_MAX : 1;
    const struct stage_tally *drained;
    struct sold sold;

    stage_open(&stage,
               &(struct stage_options){.sellers = sellers,
                                       .events = events,
                                       .ring_slots = power_of_two_below(RING_SLOTS / events),
                                       .keys_max = 1});
    run_sellers(&stage, way, number_of(arguments[2], "WARMUP_MS", 0, RUN_MS),
                number_of(arguments[3], "COUNTED_MS", 1, RUN_MS));
    sold = sum_up(&stage);
    print_sold(&stage, &sold);
    drained = &stage.shared->drain;
    printf(" drained=%" PRIu64 " drain_counted=%" PRIu64 " drain_cpu_ns=%" PRIu64
           " drain_idle_wall_ns=%" PRIu64 "\n",
           drained->entries, drained->counted, drained->cpu_ns, drained->idle_wall_ns);
}

static void keep(char **arguments)
{
    static struct stage stage;
    static struct stage_keeper keeper;
    bool keyed = strcmp(arguments[1], "keyed") == 0;
    uint32_t warmup_ms = number_of(arguments[2], "WARMUP_MS", 0, RUN_MS);
    uint32_t counted_ms = number_of(arguments[3], "COUNTED_MS", 1, RUN_MS);
    struct seller_options options = {.keyed = keyed};
    struct keeper_work *work = &keeper.work;
    struct sold sold;
    pid_t seller;

    if (!keyed && strcmp(arguments[1], "plain") != 0)
        errx(EXIT_FAILURE, "%s is not plain or keyed", arguments[1]);
    stage_open(&stage, &(struct stage_options){.sellers = 1,
                                               .events = 1,
                                               .ring_slots = KEEPER_RING_SLOTS,
                                               .keys_max = KEYS_MAX});
    stage_keeper_open(&keeper, &stage, arguments[0]);
    options.waits = keeper.place.durable || keyed; /* as vacancy_local does */
    stage_keeper_start(&keeper, stage_cpu_count(&stage) - 1);
    seller = stage_start(&stage, 0, seller_run, &options);
    stage_measure(&stage, warmup_ms, counted_ms, stage_keeper_on_edge, &keeper);
    stage_expect_end(seller);
    stage_keeper_end(&keeper);
    sold = sum_up(&stage);
    print_sold(&stage, &sold);
    printf(" kept=%" PRIu64 " entries=%" PRIu64 " batches=%" PRIu64 " syncs=%" PRIu64
           " keeper_cpu_ns=%" PRIu64 " keeper_wall_ns=%" PRIu64 " written=%" PRIu64
           " written_disk=%" PRIu64 " syncs_all=%" PRIu64 "\n",
           stage_keeper_entries(&keeper), work->entries, work->batches, work->syncs, work->cpu_ns,
           work->wall_ns, work->written, work->written_disk, stage.shared->syncs);
}

/* A seller and a drain in this very process. */
struct solo {
    struct stage stage;
    struct seller seller;
    struct drain drain;
};

static void open_solo(struct solo *solo, uint32_t ring_slots)
{
    stage_open(&solo->stage,
               &(struct stage_options){
                   .sellers = 1, .events = 1, .ring_slots = ring_slots, .keys_max = 1});
    seller_init(&solo->seller, &solo->stage, &(struct seller_options){.index = 0});
    drain_init(&solo->drain, &solo->stage);
}

static void sell_exactly(struct solo *solo, uint32_t sales)
{
    if (seller_sell(&solo->seller, sales) != sales)
        errx(EXIT_FAILURE, "the journal has no room for %u sales", sales);
}

static void alone(char **arguments)
{
    static struct solo solo;
    uint32_t laps = number_of(arguments[0], "LAPS", 1, LAPS_MAX);
    uint64_t cpu_ns = 0, least_ns = UINT64_MAX;

    open_solo(&solo, KEEPER_RING_SLOTS);
    for (uint32_t i = 0; i < laps; ++i) {
        uint64_t began_ns = stage_cpu_ns(), lap_ns;
        sell_exactly(&solo, LAP_SALES);
        lap_ns = stage_cpu_ns() - began_ns;
        cpu_ns += lap_ns;
        least_ns = lap_ns < least_ns ? lap_ns : least_ns;
        while (drain_turn(&solo.drain))
            continue;
    }
    printf("core-scaling sold=%" PRIu64 " drained=%" PRIu64 " cpu_ns=%" PRIu64
           " lap_sales=%d least_lap_ns=%" PRIu64 "\n",
           solo.seller.tally->entries, solo.drain.tally->entries, cpu_ns, LAP_SALES, least_ns);
}

static void fill(char **arguments)
{
    static struct solo solo;
    uint32_t sales = number_of(arguments[0], "SALES", 1, FILL_MAX);

    open_solo(&solo, RING_SLOTS);
    sell_exactly(&solo, sales);
    printf("core-scaling sold=%" PRIu64 "\n", solo.seller.tally->entries);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int arguments;
        void (*run)(char **arguments);
    } commands[] = {{"sell", 4, sell}, {"keep", 4, keep}, {"alone", 1, alone}, {"fill", 1, fill}};

    setproctitle_init(argc, argv, environ);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); ++i)
        if (argc == commands[i].arguments + 2 && strcmp(argv[1], commands[i].name) == 0) {
            commands[i].run(argv + 2);
            return EXIT_SUCCESS;
        }
    errx(EXIT_FAILURE, "usage: core-scaling sell|keep|alone|fill …; see the top of core_scaling.c");
}
