#include "master/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stock/repair.h"
#include "ticketd/error.h"
#include "util/backoff.h"
#include "util/clock.h"
#include "util/log.h"

/* How often heartbeats are looked at. */
#define POOL_WATCH_MS 1000

void pool_init(struct pool *pool, uint32_t worker_count, uint32_t first_slot,
               const struct heritage *heritage, void (*in_child)(void *context), void *context)
{
    assert(worker_count > 0 && worker_count <= POOL_WORKERS_MAX);
    *pool = (struct pool){
        .role = heritage->role,
        .worker = role_worker(heritage->role),
        .worker_count = worker_count,
        .first_slot = first_slot,
        .board = scoreboard_part(&heritage->scoreboard, first_slot, POOL_SLOTS(worker_count)),
        .heritage = *heritage,
        .in_child = in_child,
        .context = context,
    };
    metrics_own(&heritage->metrics, first_slot, POOL_SLOTS(worker_count),
                METRICS_OWNER_OF(heritage->role));
}

static struct child *find(struct pool *pool, enum child_state state, uint32_t index)
{
    for (uint32_t slot = 0; slot < pool->board.slot_count; ++slot)
        if (pool->children[slot].state == state && pool->children[slot].index == index)
            return &pool->children[slot];
    return NULL;
}

static struct scoreboard_slot *slot_of(const struct pool *pool, const struct child *child)
{
    return &pool->board.slots[child - pool->children];
}

/* The place in the stock of whoever has that slot of the pool's. */
static uint32_t stock_place(const struct pool *pool, uint32_t slot)
{
    return STOCK_PLACE_OF(pool->first_slot + slot);
}

static bool is_serving(const struct pool *pool, const struct child *child)
{
    return child != NULL && scoreboard_state(slot_of(pool, child)) == SCOREBOARD_SERVING;
}

static void run_child(struct pool *pool, uint32_t index, uint32_t slot)
{
    struct heritage heritage = pool->heritage;

    heritage.index = index;
    heritage.slot = pool->first_slot + slot;
    pool->in_child(pool->context);
    exit(worker_run(&heritage));
}

static bool owns_stock(const struct pool *pool)
{
    return pool->heritage.stock.segment != NULL;
}

/* Nobody runs in the slot any more; it is free when its place in the stock is repaired. */
static void leave_slot(struct pool *pool, uint32_t slot)
{
    scoreboard_leave(&pool->board, slot);
    if (owns_stock(pool))
        place_reaped(&pool->heritage.stock, stock_place(pool, slot));
    else
        scoreboard_release(&pool->board, slot);
}

bool pool_repair(struct pool *pool)
{
    bool all = true;

    if (!owns_stock(pool))
        return true;
    for (uint32_t slot = 0; slot < pool->board.slot_count; ++slot) {
        if (!place_is_reaped(&pool->heritage.stock, stock_place(pool, slot)))
            continue;
        if (place_repair(&pool->heritage.stock, stock_place(pool, slot)) != TICKETD_DONE) {
            all = false;
            continue;
        }
        scoreboard_release(&pool->board, slot);
        (void)eventfd_write(pool->heritage.keeper_bell, 1);
    }
    return all;
}

/* 0; TICKETD_BUSY: all spare slots still drain, and the death of one of them wakes the master; or
 * -errno: no process is to be had now. */
static int start_child(struct pool *pool, enum child_state state, uint32_t index, uint64_t now_ms)
{
    uint32_t slot;
    pid_t pid;

    if (scoreboard_claim(&pool->board, (uint32_t)pool->role, &slot) != TICKETD_DONE)
        return TICKETD_BUSY;
    if (owns_stock(pool))
        place_give(&pool->heritage.stock, stock_place(pool, slot));
    pid = fork();
    if (pid == 0)
        run_child(pool, index, slot);
    if (pid == -1) {
        int error = errno;
        log_error("cannot fork %s %" PRIu32 ": %m", pool->worker, index);
        leave_slot(pool, slot);
        return -error;
    }
    metrics_raise_in(&pool->heritage.metrics, pool->first_slot + slot, METRICS_starts);
    pool->children[slot] = (struct child){
        .state = state,
        .pid = pid,
        .index = index,
        .began_ms = now_ms,
    };
    log_debug("%s %" PRIu32 " has pid %d", pool->worker, index, (int)pid);
    return TICKETD_DONE;
}

static void kill_child(struct child *child)
{
    (void)kill(child->pid, SIGKILL);
    child->killed = true;
}

/* Puts off the next start in that place, longer each time.  Returns by how much. */
static uint64_t back_off(struct place *place, uint64_t now_ms)
{
    uint64_t delay_ms = backoff_ms(place->deaths++);

    place->restart_at_ms = now_ms + delay_ms;
    return delay_ms;
}

static void note_death(struct pool *pool, const struct child *child, uint64_t now_ms)
{
    struct place *place = &pool->places[child->index];
    uint64_t delay_ms;

    if (child->served && now_ms - child->began_ms >= POOL_SETTLED_MS)
        place->deaths = 0;
    delay_ms = back_off(place, now_ms);
    if (!pool->ever_served && place->deaths >= POOL_STILLBORN_MAX)
        pool->stillborn = true;
    else if (delay_ms > 0)
        log_info("%s %" PRIu32 " starts again in %" PRIu64 " ms", pool->worker, child->index,
                 delay_ms);
}

static void log_death(const struct pool *pool, const struct child *child, int status)
{
    if (WIFSIGNALED(status))
        log_warning("%s %" PRIu32 " (pid %d) was killed by signal %d (%s)", pool->worker,
                    child->index, (int)child->pid, WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        log_warning("%s %" PRIu32 " (pid %d) exited with status %d", pool->worker, child->index,
                    (int)child->pid, WEXITSTATUS(status));
}

bool pool_reaped(struct pool *pool, pid_t pid, int status, uint64_t now_ms)
{
    for (uint32_t slot = 0; slot < pool->board.slot_count; ++slot) {
        struct child *child = &pool->children[slot];
        bool expected = pool->stopping || pool->stops_later || child->state == CHILD_RETIRING;
        if (child->state == CHILD_NONE || child->pid != pid)
            continue;
        if (!expected || !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS) {
            log_death(pool, child, status);
            metrics_raise_in(&pool->heritage.metrics, pool->first_slot + slot, METRICS_deaths);
        }
        if (child->state == CHILD_INCOMING && !pool->stopping) {
            log_error("reload given up: the new %s %" PRIu32 " died; the old ones go on",
                      pool->worker, child->index);
            pool->roll_failed = true;
            pool->rolling = false;
        }
        if (child->state == CHILD_CURRENT && !pool->stopping)
            note_death(pool, child, now_ms);
        child->state = CHILD_NONE;
        leave_slot(pool, slot);
        return true;
    }
    return false;
}

/* Fills the places that have no child. */
static uint64_t fill_places(struct pool *pool, uint64_t now_ms)
{
    uint64_t wake_ms = UINT64_MAX;

    for (uint32_t index = 0; index < pool->worker_count; ++index) {
        struct place *place = &pool->places[index];
        if (find(pool, CHILD_CURRENT, index) != NULL || find(pool, CHILD_INCOMING, index) != NULL)
            continue;
        if (now_ms < place->restart_at_ms)
            wake_ms = clock_earlier(wake_ms, place->restart_at_ms);
        else if (start_child(pool, CHILD_CURRENT, index, now_ms) < 0)
            wake_ms = clock_earlier(wake_ms, now_ms + back_off(place, now_ms));
    }
    return wake_ms;
}

static void retire(struct pool *pool, struct child *child, uint64_t now_ms)
{
    child->state = CHILD_RETIRING;
    child->kill_at_ms = now_ms + (uint64_t)pool->heritage.settings->shutdown_timeout_ms;
}

static void promote(struct pool *pool, struct child *incoming, uint64_t now_ms)
{
    struct child *old = find(pool, CHILD_CURRENT, incoming->index);

    incoming->state = CHILD_CURRENT;
    pool->places[incoming->index].deaths = 0;
    if (old == NULL)
        return;
    retire(pool, old, now_ms);
    (void)kill(old->pid, WORKER_SIGNAL_ROLL);
}

/* Whether a worker that was told to drain may not have read that yet. */
static bool is_retiring_deaf(const struct pool *pool)
{
    for (uint32_t slot = 0; slot < pool->board.slot_count; ++slot)
        if (pool->children[slot].state == CHILD_RETIRING && is_serving(pool, &pool->children[slot]))
            return true;
    return false;
}

/* Moves a reload on: at most one worker comes in at a time, and none before the last one that went
 * has stopped accepting.  The bell and SIGCHLD wake the master for what is waited for here. */
static uint64_t roll(struct pool *pool, uint64_t now_ms)
{
    struct child *incoming;

    if (!pool->rolling || is_retiring_deaf(pool))
        return UINT64_MAX;
    if (pool->roll_index == pool->worker_count) {
        pool->rolling = false;
        return now_ms;
    }
    incoming = find(pool, CHILD_INCOMING, pool->roll_index);
    if (incoming == NULL)
        return start_child(pool, CHILD_INCOMING, pool->roll_index, now_ms) < 0
                   ? now_ms + POOL_WATCH_MS
                   : UINT64_MAX;
    if (!is_serving(pool, incoming))
        return UINT64_MAX; /* one that never serves is killed, which ends this */
    promote(pool, incoming, now_ms);
    ++pool->roll_index;
    return now_ms;
}

/* Why a child must be killed now, or NULL. */
static const char *judge_child(const struct pool *pool, const struct child *child, uint64_t now_ms)
{
    if (child->kill_at_ms != 0 && now_ms >= child->kill_at_ms)
        return "did not drain in time";
    if (scoreboard_state(slot_of(pool, child)) == SCOREBOARD_STARTING)
        return now_ms - child->began_ms >= POOL_START_TIMEOUT_MS ? "did not start in time" : NULL;
    return child->still_ms >= POOL_HANG_TIMEOUT_MS ? "hangs: its heartbeat stands still" : NULL;
}

static void watch_child(struct pool *pool, struct child *child, uint64_t slept_ms, uint64_t now_ms)
{
    uint64_t beat = atomic_load_explicit(&slot_of(pool, child)->heartbeat, memory_order_relaxed);
    const char *fault;

    child->still_ms = beat == child->heartbeat ? child->still_ms + slept_ms : 0;
    child->heartbeat = beat;
    if (is_serving(pool, child))
        child->served = pool->ever_served = true;
    /* told to end by somebody else: its place is free for another */
    if (child->state == CHILD_CURRENT && !pool->stopping &&
        scoreboard_state(slot_of(pool, child)) == SCOREBOARD_DRAINING)
        retire(pool, child, now_ms);
    fault = child->killed ? NULL : judge_child(pool, child, now_ms);
    if (fault == NULL)
        return;
    log_error("%s %" PRIu32 " (pid %d) %s; killing it", pool->worker, child->index, (int)child->pid,
              fault);
    kill_child(child);
}

static uint64_t watch_children(struct pool *pool, uint64_t now_ms)
{
    uint64_t slept_ms = now_ms - pool->watched_ms, wake_ms = now_ms + POOL_WATCH_MS;

    /* After a pause of the whole machine the children have not run either: it does not count. */
    if (pool->watched_ms == 0 || slept_ms > 2 * POOL_WATCH_MS)
        slept_ms = 0;
    pool->watched_ms = now_ms;
    for (uint32_t slot = 0; slot < pool->board.slot_count; ++slot) {
        struct child *child = &pool->children[slot];
        if (child->state == CHILD_NONE)
            continue;
        watch_child(pool, child, slept_ms, now_ms);
        if (child->kill_at_ms != 0 && !child->killed)
            wake_ms = clock_earlier(wake_ms, child->kill_at_ms);
    }
    return wake_ms;
}

uint64_t pool_tick(struct pool *pool, uint64_t now_ms)
{
    uint64_t wake_ms = watch_children(pool, now_ms);

    if (pool->stopping || pool->stillborn)
        return wake_ms;
    wake_ms = clock_earlier(wake_ms, fill_places(pool, now_ms));
    return clock_earlier(wake_ms, roll(pool, now_ms));
}

void pool_kill_holder(struct pool *pool, uint32_t event, uint32_t sequence)
{
    uint32_t place;
    struct child *child;

    if (!place_of_intent(&pool->heritage.stock, event, sequence, &place) ||
        place < stock_place(pool, 0) || place >= stock_place(pool, pool->board.slot_count))
        return;
    child = &pool->children[place - stock_place(pool, 0)];
    if (child->state == CHILD_NONE || child->killed)
        return;
    log_error("%s %" PRIu32 " (pid %d) holds up the journal; killing it", pool->worker,
              child->index, (int)child->pid);
    kill_child(child);
}

void pool_roll(struct pool *pool)
{
    assert(!pool->rolling);
    pool->roll_index = 0;
    pool->roll_failed = false;
    pool->rolling = true;
}

void pool_stop(struct pool *pool, uint64_t end_ms)
{
    pool->stopping = true;
    pool->rolling = false;
    for (uint32_t slot = 0; slot < pool->board.slot_count; ++slot) {
        struct child *child = &pool->children[slot];
        if (child->state == CHILD_NONE)
            continue;
        child->kill_at_ms =
            child->kill_at_ms == 0 ? end_ms : clock_earlier(child->kill_at_ms, end_ms);
        (void)kill(child->pid, WORKER_SIGNAL_STOP);
    }
}

void pool_restart(struct pool *pool)
{
    assert(pool_gone(pool));
    pool->stopping = pool->stops_later = false;
    memset(pool->places, 0, sizeof(pool->places));
}

void pool_kill(struct pool *pool)
{
    for (uint32_t slot = 0; slot < pool->board.slot_count; ++slot)
        if (pool->children[slot].state != CHILD_NONE)
            kill_child(&pool->children[slot]);
}

uint32_t pool_serving(const struct pool *pool)
{
    uint32_t serving = 0;

    for (uint32_t slot = 0; slot < pool->board.slot_count; ++slot)
        if (pool->children[slot].state == CHILD_CURRENT && is_serving(pool, &pool->children[slot]))
            ++serving;
    return serving;
}

bool pool_ready(const struct pool *pool)
{
    return pool_serving(pool) == pool->worker_count;
}

bool pool_gone(const struct pool *pool)
{
    for (uint32_t slot = 0; slot < pool->board.slot_count; ++slot)
        if (pool->children[slot].state != CHILD_NONE)
            return false;
    return true;
}
