#include "ticketd/order_id.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "ticketd/error.h"
#include "util/append.h"

#define LOW_BITS(value, count) ((value) & ((UINT64_C(1) << (count)) - 1))

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

/* One more than the digit's value; 0 of what is no digit. */
static const uint8_t digit_of[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* The digits are put behind those that *half has; false when one of them is none. */
static inline bool take_digits(const char *digits, size_t count, uint64_t *half)
{
    uint64_t value = *half;

    for (size_t i = 0; i < count; ++i) {
        uint8_t digit = digit_of[(unsigned char)digits[i]];
        if (digit == 0)
            return false;
        value = value << 4 | (uint64_t)(digit - 1);
    }
    *half = value;
    return true;
}

int order_id_parse(const char *text, size_t len, struct order_id *ret_id)
{
    uint64_t half[2] = {0};

    if (len != ORDER_ID_LEN || text[8] != '-' || text[13] != '-' || text[18] != '-' ||
        text[23] != '-')
        return TICKETD_INVALID;
    if (!take_digits(text, 8, &half[0]) || !take_digits(text + 9, 4, &half[0]) ||
        !take_digits(text + 14, 4, &half[0]) || !take_digits(text + 19, 4, &half[1]) ||
        !take_digits(text + 24, 12, &half[1]))
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
