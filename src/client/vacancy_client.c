#include "ticketd/vacancy_client.h"

#include <assert.h>

void vacancy_client_init(struct vacancy_client *client, const struct vacancy_client_ops *ops)
{
    assert(ops->name != NULL && ops->reserve != NULL && ops->available != NULL &&
           ops->health != NULL && ops->order != NULL && ops->restock != NULL &&
           ops->cancel != NULL);
    client->ops = ops;
}

static void begin(struct vacancy_client *client, struct vacancy_call *call,
                  vacancy_on_complete *on_complete)
{
    assert(call->pending == NULL && "a call is started only when it is idle");
    call->client = client;
    call->on_complete = on_complete;
    call->pending = call; /* an implementation may put its own state here */
}

void vacancy_reserve(struct vacancy_client *client, struct vacancy_call *call,
                     const struct vacancy_request *request, vacancy_on_complete *on_complete)
{
    begin(client, call, on_complete);
    client->ops->reserve(client, call, request);
}

void vacancy_available(struct vacancy_client *client, struct vacancy_call *call,
                       const struct vacancy_request *request, vacancy_on_complete *on_complete)
{
    begin(client, call, on_complete);
    client->ops->available(client, call, request);
}

void vacancy_health(struct vacancy_client *client, struct vacancy_call *call,
                    const struct vacancy_request *request, vacancy_on_complete *on_complete)
{
    begin(client, call, on_complete);
    client->ops->health(client, call, request);
}

void vacancy_order(struct vacancy_client *client, struct vacancy_call *call,
                   const struct vacancy_request *request, vacancy_on_complete *on_complete)
{
    begin(client, call, on_complete);
    client->ops->order(client, call, request);
}

void vacancy_restock(struct vacancy_client *client, struct vacancy_call *call,
                     const struct vacancy_request *request, vacancy_on_complete *on_complete)
{
    begin(client, call, on_complete);
    client->ops->restock(client, call, request);
}

void vacancy_cancel(struct vacancy_call *call)
{
    if (call->pending == NULL)
        return;
    call->client->ops->cancel(call->client, call);
    call->pending = NULL;
}

void vacancy_complete(struct vacancy_call *call, const struct vacancy_result *result)
{
    assert(call->pending != NULL && "a call completes once");
    call->pending = NULL;
    call->on_complete(call, result);
}
