/* The key index: which idempotency keys have sold, for as long as they are remembered.  In the
 * segment; written by one process (the master while it loads, then the keeper), read by all without
 * a lock.  Bounded; no function blocks, allocates or makes a system call.
 *
 * Keys stand in a ring in the order in which they were put in, which is that of their age, and each
 * bucket of a hash table links its keys from the newest to the oldest (separate chaining, D. Knuth,
 * TAOCP vol. 3, section 6.4).  So the oldest key of all is the last of its bucket, and forgetting
 * it unlinks it at the chain's end.  A reader that came upon a key while it was being forgotten and
 * replaced notices that `tail` has passed it, and looks again: see keys_find.
 *
 * There are two such indexes, alike but for how long a key stays: one for the keys of clients and
 * one for transient keys (ticketd/key.h).  A key says itself in which it belongs.
 *
 * Ages run on a clock that nobody sets (CLOCK_BOOTTIME), in seconds of the index's own. */
#ifndef TICKETD_STOCK_KEYS_H
#define TICKETD_STOCK_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "stock/segment.h"
#include "ticketd/key.h"
#include "ticketd/stock.h"

/* The sale that a key has made. */
struct key_sale {
    struct ledger_key key;
    uint32_t event;
    uint64_t sequence;
    uint64_t token;
    uint32_t quantity;
    uint32_t available; /* after it */
};

/* Plans one index of keys_max keys, with `spare` more for sales that are on their way when it gets
 * full. */
void keys_plan(struct segment_keys *ret_keys, uint64_t keys_max, uint64_t spare);
uint64_t keys_buckets_size(const struct segment_keys *keys);
uint64_t keys_slots_size(const struct segment_keys *keys);
/* Draws the seeds that keep clients from choosing keys of one bucket.  0 or -errno. */
int keys_open(struct stock *stock);

/* Writer, when it takes over from one that was killed. */
void keys_recover(struct stock *stock);

/* Writer: remembers the key of a sale, which is not in it; `age_s` seconds old.
 * 0, or TICKETD_BUSY: not even the spare has room. */
int keys_put(struct stock *stock, const struct key_sale *sale, uint32_t age_s);

/* Writer: forgets at most `most` keys of clients that are older than ttl_s, and as many transient
 * ones that are older than KEY_TRANSIENT_TTL_S.  How many it forgot. */
uint32_t keys_forget(struct stock *stock, uint32_t ttl_s, uint32_t most);

/* Writer: forgets the oldest key of that kind, if there is one, however young it is. */
void keys_forget_oldest(struct stock *stock, enum segment_key_kind kind);

/* 0: *ret_sale.  TICKETD_NOT_FOUND.  TICKETD_BUSY: it changed under the reader too often. */
int keys_find(const struct stock *stock, uint32_t event, const struct ledger_key *key,
              struct key_sale *ret_sale);

/* Whether keys_max of the key's kind are remembered: no sale may begin with such a key that is new.
 */
bool keys_are_full(const struct stock *stock, const struct ledger_key *key);

uint64_t keys_count(const struct stock *stock, enum segment_key_kind kind);

#endif
