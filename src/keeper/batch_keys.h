/* The idempotency keys of one batch, which are not in the index before the batch is in the ledger.
 * A small hash table with linear probing, cleared by counting batches.  The keeper's process. */
#ifndef TICKETD_KEEPER_BATCH_KEYS_H
#define TICKETD_KEEPER_BATCH_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "ticketd/key.h"

/* At least twice the keys of a batch; a power of two. */
#define BATCH_KEYS_SLOTS 4096

struct batch_key {
    struct ledger_key key;
    uint32_t event;
    uint32_t batch; /* in which it was put in */
    uint32_t index; /* of the entry */
};

struct batch_keys {
    struct batch_key slots[BATCH_KEYS_SLOTS];
    uint32_t batch;
};

void batch_keys_clear(struct batch_keys *keys);

/* The entry of the batch that has the key: true and *ret_index.  Else puts it in for `index`. */
bool batch_keys_find_or_put(struct batch_keys *keys, uint32_t event, const struct ledger_key *key,
                            uint32_t index, uint32_t *ret_index);

#endif
