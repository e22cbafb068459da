/* What a ticket pool and a vacancy pool say to each other: POST /api/v1/reserve/batch.
 *
 *     {"timeout_ms":1900,"requests":[{"qty":2,"idempotency_key":"…","fresh":true,"request_id":"…",
 *                                     "traceparent":"…"},…]}
 *     {"results":[{"success":true,"remaining":998,"message":"…","order_id":"…","replayed":true},
 *                 {"success":false,"remaining":1,"message":"Insufficient inventory"},
 *                 {"error":{"type":…,"title":…,"status":503,"detail":…,"code":"overloaded"}},…]}
 *
 * One result a request, in the same order.  timeout_ms, fresh, request_id and traceparent may be
 * left out; members that are not named here are ignored.  Both directions live here, so that the
 * two pools cannot come to differ.  Any process; no state. */
#ifndef TICKETD_WIRE_RESERVE_BATCH_H
#define TICKETD_WIRE_RESERVE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ticketd/order_id.h"
#include "ticketd/text.h"
#include "util/json.h"

/* Most requests of one batch, whatever BATCH_MAX says. */
#define RESERVE_BATCH_MAX 1024

/* Longest request id, in characters. */
#define RESERVE_BATCH_REQUEST_ID_MAX 128
/* Longest timeout_ms. */
#define RESERVE_BATCH_TIMEOUT_MAX_MS 3600000

/* Longest text of one request and of one result, and of what is around them all. */
#define RESERVE_BATCH_REQUEST_SIZE  1280
#define RESERVE_BATCH_RESULT_SIZE   640
#define RESERVE_BATCH_ENVELOPE_SIZE 64

struct reserve_batch_request {
    int64_t quantity; /* the vacancy pool's rules judge it; read: 0 for what is no such number */
    struct text key;  /* 1 … KEY_TEXT_MAX visible characters; empty for none */
    bool fresh;       /* no request has carried this key before (struct vacancy_request) */
    struct text request_id;  /* 1 … RESERVE_BATCH_REQUEST_ID_MAX visible ones; empty for none */
    struct text traceparent; /* a sane one (util/traceparent.h); empty for none */
    bool key_is_invalid;     /* read: there is one, and it breaks the rule above; `key` is empty */
};

struct reserve_batch_result {
    /* as in struct vacancy_result: 0, TICKETD_SOLD_OUT, or what the error's code stands for: -EIO
     * for internal_error, TICKETD_OUTCOME_UNKNOWN for a code that is not known here */
    int status;
    uint32_t remaining; /* with 0 and TICKETD_SOLD_OUT */
    bool replayed;
    struct order_id order; /* with 0 */
};

/* Writing a request, piece by piece into memory of the caller's, who has made room for
 * RESERVE_BATCH_ENVELOPE_SIZE + count * RESERVE_BATCH_REQUEST_SIZE.  Each returns the new end.
 * timeout_ms 0 is left out; a longer one than RESERVE_BATCH_TIMEOUT_MAX_MS becomes that. */
char *reserve_batch_begin(char *end, uint64_t timeout_ms);
char *reserve_batch_add(char *end, const struct reserve_batch_request *request, bool first);
char *reserve_batch_end(char *end);

/* What is wrong with a batch as a whole. */
struct reserve_batch_fault {
    const char *why;     /* static */
    const char *pointer; /* static: where, as a JSON pointer in a URI fragment */
    bool too_many;       /* requests: the caller knows how many it takes */
};

/* Reading a request.  The texts live as long as the document, which the caller has parsed.
 * A quantity or a key that breaks its rule is its request's own fault (see above); an id that does
 * is as good as none.
 * 0 with *ret_count and *ret_timeout_ms (0: none); TICKETD_INVALID: it is no batch, or has none or
 * more than `most` requests: *ret_fault. */
int reserve_batch_read(const struct json_document *document, struct reserve_batch_request *requests,
                       uint32_t most, uint32_t *ret_count, uint64_t *ret_timeout_ms,
                       struct reserve_batch_fault *ret_fault);

/* The same of a body of exactly the form that is written above, which a vacancy pool gets nearly
 * always: the texts are those of the body.  False, and nothing may be read from the outputs, when
 * it has another form: then reserve_batch_read tells what it says, or what is wrong with it. */
bool reserve_batch_scan(struct text body, struct reserve_batch_request *requests, uint32_t most,
                        uint32_t *ret_count, uint64_t *ret_timeout_ms);

/* Reading an answer to `count` requests.  0; TICKETD_INVALID: it is not to be believed, and
 * *ret_error says why, static text; -ENOMEM. */
int reserve_batch_read_results(struct text body, struct reserve_batch_result *results,
                               uint32_t count, const char **ret_error);

/* The same of an answer whose results were all judged, exactly as they are written; false as above.
 * reserve_batch_read_results asks it first. */
bool reserve_batch_scan_results(struct text body, struct reserve_batch_result *results,
                                uint32_t count);

/* What the code of a problem document stands for when a sale ends with it: see the status above. */
int reserve_batch_status_of(const char *code);

/* The answer is written by route/batch.c from what the sales reply: the same bytes as a reserve's,
 * so that "each judged on its own" is the same text. */

#endif
