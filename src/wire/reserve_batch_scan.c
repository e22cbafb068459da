/* Reading what reserve_batch.c and route/batch.c write, without building a tree of it.
 *
 * A tree of a batch costs more than all else that the two pools do for a sale: each member becomes
 * an allocation, and each question a search.  The pools nearly always talk to their own kind, so
 * what has exactly their form, member by member and without a blank or an escape, is taken from the
 * bytes as they pass.  Whatever has not is no fault: it is left to the readers of trees, who alone
 * say what is wrong. */
#include <stdbool.h>
#include <string.h>

#include "ticketd/error.h"
#include "ticketd/key.h"
#include "ticketd/stock.h"
#include "util/scan.h"
#include "util/traceparent.h"
#include "wire/reserve_batch.h"

/* Which strings a character may stand in, as itself: never the quote and the backslash. */
enum {
    VISIBLE = 1,
    PRINTABLE = 2, /* with blanks */
};
static const uint8_t stands_in[256] = {
    [' '] = PRINTABLE,
    ['!'] = VISIBLE | PRINTABLE,
    ['#' ... '['] = VISIBLE | PRINTABLE,
    [']' ... '~'] = VISIBLE | PRINTABLE,
};

/* A string of 1 to `most` such characters, and the quote after it. */
static bool take_string(struct scan *scan, uint8_t kind, size_t most, struct text *ret_text)
{
    const char *begin = scan->at, *at = begin, *end = scan->end;

    while (at < end && (stands_in[(unsigned char)*at] & kind) != 0)
        ++at;
    *ret_text = (struct text){.base = begin, .len = (size_t)(at - begin)};
    scan->at = at;
    return at > begin && (size_t)(at - begin) <= most && scan_pass(scan, TEXT("\""));
}

static bool take_order(struct scan *scan, struct order_id *ret_order)
{
    if (scan->end - scan->at < ORDER_ID_LEN ||
        order_id_parse(scan->at, ORDER_ID_LEN, ret_order) != TICKETD_DONE)
        return false;
    scan->at += ORDER_ID_LEN;
    return scan_pass(scan, TEXT("\""));
}

static bool take_request(struct scan *scan, struct reserve_batch_request *ret_request)
{
    struct reserve_batch_request request = {.quantity = 0};
    uint64_t quantity;

    if (!scan_pass(scan, TEXT("{\"qty\":")) || !scan_number(scan, STOCK_QUANTITY_MAX, &quantity) ||
        quantity == 0)
        return false;
    request.quantity = (int64_t)quantity;
    if (scan_pass(scan, TEXT(",\"idempotency_key\":\"")) &&
        !take_string(scan, VISIBLE, KEY_TEXT_MAX, &request.key))
        return false;
    request.fresh = scan_pass(scan, TEXT(",\"fresh\":true"));
    if (scan_pass(scan, TEXT(",\"request_id\":\"")) &&
        !take_string(scan, VISIBLE, RESERVE_BATCH_REQUEST_ID_MAX, &request.request_id))
        return false;
    if (scan_pass(scan, TEXT(",\"traceparent\":\"")) &&
        !(take_string(scan, VISIBLE, TRACEPARENT_LEN, &request.traceparent) &&
          traceparent_is_sane(request.traceparent)))
        return false;
    *ret_request = request;
    return scan_pass(scan, TEXT("}"));
}

bool reserve_batch_scan(struct text body, struct reserve_batch_request *requests, uint32_t most,
                        uint32_t *ret_count, uint64_t *ret_timeout_ms)
{
    struct scan scan = scan_begin(body);
    uint64_t timeout_ms = 0;
    uint32_t count = 0;

    if (!scan_pass(&scan, TEXT("{")))
        return false;
    if (scan_pass(&scan, TEXT("\"timeout_ms\":")) &&
        !(scan_number(&scan, RESERVE_BATCH_TIMEOUT_MAX_MS, &timeout_ms) && timeout_ms > 0 &&
          scan_pass(&scan, TEXT(","))))
        return false;
    if (!scan_pass(&scan, TEXT("\"requests\":[")))
        return false;
    do {
        if (count == most || !take_request(&scan, &requests[count]))
            return false;
        ++count;
    } while (scan_pass(&scan, TEXT(",")));
    if (!scan_pass(&scan, TEXT("]}")) || !scan_is_at_end(&scan))
        return false;
    *ret_count = count;
    *ret_timeout_ms = timeout_ms;
    return true;
}

static bool take_result(struct scan *scan, struct reserve_batch_result *ret_result)
{
    struct reserve_batch_result result = {.status = TICKETD_DONE};
    struct text message;
    uint64_t remaining;

    if (scan_pass(scan, TEXT("{\"success\":false")))
        result.status = TICKETD_SOLD_OUT;
    else if (!scan_pass(scan, TEXT("{\"success\":true")))
        return false;
    if (!scan_pass(scan, TEXT(",\"remaining\":")) || !scan_number(scan, UINT32_MAX, &remaining) ||
        !scan_pass(scan, TEXT(",\"message\":\"")) ||
        !take_string(scan, PRINTABLE, SIZE_MAX, &message))
        return false;
    result.remaining = (uint32_t)remaining;
    if (result.status == TICKETD_DONE) {
        if (!scan_pass(scan, TEXT(",\"order_id\":\"")) || !take_order(scan, &result.order))
            return false;
        result.replayed = scan_pass(scan, TEXT(",\"replayed\":true"));
    }
    *ret_result = result;
    return scan_pass(scan, TEXT("}"));
}

bool reserve_batch_scan_results(struct text body, struct reserve_batch_result *results,
                                uint32_t count)
{
    struct scan scan = scan_begin(body);

    if (!scan_pass(&scan, TEXT("{\"results\":[")))
        return false;
    for (uint32_t i = 0; i < count; ++i)
        if ((i > 0 && !scan_pass(&scan, TEXT(","))) || !take_result(&scan, &results[i]))
            return false;
    return scan_pass(&scan, TEXT("]}")) && scan_is_at_end(&scan);
}
