#include "ticketd/order_id.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "ticketd/error.h"

#define LOW_BITS(value, count) ((value) & ((UINT64_C(1) << (count)) - 1))

enum {
    VERSION = 8,
    VARIANT = 2,
};

static bool is_dash_place(size_t at)
{
    return at == 8 || at == 13 || at == 18 || at == 23;
}

/* Two digits at a time; an id is written for every sale. */
static char *put_byte(char *at, uint64_t byte)
{
    static const char digits[] = "0123456789abcdef";

    at[0] = digits[byte >> 4 & 15];
    at[1] = digits[byte & 15];
    return at + 2;
}

void order_id_format(const struct order_id *id, char ret_text[ORDER_ID_LEN + 1])
{
    uint64_t half[2];
    char *at = ret_text;

    assert(id->event <= ORDER_ID_EVENT_MAX && id->sequence <= ORDER_ID_SEQUENCE_MAX);
    half[0] = (uint64_t)id->event << 48 | id->sequence >> 10 << 16 | (uint64_t)VERSION << 12 |
              LOW_BITS(id->sequence, 10) << 2 | id->token >> 62;
    half[1] = (uint64_t)VARIANT << 62 | LOW_BITS(id->token, 62);
    for (int byte = 0; byte < 16; ++byte) {
        if (byte == 4 || byte == 6 || byte == 8 || byte == 10)
            *at++ = '-';
        at = put_byte(at, half[byte / 8] >> (56 - byte % 8 * 8));
    }
    *at = '\0';
}

static int hex_digit(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return -1;
}

int order_id_parse(const char *text, size_t len, struct order_id *ret_id)
{
    uint64_t half[2] = {0};
    size_t digit = 0;

    if (len != ORDER_ID_LEN)
        return TICKETD_INVALID;
    for (size_t at = 0; at < len; at++) {
        int value = hex_digit(text[at]);

        if (is_dash_place(at)) {
            if (text[at] != '-')
                return TICKETD_INVALID;
        } else if (value < 0) {
            return TICKETD_INVALID;
        } else {
            half[digit / 16] = half[digit / 16] << 4 | (uint64_t)value;
            digit++;
        }
    }
    if (LOW_BITS(half[0] >> 12, 4) != VERSION || half[1] >> 62 != VARIANT)
        return TICKETD_INVALID;
    *ret_id = (struct order_id){
        .event = (uint32_t)(half[0] >> 48),
        .sequence = LOW_BITS(half[0] >> 16, 32) << 10 | LOW_BITS(half[0] >> 2, 10),
        .token = half[0] << 62 | LOW_BITS(half[1], 62),
    };
    return TICKETD_DONE;
}
