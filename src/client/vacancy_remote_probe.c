#include "client/vacancy_remote_internal.h"
#include "ticketd/error.h"

/* Takes a cell for the probe; false: there is none. */
static bool begin_probe(struct vacancy_remote *remote, uint64_t now_ms)
{
    struct remote_cell *cell =
        remote_take(remote, NULL, REMOTE_PROBE, now_ms + remote->timeout_ms, &remote->asks);

    if (cell == NULL)
        return false;
    remote->probe = cell;
    remote->probed_ms = now_ms;
    remote_at_turn_end(remote);
    return true;
}

void remote_health(struct vacancy_client *client, struct vacancy_call *call,
                   const struct vacancy_request *request)
{
    struct vacancy_remote *remote = (struct vacancy_remote *)client;
    uint64_t now_ms, deadline_ms;
    int status = TICKETD_BUSY;

    if (!remote_begin(remote, call, request, &now_ms, &deadline_ms))
        return;
    if (remote->probe == NULL && remote->probed_ms != 0 &&
        now_ms < remote->probed_ms + REMOTE_PROBE_MS)
        status = remote->health;
    else if ((remote->probe != NULL || begin_probe(remote, now_ms)) &&
             remote_take(remote, call, REMOTE_HEALTH, deadline_ms, &remote->probed) != NULL)
        return;
    vacancy_complete(call, &(struct vacancy_result){.status = status});
}

void remote_probe_ended(struct vacancy_remote *remote, int status)
{
    uint32_t most = remote->probed.count; /* callbacks may ask anew */
    struct remote_cell *cell;

    remote->probe = NULL;
    remote->health = status == TICKETD_DONE ? TICKETD_DONE : TICKETD_UNAVAILABLE;
    for (; most > 0 && (cell = TAILQ_FIRST(&remote->probed.cells)) != NULL; --most)
        remote_end_with(remote, cell, remote->health);
}
