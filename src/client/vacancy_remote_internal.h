/* What the files of the remote client share.  Private to src/client/vacancy_remote*.c (and their
 * tests); one thread.
 *
 * Each pending call has a cell.  Where it is:
 *
 *     reserve ──► fresh ──┐                                ┌──► ended, the cell is free
 *                         ├──► a trip (one HTTP exchange) ─┤
 *     others ───► asks ───┤                                └──► delayed ──► again, or asks
 *                again ───┘                                     (broken, not sent, not believed)
 *     health ───► probed, until the one probe (a cell of its own, without a call) ends
 *
 * A cell is in the heap of deadlines while it does not travel: a trip ends at its earliest member's
 * deadline at the latest (a first attempt before it), which client/upstream.h sees to, and only its
 * end tells whether anything had left this machine by then.  A cancelled cell that travels stays in
 * its trip, without a call.
 */
#ifndef TICKETD_CLIENT_VACANCY_REMOTE_INTERNAL_H
#define TICKETD_CLIENT_VACANCY_REMOTE_INTERNAL_H

#include <sys/queue.h>

#include "client/upstream.h"
#include "client/vacancy_remote.h"
#include "http/timer.h"
#include "metrics/metrics.h"
#include "ticketd/key.h"
#include "ticketd/order_id.h"
#include "util/clock.h"
#include "util/token.h"
#include "util/traceparent.h"
#include "wire/reserve_batch.h"

/* Most purchases that travel at a time, whatever the settings allow. */
#define REMOTE_TRAVEL_MAX 65536
/* Most calls other than purchases that travel at a time. */
#define REMOTE_ASKS_MAX 8
/* Most deadlines judged in one turn of the loop. */
#define REMOTE_EXPIRE_MAX 256
/* So many turns of the loop, or REMOTE_PATIENCE_MS, and purchases leave although more are coming.
 */
#define REMOTE_LOOKS_MAX 16
/* How often a connection is asked for when none is free and nothing of ours holds one. */
#define REMOTE_POLL_MS 10
/* The second attempt follows the first one at once (a kept connection that the peer has just closed
 * is no news of its health); the next ones after these delays, the last for all that follow. */
#define REMOTE_DELAYS                                                                              \
    {                                                                                              \
        10, 20, 40, 80, 160, 320, 500                                                              \
    }
#define REMOTE_DELAY_COUNT 7
/* Longest body of a reply other than a batch's. */
#define REMOTE_BODY_MAX 16384
/* A first attempt gets three quarters of the time that its calls have left, if the rest is so much:
 * a peer that has stopped, and holds the connection, leaves time to ask another.  The attempts
 * after it get all. */
#define REMOTE_REST_MIN_MS 25
/* Least time between two lines about the same kind of trouble. */
#define REMOTE_WARN_MS 1000

enum remote_kind {
    REMOTE_RESERVE,
    REMOTE_AVAILABLE,
    REMOTE_ORDER,
    REMOTE_HEALTH, /* waits for the probe */
    REMOTE_PROBE,
};

struct remote_queue;

struct remote_cell {
    struct vacancy_call *call; /* NULL: nobody waits for it any more, or it is the probe */
    uint64_t deadline_ms;
    uint64_t moment_ms;         /* since when it waits; delayed: until when */
    uint64_t number;            /* calls are counted as they come */
    struct remote_queue *queue; /* the one it is in; NULL: free */
    uint32_t heap_place;        /* its place in the heap, from 1 on; 0: not in it */
    enum remote_kind kind;
    uint32_t attempts; /* that ended without a verdict */
    bool broken;       /* one of these may have been carried out */
    bool made_key;     /* the key is ours, not the client's */
    uint8_t key_len;
    uint8_t request_id_len;
    uint8_t traceparent_len;
    uint32_t quantity;
    struct order_id order; /* REMOTE_ORDER */
    TAILQ_ENTRY(remote_cell) in_queue;
    char key[KEY_TEXT_MAX];
    char request_id[RESERVE_BATCH_REQUEST_ID_MAX];
    char traceparent[TRACEPARENT_LEN];
};

TAILQ_HEAD(remote_cells, remote_cell);

struct remote_queue {
    struct remote_cells cells;
    uint32_t count;
};

/* One exchange and those that travel with it. */
struct remote_trip {
    struct upstream_call upstream; /* first */
    struct vacancy_remote *remote;
    struct remote_queue members;
    bool is_batch;
    LIST_ENTRY(remote_trip) in_free;
};

/* A kind of trouble that the log tells of, but not of each time. */
struct remote_warning {
    uint64_t said_ms; /* when a line was last written; 0: never */
    uint64_t unsaid;  /* events since then */
};

struct vacancy_remote {
    struct vacancy_client client; /* first: this is what callers hold */

    /* fixed after start */
    const struct settings *settings;
    struct metrics_recorder *metrics;
    uint32_t batch_max;
    uint32_t queue_max;
    uint64_t timeout_ms;
    h2o_context_t *context;
    struct upstream *upstream;
    struct http_timer timer;
    h2o_timeout_entry_t turn_end;

    /* cells; those from `fresh_cell` on were never used and cost no memory yet */
    struct remote_cell *cells;
    uint32_t cell_count;
    uint32_t fresh_cell;
    uint32_t used;
    struct remote_queue free;
    struct remote_cell **heap; /* of deadlines, the earliest at 1 */
    uint32_t heap_count;

    /* calls that do not travel */
    struct remote_queue fresh; /* purchases that have not travelled */
    struct remote_queue again; /* purchases to be sent once more, before the fresh ones */
    struct remote_queue asks;
    struct remote_queue delayed[REMOTE_DELAY_COUNT];
    struct remote_queue probed;
    uint64_t calls; /* ever */

    /* exchanges */
    struct remote_trip *trips;
    uint32_t trip_count;
    uint32_t fresh_trip;
    LIST_HEAD(, remote_trip) free_trips;
    uint32_t batches_away;
    uint32_t asks_away;
    uint32_t travelling;    /* cells */
    uint32_t batches_ended; /* since the last departure */
    bool blocked;           /* at the last departure some had to stay: no connection is free */

    /* whether those that are fresh wait for more, from one turn of the loop to the next */
    bool gathering;
    bool answered;      /* purchases, since it was last judged */
    uint32_t looked_at; /* how many were fresh at the end of the last turn */
    uint32_t looks;     /* how often they have waited since some last left */
    uint64_t since_ms;  /* the first of these */

    /* the probe */
    struct remote_cell *probe; /* NULL: none is under way */
    uint64_t probed_ms;        /* when the last one was begun; 0: never */
    int health;                /* its answer */

    uint64_t timer_ms; /* the moment that the timer is set to; UINT64_MAX: none */
    struct token_source tokens;
    struct remote_warning refused;      /* a reply that no vacancy pool should give */
    struct remote_warning unbelievable; /* a reply that cannot be read */
    struct remote_warning lost;         /* no reply */

    /* scratch memory: nothing in it outlives the function that fills it */
    char *text;
    struct reserve_batch_result *results;
};

/* ---- vacancy_remote_cells.c: cells, queues, deadlines ---- */

/* 0 or -ENOMEM. */
int remote_cells_init(struct vacancy_remote *remote);
void remote_cells_deinit(struct vacancy_remote *remote);

void remote_queue_init(struct remote_queue *queue);
/* Moves a cell to a queue's end, out of the one it is in. */
void remote_move(struct remote_cell *cell, struct remote_queue *queue);

/* A free cell, zeroed but for the texts, in `queue` and with its deadline in the heap; NULL: all
 * are in use, or HTTP_QUEUE_MAX wait. */
struct remote_cell *remote_take(struct vacancy_remote *remote, struct vacancy_call *call,
                                enum remote_kind kind, uint64_t deadline_ms,
                                struct remote_queue *queue);
void remote_release(struct vacancy_remote *remote, struct remote_cell *cell);

void remote_time(struct vacancy_remote *remote, struct remote_cell *cell);
void remote_untime(struct vacancy_remote *remote, struct remote_cell *cell);
/* The cell that does not travel and has the earliest deadline; NULL: none. */
struct remote_cell *remote_earliest(const struct vacancy_remote *remote);

/* ---- vacancy_remote.c: how calls end, and how they go on ---- */

/* When a call that begins now must have ended; false: it is late already and has been completed. */
bool remote_begin(struct vacancy_remote *remote, struct vacancy_call *call,
                  const struct vacancy_request *request, uint64_t *ret_now_ms,
                  uint64_t *ret_deadline_ms);
/* Frees the cell, then completes its call, if anybody waits for it. */
void remote_end(struct vacancy_remote *remote, struct remote_cell *cell,
                const struct vacancy_result *result);
void remote_end_with(struct vacancy_remote *remote, struct remote_cell *cell, int status);
/* What can be said of a call that gets no further attempt. */
void remote_give_up(struct vacancy_remote *remote, struct remote_cell *cell);
/* An attempt has ended without a verdict: another one, at once or later, while there is time. */
void remote_try_again(struct vacancy_remote *remote, struct remote_cell *cell, uint64_t now_ms);
/* Has remote_turn run at the end of this turn of the loop. */
void remote_at_turn_end(struct vacancy_remote *remote);

/* A trip for cells to be moved to; NULL: all are under way.  remote_trip_begin sends it, and gives
 * it back unless the answer, upstream_send's, is 0. */
struct remote_trip *remote_trip_take(struct vacancy_remote *remote);
int remote_trip_begin(struct remote_trip *trip, const struct upstream_request *request);
/* When an attempt ends without a reply, of calls that have until deadline_ms. */
uint64_t remote_attempt_ends_ms(bool is_first, uint64_t deadline_ms, uint64_t now_ms);
/* One cell leaves its queue for the trip. */
void remote_board(struct remote_trip *trip, struct remote_cell *cell);

/* Logs `what` at most once every REMOTE_WARN_MS. */
void remote_warn(struct remote_warning *warning, const char *what, const char *why);

/* ---- vacancy_remote_batch.c: purchases ---- */

/* Sends the first purchases of a queue, which is not empty: 0, or what upstream_send answered, and
 * nothing has changed. */
int remote_batch_send(struct vacancy_remote *remote, struct remote_queue *queue, uint64_t now_ms);
void remote_batch_ended(struct remote_trip *trip, const struct upstream_reply *reply);

/* ---- vacancy_remote_ask.c: everything else ---- */

/* The same with the first of remote->asks. */
int remote_ask_send(struct vacancy_remote *remote);
void remote_ask_ended(struct remote_trip *trip, const struct upstream_reply *reply);
/* What a refusal's problem document stands for; TICKETD_OUTCOME_UNKNOWN: it says nothing. */
int remote_status_of(struct text body);

/* ---- vacancy_remote_probe.c: health ---- */

void remote_health(struct vacancy_client *client, struct vacancy_call *call,
                   const struct vacancy_request *request);
/* The probe has ended: its cell is free, and all who wait are told. */
void remote_probe_ended(struct vacancy_remote *remote, int status);

#endif
