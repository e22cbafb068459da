/* Reads a text of a known form from its bytes, as append.h writes one: each function looks at what
 * comes next, and steps over it when it is what is asked for.  The text is borrowed.  Any process;
 * no state. */
#ifndef TICKETD_UTIL_SCAN_H
#define TICKETD_UTIL_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "ticketd/text.h"

struct scan {
    const char *at;
    const char *end;
};

static inline struct scan scan_begin(struct text text)
{
    /* no bytes may have no place */
    static const char none[1];
    const char *at = text.len == 0 ? none : text.base;

    return (struct scan){.at = at, .end = at + text.len};
}

static inline bool scan_is_at_end(const struct scan *scan)
{
    return scan->at == scan->end;
}

/* Just this text. */
static inline bool scan_pass(struct scan *scan, struct text wanted)
{
    if ((size_t)(scan->end - scan->at) < wanted.len ||
        memcmp(scan->at, wanted.base, wanted.len) != 0)
        return false;
    scan->at += wanted.len;
    return true;
}

/* The whitespace of JSON (RFC 8259, section 2), if there is any. */
static inline void scan_pass_blanks(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
        ++scan->at;
}

static inline bool scan_is_digit(const struct scan *scan)
{
    return scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
}

/* A whole number of 0 to `most` (below 2^60) as JSON writes it: without sign, and with no zero in
 * front.  What follows it is not looked at: a fraction or an exponent is left there. */
static inline bool scan_number(struct scan *scan, uint64_t most, uint64_t *ret_number)
{
    const char *begin = scan->at;
    uint64_t number = 0;

    while (scan_is_digit(scan) && number <= most)
        number = number * 10 + (uint64_t)(*scan->at++ - '0');
    *ret_number = number;
    return scan->at > begin && number <= most && (*begin != '0' || scan->at == begin + 1);
}

#endif
