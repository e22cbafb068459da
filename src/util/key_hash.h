/* Turns an idempotency key into what the stock and the ledger hold (ticketd/key.h).  For any
 * process, one hasher a thread; it allocates only when it is made. */
#ifndef TICKETD_UTIL_KEY_HASH_H
#define TICKETD_UTIL_KEY_HASH_H

#include "ticketd/key.h"
#include "ticketd/text.h"

struct key_hasher;

/* NULL when there is no memory, or no SHA-256. */
struct key_hasher *key_hasher_new(void);
/* Accepts NULL. */
void key_hasher_free(struct key_hasher *hasher);

/* The hash of a key that is not empty, marked with its kind as ticketd/key.h says; never all zero.
 */
void key_hash(struct key_hasher *hasher, struct text key, struct ledger_key *ret_key);

/* The marking alone: makes the cut hash of `text` say of which kind that key is.  For key_hash, and
 * for tests of hashes that nobody finds a text for. */
void key_mark(struct text text, struct ledger_key *key);

#endif
