#include "scripted_client.h"

#include <assert.h>
#include <string.h>

static struct text keep(char *room, size_t size, struct text text)
{
    assert(text.len < size);
    if (text.len > 0)
        memcpy(room, text.base, text.len);
    room[text.len] = '\0';
    return (struct text){.base = room, .len = text.len};
}

static void ask(struct vacancy_client *client, struct vacancy_call *call,
                const struct vacancy_request *request)
{
    struct scripted_client *scripted = (struct scripted_client *)client;

    ++scripted->asked;
    scripted->request = *request;
    scripted->request.key = keep(scripted->key, sizeof(scripted->key), request->key);
    scripted->request.event = keep(scripted->event, sizeof(scripted->event), request->event);
    scripted->request.request_id =
        keep(scripted->request_id, sizeof(scripted->request_id), request->request_id);
    scripted->request.traceparent =
        keep(scripted->traceparent, sizeof(scripted->traceparent), request->traceparent);
    if (!scripted->late) {
        vacancy_complete(call, &scripted->answer);
        return;
    }
    assert(scripted->waiting_count < SCRIPTED_WAITING_MAX);
    scripted->waiting[scripted->waiting_count++] = call;
}

static void forget(struct scripted_client *scripted, size_t at)
{
    --scripted->waiting_count;
    for (; at < scripted->waiting_count; ++at)
        scripted->waiting[at] = scripted->waiting[at + 1];
}

static void cancel(struct vacancy_client *client, struct vacancy_call *call)
{
    struct scripted_client *scripted = (struct scripted_client *)client;

    for (size_t i = 0; i < scripted->waiting_count; ++i) {
        if (scripted->waiting[i] == call) {
            forget(scripted, i);
            ++scripted->cancelled;
            return;
        }
    }
}

void scripted_answer_next(struct scripted_client *scripted)
{
    struct vacancy_call *call = scripted->waiting[0];

    assert(scripted->waiting_count > 0);
    forget(scripted, 0);
    vacancy_complete(call, &scripted->answer);
}

void scripted_init(struct scripted_client *scripted)
{
    static const struct vacancy_client_ops ops = {
        .name = "scripted",
        .reserve = ask,
        .available = ask,
        .health = ask,
        .order = ask,
        .restock = ask,
        .cancel = cancel,
    };

    *scripted = (struct scripted_client){.answer = {.status = 0}};
    vacancy_client_init(&scripted->client, &ops);
}
