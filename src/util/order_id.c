#include "ticketd/order_id.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "ticketd/error.h"
#include "util/append.h"

#define LOW_BITS(value, count) ((value) & ((UINT64_C(1) << (count)) - 1))

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum {
    VERSION = 8,
    VARIANT = 2,
};

static inline char *put_group(char *at, const char *digits, size_t count)
{
    memcpy(at, digits, count);
    at[count] = '-';
    return at + count + 1;
}

void order_id_format(const struct order_id *id, char ret_text[ORDER_ID_LEN + 1])
{
    char digits[2 * APPEND_HEX_LEN];
    uint64_t half[2];
    char *at;

    assert(id->event <= ORDER_ID_EVENT_MAX && id->sequence <= ORDER_ID_SEQUENCE_MAX);
    half[0] = (uint64_t)id->event << 48 | id->sequence >> 10 << 16 | (uint64_t)VERSION << 12 |
              LOW_BITS(id->sequence, 10) << 2 | id->token >> 62;
    half[1] = (uint64_t)VARIANT << 62 | LOW_BITS(id->token, 62);
    (void)append_hex_u64(append_hex_u64(digits, half[0]), half[1]);
    at = put_group(ret_text, digits, 8);
    at = put_group(at, digits + 8, 4);
    at = put_group(at, digits + 12, 4);
    at = put_group(at, digits + 16, 4);
    memcpy(at, digits + 20, 12);
    at[12] = '\0';
}

/* The groups of digits that dashes part; none lies across the middle of the 32 digits. */
static const struct group {
    uint8_t at;    /* in the text */
    uint8_t digit; /* its first one's number */
    uint8_t count;
} groups[] = {{0, 0, 8}, {9, 8, 4}, {14, 12, 4}, {19, 16, 4}, {24, 20, 12}};

/* One more than the digit's value; 0 of what is no digit. */
static const uint8_t digit_of[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* False when one of a group's characters is no digit. */
static bool take_group(const char *text, const struct group *group, uint64_t half[2])
{
    uint64_t *into = &half[group->digit / APPEND_HEX_LEN];

    for (size_t i = 0; i < group->count; ++i) {
        uint8_t digit = digit_of[(unsigned char)text[group->at + i]];
        if (digit == 0)
            return false;
        *into = *into << 4 | (uint64_t)(digit - 1);
    }
    return true;
}

int order_id_parse(const char *text, size_t len, struct order_id *ret_id)
{
    uint64_t half[2] = {0};

    if (len != ORDER_ID_LEN)
        return TICKETD_INVALID;
    for (size_t group = 0; group < COUNT(groups); ++group)
        if (!take_group(text, &groups[group], half) ||
            (group > 0 && text[groups[group].at - 1] != '-'))
            return TICKETD_INVALID;
    if (LOW_BITS(half[0] >> 12, 4) != VERSION || half[1] >> 62 != VARIANT)
        return TICKETD_INVALID;
    *ret_id = (struct order_id){
        .event = (uint32_t)(half[0] >> 48),
        .sequence = LOW_BITS(half[0] >> 16, 32) << 10 | LOW_BITS(half[0] >> 2, 10),
        .token = half[0] << 62 | LOW_BITS(half[1], 62),
    };
    return TICKETD_DONE;
}
