/* Errors as problem documents (RFC 9457, application/problem+json) from one closed table. */
#ifndef TICKETD_HTTP_PROBLEM_H
#define TICKETD_HTTP_PROBLEM_H

#include <stddef.h>

#include "ticketd/text.h"

enum problem_code {
#define PROBLEM(code, status, title, meaning) PROBLEM_##code,
#include "http/problem.def"
#undef PROBLEM
    PROBLEM_COUNT
};

struct problem_kind {
    const char *code;
    int status;
    const char *title;
};

/* The table's row; static. */
const struct problem_kind *problem_kind(enum problem_code code);

/* Room that problem_print needs. */
#define PROBLEM_BODY_MAX 1024

/* Longest detail, in bytes. */
#define PROBLEM_DETAIL_MAX 200

/* Writes the document into a buffer of PROBLEM_BODY_MAX bytes and returns its length.  `detail` is
 * ours, never bytes of a client, and at most PROBLEM_DETAIL_MAX long.  `pointer` (a JSON pointer as
 * URI fragment) adds the list "errors" with the detail and that place; NULL leaves it out. */
size_t problem_print(char *buffer, enum problem_code code, const char *detail, const char *pointer);

#endif
