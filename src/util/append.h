/* Puts small answers together where printf would cost more than all the rest: each function writes
 * at `at` and returns where the next one goes.  The caller has room: APPEND_U32_MAX or _U64_MAX for
 * a number, the text's length for a text.  Any process; no state. */
#ifndef TICKETD_UTIL_APPEND_H
#define TICKETD_UTIL_APPEND_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "ticketd/text.h"

/* Digits of the greatest 32-bit number. */
#define APPEND_U32_MAX 10
/* Digits of the greatest 64-bit number. */
#define APPEND_U64_MAX 20
/* Hexadecimal digits of any 64-bit number: zeros in front are written too. */
#define APPEND_HEX_LEN 16

static inline char *append_text(char *at, struct text text)
{
    memcpy(at, text.base, text.len);
    return at + text.len;
}

/* Two digits at a time: half of the divisions, which are most of the cost. */
static inline char *append_digits(char *end, uint64_t number, char *at)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233"
        "34353637383940414243444546474849505152535455565758596061626364656667"
        "6869707172737475767778798081828384858687888990919293949596979899";
    char *next = end;

    while (number >= 100) {
        next -= 2;
        memcpy(next, pairs + 2 * (number % 100), 2);
        number /= 100;
    }
    if (number >= 10)
        memcpy(at, pairs + 2 * number, 2);
    else
        *at = (char)('0' + number);
    return end;
}

static inline unsigned append_length(uint64_t number)
{
    unsigned length = 1;

    for (; number >= 10000; number /= 10000)
        length += 4;
    return length + (number >= 10) + (number >= 100) + (number >= 1000);
}

/* In decimal. */
static inline char *append_u64(char *at, uint64_t number)
{
    return append_digits(at + append_length(number), number, at);
}

static inline char *append_u32(char *at, uint32_t number)
{
    return append_u64(at, number);
}

/* Eight hexadecimal digits at once: each gets a byte, the first one the lowest, and those above 9
 * are moved on from behind '9' to 'a'. */
static inline uint64_t append_hex_digits(uint32_t number)
{
    uint64_t digits = __builtin_bswap32(number), letters;

    digits = (digits | digits << 16) & UINT64_C(0x0000ffff0000ffff);
    digits = (digits | digits << 8) & UINT64_C(0x00ff00ff00ff00ff);
    digits = (digits >> 4 | digits << 8) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    letters = (digits + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    return htole64(digits + UINT64_C(0x3030303030303030) + letters * ('a' - '9' - 1));
}

/* In lower-case hexadecimal. */
static inline char *append_hex_u64(char *at, uint64_t number)
{
    uint64_t digits[2] = {append_hex_digits((uint32_t)(number >> 32)),
                          append_hex_digits((uint32_t)number)};

    memcpy(at, digits, sizeof(digits));
    return at + sizeof(digits);
}

#endif
