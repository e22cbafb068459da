#include <assert.h>

#include "route/route.h"

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 202:
        return "Accepted";
    default:
        assert(status == 503);
        return "Service Unavailable";
    }
}

void route_send_document(struct http_exchange *exchange, struct json_value *document, size_t room,
                         int status)
{
    char *body = http_alloc(exchange, room);
    int len = json_print(document, body, room);

    json_free(document);
    assert(len > 0 && "the room holds every document of ours");
    http_reply(exchange, &(struct http_reply){
                             .status = status,
                             .reason = reason_of(status),
                             .content_type = TEXT("application/json"),
                             .body = {.base = body, .len = (size_t)len},
                             .cache_control = TEXT("no-store"),
                             .retry_after = status == 503 ? TEXT("1") : (struct text){0},
                         });
}
