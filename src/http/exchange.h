/* One request and its answer, as the routes see them.  Lives in the request's own memory pool, so
 * it goes away with the request, answered or not.  Workers only. */
#ifndef TICKETD_HTTP_EXCHANGE_H
#define TICKETD_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "http/h2o.h"
#include "http/idempotency_key.h"
#include "http/problem.h"
#include "http/request_id.h"
#include "util/json.h"

/* Longest Retry-After of a problem. */
#define HTTP_RETRY_AFTER_MAX_S 3

/* What is wrong with a quantity. */
#define HTTP_QUANTITY_DETAIL "qty must be a whole number from 1 to 2147483647"

struct http_server;

struct http_exchange {
    /* fixed when the request is taken up */
    h2o_req_t *req;
    struct http_server *server;
    bool control;           /* of the control site: see struct http_site */
    bool same_origin;       /* no page of another origin may read the answer: the route's to say */
    struct text request_id; /* lives as long as the request */
    struct text parameter;  /* see http_path_parameter */
    /* request headers, found in one pass; base NULL when there is none, the first if repeated */
    struct text origin;
    struct text content_type;
    struct text idempotency_key; /* as sent, not decoded */
    struct text traceparent;     /* a sane one (util/traceparent.h), else as if there was none */
    bool idempotency_key_repeated;
    uint64_t began_ns;
    uint16_t number; /* of its path: see http_server_number_path */
    char made_id[REQUEST_ID_MADE_LEN];

    bool parked;                    /* see http_exchange_park */
    void (*on_left)(void *context); /* see http_on_left */
    void *left_context;
};

/* Most headers of an answer that only its route knows of. */
#define HTTP_FIELDS_MAX 8

/* A header of an answer. */
struct http_field {
    struct text name; /* static, likewise below */
    struct text value;
};

/* What an answer says beyond its body; zeroed fields are left out. */
struct http_reply {
    int status;
    const char *reason;       /* static */
    struct text content_type; /* static */
    struct text body;         /* must live until sent: static, or from http_alloc */
    struct text cache_control;
    struct text allow;
    struct text retry_after;
    struct text idempotency_key; /* as a structured-field string, to ask again with */
    struct text etag;            /* with its quotes; must live as long as the request */
    /* headers that no other route has; read while the call lasts */
    const struct http_field *fields;
    uint32_t field_count;
    bool replayed;  /* says that this is the answer of an earlier request with the same key */
    bool preflight; /* adds what a CORS preflight asks for */
    bool close;     /* ends the connection after this answer */
};

/* Memory that lives as long as the request. */
void *http_alloc(struct http_exchange *exchange, size_t size);

/* Has `cancel(context)` run when the request goes away, answered or not: when a client leaves,
 * libh2o frees the request, and what would still call back into it must be cancelled first.  Costs
 * an allocation, so it is for calls that did not complete at once.  `context` is memory of the
 * request (http_alloc), and `cancel` must do nothing for a call that has ended. */
void http_on_gone(struct http_exchange *exchange, void (*cancel)(void *context), void *context);

/* To be called, in the same turn of the loop, by a handler that answers later.  libh2o stops
 * reading a connection while its request is handled, and starts again after the answer: two system
 * calls, unless the socket stays registered all the while, which this sees to.  What arrives
 * meanwhile is left in the kernel. */
void http_exchange_park(struct http_exchange *exchange);

/* Has `on_left(context)` run when the client closes its end, or its writing half, while the request
 * is parked and nothing more of the client's has arrived: for an answer that nobody else needs.
 * It must answer, which ends the connection.  Without it such a client gets its answer. */
void http_on_left(struct http_exchange *exchange, void (*on_left)(void *context), void *context);

/* Begins an exchange: takes over or makes the request id, finds the origin. */
struct http_exchange *http_exchange_begin(struct http_server *server, h2o_req_t *req);

/* The value of a request header (the first, if it is repeated), or base NULL.  `name` is lower
 * case. */
struct text http_header(const struct http_exchange *exchange, struct text name);

/* The last segment of a path that was registered with a parameter: not empty, without a slash,
 * percent-decoded, any other bytes of the client's; lives as long as the request. */
struct text http_path_parameter(const struct http_exchange *exchange);

/* Whether a page of the exchange's Origin may call: a listed one, or one that this host served;
 * also true without an Origin. */
bool http_origin_allowed(const struct http_exchange *exchange);

/* Whether the client has the representation of that entity tag already (If-None-Match, RFC 9110
 * section 13.1.2: a list of tags compared weakly, or an asterisk), so that a GET is answered with
 * 304 and no body. */
bool http_has_entity(const struct http_exchange *exchange, struct text etag);

/* Sends the answer, without its body where that is none to send: of HEAD, 204 and 304.  The request
 * may be gone when this returns. */
void http_reply(struct http_exchange *exchange, const struct http_reply *reply);

/* Begins an answer whose body, of no known length, is then sent through libh2o by `generator`'s
 * owner; the connection ends with it.  The body of `reply` is not looked at. */
void http_reply_open(struct http_exchange *exchange, const struct http_reply *reply,
                     h2o_generator_t *generator);

/* Sends a problem document; `detail` is ours, never bytes of a client.  A 503 gets Retry-After: 1
 * to HTTP_RETRY_AFTER_MAX_S seconds, drawn, so that those who were refused at one time do not all
 * come back at one time. */
void http_problem(struct http_exchange *exchange, enum problem_code code, const char *detail);

/* The same with a JSON pointer to what is wrong in the body, and with an Allow header. */
void http_problem_at(struct http_exchange *exchange, enum problem_code code, const char *detail,
                     const char *pointer);
void http_problem_allow(struct http_exchange *exchange, enum problem_code code, const char *detail,
                        struct text allow);

/* The same with the header Idempotency-Key: the key, of visible characters, to send the same
 * request with again.  It is copied. */
void http_problem_key(struct http_exchange *exchange, enum problem_code code, const char *detail,
                      struct text key);

/* The same, and the connection is closed after it: what follows on it cannot be trusted. */
void http_problem_close(struct http_exchange *exchange, enum problem_code code, const char *detail);

/* Logs that a request, or a part of one, was refused: what is the server's fault as a warning, of
 * which a crowd gets one line a second, else for debugging.  The functions above do it themselves.
 */
void http_log_problem(struct http_exchange *exchange, struct text request_id,
                      enum problem_code code, const char *detail);

/* Whether the client's end has closed the connection, or its writing half: a look at the socket. */
bool http_peer_has_left(const struct http_exchange *exchange);

/* Whether the body is said to be JSON, or nothing is said: true with its bytes, which live as long
 * as the request; or false after sending the problem (unsupported_media_type). */
bool http_takes_json(struct http_exchange *exchange, struct text *ret_body);

/* Decodes the body as JSON.  true: *ret_document must be given to json_release; or false after
 * sending the problem (malformed_json, unsupported_media_type, internal_error without memory). */
bool http_read_json(struct http_exchange *exchange, struct json_document *ret_document);

/* Decodes the body {"qty": N}.  true with *ret_quantity, or false after sending the problem
 * (malformed_json, unsupported_media_type, invalid_quantity, internal_error without memory). */
bool http_read_quantity(struct http_exchange *exchange, int64_t *ret_quantity);

/* Decodes the header Idempotency-Key; without one the key is empty.  true with *ret_key, which
 * lives as long as `room` and the request; or false after sending the problem
 * invalid_idempotency_key. */
bool http_read_idempotency_key(struct http_exchange *exchange, char room[IDEMPOTENCY_KEY_MAX],
                               struct text *ret_key);

/* Counts an answer that begins now, and how long that took: once for each request.  http_reply does
 * it; this is for who answers without that. */
void http_count_answer(const struct http_exchange *exchange, int status);

/* Adds status-independent headers of every answer to a response that libh2o itself began. */
void http_add_common_headers(struct http_exchange *exchange);

#endif
