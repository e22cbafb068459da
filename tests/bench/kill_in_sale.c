/* Kills a worker at the worst instruction there is, and watches what becomes of its sale.
 *
 *   kill-in-sale MASTER_PID WORKER_PID
 *
 * It steps the worker, under load, until it has won a slot of the first event's journal and has not
 * stamped it, kills it there, and reads in the master's memory when the slot is stamped (repaired)
 * and when the ledger has passed it.  The last line tells, in microseconds after the kill:
 *
 *   kill-in-sale killed_ns=… stamped_us=… durable_us=… steps=…
 *
 * killed_ns is on CLOCK_MONOTONIC.  Needs the right to trace both (ptrace(2)): exit status 77
 * without it.  Whatever happens to this process, the worker dies with it or runs on untouched. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "stock/segment.h"
#include "util/clock.h"

#define EXIT_SKIPPED 77
#define PID_MAX      4194304
#define STEPPING_NS  UINT64_C(10000000000)
#define WATCHING_NS  UINT64_C(5000000000)
#define LOOK_NS      50000
#define CONFIRM_NS   1000000
#define NS_PER_US    1000U
#define SEGMENT_NAME "memfd:ticketd-stock"
#define LINE_SIZE    512
#define STATUS_EVENT 16 /* waitpid's status: the kind of a ptrace stop is above this bit */
#define PLACES_MAX   300

/* The segment as it is in the master's memory, read and never written. */
struct view {
    int memory; /* /proc/MASTER/mem */
    uint64_t base;
    struct segment_header header;
    struct segment_event event;
    struct segment_place places[PLACES_MAX];
};

/* A slot that was won and is not stamped. */
struct orphan {
    uint32_t place;
    uint32_t sequence;
    uint32_t generation; /* of the place: another one after its owner's death */
};

static void look(const struct view *view, uint64_t at, void *ret, size_t size)
{
    if (pread(view->memory, ret, size, (off_t)(view->base + at)) != (ssize_t)size)
        err(EXIT_FAILURE, "cannot read the master's memory");
}

static uint64_t find_segment(int64_t master)
{
    char path[64], line[LINE_SIZE];
    uint64_t base = 0;
    FILE *maps;

    (void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/maps", master);
    maps = fopen(path, "re");
    if (maps == NULL)
        err(EXIT_SKIPPED, "%s", path);
    while (base == 0 && fgets(line, sizeof(line), maps) != NULL)
        if (strstr(line, SEGMENT_NAME) != NULL)
            base = strtoull(line, NULL, 16);
    (void)fclose(maps);
    if (base == 0)
        errx(EXIT_FAILURE, "process %" PRId64 " has no stock", master);
    return base;
}

static void open_view(struct view *view, int64_t master)
{
    char path[64];

    view->base = find_segment(master);
    (void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/mem", master);
    view->memory = open(path, O_RDONLY | O_CLOEXEC);
    if (view->memory == -1)
        err(EXIT_SKIPPED, "%s", path);
    look(view, 0, &view->header, sizeof(view->header));
    if (memcmp(view->header.magic, SEGMENT_MAGIC, sizeof(SEGMENT_MAGIC)) != 0 ||
        view->header.layout != SEGMENT_LAYOUT || view->header.place_count > PLACES_MAX)
        errx(EXIT_FAILURE, "the stock of another version");
}

static void look_at_event(struct view *view)
{
    look(view, view->header.events_at, &view->event, sizeof(view->event));
}

static void look_at_places(struct view *view)
{
    look(view, view->header.places_at, view->places,
         view->header.place_count * sizeof(view->places[0]));
}

/* Of a process that was stopped or of one that wrote it earlier: plain reads of a copy. */
static uint64_t plain(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static uint32_t generation_of(const struct view *view, uint32_t place)
{
    return atomic_load_explicit(&view->places[place].generation, memory_order_relaxed);
}

static bool is_stamped(const struct view *view, uint32_t sequence)
{
    struct segment_slot slot;
    uint64_t at = sequence & (view->header.ring_slots - 1);

    look(view, view->header.slots_at + at * sizeof(slot), &slot, sizeof(slot));
    return segment_is_stamped(&slot, sequence);
}

/* Whether some worker has won a slot and not stamped it: a place whose intent the word has passed.
 * The word is read after the intents, so that it is not the older of the two. */
static bool find_orphan(struct view *view, struct orphan *ret_orphan)
{
    look_at_places(view);
    look_at_event(view);
    for (uint32_t i = STOCK_PLACE_KEEPER + 1; i < view->header.place_count; ++i) {
        uint64_t intent = plain(&view->places[i].intent), word = plain(&view->event.word);
        if (intent == SEGMENT_NO_INTENT || segment_high(intent) == segment_high(word) ||
            is_stamped(view, segment_high(intent)))
            continue;
        *ret_orphan = (struct orphan){
            .place = i,
            .sequence = segment_high(intent),
            .generation = generation_of(view, i),
        };
        return true;
    }
    return false;
}

static void pause_ns(long ns)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* The others run on: what they hold for an instant is gone a little later.  Another worker that won
 * the same slot's number cannot be: a number is won once. */
static bool is_of_the_stopped_one(struct view *view, const struct orphan *orphan)
{
    struct orphan again;

    pause_ns(CONFIRM_NS);
    return find_orphan(view, &again) && again.place == orphan->place &&
           again.sequence == orphan->sequence;
}

static void attach(pid_t worker)
{
    int status;

    if (ptrace(PTRACE_SEIZE, worker, 0, PTRACE_O_EXITKILL) != 0)
        err(errno == EPERM ? EXIT_SKIPPED : EXIT_FAILURE, "cannot trace the worker");
    if (ptrace(PTRACE_INTERRUPT, worker, 0, 0) != 0 || waitpid(worker, &status, __WALL) != worker)
        err(EXIT_FAILURE, "cannot stop the worker");
}

/* One instruction, or one system call, however long it waits. */
static void step(pid_t worker, int *signal)
{
    int status;

    if (ptrace(PTRACE_SINGLESTEP, worker, 0, *signal) != 0 ||
        waitpid(worker, &status, __WALL) != worker)
        err(EXIT_FAILURE, "cannot step the worker");
    if (!WIFSTOPPED(status))
        errx(EXIT_FAILURE, "the worker ended by itself");
    *signal = WSTOPSIG(status) == SIGTRAP || status >> STATUS_EVENT != 0 ? 0 : WSTOPSIG(status);
}

static uint64_t step_into_a_sale(struct view *view, pid_t worker, struct orphan *ret_orphan)
{
    uint64_t end_ns = clock_monotonic_ns() + STEPPING_NS;
    int signal = 0;

    for (uint64_t steps = 1; clock_monotonic_ns() < end_ns; ++steps) {
        step(worker, &signal);
        if (find_orphan(view, ret_orphan) && is_of_the_stopped_one(view, ret_orphan))
            return steps;
    }
    errx(EXIT_FAILURE, "the worker sold nothing: is there load?");
}

static uint64_t passed_us(uint64_t since_ns)
{
    return (clock_monotonic_ns() - since_ns) / NS_PER_US;
}

/* Microseconds until the slot is stamped, and until the ledger is past it. */
static void watch(struct view *view, const struct orphan *orphan, uint64_t killed_ns,
                  uint64_t *ret_stamped_us, uint64_t *ret_durable_us)
{
    bool stamped = false, durable = false;

    while (!durable) {
        if (clock_monotonic_ns() - killed_ns > WATCHING_NS)
            errx(EXIT_FAILURE, "the slot was not repaired within seconds");
        look_at_event(view);
        if (!stamped && is_stamped(view, orphan->sequence)) {
            stamped = true;
            *ret_stamped_us = passed_us(killed_ns);
        }
        durable = (int32_t)((uint32_t)plain(&view->event.durable) - orphan->sequence) > 0;
        if (durable)
            *ret_durable_us = passed_us(killed_ns);
        else
            pause_ns(LOOK_NS);
    }
    if (!stamped) /* between two looks both happened */
        *ret_stamped_us = *ret_durable_us;
}

/* Whether the owner that the orphan was of is dead, and not the one of some other place. */
static bool has_died(struct view *view, const struct orphan *orphan)
{
    const struct segment_place *place = &view->places[orphan->place];

    look_at_places(view);
    return atomic_load_explicit(&place->life, memory_order_relaxed) != SEGMENT_ALIVE ||
           generation_of(view, orphan->place) != orphan->generation;
}

int main(int argc, char **argv)
{
    static struct view view;
    uint64_t killed_ns, steps, stamped_us = 0, durable_us = 0;
    struct orphan orphan;
    const char *problem;
    pid_t worker;

    if (argc != 3)
        errx(EXIT_FAILURE, "usage: kill-in-sale MASTER_PID WORKER_PID");
    open_view(&view, strtonum(argv[1], 1, PID_MAX, &problem));
    worker = (pid_t)strtonum(argv[2], 1, PID_MAX, &problem);
    if (worker == 0)
        errx(EXIT_FAILURE, "WORKER_PID is %s", problem);
    attach(worker);
    steps = step_into_a_sale(&view, worker, &orphan);
    killed_ns = clock_monotonic_ns();
    if (kill(worker, SIGKILL) != 0 || waitpid(worker, &(int){0}, __WALL) != worker)
        err(EXIT_FAILURE, "cannot kill the worker"); /* its parent hears of it only now */
    watch(&view, &orphan, killed_ns, &stamped_us, &durable_us);
    if (!has_died(&view, &orphan))
        errx(EXIT_FAILURE, "the sale was another worker's, which was slow in the middle of it");
    printf("kill-in-sale killed_ns=%" PRIu64 " stamped_us=%" PRIu64 " durable_us=%" PRIu64
           " steps=%" PRIu64 "\n",
           killed_ns, stamped_us, durable_us, steps);
    return EXIT_SUCCESS;
}
