#include "wire/reserve_batch.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "ticketd/error.h"
#include "ticketd/key.h"
#include "ticketd/stock.h"
#include "util/append.h"
#include "util/traceparent.h"

#define TIMEOUT     "\"timeout_ms\":"
#define REQUESTS    "\"requests\":["
#define END         "]}"
#define QUANTITY    "{\"qty\":"
#define KEY         ",\"idempotency_key\":\""
#define FRESH       ",\"fresh\":true"
#define REQUEST_ID  ",\"request_id\":\""
#define TRACEPARENT ",\"traceparent\":\""

static_assert(sizeof("{" TIMEOUT "," REQUESTS END) + APPEND_U32_MAX <= RESERVE_BATCH_ENVELOPE_SIZE,
              "what is around the requests has room");
static_assert(sizeof("," QUANTITY KEY "\"" FRESH REQUEST_ID "\"" TRACEPARENT "\"}") +
                      APPEND_U32_MAX + 2 * (KEY_TEXT_MAX + RESERVE_BATCH_REQUEST_ID_MAX) +
                      TRACEPARENT_LEN <=
                  RESERVE_BATCH_REQUEST_SIZE,
              "a request has room, even if each of its characters is escaped");

static_assert((int)TICKETD_INVALID > (int)JSON_OUT_OF_BOUNDS,
              "what an item's reader answers is told from what json_get_each answers itself");

/* ---- a request, written ---- */

/* Visible ASCII has two characters that a JSON string must escape. */
static char *append_visible(char *end, struct text text)
{
    assert(text_is_visible(text));
    if (memchr(text.base, '"', text.len) == NULL && memchr(text.base, '\\', text.len) == NULL)
        return append_text(end, text);
    for (size_t i = 0; i < text.len; ++i) {
        if (text.base[i] == '"' || text.base[i] == '\\')
            *end++ = '\\';
        *end++ = text.base[i];
    }
    return end;
}

static char *append_member(char *end, struct text name, struct text value, size_t most)
{
    assert(value.len <= most);
    if (value.len == 0)
        return end;
    end = append_text(end, name);
    end = append_visible(end, value);
    *end++ = '"';
    return end;
}

char *reserve_batch_begin(char *end, uint64_t timeout_ms)
{
    *end++ = '{';
    if (timeout_ms > RESERVE_BATCH_TIMEOUT_MAX_MS)
        timeout_ms = RESERVE_BATCH_TIMEOUT_MAX_MS;
    if (timeout_ms > 0) {
        end = append_text(end, TEXT(TIMEOUT));
        end = append_u32(end, (uint32_t)timeout_ms);
        *end++ = ',';
    }
    return append_text(end, TEXT(REQUESTS));
}

char *reserve_batch_add(char *end, const struct reserve_batch_request *request, bool first)
{
    assert(request->quantity >= 0 && request->quantity <= UINT32_MAX);
    if (!first)
        *end++ = ',';
    end = append_text(end, TEXT(QUANTITY));
    end = append_u32(end, (uint32_t)request->quantity);
    end = append_member(end, TEXT(KEY), request->key, KEY_TEXT_MAX);
    if (request->fresh)
        end = append_text(end, TEXT(FRESH));
    end = append_member(end, TEXT(REQUEST_ID), request->request_id, RESERVE_BATCH_REQUEST_ID_MAX);
    end = append_member(end, TEXT(TRACEPARENT), request->traceparent, TRACEPARENT_LEN);
    *end++ = '}';
    return end;
}

char *reserve_batch_end(char *end)
{
    return append_text(end, TEXT(END));
}

/* ---- a request, read ---- */

struct reading {
    struct reserve_batch_request *requests;
    uint32_t most;
    uint32_t count;
    struct reserve_batch_fault *fault;
};

static int refuse(struct reserve_batch_fault *ret_fault, const char *why, const char *pointer)
{
    *ret_fault = (struct reserve_batch_fault){.why = why, .pointer = pointer};
    return TICKETD_INVALID;
}

static int refuse_too_many(struct reserve_batch_fault *ret_fault)
{
    (void)refuse(ret_fault, "there are too many requests", "#/requests");
    ret_fault->too_many = true;
    return TICKETD_INVALID;
}

/* A member that is such a text; else empty. */
static struct text visible_member(const struct json_document *item, const char *name, size_t most)
{
    struct text text = {.base = NULL};

    if (json_get_string(item, name, &text.base) != JSON_DONE)
        return text;
    text.len = strlen(text.base);
    return text.len <= most && text_is_visible(text) ? text : (struct text){.base = NULL};
}

static int read_request(void *context, const struct json_document *item)
{
    struct reading *reading = context;
    struct reserve_batch_request *request = &reading->requests[reading->count];
    const char *key;

    if (!json_is_object(item))
        return refuse(reading->fault, "each of the requests must be an object", "#/requests");
    if (reading->count == reading->most)
        return refuse_too_many(reading->fault);
    *request = (struct reserve_batch_request){
        .key = visible_member(item, "idempotency_key", KEY_TEXT_MAX),
        .request_id = visible_member(item, "request_id", RESERVE_BATCH_REQUEST_ID_MAX),
        .traceparent = visible_member(item, "traceparent", TRACEPARENT_LEN),
    };
    /* of another type, too, it is not said */
    (void)json_get_bool(item, "fresh", &request->fresh);
    if (json_get_integer(item, "qty", 1, STOCK_QUANTITY_MAX, &request->quantity) != JSON_DONE)
        request->quantity = 0;
    if (request->key.len == 0)
        request->key_is_invalid = json_get_string(item, "idempotency_key", &key) != JSON_MISSING;
    if (!traceparent_is_sane(request->traceparent))
        request->traceparent = (struct text){.base = NULL};
    ++reading->count;
    return 0;
}

int reserve_batch_read(const struct json_document *document, struct reserve_batch_request *requests,
                       uint32_t most, uint32_t *ret_count, uint64_t *ret_timeout_ms,
                       struct reserve_batch_fault *ret_fault)
{
    struct reading reading = {.requests = requests, .most = most, .fault = ret_fault};
    int64_t timeout_ms = 0;
    int result;

    if (!json_is_object(document))
        return refuse(ret_fault, "the body must be a JSON object with the member requests", "#");
    result = json_get_integer(document, "timeout_ms", 1, RESERVE_BATCH_TIMEOUT_MAX_MS, &timeout_ms);
    if (result != JSON_DONE && result != JSON_MISSING)
        return refuse(ret_fault, "timeout_ms must be a whole number from 1 to 3600000",
                      "#/timeout_ms");
    result = json_get_each(document, "requests", read_request, &reading);
    if (result == TICKETD_INVALID)
        return result;
    if (result != JSON_DONE || reading.count == 0)
        return refuse(ret_fault, "requests must be a list of at least one request", "#/requests");
    *ret_count = reading.count;
    *ret_timeout_ms = (uint64_t)timeout_ms;
    return 0;
}

/* ---- an answer, read ---- */

struct reading_results {
    struct reserve_batch_result *results;
    uint32_t wanted;
    uint32_t count;
    const char **error;
};

static int disbelieve(const char **ret_error, const char *why)
{
    *ret_error = why;
    return TICKETD_INVALID;
}

int reserve_batch_status_of(const char *code)
{
    static const struct {
        const char *code;
        int status;
    } statuses[] = {
        {"overloaded", TICKETD_BUSY},
        {"vacancy_unavailable", TICKETD_UNAVAILABLE},
        {"ledger_unavailable", TICKETD_LEDGER_FAULT},
        {"idempotency_key_reused", TICKETD_KEY_REUSED},
        {"idempotency_key_in_flight", TICKETD_KEY_IN_FLIGHT},
        {"invalid_quantity", TICKETD_INVALID},
        {"invalid_idempotency_key", TICKETD_INVALID},
        {"internal_error", -EIO},
    };

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); ++i)
        if (strcmp(statuses[i].code, code) == 0)
            return statuses[i].status;
    return TICKETD_OUTCOME_UNKNOWN; /* that very code, or one that says nothing to this version */
}

static int read_success(const struct json_document *item, struct reserve_batch_result *result,
                        const char **ret_error)
{
    const char *order;
    int answer = json_get_bool(item, "replayed", &result->replayed);

    if (answer != JSON_DONE && answer != JSON_MISSING)
        return disbelieve(ret_error, "a result's replayed is neither true nor false");
    if (json_get_string(item, "order_id", &order) != JSON_DONE ||
        order_id_parse(order, strlen(order), &result->order) != TICKETD_DONE)
        return disbelieve(ret_error, "a success has no order_id");
    return 0;
}

static int read_judged(const struct json_document *item, struct reserve_batch_result *result,
                       const char **ret_error)
{
    int64_t remaining;
    bool success;

    if (json_get_bool(item, "success", &success) != JSON_DONE)
        return disbelieve(ret_error, "a result is neither an error nor a sale's");
    if (json_get_integer(item, "remaining", 0, UINT32_MAX, &remaining) != JSON_DONE)
        return disbelieve(ret_error, "a result does not say what is remaining");
    result->remaining = (uint32_t)remaining;
    if (success)
        return read_success(item, result, ret_error);
    result->status = TICKETD_SOLD_OUT;
    return 0;
}

static int read_result(void *context, const struct json_document *item)
{
    struct reading_results *reading = context;
    struct reserve_batch_result *result = &reading->results[reading->count];
    struct json_document error;
    const char *code;
    int answer;

    if (reading->count == reading->wanted)
        return disbelieve(reading->error, "there are more results than requests");
    if (!json_is_object(item))
        return disbelieve(reading->error, "a result is no object");
    ++reading->count;
    *result = (struct reserve_batch_result){.status = TICKETD_DONE};
    answer = json_get_object(item, "error", &error);
    if (answer == JSON_MISSING)
        return read_judged(item, result, reading->error);
    if (answer != JSON_DONE || json_get_string(&error, "code", &code) != JSON_DONE)
        return disbelieve(reading->error, "an error has no code");
    result->status = reserve_batch_status_of(code);
    return 0;
}

int reserve_batch_read_results(struct text body, struct reserve_batch_result *results,
                               uint32_t count, const char **ret_error)
{
    struct reading_results reading = {.results = results, .wanted = count, .error = ret_error};
    struct json_document document;
    int answer;

    if (reserve_batch_scan_results(body, results, count))
        return 0;
    answer = json_parse(&document, body.base, body.len);
    if (answer == JSON_MALFORMED)
        return disbelieve(ret_error, document.reason);
    if (answer < 0)
        return answer;
    answer = json_get_each(&document, "results", read_result, &reading);
    json_release(&document);
    if (answer == TICKETD_INVALID)
        return answer;
    if (answer != JSON_DONE)
        return disbelieve(ret_error, "there is no list of results");
    return reading.count == count ? 0
                                  : disbelieve(ret_error, "there are fewer results than requests");
}
