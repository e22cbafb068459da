#include "late_client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef void late_start(struct vacancy_client *client, struct vacancy_call *call,
                        const struct vacancy_request *request, vacancy_on_complete *on_complete);

struct late_call {
    struct vacancy_call inner; /* first: what the wrapped client holds */
    struct late_client *late;
    struct late_call *next;
    struct vacancy_call *call; /* the caller's */
    uint64_t number;
    late_start *start; /* vacancy_reserve, _available or _health */
    struct vacancy_request request;
    bool judged;
    struct vacancy_result result;
    char bytes[]; /* what the request points at */
};

static struct late_client *late_of(struct vacancy_client *client)
{
    return (struct late_client *)client;
}

static void on_judged(struct vacancy_call *inner, const struct vacancy_result *result)
{
    struct late_call *item = (struct late_call *)inner;

    item->judged = true;
    item->result = *result;
}

static void judge(struct late_call *item)
{
    if (!item->judged && item->inner.pending == NULL)
        item->start(item->late->inner, &item->inner, &item->request, on_judged);
}

static struct text keep(char **at, struct text text)
{
    struct text kept = {.base = *at, .len = text.len};

    if (text.len > 0)
        memcpy(*at, text.base, text.len);
    *at += text.len;
    return kept;
}

static void begin(struct vacancy_client *client, struct vacancy_call *call,
                  const struct vacancy_request *request, late_start *start)
{
    struct late_client *late = late_of(client);
    struct late_call *item =
        calloc(1, sizeof(*item) + request->event.len + request->key.len + request->request_id.len);
    char *at = item == NULL ? NULL : item->bytes;

    if (item == NULL)
        abort(); /* a test that has no memory has nothing to say */
    item->late = late;
    item->call = call;
    item->number = late->started++;
    item->start = start;
    item->request = *request;
    item->request.event = keep(&at, request->event);
    item->request.key = keep(&at, request->key);
    item->request.request_id = keep(&at, request->request_id);
    call->pending = item;
    *late->end = item;
    late->end = &item->next;
    ++late->pending;
    if (late->judgement == LATE_JUDGED_AT_START)
        judge(item);
}

static void late_reserve(struct vacancy_client *client, struct vacancy_call *call,
                         const struct vacancy_request *request)
{
    begin(client, call, request, vacancy_reserve);
}

static void late_available(struct vacancy_client *client, struct vacancy_call *call,
                           const struct vacancy_request *request)
{
    begin(client, call, request, vacancy_available);
}

static void late_health(struct vacancy_client *client, struct vacancy_call *call,
                        const struct vacancy_request *request)
{
    begin(client, call, request, vacancy_health);
}

static void late_order(struct vacancy_client *client, struct vacancy_call *call,
                       const struct vacancy_request *request)
{
    begin(client, call, request, vacancy_order);
}

static void late_restock(struct vacancy_client *client, struct vacancy_call *call,
                         const struct vacancy_request *request)
{
    begin(client, call, request, vacancy_restock);
}

/* Takes it out of the list; the caller frees it. */
static void take_out(struct late_client *late, struct late_call *item)
{
    struct late_call **link = &late->first;

    while (*link != item)
        link = &(*link)->next;
    *link = item->next;
    if (late->end == &item->next)
        late->end = link;
    --late->pending;
}

static void late_cancel(struct vacancy_client *client, struct vacancy_call *call)
{
    struct late_call *item = call->pending;

    vacancy_cancel(&item->inner);
    take_out(late_of(client), item);
    free(item);
}

void late_client_init(struct late_client *late, struct vacancy_client *inner,
                      enum late_judgement judgement)
{
    static const struct vacancy_client_ops ops = {
        .name = "late",
        .reserve = late_reserve,
        .available = late_available,
        .health = late_health,
        .order = late_order,
        .restock = late_restock,
        .cancel = late_cancel,
    };

    *late = (struct late_client){.inner = inner, .judgement = judgement};
    late->end = &late->first;
    vacancy_client_init(&late->client, &ops);
}

size_t late_client_pump(struct late_client *late, size_t most)
{
    const uint64_t limit = late->started;
    size_t done = 0;

    while (done < most && late->first != NULL && late->first->number < limit) {
        struct late_call *item = late->first;
        struct vacancy_call *call = item->call;
        struct vacancy_result result;
        judge(item);
        if (!item->judged)
            break;
        result = item->result;
        take_out(late, item);
        free(item);
        ++done;
        vacancy_complete(call, &result);
    }
    return done;
}

void late_client_deinit(struct late_client *late)
{
    while (late->first != NULL)
        vacancy_cancel(late->first->call);
    assert(late->pending == 0);
}
