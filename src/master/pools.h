/* The pools of this master, one or two, as one: their listeners, their start, their reload and
 * their end.  Master only; only pools_listen may block, on a name look-up.
 *
 *   start     the owner of the stock first; nobody waits for anybody
 *   reload    the owner of the stock first; the next one when it has rolled
 *   stop      the other way round: the ticket pool needs the vacancy pool for what it has in hand
 */
#ifndef TICKETD_MASTER_POOLS_H
#define TICKETD_MASTER_POOLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "master/deployment.h"
#include "master/listener.h"
#include "master/pool.h"

struct pools;

/* One pool and what is its own. */
struct pools_item {
    struct pools *all;
    struct deployment_pool plan;
    struct settings settings; /* as its workers see them */
    struct listener_set listeners;
    int listener_fds[LISTENERS_MAX];
    struct pool pool;
    bool shut;         /* its listeners let nobody new in */
    uint64_t shut_ms;  /* since when */
    bool told_to_stop; /* and its listeners are closed, if they are to be */
};

struct pools_options {
    const struct settings *settings; /* borrowed, likewise below */
    const struct heritage *heritage; /* what all children get, but for what a pool has of its own */
    /* right after the fork of a worker: drops what is the master's, and what that role must not
     * have */
    void (*in_child)(void *context, enum role role);
    void *context;
};

struct pools {
    /* fixed after start */
    struct deployment deployment;
    struct pools_options options;
    /* where the ticket pool finds the vacancy pool of this very master; empty: VACANCY_URL says */
    char vacancy_url[LISTENER_NAME_MAX];

    struct pools_item items[DEPLOYMENT_POOLS_MAX]; /* as in the deployment */
    struct listener_set control; /* the socket of ticketctl; the first pool serves it */

    bool rolling;     /* a reload is under way */
    bool roll_failed; /* the last one was given up */
    bool roll_again;  /* another one was asked for meanwhile */
    uint32_t roll_at; /* the pool that is being rolled */

    bool stopping;
    bool closing;        /* the listeners, too: not for a restart in place */
    uint64_t settle_ms;  /* how long handshakes that have begun have to end */
    uint64_t stop_at_ms; /* when a pool is told to stop although the one before it has not ended */
    uint64_t end_ms;     /* when all are killed that are left */
};

/* Takes over what the service manager has opened, the control socket too if it is there; opens the
 * listeners of the other pools of pools->deployment, which the caller has set, or takes those that
 * a restart in place left.  0; TICKETD_INVALID or -errno after one line in the log. */
int pools_listen(struct pools *pools, const struct settings *settings);

/* Call when the listeners, and the control socket if there is one, are open.  Starts nothing yet.
 */
void pools_init(struct pools *pools, const struct pools_options *options);

/* Hands settings that were loaded again to all workers that are forked from now on. */
void pools_take_settings(struct pools *pools, const struct settings *settings);

/* Does what is due; see pool_tick. */
uint64_t pools_tick(struct pools *pools, uint64_t now_ms);

/* See pool_reaped, pool_repair, pool_kill. */
bool pools_reaped(struct pools *pools, pid_t pid, int status, uint64_t now_ms);
bool pools_repair(struct pools *pools);
void pools_kill(struct pools *pools);

/* Kills the worker that has taken the slot of that sequence and does not stamp it. */
void pools_kill_holder(struct pools *pools, uint32_t event, uint32_t sequence);

/* Replaces all workers.  While that is under way: once more afterwards. */
void pools_roll(struct pools *pools);

/* Ends all pools within SHUTDOWN_TIMEOUT, one after the other.  `closing`: the listeners, too.  May
 * be called again: of two ends the earlier one holds. */
void pools_stop(struct pools *pools, bool closing, uint64_t now_ms);

/* Starts the workers again after pools_stop, when pools_gone. */
void pools_restart(struct pools *pools);

/* Makes the listeners of all pools survive an execve, and undoes that.  0 or -errno. */
int pools_export(const struct pools *pools);
void pools_unexport(const struct pools *pools);

/* In a new child that is no worker: closes what is the workers'. */
void pools_leave(const struct pools *pools);

/* True when every place of every pool has a serving worker; when all pools were told to stop and no
 * worker is left. */
bool pools_ready(const struct pools *pools);
bool pools_gone(const struct pools *pools);

/* The pool that cannot live, or NULL. */
const struct pool *pools_stillborn(const struct pools *pools);

/* How many places of all pools have a serving worker; how many places there are. */
uint32_t pools_serving(const struct pools *pools);
uint32_t pools_worker_count(const struct pools *pools);

#endif
