#include "ctl/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

#include "ctl/transport.h"

enum {
    REQUEST_MAX = 256,
};

static int out_of_memory(struct control_error *error)
{
    (void)snprintf(error->line, sizeof(error->line), "out of memory");
    return -ENOMEM;
}

/* Which answer it is that there was none, in words. */
static int no_answer(const struct ctl *ctl, int transport, const char *why,
                     struct control_error *error)
{
    const char *path = ctl->socket_path;

    switch (transport) {
    case TRANSPORT_ABSENT:
        (void)snprintf(error->line, sizeof(error->line), "no server answers at %s: %s", path, why);
        return CONTROL_ABSENT;
    case TRANSPORT_DENIED:
        (void)snprintf(error->line, sizeof(error->line), "cannot connect to %s: %s", path, why);
        return CONTROL_DENIED;
    case TRANSPORT_SILENT:
        (void)snprintf(error->line, sizeof(error->line),
                       "the server at %s did not answer within %u.%03u s", path,
                       ctl_server_timeout_ms(ctl) / 1000, ctl_server_timeout_ms(ctl) % 1000);
        return CONTROL_SILENT;
    case TRANSPORT_TOO_LONG:
        (void)snprintf(error->line, sizeof(error->line), "the answer from %s is too long", path);
        return CONTROL_BROKEN;
    case -ENOMEM:
        return out_of_memory(error);
    default:
        (void)snprintf(error->line, sizeof(error->line), "no answer from %s: %s", path, why);
        return CONTROL_BROKEN;
    }
}

static int not_understood(const struct ctl *ctl, const char *what, struct control_error *error)
{
    (void)snprintf(error->line, sizeof(error->line), "the answer from %s was not understood: %s",
                   ctl->socket_path, what);
    return CONTROL_BROKEN;
}

/* What an answer that is not of the 200s means. */
static int problem(long status, const struct json_document *document, struct control_error *error)
{
    const char *detail = "no reason was given";

    (void)json_get_string(document, "detail", &detail);
    (void)snprintf(error->line, sizeof(error->line), "the server refused: %.300s (%ld)", detail,
                   status);
    return status == 503 ? CONTROL_LATER : CONTROL_REFUSED;
}

static bool has_path(const struct ctl *ctl, struct control_error *error)
{
    if (ctl->socket_path[0] != '\0')
        return true;
    (void)snprintf(error->line, sizeof(error->line),
                   "LEDGER_URL=%.200s: CONTROL_SOCKET must say where the server is",
                   ctl->settings.ledger_url);
    return false;
}

/* The answer's document, which the caller releases, if the server did what it was asked for. */
static int call(const struct ctl *ctl, const char *path, const char *json,
                struct json_document *ret_document, struct control_error *error)
{
    struct transport_reply reply;
    struct json_document document;
    char why[TRANSPORT_WHY_MAX];
    int answer;

    if (!has_path(ctl, error))
        return CONTROL_ABSENT;
    answer = transport_call(ctl->socket_path, path, json, ctl_server_timeout_ms(ctl), &reply, why);
    if (answer != TRANSPORT_DONE)
        return no_answer(ctl, answer, why, error);
    answer = json_parse(&document, reply.body, reply.len);
    free(reply.body);
    if (answer == -ENOMEM)
        return out_of_memory(error);
    if (answer != JSON_DONE)
        return not_understood(ctl, document.reason, error);
    if (reply.status / 100 != 2) {
        answer = problem(reply.status, &document, error);
        json_release(&document);
        return answer;
    }
    *ret_document = document;
    return CONTROL_DONE;
}

/* A count that cannot be negative; false if there is none. */
static bool read_count(const struct json_document *document, const char *name, int64_t *ret_count)
{
    return json_get_integer(document, name, 0, INT64_MAX, ret_count) == JSON_DONE;
}

static bool read_text(const struct json_document *document, const char *name, char *text,
                      size_t size)
{
    const char *found;

    return json_get_string(document, name, &found) == JSON_DONE &&
           strlcpy(text, found, size) < size;
}

static bool read_status(const struct json_document *document, struct control_status *status)
{
    struct json_document reload, keeper;

    return read_text(document, "version", status->version, sizeof(status->version)) &&
           read_text(document, "role", status->role, sizeof(status->role)) &&
           read_text(document, "service", status->service, sizeof(status->service)) &&
           read_count(document, "master_pid", &status->master_pid) &&
           json_get_object(document, "reload", &reload) == JSON_DONE &&
           read_count(&reload, "asked", &status->reloads_asked) &&
           read_count(&reload, "done", &status->reloads_done) &&
           read_count(&reload, "refused", &status->reloads_refused) &&
           json_get_object(document, "keeper", &keeper) == JSON_DONE &&
           read_text(&keeper, "state", status->keeper, sizeof(status->keeper)) &&
           read_count(&keeper, "lag", &status->keeper_lag);
}

int control_get_status(const struct ctl *ctl, struct control_status *ret_status,
                       struct control_error *error)
{
    struct control_status status;
    struct json_document document;
    int answer = call(ctl, "/control/v1/status", NULL, &document, error);

    if (answer != CONTROL_DONE)
        return answer;
    if (read_status(&document, &status))
        *ret_status = status;
    else
        answer = not_understood(ctl, "it is not a status", error);
    json_release(&document);
    return answer;
}

struct listing {
    struct control_stock stock;
    uint32_t room;
};

static int on_event(void *context, const struct json_document *row)
{
    struct listing *listing = context;
    struct control_stock *stock = &listing->stock;
    struct control_event event;
    struct json_document published;

    if (!read_text(row, "event", event.id, sizeof(event.id)) ||
        !read_count(row, "capacity", &event.capacity) ||
        !read_count(row, "available", &event.available) ||
        !read_count(row, "sequence", &event.sequence) ||
        json_get_object(row, "published", &published) != JSON_DONE ||
        !read_count(&published, "sequence", &event.published_sequence) ||
        !read_count(&published, "available", &event.published_available))
        return CONTROL_BROKEN;
    if (stock->count == listing->room) {
        uint32_t room = listing->room != 0 ? listing->room * 2 : 16;
        struct control_event *events = realloc(stock->events, room * sizeof(*events));

        if (events == NULL)
            return -ENOMEM;
        stock->events = events;
        listing->room = room;
    }
    stock->events[stock->count++] = event;
    return 0;
}

int control_get_stock(const struct ctl *ctl, struct control_stock *ret_stock,
                      struct control_error *error)
{
    struct listing listing = {0};
    struct json_document document;
    int answer = call(ctl, "/control/v1/stock", NULL, &document, error);

    if (answer != CONTROL_DONE)
        return answer;
    (void)json_get_bool(&document, "cut", &listing.stock.cut); /* only said when it is so */
    answer = json_get_each(&document, "events", on_event, &listing);
    json_release(&document);
    if (answer == 0) {
        *ret_stock = listing.stock;
        return CONTROL_DONE;
    }
    control_stock_free(&listing.stock);
    return answer == -ENOMEM ? out_of_memory(error)
                             : not_understood(ctl, "it is not a list of events", error);
}

void control_stock_free(struct control_stock *stock)
{
    free(stock->events);
    *stock = (struct control_stock){0};
}

const struct control_event *control_find_event(const struct control_stock *stock, const char *id)
{
    for (uint32_t i = 0; i < stock->count; ++i)
        if (strcmp(stock->events[i].id, id) == 0)
            return &stock->events[i];
    return NULL;
}

/* Calls, and takes one number out of the answer. */
static int call_for_number(const struct ctl *ctl, const char *path, const char *json,
                           const char *name, int64_t *ret_number, struct control_error *error)
{
    struct json_document document;
    int answer = call(ctl, path, json, &document, error);

    if (answer != CONTROL_DONE)
        return answer;
    if (!read_count(&document, name, ret_number))
        answer = not_understood(ctl, "a number is missing", error);
    json_release(&document);
    return answer;
}

int control_add_stock(const struct ctl *ctl, const char *event, uint32_t count,
                      int64_t *ret_available, struct control_error *error)
{
    struct json_value *request = json_object_new();
    char text[REQUEST_MAX];
    int len;

    json_add_string(request, "event", event);
    json_add_integer(request, "add", count);
    len = json_print(request, text, sizeof(text));
    json_free(request);
    if (len == -ENOSPC) {
        (void)snprintf(error->line, sizeof(error->line), "there is no event of so long an id");
        return CONTROL_REFUSED;
    }
    if (len < 0)
        return out_of_memory(error);
    return call_for_number(ctl, "/control/v1/stock", text, "available", ret_available, error);
}

int control_reload(const struct ctl *ctl, int64_t *ret_number, struct control_error *error)
{
    return call_for_number(ctl, "/control/v1/reload", "", "reload", ret_number, error);
}

int control_listen(const struct ctl *ctl, const struct transport_listener *listener,
                   struct control_error *error)
{
    char why[TRANSPORT_WHY_MAX];
    long status = 0;
    int answer;

    if (!has_path(ctl, error))
        return CONTROL_ABSENT;
    answer = transport_listen(ctl->socket_path, "/control/v1/live", ctl_server_timeout_ms(ctl),
                              listener, &status, why);
    if (answer != TRANSPORT_DONE)
        return no_answer(ctl, answer, why, error);
    if (status == 0 || status == 200)
        return CONTROL_DONE;
    (void)snprintf(error->line, sizeof(error->line), "the server at %s tells nothing: status %ld",
                   ctl->socket_path, status);
    return status == 503 ? CONTROL_LATER : CONTROL_REFUSED;
}

int control_failed(int answer, const struct control_error *error)
{
    static const int statuses[] = {
        [CONTROL_ABSENT] = EX_UNAVAILABLE, [CONTROL_DENIED] = EX_NOPERM,
        [CONTROL_SILENT] = EX_TEMPFAIL,    [CONTROL_BROKEN] = EX_PROTOCOL,
        [CONTROL_REFUSED] = CTL_NO,        [CONTROL_LATER] = EX_TEMPFAIL,
    };

    return ctl_fail(answer < 0 ? EX_OSERR : statuses[answer], "%s", error->line);
}
