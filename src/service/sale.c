#include "service/sale.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "ticketd/error.h"
#include "ticketd/stock.h"

static void reply_success(struct sale_call *call, const struct vacancy_result *result,
                          struct sale_reply *reply)
{
    char message[SALE_MESSAGE_MAX + 1];

    reply->success = true;
    reply->replayed = result->replayed;
    reply->order = result->order;
    if (call->names_quantity) {
        int len =
            snprintf(message, sizeof(message), "Reserved %" PRIu32 " tickets", call->quantity);
        reply->message = (struct text){.base = message, .len = (size_t)len};
    } else {
        reply->message = TEXT("Purchase successful!");
    }
    call->on_reply(call, reply);
}

static void on_vacancy(struct vacancy_call *vacancy, const struct vacancy_result *result)
{
    struct sale_call *call = (struct sale_call *)vacancy; /* its first member */
    struct sale_reply reply = {
        .status = result->status, .remaining = result->remaining, .key = result->key};

    if (result->status == TICKETD_DONE) {
        reply_success(call, result, &reply);
        return;
    }
    if (result->status == TICKETD_SOLD_OUT) {
        reply.status = TICKETD_DONE;
        reply.message = TEXT("Insufficient inventory");
    }
    call->on_reply(call, &reply);
}

static void start(struct vacancy_client *client, struct sale_call *call,
                  const struct sale_request *request, sale_on_reply *on_reply)
{
    call->on_reply = on_reply;
    if (request->quantity < 1 || request->quantity > STOCK_QUANTITY_MAX) {
        on_reply(call, &(struct sale_reply){.status = TICKETD_INVALID});
        return;
    }
    call->quantity = (uint32_t)request->quantity;
    vacancy_reserve(client, &call->vacancy,
                    &(struct vacancy_request){.event = request->event,
                                              .quantity = call->quantity,
                                              .key = request->key,
                                              .fresh = request->fresh,
                                              .request_id = request->request_id,
                                              .traceparent = request->traceparent,
                                              .deadline_ms = request->deadline_ms},
                    on_vacancy);
}

void sale_reserve(struct vacancy_client *client, struct sale_call *call,
                  const struct sale_request *request, sale_on_reply *on_reply)
{
    call->names_quantity = true;
    start(client, call, request, on_reply);
}

void sale_purchase(struct vacancy_client *client, struct sale_call *call,
                   const struct sale_request *request, sale_on_reply *on_reply)
{
    call->names_quantity = false;
    start(client, call, request, on_reply);
}

void sale_cancel(struct sale_call *call)
{
    vacancy_cancel(&call->vacancy);
}
