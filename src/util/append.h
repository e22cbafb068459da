/* Puts small answers together where printf would cost more than all the rest: each function writes
 * at `at` and returns where the next one goes.  The caller has room: APPEND_U32_MAX or _U64_MAX for
 * a number, the text's length for a text.  Any process; no state. */
#ifndef TICKETD_UTIL_APPEND_H
#define TICKETD_UTIL_APPEND_H

#include <stdint.h>
#include <string.h>

#include "ticketd/text.h"

/* Digits of the greatest 32-bit number. */
#define APPEND_U32_MAX 10
/* Digits of the greatest 64-bit number. */
#define APPEND_U64_MAX 20

static inline char *append_text(char *at, struct text text)
{
    memcpy(at, text.base, text.len);
    return at + text.len;
}

/* In decimal. */
static inline char *append_u32(char *at, uint32_t number)
{
    char digits[APPEND_U32_MAX];
    size_t first = sizeof(digits);

    do
        digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    memcpy(at, digits + first, sizeof(digits) - first);
    return at + (sizeof(digits) - first);
}

static inline char *append_u64(char *at, uint64_t number)
{
    char digits[APPEND_U64_MAX];
    size_t first = sizeof(digits);

    if (number <= UINT32_MAX)
        return append_u32(at, (uint32_t)number);
    do
        digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    memcpy(at, digits + first, sizeof(digits) - first);
    return at + (sizeof(digits) - first);
}

#endif
