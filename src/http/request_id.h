/* Request ids: the X-Request-ID that a client sent, if it is sane, else one that is made here.
 * Workers only; one source a worker. */
#ifndef TICKETD_HTTP_REQUEST_ID_H
#define TICKETD_HTTP_REQUEST_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "ticketd/text.h"

/* Longest id that is taken over from a client, in characters. */
#define REQUEST_ID_MAX 128
/* Length of an id made here: 32 hexadecimal digits. */
#define REQUEST_ID_MADE_LEN 32

struct request_id_source {
    char prefix[REQUEST_ID_MADE_LEN / 2]; /* random, drawn once a worker */
    uint64_t next;
};

/* Draws the worker's prefix from the kernel.  0 or -errno. */
int request_id_source_init(struct request_id_source *source);

/* Writes a new id, unique among all workers, without a terminator; it is not a secret. */
void request_id_make(struct request_id_source *source, char ret_id[REQUEST_ID_MADE_LEN]);

/* Whether a client's id may be taken over: 1 … REQUEST_ID_MAX visible ASCII characters. */
bool request_id_is_sane(struct text id);

#endif
