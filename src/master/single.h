/* A child of which there is one: the keeper or the reader.  Forked, watched, replaced and stopped
 * by the master.  Master only; no function blocks.
 *
 *              fork                      reaped               repaired, delay over
 *   ABSENT ────────────► RUNNING ───────────────► MENDED LATER ───────────────────► ABSENT
 *
 * One that dies at once, again and again, is restarted with growing delay; if it never came to
 * serve, the master gives up. */
#ifndef TICKETD_MASTER_SINGLE_H
#define TICKETD_MASTER_SINGLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "heritage/heritage.h"

/* How long one may stand still outside its ledger's hands before it is killed and replaced. */
#define SINGLE_HANG_TIMEOUT_MS 5000
/* So many deaths in a row before it ever served, and the master gives up. */
#define SINGLE_STILLBORN_MAX 5

struct single_options {
    const char *name;
    int (*run)(const struct heritage *heritage);
    const struct heritage *heritage;  /* borrowed; copied at each fork */
    void (*in_child)(void *context);  /* lets the child drop what is the master's */
    bool (*is_mended)(void *context); /* what the dead one left is repaired */
    void (*on_start)(void *context);  /* right before the fork */
    void (*on_gone)(void *context);   /* it was reaped, or the fork failed */
    void *context;
    const _Atomic uint64_t *heartbeat;   /* counts up while it lives, but in its ledger's hands */
    const _Atomic uint64_t *io_since_ms; /* 0: not in its ledger's hands */
    uint32_t metrics_slot;
};

struct single {
    struct single_options options;
    pid_t pid;       /* 0: none */
    unsigned deaths; /* in a row */
    uint64_t began_ms;
    uint64_t restart_at_ms;
    uint64_t kill_at_ms; /* 0: never */
    uint64_t seen_beat;
    uint64_t still_ms;
    uint64_t watched_ms;
    bool ever_served; /* its heart has beaten */
    bool killed;
    bool stopping;
    bool stillborn;
};

void single_init(struct single *single, const struct single_options *options);

/* Does what is due: forks, kills.  Returns when it wants to be called again at the latest. */
uint64_t single_tick(struct single *single, uint64_t now_ms);

/* Takes note of a child that was reaped.  false when it was another one. */
bool single_reaped(struct single *single, pid_t pid, int status, uint64_t now_ms);

/* Tells it to end, and kills it after most_ms. */
void single_stop(struct single *single, uint64_t now_ms, uint64_t most_ms);
/* After single_stop: it shall run again. */
void single_restart(struct single *single);
void single_kill(struct single *single);
bool single_gone(const struct single *single);

#endif
