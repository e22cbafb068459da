/* The header traceparent of W3C Trace Context (https://www.w3.org/TR/trace-context/, version 00),
 * which ticketd hands on and logs without ever making one.  Any process; pure. */
#ifndef TICKETD_UTIL_TRACEPARENT_H
#define TICKETD_UTIL_TRACEPARENT_H

#include <stdbool.h>

#include "ticketd/text.h"

/* Its only length, in characters. */
#define TRACEPARENT_LEN 55

/* Whether it may be handed on: 00-TRACE-PARENT-FLAGS in lower-case hexadecimal, neither the trace
 * (32 digits) nor the parent (16) all zero. */
bool traceparent_is_sane(struct text value);

#endif
