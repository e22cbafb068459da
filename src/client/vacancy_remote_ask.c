#include <stdio.h>
#include <string.h>

#include "client/vacancy_remote_internal.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"
#include "util/append.h"
#include "util/json.h"
#include "util/time_text.h"

#define ORDERS "/api/v1/orders/"

/* ---- sending ---- */

static struct text print_path(const struct remote_cell *cell,
                              char path[sizeof(ORDERS) + ORDER_ID_LEN])
{
    switch (cell->kind) {
    case REMOTE_ORDER:
        memcpy(path, ORDERS, sizeof(ORDERS) - 1);
        order_id_format(&cell->order, path + sizeof(ORDERS) - 1);
        return (struct text){.base = path, .len = sizeof(ORDERS) - 1 + ORDER_ID_LEN};
    case REMOTE_AVAILABLE:
        return TEXT("/api/v1/available");
    default:
        return TEXT("/ready");
    }
}

/* They are visible characters only: whoever copied them into the cell has looked. */
static struct text print_headers(const struct vacancy_remote *remote,
                                 const struct remote_cell *cell)
{
    char *end = remote->text;

    if (cell->request_id_len > 0) {
        end = append_text(end, TEXT("X-Request-ID: "));
        end = append_text(end, (struct text){cell->request_id, cell->request_id_len});
        end = append_text(end, TEXT("\r\n"));
    }
    if (cell->traceparent_len > 0) {
        end = append_text(end, TEXT("traceparent: "));
        end = append_text(end, (struct text){cell->traceparent, cell->traceparent_len});
        end = append_text(end, TEXT("\r\n"));
    }
    return (struct text){.base = remote->text, .len = (size_t)(end - remote->text)};
}

int remote_ask_send(struct vacancy_remote *remote)
{
    struct remote_cell *cell = TAILQ_FIRST(&remote->asks.cells);
    struct remote_trip *trip = remote_trip_take(remote);
    char path[sizeof(ORDERS) + ORDER_ID_LEN];
    int answer;

    if (trip == NULL)
        return TICKETD_BUSY;
    trip->is_batch = false;
    answer = remote_trip_begin(
        trip, &(struct upstream_request){
                  .method = "GET",
                  .path = print_path(cell, path),
                  .headers = print_headers(remote, cell),
                  .deadline_ms = remote_attempt_ends_ms(cell->attempts == 0, cell->deadline_ms,
                                                        clock_monotonic_ms()),
              });
    if (answer != TICKETD_DONE)
        return answer;
    ++remote->asks_away;
    remote_board(trip, cell);
    return TICKETD_DONE;
}

/* ---- judging ---- */

int remote_status_of(struct text body)
{
    struct json_document document;
    const char *code;
    int status = TICKETD_OUTCOME_UNKNOWN;

    if (json_parse(&document, body.base, body.len) == JSON_DONE &&
        json_get_string(&document, "code", &code) == JSON_DONE)
        status = reserve_batch_status_of(code);
    json_release(&document);
    return status;
}

/* Whether a problem document has that code. */
static bool has_code(const struct json_document *document, const char *code)
{
    const char *found;

    return json_get_string(document, "code", &found) == JSON_DONE && strcmp(found, code) == 0;
}

/* The three below fill in *ret_result and return whether the document is believed. */

static bool read_ready(const struct json_document *document, struct vacancy_result *ret_result)
{
    const char *status;

    ret_result->status = TICKETD_DONE;
    return json_get_string(document, "status", &status) == JSON_DONE &&
           strcmp(status, "ready") == 0;
}

static bool read_available(const struct json_document *document, struct vacancy_result *ret_result)
{
    int64_t quantity;

    if (json_get_integer(document, "qty", 0, STOCK_QUANTITY_MAX, &quantity) != JSON_DONE)
        return false;
    ret_result->status = TICKETD_DONE;
    ret_result->remaining = (uint32_t)quantity;
    return true;
}

static bool read_order(const struct json_document *document, const struct order_id *asked,
                       struct vacancy_result *ret_result)
{
    const char *id, *event, *time;
    struct order_id order;
    int64_t quantity, time_us;

    if (json_get_string(document, "order_id", &id) != JSON_DONE ||
        order_id_parse(id, strlen(id), &order) != TICKETD_DONE || order.event != asked->event ||
        order.sequence != asked->sequence || order.token != asked->token)
        return false;
    if (json_get_string(document, "event", &event) != JSON_DONE || event[0] == '\0' ||
        strlen(event) > STOCK_EVENT_ID_MAX ||
        json_get_integer(document, "qty", 1, STOCK_QUANTITY_MAX, &quantity) != JSON_DONE ||
        json_get_string(document, "created_at", &time) != JSON_DONE ||
        time_text_parse(time, &time_us) != TICKETD_DONE)
        return false;
    *ret_result = (struct vacancy_result){
        .status = TICKETD_DONE,
        .order = order,
        .quantity = (uint32_t)quantity,
        .time_us = time_us,
        .event = {.base = event, .len = strlen(event)},
    };
    return true;
}

static bool read_success(const struct remote_cell *cell, const struct json_document *document,
                         struct vacancy_result *ret_result)
{
    switch (cell->kind) {
    case REMOTE_ORDER:
        return read_order(document, &cell->order, ret_result);
    case REMOTE_AVAILABLE:
        return read_available(document, ret_result);
    default:
        return read_ready(document, ret_result);
    }
}

/* Why there is no answer; false: no vacancy pool says so. */
static bool read_refusal(const struct remote_cell *cell, int http_status,
                         const struct json_document *document, struct vacancy_result *ret_result)
{
    const char *code;

    if (http_status == 404 && cell->kind == REMOTE_ORDER && has_code(document, "order_not_found")) {
        ret_result->status = TICKETD_NOT_FOUND;
        return true;
    }
    if (http_status != 503)
        return false;
    if (cell->kind != REMOTE_PROBE && json_get_string(document, "code", &code) == JSON_DONE)
        ret_result->status = reserve_batch_status_of(code);
    if (ret_result->status == TICKETD_OUTCOME_UNKNOWN)
        ret_result->status = TICKETD_UNAVAILABLE; /* of what sells nothing */
    return true;
}

/* Ends the cell with what the reply says; the document lives as long as the result. */
static void judge(struct vacancy_remote *remote, struct remote_cell *cell,
                  const struct upstream_reply *reply)
{
    struct vacancy_result result = {.status = TICKETD_UNAVAILABLE};
    struct json_document document;
    bool believed = false;

    if (json_parse(&document, reply->body.base, reply->body.len) == JSON_DONE)
        believed = reply->status == 200 ? read_success(cell, &document, &result)
                                        : read_refusal(cell, reply->status, &document, &result);
    if (!believed) {
        result = (struct vacancy_result){.status = TICKETD_UNAVAILABLE};
        remote_warn(&remote->unbelievable, "the vacancy pool's answer is not believed",
                    cell->kind == REMOTE_ORDER       ? "an order"
                    : cell->kind == REMOTE_AVAILABLE ? "what is left"
                                                     : "whether it is ready");
    }
    remote_end(remote, cell, &result);
    json_release(&document);
}

void remote_ask_ended(struct remote_trip *trip, const struct upstream_reply *reply)
{
    struct vacancy_remote *remote = trip->remote;
    struct remote_cell *cell = TAILQ_FIRST(&trip->members.cells);

    --remote->asks_away;
    --remote->travelling;
    if (reply->end == UPSTREAM_REPLIED)
        judge(remote, cell, reply);
    else if (cell->kind == REMOTE_PROBE && cell->attempts > 0)
        remote_end_with(remote, cell, TICKETD_UNAVAILABLE);
    else
        remote_try_again(remote, cell, clock_monotonic_ms());
}
