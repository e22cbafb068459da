#include "keeper/batch_keys.h"

#include <string.h>

void batch_keys_clear(struct batch_keys *keys)
{
    /* 0 marks slots that were never used */
    if (++keys->batch != 0)
        return;
    memset(keys, 0, sizeof(*keys));
    keys->batch = 1;
}

bool batch_keys_find_or_put(struct batch_keys *keys, uint32_t event, const struct ledger_key *key,
                            uint32_t index, uint32_t *ret_index)
{
    uint32_t at; /* the key is a hash already; whoever chooses it gains one batch's probing */

    memcpy(&at, key->bytes + 4, sizeof(at));
    for (;; ++at) {
        struct batch_key *slot = &keys->slots[at % BATCH_KEYS_SLOTS];
        if (slot->batch != keys->batch) {
            *slot = (struct batch_key){
                .key = *key, .event = event, .batch = keys->batch, .index = index};
            return false;
        }
        if (slot->event == event && ledger_key_equal(&slot->key, key)) {
            *ret_index = slot->index;
            return true;
        }
    }
}
