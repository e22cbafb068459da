/* HTTP over a unix socket, by libcurl, which no other file knows: one request and its answer, or a
 * stream of server-sent events. */
#ifndef TICKETD_CTL_TRANSPORT_H
#define TICKETD_CTL_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    /* Longest body that is taken: a listing of every event that a listing may have fits twice. */
    TRANSPORT_BODY_MAX = 1024 * 1024,
    TRANSPORT_WHY_MAX = 256,
    /* Longest line of a stream. */
    TRANSPORT_LINE_MAX = 64 * 1024,
};

enum transport_answer {
    TRANSPORT_DONE = 0,
    TRANSPORT_ABSENT, /* nobody listens */
    TRANSPORT_DENIED,
    TRANSPORT_SILENT, /* no answer in time */
    TRANSPORT_BROKEN, /* no HTTP, or a connection that broke off */
    TRANSPORT_TOO_LONG,
};

struct transport_reply {
    long status;
    char *body; /* `len` bytes; the caller's, for free() */
    size_t len;
};

/* Sends GET, or POST with `json` as its body if that is not NULL; blocks for up to timeout_ms.
 * 0; a positive answer with one line in `why`; or -ENOMEM.  *ret_reply is set only with 0. */
int transport_call(const char *socket_path, const char *path, const char *json, unsigned timeout_ms,
                   struct transport_reply *ret_reply, char why[TRANSPORT_WHY_MAX]);

/* Who listens to a stream. */
struct transport_listener {
    void *context;
    /* The data of one event, not terminated.  false: that was enough. */
    bool (*on_event)(void *context, const char *data, size_t len);
    /* Descriptors that are watched meanwhile, -1 for none; on_ready runs when one can be read.
     * false: that was enough. */
    int fds[2];
    bool (*on_ready)(void *context);
};

/* Listens to a stream of events, each with one line of data, until the listener has had enough (0),
 * the answer is none of status 200 (0 too), or the stream ends or says nothing for silent_ms (a
 * positive answer with one line in `why`).  -ENOMEM.  *ret_status is that of the answer, 0 before
 * there is one. */
int transport_listen(const char *socket_path, const char *path, unsigned silent_ms,
                     const struct transport_listener *listener, long *ret_status,
                     char why[TRANSPORT_WHY_MAX]);

#endif
