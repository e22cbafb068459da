/* One HTTP request over a unix socket, by libcurl, which no other file knows. */
#ifndef TICKETD_CTL_TRANSPORT_H
#define TICKETD_CTL_TRANSPORT_H

#include <stddef.h>

enum {
    /* Longest body that is taken: a listing of every event that a listing may have fits twice. */
    TRANSPORT_BODY_MAX = 1024 * 1024,
    TRANSPORT_WHY_MAX = 256,
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

#endif
