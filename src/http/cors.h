/* Cross-origin rules (the Fetch standard's CORS protocol): which origins browsers may call from.
 * Workers only; fixed after start. */
#ifndef TICKETD_HTTP_CORS_H
#define TICKETD_HTTP_CORS_H

#include <stdbool.h>

#include "ticketd/text.h"

/* Headers of ours that a script may read. */
#define CORS_EXPOSED_HEADERS "X-Request-ID, Retry-After, Idempotent-Replayed, Idempotency-Key, ETag"
/* Methods and request headers that a preflight allows, and for how many seconds it holds. */
#define CORS_ALLOWED_METHODS "GET, HEAD, POST, OPTIONS"
#define CORS_ALLOWED_HEADERS                                                                       \
    "Content-Type, Idempotency-Key, X-Request-ID, If-None-Match, Last-Event-ID, traceparent, "     \
    "tracestate"
#define CORS_MAX_AGE_SECONDS "600"

struct cors {
    const char *origins; /* the setting: "*", or origins separated by commas; borrowed */
    bool any;
};

void cors_init(struct cors *cors, const char *origins);

/* Whether a page of that origin may call; compares byte for byte, as browsers send origins in one
 * form (lower case, no default port). */
bool cors_allows(const struct cors *cors, struct text origin);

#endif
