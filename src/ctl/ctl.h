/* What every command of ticketctl works with: its options, the settings that ticketd would run
 * with here, and where these put the ledger and the control socket.
 *
 * For ticketctl's own process, one thread; calls may block on the disk.  Commands and the helpers
 * that end one return the exit status that ticketctl ends with; on all but CTL_OK and CTL_NO one
 * line on standard error has said why. */
#ifndef TICKETD_CTL_CTL_H
#define TICKETD_CTL_CTL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sysexits.h>

#include "config/control_path.h"
#include "config/settings.h"
#include "ledger/ledger_url.h"
#include "ticketd/ledger.h"

/* Exit statuses of ticketctl's own; ctl/exit_status.def lists them with those of sysexits.h. */
enum {
    CTL_OK = 0,
    CTL_NO = 1, /* the answer is no: it differs, it was refused, there is no such thing */
};

enum {
    CTL_SERVER_TIMEOUT_MS = 5000,
    CTL_RELOAD_TIMEOUT_MS = 60000,
    CTL_ORDERS_DEFAULT = 20,
    CTL_ORDERS_MAX = 100000,
};

struct ctl {
    /* From the command line. */
    bool json;
    bool all;
    bool wait;
    bool once;
    bool has_timeout, has_since;
    unsigned timeout_ms; /* for each wait for the server, if has_timeout */
    uint32_t limit;
    int64_t since_us;
    const char *arguments[2]; /* what follows the command; NULL where nothing does */

    /* By ctl_locate. */
    struct settings settings;
    /* location empty: a ledger that lives in the server only, or, in a ticket pool alone, none */
    struct ledger_place place;
    char socket_path[CONTROL_PATH_SIZE];
};

/* Every event of a ledger, at the moment of one look. */
struct ctl_events {
    struct ledger_event *list;
    uint32_t count;
    uint64_t entries; /* of all of them */
};

/* "ticketctl: …" and a line's end on standard error; returns `status`. */
__attribute__((format(printf, 2, 3))) int ctl_fail(int status, const char *format, ...);

/* Loads the settings and finds ledger and socket by them.  Opens nothing. */
int ctl_locate(struct ctl *ctl, const struct settings_input *input);

/* CTL_OK where there is a stock: not with a ticket pool alone. */
int ctl_need_stock(const struct ctl *ctl);

/* How long a call of the server may take. */
unsigned ctl_server_timeout_ms(const struct ctl *ctl);

/* Opens the ledger for reading, beside a server or without one.  The caller closes it. */
int ctl_open_reader(const struct ctl *ctl, struct ledger **ret_ledger);
/* Says why opening a ledger, or taking its lock, failed with `result`; not for 0. */
int ctl_open_failed(int result, const char *error);
/* Says that an open ledger failed with `result`, a negated errno. */
int ctl_ledger_failed(const struct ctl *ctl, struct ledger *ledger, int result);

/* Reads all events; the caller gives them to ctl_events_free, which accepts zeroed ones. */
int ctl_read_events(const struct ctl *ctl, struct ledger *ledger, struct ctl_events *ret_events);
void ctl_events_free(struct ctl_events *events);
/* The event of that id, or NULL. */
const struct ledger_event *ctl_find_event(const struct ctl_events *events, const char *id);
/* Says that there is no such event. */
int ctl_no_event(const char *id);

#endif
