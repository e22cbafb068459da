/* The control site of a running ticketd, as ticketctl calls it: one HTTP request on a connection
 * of its own over the unix socket.  Every call blocks, for no longer than the context's time-out,
 * and no answer takes more memory than a listing of all events may. */
#ifndef TICKETD_CTL_CONTROL_H
#define TICKETD_CTL_CONTROL_H

#include <stdint.h>

#include "ctl/ctl.h"
#include "ticketd/stock.h"
#include "util/json.h"

enum {
    CONTROL_ERROR_MAX = 512,
};

enum control_answer {
    CONTROL_DONE = 0,
    CONTROL_ABSENT,  /* nobody listens: no server runs here */
    CONTROL_DENIED,  /* the socket is there and this user may not connect */
    CONTROL_SILENT,  /* no answer in time; what was asked for may still happen */
    CONTROL_BROKEN,  /* the answer is not one of a ticketd, or breaks off */
    CONTROL_REFUSED, /* a problem document: the server will not do it */
    CONTROL_LATER,   /* likewise, and the same request may succeed later */
};

/* Why a call did not get what it wanted: one line. */
struct control_error {
    char line[CONTROL_ERROR_MAX];
};

struct control_status {
    char version[32], role[16], service[65], keeper[16];
    int64_t master_pid;
    int64_t reloads_asked, reloads_done, reloads_refused;
    int64_t keeper_lag; /* entries that are not in the ledger yet */
};

struct control_event {
    char id[STOCK_EVENT_ID_MAX + 1];
    int64_t capacity, available, sequence;
    /* as of the last entry that the server knows to be in the ledger */
    int64_t published_sequence, published_available;
};

struct control_stock {
    struct control_event *events;
    uint32_t count;
    bool cut; /* there are more events than a listing tells */
};

/* Each returns an enum control_answer, or -ENOMEM; on all but 0 `error` has one line. */
int control_get_status(const struct ctl *ctl, struct control_status *ret_status,
                       struct control_error *error);
/* The caller gives *ret_stock to control_stock_free, which accepts a zeroed one. */
int control_get_stock(const struct ctl *ctl, struct control_stock *ret_stock,
                      struct control_error *error);
void control_stock_free(struct control_stock *stock);
const struct control_event *control_find_event(const struct control_stock *stock, const char *id);
/* Adds tickets; *ret_available is what can be sold after it. */
int control_add_stock(const struct ctl *ctl, const char *event, uint32_t count,
                      int64_t *ret_available, struct control_error *error);
/* Asks for a reload; *ret_number is reached by reloads done + refused when it has ended. */
int control_reload(const struct ctl *ctl, int64_t *ret_number, struct control_error *error);

/* Listens to what the server tells once a second of what happens (metrics/live.h), one JSON object
 * an event, until the listener has had enough (0); an end of the stream is CONTROL_BROKEN. */
struct transport_listener;
int control_listen(const struct ctl *ctl, const struct transport_listener *listener,
                   struct control_error *error);

/* Writes the error's line and returns the exit status that goes with `answer`; not for 0. */
int control_failed(int answer, const struct control_error *error);

#endif
