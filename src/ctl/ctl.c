#include "ctl/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ticketd/error.h"

int ctl_fail(int status, const char *format, ...)
{
    va_list args;

    (void)fflush(stdout); /* what was found before the failure stands before it */
    (void)fputs("ticketctl: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return status;
}

int ctl_locate(struct ctl *ctl, const struct settings_input *input)
{
    char error[SETTINGS_ERROR_MAX];
    int result = settings_load(&ctl->settings, input, error);

    ctl->place = (struct ledger_place){.ops = NULL};
    if (result == 0 && !control_path_is_ticket(&ctl->settings))
        result =
            ledger_place_find(ctl->settings.ledger_url, &ctl->place, error, SETTINGS_ERROR_MAX);
    if (result != 0)
        return ctl_fail(result < 0 && result != -ENOENT ? EX_OSERR : EX_CONFIG, "%s", error);
    switch (control_path_find(&ctl->settings, ctl->place.location, ctl->socket_path)) {
    case TICKETD_DONE:
        return CTL_OK;
    case TICKETD_NOT_FOUND:
        ctl->socket_path[0] = '\0';
        return CTL_OK;
    default:
        return ctl_fail(EX_CONFIG, "the control socket's path is too long; CONTROL_SOCKET can "
                                   "name a shorter one");
    }
}

int ctl_need_stock(const struct ctl *ctl)
{
    if (!control_path_is_ticket(&ctl->settings))
        return CTL_OK;
    return ctl_fail(EX_UNAVAILABLE, "SERVICES=ticket: a ticket pool has neither a stock nor a "
                                    "ledger; ask where its vacancy pool runs");
}

unsigned ctl_server_timeout_ms(const struct ctl *ctl)
{
    return ctl->has_timeout ? ctl->timeout_ms : CTL_SERVER_TIMEOUT_MS;
}

int ctl_open_failed(int result, const char *error)
{
    switch (result) {
    case LEDGER_HELD:
        return ctl_fail(EX_TEMPFAIL, "%s", error);
    case LEDGER_NEWER:
    case LEDGER_DAMAGED:
    case -EAGAIN:
        return ctl_fail(EX_DATAERR, "%s", error);
    case -ENOENT:
        return ctl_fail(EX_NOINPUT, "%s", error);
    case -EACCES:
    case -EPERM:
    case -EROFS:
        return ctl_fail(EX_NOPERM, "%s", error);
    case -ENOMEM:
        return ctl_fail(EX_OSERR, "%s", error);
    default:
        return ctl_fail(EX_IOERR, "%s", error);
    }
}

int ctl_open_reader(const struct ctl *ctl, struct ledger **ret_ledger)
{
    char error[SETTINGS_ERROR_MAX] = "";
    int result;

    if (ctl->place.location[0] == '\0')
        return ctl_fail(EX_UNAVAILABLE, "LEDGER_URL=%s: there is no ledger to read",
                        ctl->settings.ledger_url);
    result = ctl->place.ops->open_reader(ret_ledger, ctl->place.location, -1, error, sizeof(error));
    return result == 0 ? CTL_OK : ctl_open_failed(result, error);
}

int ctl_ledger_failed(const struct ctl *ctl, struct ledger *ledger, int result)
{
    if (result == -ENOMEM)
        return ctl_fail(EX_OSERR, "out of memory");
    return ctl_fail(result == -EUCLEAN ? EX_DATAERR : EX_IOERR, "%s",
                    ctl->place.ops->error(ledger));
}

struct gathering {
    struct ctl_events events;
    uint32_t room;
};

static int on_event(void *context, const struct ledger_event *event)
{
    struct gathering *gathering = context;
    struct ctl_events *events = &gathering->events;

    if (events->count == gathering->room) {
        uint32_t room = gathering->room != 0 ? gathering->room * 2 : 64;
        struct ledger_event *list = realloc(events->list, room * sizeof(*list));

        if (list == NULL)
            return -ENOMEM;
        events->list = list;
        gathering->room = room;
    }
    events->list[events->count++] = *event;
    events->entries += event->next_sequence;
    return 0;
}

int ctl_read_events(const struct ctl *ctl, struct ledger *ledger, struct ctl_events *ret_events)
{
    struct gathering gathering = {0};
    int result = ctl->place.ops->each_event(ledger, on_event, &gathering);

    if (result != 0) {
        ctl_events_free(&gathering.events);
        return ctl_ledger_failed(ctl, ledger, result);
    }
    *ret_events = gathering.events;
    return CTL_OK;
}

void ctl_events_free(struct ctl_events *events)
{
    free(events->list);
    *events = (struct ctl_events){0};
}

const struct ledger_event *ctl_find_event(const struct ctl_events *events, const char *id)
{
    for (uint32_t i = 0; i < events->count; ++i)
        if (strcmp(events->list[i].id, id) == 0)
            return &events->list[i];
    return NULL;
}

int ctl_no_event(const char *id)
{
    return ctl_fail(CTL_NO, "there is no event \"%.80s\"", id);
}
