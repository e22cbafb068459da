/* POST /api/v1/reserve/batch: what a ticket pool asks (wire/reserve_batch.h). */
#include "wire/reserve_batch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "route/route.h"
#include "route/sale_text.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"
#include "util/clock.h"
#include "util/log.h"

#define KEY_DETAIL "idempotency_key must be 1 to 255 visible ASCII characters"
#define LEFT       "the client closed the connection before the batch was judged"
#define BEGIN      "{\"results\":["
#define END        "]}"
/* Around a result. */
#define ERROR_BEGIN "{\"error\":"
#define RESULT_END  ","
/* Longest JSON pointer to a member of a request. */
#define POINTER_MAX (sizeof("#/requests//idempotency_key") + APPEND_U32_MAX)

static_assert(RESERVE_BATCH_REQUEST_ID_MAX == REQUEST_ID_MAX,
              "one rule for ids, however they come");
static_assert(SALE_TEXT_MAX + sizeof(RESULT_END) <= RESERVE_BATCH_RESULT_SIZE,
              "a ticket pool has room for every sale's answer");

struct batch;

/* One request of a batch, and its result. */
struct item {
    struct sale_call sale; /* first */
    struct batch *batch;
    int64_t quantity; /* as it was sent; for the log */
    struct text request_id;
    struct text traceparent;
    /* Why not: of a sale that was refused. */
    const char *detail; /* NULL: it was judged */
    enum problem_code code;
    const char *member; /* of the request, that is to blame; NULL: none */
    /* Its answer: of a sale that was judged. */
    uint32_t text_len;
    char text[SALE_TEXT_MAX];
};

/* A batch under way: one block of the request's memory, with all items, and with the texts of
 * theirs that are needed later. */
struct batch {
    struct router *router;
    struct http_exchange *exchange;
    uint32_t count;
    uint32_t left; /* items that have no result yet */
    bool starting; /* the last result may come, but is not answered yet */
    bool gone;     /* the client is: results that still come are nobody's */
    struct item items[];
};

size_t route_batch_body_max(const struct settings *settings)
{
    return RESERVE_BATCH_ENVELOPE_SIZE +
           (size_t)settings->batch_max * (size_t)RESERVE_BATCH_REQUEST_SIZE;
}

/* ---- the answer ---- */

/* The problem as it would be answered alone, but that it points into the batch. */
static char *print_error(char *at, const struct item *item)
{
    char pointer[POINTER_MAX];
    char *begin = at;

    (void)snprintf(pointer, sizeof(pointer), "#/requests/%td/%s", item - item->batch->items,
                   item->member != NULL ? item->member : "");
    at = append_text(at, TEXT(ERROR_BEGIN));
    at += problem_print(at, item->code, item->detail, item->member != NULL ? pointer : NULL);
    at = append_text(at, TEXT("}"));
    assert((size_t)(at - begin) + sizeof(RESULT_END) <= RESERVE_BATCH_RESULT_SIZE);
    return at;
}

static size_t room_of(const struct batch *batch)
{
    /* problem_print wants more room than any problem of ours takes */
    size_t room = sizeof(BEGIN END) + PROBLEM_BODY_MAX;

    for (uint32_t i = 0; i < batch->count; ++i)
        room += batch->items[i].detail != NULL ? RESERVE_BATCH_RESULT_SIZE
                                               : batch->items[i].text_len + sizeof(RESULT_END);
    return room;
}

static void answer(struct batch *batch)
{
    char *body = http_alloc(batch->exchange, room_of(batch)), *end;

    end = append_text(body, TEXT(BEGIN));
    for (uint32_t i = 0; i < batch->count; ++i) {
        const struct item *item = &batch->items[i];
        if (i > 0)
            end = append_text(end, TEXT(RESULT_END));
        if (item->detail != NULL)
            end = print_error(end, item);
        else
            end = append_text(end, (struct text){.base = item->text, .len = item->text_len});
    }
    end = append_text(end, TEXT(END));
    http_reply(batch->exchange, &(struct http_reply){
                                    .status = 200,
                                    .reason = "OK",
                                    .content_type = TEXT("application/json"),
                                    .body = {.base = body, .len = (size_t)(end - body)},
                                });
}

/* ---- results ---- */

/* The line of the access log that the request would have had alone. */
static void log_item(const struct item *item, const char *outcome)
{
    if (!item->batch->router->settings->access_log)
        return;
    log_request(LOG_LEVEL_INFO, item->request_id.base, item->request_id.len,
                "in a batch: qty %" PRId64 " %s%s%.*s", item->quantity, outcome,
                item->traceparent.len > 0 ? " trace " : "", (int)item->traceparent.len,
                item->traceparent.base);
}

/* The item has its result.  The batch is answered with its last one. */
static void settle(struct item *item, const char *outcome)
{
    struct batch *batch = item->batch;

    log_item(item, outcome);
    if (--batch->left == 0 && !batch->starting)
        answer(batch);
}

static void refuse(struct item *item, const struct route_failure *failure, const char *member)
{
    struct batch *batch = item->batch;

    item->code = failure->code;
    item->detail = failure->detail;
    item->member = member;
    route_count_failure(batch->router, failure);
    http_log_problem(batch->exchange, item->request_id, failure->code, failure->detail);
    settle(item, problem_kind(failure->code)->code);
}

static void on_reply(struct sale_call *sale, const struct sale_reply *reply)
{
    static const struct route_failure invalid = {TICKETD_INVALID, PROBLEM_invalid_quantity,
                                                 HTTP_QUANTITY_DETAIL};
    struct item *item = (struct item *)sale;

    if (item->batch->gone)
        return;
    if (reply->status == TICKETD_INVALID) {
        refuse(item, &invalid, "qty");
        return;
    }
    if (reply->status != TICKETD_DONE) {
        refuse(item, route_failure_of(reply->status), NULL);
        return;
    }
    sale_count(item->batch->router, reply);
    item->text_len = (uint32_t)(sale_print(item->text, reply, true) - item->text);
    settle(item, reply->replayed ? "replayed" : reply->success ? "sold" : "sold out");
}

/* ---- begin and end ---- */

/* From the last to the first: of requests with one key those that wait for another one end before
 * it does, and are not sold in its place. */
static void cancel(void *context)
{
    struct batch *batch = context;

    batch->gone = true;
    for (uint32_t i = batch->count; i > 0; --i)
        sale_cancel(&batch->items[i - 1].sale);
}

/* The ticket pool has given the batch up: what can still be withdrawn need not be sold.  The rest
 * stands, and whoever still hears the answer (something in between that closed one half only) must
 * not take it for a refusal of all. */
static void on_left(void *context)
{
    struct batch *batch = context;

    cancel(batch);
    http_problem_close(batch->exchange, PROBLEM_outcome_unknown, LEFT);
}

static char *keep(char *end, struct text text, struct text *ret_kept)
{
    *ret_kept = (struct text){.base = end, .len = text.len};
    return text.len == 0 ? end : append_text(end, text);
}

static struct text either(struct text own, struct text of_batch)
{
    return own.len > 0 ? own : of_batch;
}

static struct batch *new_batch(struct router *router, struct http_exchange *exchange,
                               const struct reserve_batch_request *requests, uint32_t count)
{
    size_t texts = 0;
    struct batch *batch;
    char *end;

    for (uint32_t i = 0; i < count; ++i)
        texts += requests[i].request_id.len + requests[i].traceparent.len;
    batch = http_alloc(exchange, sizeof(*batch) + count * sizeof(batch->items[0]) + texts);
    *batch = (struct batch){
        .router = router, .exchange = exchange, .count = count, .left = count, .starting = true};
    end = (char *)&batch->items[count];
    for (uint32_t i = 0; i < count; ++i) {
        struct item *item = &batch->items[i];
        item->sale.vacancy.pending = NULL;
        item->batch = batch;
        item->quantity = requests[i].quantity;
        end = keep(end, requests[i].request_id, &item->request_id);
        end = keep(end, requests[i].traceparent, &item->traceparent);
        item->request_id = either(item->request_id, exchange->request_id);
        item->traceparent = either(item->traceparent, exchange->traceparent);
        item->detail = NULL;
    }
    return batch;
}

static void start(struct item *item, const struct reserve_batch_request *request,
                  uint64_t deadline_ms)
{
    sale_reserve(item->batch->router->vacancy, &item->sale,
                 &(struct sale_request){.event = TEXT(STOCK_DEFAULT_EVENT),
                                        .quantity = item->quantity,
                                        .key = request->key,
                                        .fresh = request->fresh,
                                        .request_id = item->request_id,
                                        .traceparent = item->traceparent,
                                        .deadline_ms = deadline_ms},
                 on_reply);
}

/* Begins all sales; the texts of the requests are not needed any more when it returns. */
static void start_all(struct batch *batch, const struct reserve_batch_request *requests,
                      uint64_t timeout_ms)
{
    static const struct route_failure invalid_key = {TICKETD_INVALID,
                                                     PROBLEM_invalid_idempotency_key, KEY_DETAIL};
    uint64_t deadline_ms = 0; /* SALE_TIMEOUT, as of any sale */

    if (timeout_ms > 0 && timeout_ms < (uint64_t)batch->router->settings->sale_timeout_ms)
        deadline_ms = clock_monotonic_ms() + timeout_ms;
    for (uint32_t i = 0; i < batch->count; ++i) {
        if (requests[i].key_is_invalid)
            refuse(&batch->items[i], &invalid_key, "idempotency_key");
        else
            start(&batch->items[i], &requests[i], deadline_ms);
    }
    batch->starting = false;
}

/* Answers, or sees to it that the last result does. */
static void await(struct batch *batch)
{
    if (batch->left == 0) {
        answer(batch);
        return;
    }
    http_exchange_park(batch->exchange);
    http_on_gone(batch->exchange, cancel, batch);
    http_on_left(batch->exchange, on_left, batch);
}

static void refuse_batch(struct http_exchange *exchange, const struct reserve_batch_fault *fault,
                         int64_t most)
{
    char too_many[PROBLEM_DETAIL_MAX + 1];

    (void)snprintf(too_many, sizeof(too_many), "a batch may have at most %" PRId64 " requests",
                   most);
    http_problem_at(exchange, PROBLEM_invalid_batch, fault->too_many ? too_many : fault->why,
                    fault->pointer);
}

/* What was asked. */
struct asked {
    struct reserve_batch_request *requests; /* the request's memory */
    uint32_t count;
    uint64_t timeout_ms;
    struct json_document document; /* what their texts live in; nothing, when that is the body */
};

/* True, and json_release is due; or false after sending the problem. */
static bool read_batch(const struct router *router, struct http_exchange *exchange,
                       struct asked *ret_asked)
{
    uint32_t most = (uint32_t)router->settings->batch_max;
    struct reserve_batch_fault fault;
    struct text body;

    if (!http_takes_json(exchange, &body))
        return false;
    *ret_asked =
        (struct asked){.requests = http_alloc(exchange, most * sizeof(*ret_asked->requests))};
    if (reserve_batch_scan(body, ret_asked->requests, most, &ret_asked->count,
                           &ret_asked->timeout_ms))
        return true;
    if (!http_read_json(exchange, &ret_asked->document))
        return false;
    if (reserve_batch_read(&ret_asked->document, ret_asked->requests, most, &ret_asked->count,
                           &ret_asked->timeout_ms, &fault) == 0)
        return true;
    json_release(&ret_asked->document);
    refuse_batch(exchange, &fault, most);
    return false;
}

void route_reserve_batch(struct router *router, struct http_exchange *exchange)
{
    struct asked asked;
    struct batch *batch;

    if (!read_batch(router, exchange, &asked))
        return;
    /* A worker that was stopped, or starved, for longer than the ticket pool waits comes upon
     * batches that were given up: their keys have been sold by a retry elsewhere, or the ticket
     * pool has told its clients that nothing was sold.  A sale now would make that a lie, and it
     * closes the connection of what it gives up. */
    if (http_peer_has_left(exchange)) {
        json_release(&asked.document);
        http_problem_close(exchange, PROBLEM_malformed_request, LEFT);
        return;
    }
    batch = new_batch(router, exchange, asked.requests, asked.count);
    start_all(batch, asked.requests, asked.timeout_ms);
    json_release(&asked.document);
    await(batch);
}
