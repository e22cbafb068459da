/* An idempotency key as the stock, the key index and the ledger hold it.  Any process; no state. */
#ifndef TICKETD_KEY_H
#define TICKETD_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Longest key in characters, as a client means it (decoded). */
#define KEY_TEXT_MAX 255

/* Keys that begin so are ticketd's own: a ticket worker makes one for each purchase that came
 * without, so that its retries sell once.  They are remembered for KEY_TRANSIENT_TTL_S only, which
 * is longer than any of its calls may take, and do not count against IDEMPOTENCY_KEYS_MAX. */
#define KEY_TRANSIENT_PREFIX "ticketd."
#define KEY_TRANSIENT_TTL_S  120

/* The SHA-256 (FIPS 180-4) of the key's characters, cut to 128 bits; all zero: no key. */
struct ledger_key {
    uint8_t bytes[16];
};

static inline bool ledger_key_is_none(const struct ledger_key *key)
{
    static const struct ledger_key none;

    return memcmp(key, &none, sizeof(none)) == 0;
}

static inline bool ledger_key_equal(const struct ledger_key *a, const struct ledger_key *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

#endif
