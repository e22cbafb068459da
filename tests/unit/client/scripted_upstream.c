#include "scripted_upstream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "scoreboard/scoreboard.h"
#include "ticketd/error.h"

struct scripted_upstream scripted;

static char *copy_of(struct text text)
{
    char *copy = calloc(1, text.len + 1);

    if (copy == NULL)
        abort();
    return text.len > 0 ? memcpy(copy, text.base, text.len) : copy;
}

struct upstream *upstream_new(const struct upstream_options *options)
{
    scripted.options = *options;
    return (struct upstream *)&scripted;
}

void upstream_free(struct upstream *upstream)
{
    (void)upstream;
}

void upstream_show(const struct upstream *upstream, struct scoreboard_slot *slot)
{
    (void)upstream;
    scoreboard_show(&slot->client_busy, scripted.under_way);
}

int upstream_judge(struct upstream *upstream)
{
    (void)upstream;
    if (scripted.under_way >= scripted.options.connections_max)
        return TICKETD_BUSY;
    return scripted.refusal;
}

int upstream_send(struct upstream *upstream, struct upstream_call *call,
                  const struct upstream_request *request, upstream_on_reply *on_reply)
{
    struct scripted_exchange *exchange = &scripted.exchanges[scripted.count];
    int answer = upstream_judge(upstream);

    if (answer != TICKETD_DONE)
        return answer;
    assert(scripted.count < SCRIPTED_EXCHANGES_MAX);
    *exchange = (struct scripted_exchange){
        .call = call,
        .method = strdup(request->method),
        .path = copy_of(request->path),
        .headers = copy_of(request->headers),
        .body = copy_of(request->body),
        .deadline_ms = request->deadline_ms,
    };
    ++scripted.count;
    ++scripted.under_way;
    call->on_reply = on_reply;
    call->exchange = exchange;
    return TICKETD_DONE;
}

void upstream_cancel(struct upstream_call *call)
{
    struct scripted_exchange *exchange = call->exchange;

    if (exchange == NULL)
        return;
    exchange->call = NULL;
    call->exchange = NULL;
    --scripted.under_way;
}

void scripted_clear(void)
{
    for (size_t i = 0; i < scripted.count; ++i) {
        free(scripted.exchanges[i].method);
        free(scripted.exchanges[i].path);
        free(scripted.exchanges[i].headers);
        free(scripted.exchanges[i].body);
    }
    memset(&scripted, 0, sizeof(scripted));
}

static void end(size_t number, const struct upstream_reply *reply)
{
    struct upstream_call *call = scripted.exchanges[number].call;

    assert(number < scripted.count && call != NULL && "it is under way");
    scripted.exchanges[number].call = NULL;
    call->exchange = NULL;
    --scripted.under_way;
    call->on_reply(call, reply);
}

void scripted_reply(size_t number, int status, const char *body)
{
    /* of just that size, so that a sanitizer sees who reads on */
    char *bytes = malloc(strlen(body) + 1);

    if (bytes == NULL)
        abort();
    memcpy(bytes, body, strlen(body));
    end(number, &(struct upstream_reply){
                    .end = UPSTREAM_REPLIED,
                    .status = status,
                    .body = {.base = bytes, .len = strlen(body)},
                });
    free(bytes);
}

void scripted_end(size_t number, enum upstream_end how)
{
    end(number, &(struct upstream_reply){.end = how, .why = "the script says so"});
}
