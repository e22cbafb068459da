#include "keeper/keeper_process.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "keeper/keeper.h"
#include "keeper/sleeper.h"
#include "stock/keeper_link.h"
#include "util/clock.h"
#include "util/log.h"

/* An idle keeper shows so often that it lives, and looks after its store and old keys. */
#define IDLE_MS 500
/* How often it looks whether a taken slot has been stamped when nobody rings for it, and after how
 * long the master is told, who kills whoever holds it up. */
#define STALL_LOOK_MS 20
#define STALL_MAX_MS  400
/* A worker that does not end its turn so soon is stopped or very slow: others are not held up. */
#define TURN_MAX_MS 20
/* Pauses between attempts to write, doubled each time. */
#define FAULT_PAUSE_FIRST_MS 50
#define FAULT_PAUSE_MAX_MS   1000
/* Attempts that a keeper which was told to end makes with a failing ledger. */
#define LAST_TRIES 3

struct keeper_loop {
    const struct heritage *heritage;
    struct keeper *keeper;
    struct stock *stock;
    struct sleeper sleeper;
    unsigned faults;           /* in a row */
    struct keeper_stall stall; /* event UINT32_MAX: none */
    uint64_t stalled_ms;       /* for how long, as far as this process was awake to see */
    uint64_t stall_seen_ms;    /* when it was last looked at */
    bool told_stall;
};

static void beat(struct keeper_loop *loop)
{
    scoreboard_add(&loop->stock->segment->keeper.heartbeat, 1);
}

/* Sleeps, unless there is something to do after all; false when nothing came all the time.  What
 * was done before this must be visible to who looks at the flag: see keeper_link_sleep. */
static bool look_and_sleep(struct keeper_loop *loop, int most_ms)
{
    _Atomic uint32_t *asleep = &loop->stock->segment->keeper.asleep;
    bool woken = true;

    keeper_link_sleep(asleep);
    if (!keeper_has_work(loop->keeper))
        woken = sleeper_wait(&loop->sleeper, most_ms);
    keeper_link_awake(asleep);
    return woken;
}

/* Leaves the workers that are in the middle of a turn, or were woken for one that may bring more
 * than there is, the time to end it with its looks for more: a batch costs nearly the same whether
 * it has ten entries or a hundred.  A bell is only waited for when it is owed. */
static void await_turn(struct keeper_loop *loop)
{
    _Atomic uint32_t *asleep = &loop->stock->segment->keeper.asleep;

    if (!keeper_link_bell_is_owed(loop->stock))
        return;
    keeper_link_sleep(asleep);
    if (keeper_link_bell_is_owed(loop->stock) && !sleeper_wait(&loop->sleeper, TURN_MAX_MS))
        keeper_link_forget_bells(loop->stock);
    keeper_link_awake(asleep);
}

static void on_idle(struct keeper_loop *loop)
{
    _Atomic uint64_t *io = &loop->stock->segment->keeper.io_since_ms;

    keeper_link_begin_io(io, clock_monotonic_ms());
    (void)loop->heritage->ledger->tidy(loop->keeper->ledger); /* it is tried again */
    keeper_link_end_io(io);
}

static void begin_stall(struct keeper_loop *loop, const struct keeper_stall *stall)
{
    if (loop->told_stall)
        keeper_link_stalled(loop->stock, UINT32_MAX, 0);
    loop->told_stall = false;
    loop->stall = *stall;
    loop->stalled_ms = 0;
    loop->stall_seen_ms = clock_monotonic_ms();
}

/* Looks after every turn whether the journal of an event stands still.  A pause of the whole
 * machine is no stall: nobody could have gone on. */
static void watch_stall(struct keeper_loop *loop, const struct keeper_stall *stall)
{
    uint64_t now_ms, slept_ms;

    if (stall->event == UINT32_MAX && loop->stall.event == UINT32_MAX)
        return;
    if (stall->event != loop->stall.event || stall->sequence != loop->stall.sequence) {
        begin_stall(loop, stall);
        return;
    }
    now_ms = clock_monotonic_ms();
    slept_ms = now_ms - loop->stall_seen_ms;
    loop->stalled_ms += slept_ms < 2 * STALL_LOOK_MS ? slept_ms : 2 * STALL_LOOK_MS;
    loop->stall_seen_ms = now_ms;
    if (loop->stalled_ms < STALL_MAX_MS)
        return;
    loop->stalled_ms = 0; /* told again, if it goes on */
    loop->told_stall = true;
    keeper_link_stalled(loop->stock, stall->event, stall->sequence);
    heritage_ring_master(loop->heritage);
}

static void on_fault(struct keeper_loop *loop)
{
    unsigned doublings = loop->faults < 8 ? loop->faults : 8;
    unsigned pause_ms = FAULT_PAUSE_FIRST_MS << doublings;

    if (loop->faults++ == 0) {
        keeper_set_state(loop->stock, KEEPER_FAULT);
        log_error("%s; selling stops until it can be written again", keeper_error(loop->keeper));
        heritage_ring_master(loop->heritage);
    }
    sleeper_wait(&loop->sleeper,
                 (int)(pause_ms < FAULT_PAUSE_MAX_MS ? pause_ms : FAULT_PAUSE_MAX_MS));
}

static void end_fault(struct keeper_loop *loop)
{
    if (loop->faults == 0)
        return;
    log_info("the ledger is written again after %u attempts; selling goes on", loop->faults);
    loop->faults = 0;
    keeper_set_state(loop->stock, KEEPER_RUNNING);
    heritage_ring_master(loop->heritage);
}

/* Until told to end and nothing is left.  0; 1: told to end with a ledger that cannot be written;
 * or a negated errno. */
static int serve(struct keeper_loop *loop)
{
    for (;;) {
        struct keeper_stall stall;
        int result = keeper_turn(loop->keeper, &stall);
        beat(loop);
        if (result < 0)
            return result;
        if (result == KEEPER_TURN_FAULT) {
            on_fault(loop);
            if (loop->sleeper.told_to_end && loop->faults >= LAST_TRIES)
                return 1;
            continue;
        }
        end_fault(loop);
        watch_stall(loop, &stall);
        if (result == KEEPER_TURN_IDLE && loop->sleeper.told_to_end)
            return 0;
        if (result == KEEPER_TURN_DONE)
            await_turn(loop);
        else if (result == KEEPER_TURN_STALLED)
            (void)look_and_sleep(loop, STALL_LOOK_MS);
        else if (!look_and_sleep(loop, IDLE_MS))
            on_idle(loop); /* between two batches of a busy night it would only cost syncs */
    }
}

static int run(struct keeper_loop *loop)
{
    const struct heritage *heritage = loop->heritage;
    struct keeper_options options = {
        .stock = loop->stock,
        .ops = heritage->ledger,
        .location = heritage->ledger_location,
        .hold_fd = heritage->ledger_hold,
        .ttl_s = heritage->settings->idempotency_ttl_s,
        .bells = heritage->bells,
        .reader_bell = heritage->reader_bell,
        .metrics = &heritage->metrics,
    };
    char error[SETTINGS_ERROR_MAX];
    int result = sleeper_init(&loop->sleeper, heritage->keeper_bell);

    if (result < 0) {
        errno = -result;
        log_critical("cannot start: %m");
        return EXIT_FAILURE;
    }
    result = keeper_open(loop->keeper, &options, error, sizeof(error));
    if (result != 0) {
        log_critical("cannot start: %s", error);
        return EXIT_FAILURE;
    }
    /* Before it says that it runs: the master watches nobody who has never shown a beat, for to
     * load a ledger takes as long as it takes, and one that hung between the two would stay for
     * good. */
    beat(loop);
    keeper_set_state(loop->stock, KEEPER_RUNNING);
    heritage_ring_master(heritage);
    result = serve(loop);
    if (result == 0) {
        keeper_close(loop->keeper);
        return EXIT_SUCCESS;
    }
    if (result < 0)
        log_critical("the ledger and the journal contradict each other: %s",
                     keeper_error(loop->keeper));
    else
        log_critical("ending with sales that are not in the ledger; nobody was told of them: %s",
                     keeper_error(loop->keeper));
    return EXIT_FAILURE;
}

int keeper_run(const struct heritage *heritage)
{
    static struct keeper keeper; /* too large for a stack, one a process */
    struct stock stock = heritage->stock;
    struct keeper_loop loop = {
        .heritage = heritage, .keeper = &keeper, .stock = &stock, .stall = {.event = UINT32_MAX}};

    if (!heritage_bind(heritage))
        return EXIT_FAILURE;
    setproctitle("keeper");
    log_set_role("keeper", -1);
    log_count_drops_in(metrics_cell_in(&heritage->metrics, METRICS_SLOT_KEEPER(&heritage->metrics),
                                       METRICS_log_dropped));
    return run(&loop);
}
