/* DROP: a placeholder until the real one is merged; whatever is asked, nobody can be reached. */
#include "client/vacancy_remote.h"

#include <stdlib.h>

#include "ticketd/error.h"

struct vacancy_remote {
    struct vacancy_client client;
};

static void answer(struct vacancy_client *client, struct vacancy_call *call,
                   const struct vacancy_request *request)
{
    (void)client;
    (void)request;
    vacancy_complete(call, &(struct vacancy_result){.status = TICKETD_UNAVAILABLE});
}

static void cancel(struct vacancy_client *client, struct vacancy_call *call)
{
    (void)client;
    (void)call;
}

static const struct vacancy_client_ops ops = {.name = "none",
                                              .reserve = answer,
                                              .available = answer,
                                              .health = answer,
                                              .order = answer,
                                              .restock = answer,
                                              .cancel = cancel};

struct vacancy_remote *vacancy_remote_new(const struct settings *settings)
{
    struct vacancy_remote *remote = malloc(sizeof(*remote));

    (void)settings;
    if (remote != NULL)
        vacancy_client_init(&remote->client, &ops);
    return remote;
}

struct vacancy_client *vacancy_remote_client(struct vacancy_remote *remote)
{
    return &remote->client;
}

int vacancy_remote_start(struct vacancy_remote *remote, struct st_h2o_context_t *context)
{
    (void)remote;
    (void)context;
    return 0;
}

void vacancy_remote_free(struct vacancy_remote *remote)
{
    free(remote);
}
