/* The content codings that a client takes (RFC 9110 section 12.5.3).  Pure; any process. */
#ifndef TICKETD_HTTP_CONTENT_CODING_H
#define TICKETD_HTTP_CONTENT_CODING_H

#include <stdbool.h>

#include "ticketd/text.h"

/* Whether the value of Accept-Encoding (base NULL: none) asks for gzip, by its name or by an
 * asterisk, and not with the weight 0.  Without the header any coding would do, but such clients
 * often decode none: false. */
bool content_coding_takes_gzip(struct text accept_encoding);

#endif
