/* The OpenAPI 3.1 document of one process.  People write it for all roles and settings
 * (route/openapi.json, which the build embeds); here it is cut down to what the process serves, and
 * gets what the tables know: the summaries of the routes, the codes and titles of the problems.
 * Workers only. */
#ifndef TICKETD_ROUTE_OPENAPI_DOCUMENT_H
#define TICKETD_ROUTE_OPENAPI_DOCUMENT_H

#include "route/route.h"
#include "ticketd/text.h"

/* All that is written, as embedded. */
extern const unsigned char openapi_source[];
extern const size_t openapi_source_len;

/* Makes the document of a router's process, which takes a millisecond or two.  A route without an
 * operation is a bug.  0 with *ret_document, whose bytes are the caller's to free; or -ENOMEM. */
int openapi_document_make(const struct router *router, struct text *ret_document);

#endif
