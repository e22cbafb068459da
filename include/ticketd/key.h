/* An idempotency key as the stock, the key index and the ledger hold it.  Any process; no state. */
#ifndef TICKETD_KEY_H
#define TICKETD_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

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
