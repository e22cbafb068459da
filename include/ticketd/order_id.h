/* The id of an order as clients see it: a UUID of version 8 (RFC 9562), in text.
 *
 * Its 122 free bits say where the order's entry is in the ledger, so that it is found by primary
 * key and no second index is kept; the random token makes it unguessable.
 *
 *   octets 0–1     event                    16 bits
 *   octets 2–5     sequence, bits 41…10     32 bits
 *   octets 6–7     version 8 (4 bits), sequence, bits 9…0, token, bits 63…62
 *   octets 8–15    variant 10 (2 bits), token, bits 61…0
 *
 * The ledger's view `orders` computes the same text in SQL.  Any process; pure; never blocks. */
#ifndef TICKETD_ORDER_ID_H
#define TICKETD_ORDER_ID_H

#include <stddef.h>
#include <stdint.h>

#define ORDER_ID_LEN 36
/* What fits in an id. */
#define ORDER_ID_EVENT_MAX    UINT16_MAX
#define ORDER_ID_SEQUENCE_MAX ((UINT64_C(1) << 42) - 1)

struct order_id {
    uint32_t event;
    uint64_t sequence;
    uint64_t token; /* to be compared with the entry's: another one names no order */
};

/* Writes the canonical text (lower case) and a terminator.  The parts must fit. */
void order_id_format(const struct order_id *id, char ret_text[ORDER_ID_LEN + 1]);

/* Reads an id in either case.  0, or TICKETD_INVALID: not a UUID that order_id_format writes. */
int order_id_parse(const char *text, size_t len, struct order_id *ret_id);

#endif
