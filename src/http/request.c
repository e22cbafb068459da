#include <strings.h>

#include "http/exchange.h"
#include "http/quantity.h"
#include "ticketd/stock.h"

/* application/json, or application/…+json (RFC 6839), with or without parameters. */
static bool is_json_type(struct text type)
{
    static const char prefix[] = "application/";
    const char *end = type.len == 0 ? NULL : memchr(type.base, ';', type.len);
    size_t len = end == NULL ? type.len : (size_t)(end - type.base);

    while (len > 0 && (type.base[len - 1] == ' ' || type.base[len - 1] == '\t'))
        --len;
    if (len < sizeof(prefix) - 1 || strncasecmp(type.base, prefix, sizeof(prefix) - 1) != 0)
        return false;
    if (len == sizeof("application/json") - 1)
        return strncasecmp(type.base, "application/json", len) == 0;
    return len > sizeof("application/+json") - 1 &&
           strncasecmp(type.base + len - 5, "+json", 5) == 0;
}

static bool get_quantity(struct http_exchange *exchange, const struct json_document *document,
                         int64_t *ret_quantity)
{
    if (!json_is_object(document)) {
        http_problem_at(exchange, PROBLEM_invalid_quantity,
                        "the body must be a JSON object with the member qty", "#");
        return false;
    }
    if (json_get_integer(document, "qty", 1, STOCK_QUANTITY_MAX, ret_quantity) != JSON_DONE) {
        http_problem_at(exchange, PROBLEM_invalid_quantity, HTTP_QUANTITY_DETAIL, "#/qty");
        return false;
    }
    return true;
}

bool http_takes_json(struct http_exchange *exchange, struct text *ret_body)
{
    struct text type = exchange->content_type;

    if (type.base != NULL && !is_json_type(type)) {
        http_problem(exchange, PROBLEM_unsupported_media_type, "the body must be application/json");
        return false;
    }
    *ret_body = (struct text){.base = exchange->req->entity.base, .len = exchange->req->entity.len};
    return true;
}

bool http_read_json(struct http_exchange *exchange, struct json_document *ret_document)
{
    struct text body;

    if (!http_takes_json(exchange, &body))
        return false;
    switch (json_parse(ret_document, body.base, body.len)) {
    case JSON_DONE:
        return true;
    case JSON_MALFORMED:
        http_problem(exchange, PROBLEM_malformed_json, ret_document->reason);
        return false;
    default:
        http_problem(exchange, PROBLEM_internal_error, "out of memory");
        return false;
    }
}

bool http_read_quantity(struct http_exchange *exchange, int64_t *ret_quantity)
{
    struct json_document document;
    struct text body;
    bool good;

    if (!http_takes_json(exchange, &body))
        return false;
    if (quantity_scan(body, ret_quantity))
        return true;
    if (!http_read_json(exchange, &document))
        return false;
    good = get_quantity(exchange, &document, ret_quantity);
    json_release(&document);
    return good;
}

bool http_read_idempotency_key(struct http_exchange *exchange, char room[IDEMPOTENCY_KEY_MAX],
                               struct text *ret_key)
{
    const char *fault;

    if (exchange->idempotency_key.base == NULL) {
        *ret_key = (struct text){.base = NULL};
        return true;
    }
    fault = exchange->idempotency_key_repeated
                ? "more than one Idempotency-Key"
                : idempotency_key_decode(exchange->idempotency_key, room, ret_key);
    if (fault != NULL)
        http_problem(exchange, PROBLEM_invalid_idempotency_key, fault);
    return fault == NULL;
}
