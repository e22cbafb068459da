#include "client/vacancy_local.h"

#include "ticketd/error.h"
#include "util/clock.h"

static struct vacancy_local *local_of(struct vacancy_client *client)
{
    return (struct vacancy_local *)client;
}

static bool is_late(const struct vacancy_request *request)
{
    return request->deadline_ms != 0 && clock_monotonic_ms() >= request->deadline_ms;
}

/* Finds the event, or completes the call with why not. */
static bool begin(struct vacancy_local *local, struct vacancy_call *call,
                  const struct vacancy_request *request, uint32_t *ret_event)
{
    struct vacancy_result result = {.status = TICKETD_TIMED_OUT};

    if (!is_late(request))
        result.status =
            stock_event_find(local->stock, request->event.base, request->event.len, ret_event);
    if (result.status == TICKETD_DONE)
        return true;
    vacancy_complete(call, &result);
    return false;
}

static void local_reserve(struct vacancy_client *client, struct vacancy_call *call,
                          const struct vacancy_request *request)
{
    struct vacancy_local *local = local_of(client);
    struct stock_entry entry = {0};
    struct vacancy_result result;
    uint32_t event;

    if (!begin(local, call, request, &event))
        return;
    result.status = stock_sell(local->stock, event, request->quantity, &entry);
    result.remaining = entry.available;
    vacancy_complete(call, &result);
}

static void local_available(struct vacancy_client *client, struct vacancy_call *call,
                            const struct vacancy_request *request)
{
    struct vacancy_local *local = local_of(client);
    struct vacancy_result result = {.status = TICKETD_DONE};
    uint32_t event;

    if (!begin(local, call, request, &event))
        return;
    result.remaining = stock_available(local->stock, event);
    vacancy_complete(call, &result);
}

static void local_health(struct vacancy_client *client, struct vacancy_call *call,
                         const struct vacancy_request *request)
{
    struct vacancy_local *local = local_of(client);

    vacancy_complete(call, &(struct vacancy_result){
                               .status = is_late(request)                ? TICKETD_TIMED_OUT
                                         : local->stock->segment == NULL ? TICKETD_UNAVAILABLE
                                                                         : TICKETD_DONE,
                           });
}

static void local_order(struct vacancy_client *client, struct vacancy_call *call,
                        const struct vacancy_request *request)
{
    (void)client;
    (void)request;
    vacancy_complete(call, &(struct vacancy_result){.status = TICKETD_NOT_FOUND});
}

static void local_restock(struct vacancy_client *client, struct vacancy_call *call,
                          const struct vacancy_request *request)
{
    (void)client;
    (void)request;
    vacancy_complete(call, &(struct vacancy_result){.status = TICKETD_UNAVAILABLE});
}

static void local_cancel(struct vacancy_client *client, struct vacancy_call *call)
{
    (void)client;
    (void)call; /* nothing is ever pending: vacancy_cancel does not get here */
}

static const struct vacancy_client_ops vacancy_local_ops = {
    .name = "local",
    .reserve = local_reserve,
    .available = local_available,
    .health = local_health,
    .order = local_order,
    .restock = local_restock,
    .cancel = local_cancel,
};

void vacancy_local_init(struct vacancy_local *local, struct stock *stock)
{
    vacancy_client_init(&local->client, &vacancy_local_ops);
    local->stock = stock;
}
