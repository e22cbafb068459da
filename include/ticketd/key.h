/* An idempotency key as the stock, the key index and the ledger hold it.  Any process; no state. */
#ifndef TICKETD_KEY_H
#define TICKETD_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Longest key in characters, as a client means it (decoded). */
#define KEY_TEXT_MAX 255

/* Keys that begin so are transient, ticketd's own: a ticket worker makes one for each purchase that
 * came without, so that its retries sell once.  They are remembered for KEY_TRANSIENT_TTL_S only,
 * which is longer than any of its calls may take, and do not count against IDEMPOTENCY_KEYS_MAX:
 * there is room for as many of them again. */
#define KEY_TRANSIENT_PREFIX "ticketd."
#define KEY_TRANSIENT_TTL_S  120

/* The SHA-256 (FIPS 180-4) of the key's characters, cut to 128 bits; all zero: no key.
 *
 * It says itself of which kind it is, wherever it is found: a transient key's first
 * KEY_KIND_BYTES bytes are zero, and what follows are the hash's next bytes.  A client's key whose
 * hash begins so (one in 2^32) has its first byte set to 1; a transient one whose other bytes are
 * all zero (one in 2^96) has its last byte set to 1.  util/key_hash.h does this.  So whoever
 * hashes, compares or slices keys by a part of them takes it from the later bytes. */
#define KEY_KIND_BYTES 4

struct ledger_key {
    uint8_t bytes[16];
};

static inline bool ledger_key_is_none(const struct ledger_key *key)
{
    static const struct ledger_key none;

    return memcmp(key, &none, sizeof(none)) == 0;
}

/* Not of no key at all, which has no kind. */
static inline bool ledger_key_is_transient(const struct ledger_key *key)
{
    static const uint8_t mark[KEY_KIND_BYTES];

    return memcmp(key->bytes, mark, sizeof(mark)) == 0;
}

/* For how many seconds the key is remembered at least; client_ttl_s: IDEMPOTENCY_TTL_SECONDS. */
static inline int64_t ledger_key_ttl_s(const struct ledger_key *key, int64_t client_ttl_s)
{
    return ledger_key_is_transient(key) ? KEY_TRANSIENT_TTL_S : client_ttl_s;
}

static inline bool ledger_key_equal(const struct ledger_key *a, const struct ledger_key *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

#endif
