/* Judges the head of an HTTP/1 reply: what may be believed, and where it ends.  libh2o's own client
 * cannot be used for this: it takes a reply that was cut short for a whole one, and aborts the
 * process on a Content-Length that is none.
 *
 * Private to src/client/upstream*.c.  Pure: bytes in, verdict out.  Source: RFC 9112 sections 4 to
 * 6. */
#ifndef TICKETD_CLIENT_UPSTREAM_REPLY_H
#define TICKETD_CLIENT_UPSTREAM_REPLY_H

#include <stdbool.h>
#include <stddef.h>

/* Longest head of a reply. */
#define UPSTREAM_HEAD_MAX 16384

struct upstream_head {
    size_t head_len; /* with the empty line; 0: it is not whole yet */
    size_t body_len;
    int status;
    bool keep; /* the peer leaves the connection open */
};

/* Judges the reply that begins at `bytes`; `len` may reach past its head.  NULL: it is sound as far
 * as it has come, and *ret_head says how far that is.  Else why it cannot be believed: a short
 * static text, *ret_head untouched.
 *
 * Only a length that is given in advance, once, shows whether all of a body has come; so there must
 * be one Content-Length and no transfer coding, and no status that forbids a body. */
const char *upstream_head_parse(const char *bytes, size_t len, struct upstream_head *ret_head);

#endif
