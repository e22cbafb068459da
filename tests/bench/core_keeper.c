#include "core_keeper.h"

#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "core_syncs.h"
#include "keeper/keeper_process.h"
#include "stock/keeper_link.h"
#include "util/clock.h"

#define ERROR_MAX 512
#define TTL_S     86400
#define LOOK_MS   100
#define NS_PER_S  UINT64_C(1000000000)
#define US_PER_S  INT64_C(1000000)

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

static void make_ledger(struct stage_keeper *keeper)
{
    const struct stock *stock = &keeper->stage->heritage.stock;
    const struct ledger_ops *ops = keeper->place.ops;
    struct ledger *ledger = NULL;
    char error[ERROR_MAX] = "";

    if (ops->lock(&keeper->stage->heritage.ledger_hold, keeper->place.location, 0, error,
                  sizeof(error)) != 0 ||
        ops->open(&ledger, keeper->place.location, keeper->stage->heritage.ledger_hold, error,
                  sizeof(error)) != 0)
        errx(EXIT_FAILURE, "%s", error);
    for (uint32_t i = 0; i < stock_event_count(stock); ++i)
        if (ops->create_event(ledger, stock_event_id(stock, i), STAGE_CAPACITY, now_us()) != 0)
            errx(EXIT_FAILURE, "%s", ops->error(ledger));
    ops->close(ledger);
}

void stage_keeper_open(struct stage_keeper *keeper, struct stage *stage, const char *url)
{
    static const struct settings settings = {.idempotency_ttl_s = TTL_S}; /* all that it reads */
    char error[ERROR_MAX] = "";

    *keeper = (struct stage_keeper){.stage = stage};
    if (ledger_place_find(url, &keeper->place, error, sizeof(error)) != 0)
        errx(EXIT_FAILURE, "%s", error);
    make_ledger(keeper);
    stage->heritage.settings = &settings;
    stage->heritage.ledger = keeper->place.ops;
    stage->heritage.ledger_location = keeper->place.location;
    stage->heritage.durable = keeper->place.durable;
    syncs_count_in(&stage->shared->syncs);
}

static int run(struct stage *stage, void *context)
{
    (void)context;
    return keeper_run(&stage->heritage);
}

void stage_keeper_start(struct stage_keeper *keeper, uint32_t cpu)
{
    struct pollfd bell = {.fd = keeper->stage->heritage.master_bell, .events = POLLIN};
    sigset_t set;
    int status;

    sigemptyset(&set);
    sigaddset(&set, KEEPER_SIGNAL_STOP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    keeper->pid = stage_start(keeper->stage, cpu, run, NULL);
    while (keeper_state(&keeper->stage->heritage.stock) != KEEPER_RUNNING) {
        if (waitpid(keeper->pid, &status, WNOHANG) != 0)
            errx(EXIT_FAILURE, "the keeper ended with status %#x", (unsigned)status);
        (void)poll(&bell, 1, LOOK_MS);
    }
}

/* CPU time of another process; 0 where the kernel does not tell. */
static uint64_t cpu_of(pid_t pid)
{
    struct timespec used = {0};
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) == 0)
        (void)clock_gettime(clock, &used);
    return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

/* The number after the name that a line of /proc begins with; another line's leaves *ret_value. */
static void read_field(const char *line, const char *name, uint64_t *ret_value)
{
    size_t len = strlen(name);

    if (strncmp(line, name, len) == 0)
        *ret_value = strtoull(line + len, NULL, 10);
}

/* What it wrote; 0 likewise. */
static void read_io(pid_t pid, struct keeper_work *work)
{
    char line[128];
    FILE *io;

    (void)snprintf(line, sizeof(line), "/proc/%d/io", pid);
    io = fopen(line, "re");
    while (io != NULL && fgets(line, sizeof(line), io) != NULL) {
        read_field(line, "wchar:", &work->written);
        read_field(line, "write_bytes:", &work->written_disk);
    }
    if (io != NULL)
        (void)fclose(io);
}

uint64_t stage_keeper_entries(const struct stage_keeper *keeper)
{
    const struct stock *stock = &keeper->stage->heritage.stock;
    uint64_t entries = 0;

    for (uint32_t i = 0; i < stock_event_count(stock); ++i)
        entries += stock_durable(stock, i) - 1; /* without its first stock */
    return entries;
}

static struct keeper_work look(const struct stage_keeper *keeper)
{
    struct metrics_values batches = {0};
    struct keeper_work work = {
        .entries = stage_keeper_entries(keeper),
        .syncs = atomic_load_explicit(&keeper->stage->shared->syncs, memory_order_relaxed),
        .cpu_ns = cpu_of(keeper->pid),
        .wall_ns = clock_monotonic_ns(),
    };

    metrics_sum_series(&keeper->stage->heritage.metrics, METRICS_SERIES_keeper_batch, &batches);
    work.batches = metrics_values_count(&batches);
    read_io(keeper->pid, &work);
    return work;
}

void stage_keeper_on_edge(void *context, bool begins)
{
    struct stage_keeper *keeper = context;
    struct keeper_work now = look(keeper);

    if (begins)
        keeper->then = now;
    else
        keeper->work = (struct keeper_work){
            .entries = now.entries - keeper->then.entries,
            .batches = now.batches - keeper->then.batches,
            .syncs = now.syncs - keeper->then.syncs,
            .cpu_ns = now.cpu_ns - keeper->then.cpu_ns,
            .wall_ns = now.wall_ns - keeper->then.wall_ns,
            .written = now.written - keeper->then.written,
            .written_disk = now.written_disk - keeper->then.written_disk,
        };
}

void stage_keeper_end(struct stage_keeper *keeper)
{
    if (kill(keeper->pid, KEEPER_SIGNAL_STOP) != 0)
        err(EXIT_FAILURE, "cannot end the keeper");
    stage_expect_end(keeper->pid);
}
