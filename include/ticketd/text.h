/* A borrowed run of bytes: a pointer and a length, not terminated, never owned.  Whoever hands one
 * over says how long it lives. */
#ifndef TICKETD_TEXT_H
#define TICKETD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct text {
    const char *base; /* may be NULL when len is 0 */
    size_t len;
};

/* A string literal (or array with a terminator) as text. */
#define TEXT(literal) ((struct text){.base = (literal), .len = sizeof(literal) - 1})
/* The same for the initializer of a static object, where a literal of a struct is no constant. */
#define TEXT_INIT(literal)                                                                         \
    {                                                                                              \
        .base = (literal), .len = sizeof(literal) - 1                                              \
    }

static inline bool text_equal(struct text a, struct text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.base, b.base, a.len) == 0);
}

/* Visible ASCII only, and no space: what keys and ids of clients are made of. */
static inline bool text_is_visible(struct text text)
{
    for (size_t i = 0; i < text.len; ++i)
        if (text.base[i] < '!' || text.base[i] > '~')
            return false;
    return true;
}

#endif
