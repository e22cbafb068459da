/* The value of the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): a
 * structured-field string (RFC 9651 section 3.3.3), or the bare key that many clients send.  Pure;
 * any process; never allocates and reads each byte once. */
#ifndef TICKETD_HTTP_IDEMPOTENCY_KEY_H
#define TICKETD_HTTP_IDEMPOTENCY_KEY_H

#include "ticketd/key.h"
#include "ticketd/text.h"

/* Longest key in characters, decoded. */
#define IDEMPOTENCY_KEY_MAX KEY_TEXT_MAX

/* Decodes a header's value: "quoted", in which only \" and \\ are escapes, or bare, in which
 * nothing has a meaning.  Both forms of one key decode to the same characters: 1 …
 * IDEMPOTENCY_KEY_MAX of visible ASCII (no space, so that a list of two keys is no key).
 * Returns NULL with *ret_key, which points into `value` or `room`; else a short static reason fit
 * for a client, *ret_key untouched. */
const char *idempotency_key_decode(struct text value, char room[IDEMPOTENCY_KEY_MAX],
                                   struct text *ret_key);

#endif
