#include "route/sale_text.h"

#include <assert.h>

void sale_count(const struct router *router, const struct sale_reply *reply)
{
    enum metrics_event_cell cell = reply->replayed  ? METRICS_EVENT_replays
                                   : reply->success ? METRICS_EVENT_sales
                                                    : METRICS_EVENT_sold_outs;

    metrics_add_event(router->metrics, router->event, cell, 1);
}

char *sale_print(char *at, const struct sale_reply *reply, bool tells_replay)
{
    assert(reply->message.len <= SALE_MESSAGE_MAX);
    at = append_text(at, reply->success ? TEXT("{\"success\":true,\"remaining\":")
                                        : TEXT("{\"success\":false,\"remaining\":"));
    at = append_u32(at, reply->remaining);
    at = append_text(at, TEXT(",\"message\":\""));
    at = append_text(at, reply->message);
    if (reply->success) {
        at = append_text(at, TEXT("\",\"order_id\":\""));
        order_id_format(&reply->order, at);
        at += ORDER_ID_LEN;
    }
    at = append_text(at, TEXT("\""));
    if (tells_replay && reply->replayed)
        at = append_text(at, TEXT(",\"replayed\":true"));
    return append_text(at, TEXT("}"));
}
