#include "core_stage.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stock/keys.h"
#include "stock/repair.h"
#include "util/clock.h"

#define MS_PER_S   1000U
#define NS_PER_MS  1000000L
#define PARKED_MAX 16384 /* what the setting is unless somebody sets it */
/* Beyond what it measures: fork, the last entries, the ledger's end. */
#define GRACE_S 120

static int bell(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd == -1)
        err(EXIT_FAILURE, "no eventfd");
    return fd;
}

static void open_bells(struct stage *stage)
{
    for (uint32_t i = 0; i < stage->sellers; ++i)
        stage->bells[i] = bell();
    stage->heritage.bells = stage->bells;
    stage->heritage.keeper_bell = bell();
    stage->heritage.reader_bell = bell();
    stage->heritage.master_bell = bell();
}

/* Each event begins with its first stock, which is its entry 0, as in a new ledger. */
static void open_events(struct stage *stage, uint32_t count)
{
    struct stock *stock = &stage->heritage.stock;

    for (uint32_t i = 0; i < count; ++i) {
        char id[STOCK_EVENT_ID_MAX + 1];
        uint32_t event;
        (void)snprintf(id, sizeof(id), i == 0 ? STOCK_DEFAULT_EVENT : "event-%u", i);
        if (stock_event_create(stock,
                               &(struct stock_event){.id = id,
                                                     .available = STAGE_CAPACITY,
                                                     .capacity = STAGE_CAPACITY,
                                                     .sequence = 1},
                               &event) != 0)
            errx(EXIT_FAILURE, "cannot make the event %s", id);
        metrics_add_event_id(&stage->heritage.metrics, id, 1);
    }
}

/* The key index spreads its keys over all of its buckets' pages: a server that has sold for a while
 * has touched each of them, and to do so is not to be counted as the keeper's work. */
static void touch_buckets(const struct stock *stock)
{
    const struct segment_keys *keys = &stock->segment->keys[SEGMENT_KEYS_OF_CLIENTS];

    memset((char *)stock->segment + keys->buckets_at, 0, keys_buckets_size(keys)); /* as they are */
}

void stage_open(struct stage *stage, const struct stage_options *options)
{
    struct stock_options stock = {
        .events_max = options->events,
        .ring_slots = options->ring_slots,
        .places = STOCK_PLACE_OF(options->sellers),
        .parked_max = PARKED_MAX,
        .keys_max = options->keys_max,
    };

    memset(stage, 0, sizeof(*stage));
    stage->sellers = options->sellers;
    stage->heritage.master = getpid();
    if (sched_getaffinity(0, sizeof(stage->cpus), &stage->cpus) != 0)
        err(EXIT_FAILURE, "cannot tell the CPUs");
    stage->shared = mmap(NULL, sizeof(*stage->shared), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage->shared == MAP_FAILED || stock_create(&stage->heritage.stock, &stock) != 0 ||
        metrics_create(&stage->heritage.metrics, options->sellers, options->events) < 0)
        errx(EXIT_FAILURE, "no memory for the stock");
    for (uint32_t place = 0; place < stock.places; ++place)
        place_give(&stage->heritage.stock, place);
    metrics_own(&stage->heritage.metrics, METRICS_SLOT_KEEPER(&stage->heritage.metrics), 1,
                METRICS_KEEPER);
    open_events(stage, options->events);
    touch_buckets(&stage->heritage.stock);
    open_bells(stage);
}

uint32_t stage_cpu_count(const struct stage *stage)
{
    return (uint32_t)CPU_COUNT(&stage->cpus);
}

static void pin(const struct stage *stage, uint32_t index)
{
    uint32_t left = index % stage_cpu_count(stage);
    cpu_set_t only;
    size_t cpu = 0;

    while (!CPU_ISSET(cpu, &stage->cpus) || left-- > 0)
        ++cpu;
    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    if (sched_setaffinity(0, sizeof(only), &only) != 0)
        err(EXIT_FAILURE, "cannot run on CPU %zu", cpu);
}

pid_t stage_start(struct stage *stage, uint32_t cpu, int (*run)(struct stage *stage, void *context),
                  void *context)
{
    pid_t child = fork();

    if (child == -1)
        err(EXIT_FAILURE, "cannot fork");
    if (child > 0)
        return child;
    if (!heritage_bind(&stage->heritage))
        _exit(EXIT_FAILURE);
    pin(stage, cpu);
    _exit(run(stage, context));
}

void stage_expect_end(pid_t child)
{
    int status = 0;

    if (waitpid(child, &status, 0) != child || status != 0)
        errx(EXIT_FAILURE, "a process ended with status %#x", (unsigned)status);
}

void stage_pause_ns(long ns)
{
    (void)nanosleep(&(struct timespec){.tv_sec = ns / (NS_PER_MS * MS_PER_S),
                                       .tv_nsec = ns % (NS_PER_MS * MS_PER_S)},
                    NULL);
}

void stage_measure(struct stage *stage, uint32_t warmup_ms, uint32_t counted_ms,
                   void (*on_edge)(void *context, bool begins), void *context)
{
    uint64_t end_ns;

    (void)alarm((warmup_ms + counted_ms) / MS_PER_S + GRACE_S); /* no handler: it ends all */
    while (atomic_load_explicit(&stage->shared->ready, memory_order_relaxed) < stage->sellers)
        stage_pause_ns(NS_PER_MS);
    stage_pause_ns(warmup_ms * NS_PER_MS);
    if (on_edge != NULL)
        on_edge(context, true);
    stage_set_phase(stage, STAGE_COUNT);
    end_ns = clock_monotonic_ns() + counted_ms * (uint64_t)NS_PER_MS;
    while (clock_monotonic_ns() < end_ns &&
           atomic_load_explicit(&stage->shared->full, memory_order_relaxed) == 0)
        stage_pause_ns(NS_PER_MS);
    stage_set_phase(stage, STAGE_OVER);
    if (on_edge != NULL)
        on_edge(context, false);
}

void stage_set_phase(struct stage *stage, enum stage_phase phase)
{
    atomic_store_explicit(&stage->shared->phase, phase, memory_order_release);
}

uint64_t stage_cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * MS_PER_S * NS_PER_MS + (uint64_t)now.tv_nsec;
}

/* Until the end of the counting, the fields of the tally hold what the clocks showed at its begin.
 */
static void begin(struct stage_tally *tally)
{
    tally->counts = true;
    tally->counted = tally->entries;
    tally->idle_cpu_ns = tally->idle_wall_ns = 0;
    tally->cpu_ns = stage_cpu_ns();
    tally->wall_ns = clock_monotonic_ns();
}

static void end(struct stage_tally *tally)
{
    tally->counts = false;
    tally->counted = tally->entries - tally->counted;
    tally->cpu_ns = stage_cpu_ns() - tally->cpu_ns - tally->idle_cpu_ns;
    tally->wall_ns = clock_monotonic_ns() - tally->wall_ns - tally->idle_wall_ns;
}

void stage_tally_follow(struct stage_tally *tally, enum stage_phase phase)
{
    if (phase == STAGE_COUNT && !tally->counts)
        begin(tally);
    else if (phase > STAGE_COUNT && tally->counts)
        end(tally);
}

struct stage_idle stage_idle_begin(void)
{
    return (struct stage_idle){.cpu_ns = stage_cpu_ns(), .wall_ns = clock_monotonic_ns()};
}

void stage_idle_end(struct stage_tally *tally, const struct stage_idle *since)
{
    tally->idle_cpu_ns += stage_cpu_ns() - since->cpu_ns;
    tally->idle_wall_ns += clock_monotonic_ns() - since->wall_ns;
}
