/* Paths as they are registered: an exact one ("/health"), or one whose last segment is a parameter
 * ("/orders/{id}").  Pure; any process. */
#ifndef TICKETD_HTTP_PATH_H
#define TICKETD_HTTP_PATH_H

#include <stdbool.h>

#include "ticketd/text.h"

struct path_pattern {
    struct text fixed; /* what a path equals, or begins with: then it ends with a slash */
    bool has_parameter;
};

/* Reads a pattern, which is borrowed; a brace anywhere but around the last segment is a bug. */
struct path_pattern path_pattern_of(const char *pattern);

/* Whether a path (normalized, without a query) is of the pattern; a parameter is not empty and has
 * no slash.  Then true with *ret_parameter, a part of `path`: empty for a pattern without one. */
bool path_matches(const struct path_pattern *pattern, struct text path, struct text *ret_parameter);

#endif
