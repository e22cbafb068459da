/* Entity tags (RFC 9110 section 8.8.3) as conditional requests name them.  Pure; any process. */
#ifndef TICKETD_HTTP_ENTITY_TAG_H
#define TICKETD_HTTP_ENTITY_TAG_H

#include <stdbool.h>

#include "ticketd/text.h"

/* Whether the value of If-None-Match (base NULL: none) names `etag`, which has its quotes and may
 * be weak: by the weak comparison, in which W/"a" equals "a".  What is no list of tags names none,
 * from where it goes wrong. */
bool entity_tag_matches(struct text if_none_match, struct text etag);

#endif
