#include "master/announce.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"

struct message {
    size_t len;
    char text[ANNOUNCE_STATUS_MAX + 160];
};

static const char *const ledger_texts[] = {
    [ANNOUNCE_LEDGER_GOOD] = "",
    [ANNOUNCE_LEDGER_LOADING] = "; the keeper of the ledger is starting",
    [ANNOUNCE_LEDGER_FAULT] = "; the ledger cannot be written",
    [ANNOUNCE_LEDGER_SLOW] = "; the ledger does not answer",
};

static void __attribute__((format(printf, 2, 3)))
add(struct message *message, const char *format, ...)
{
    size_t room = sizeof(message->text) - message->len;
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(message->text + message->len, room, format, arguments);
    va_end(arguments);
    assert(len >= 0 && (size_t)len < room);
    message->len += (size_t)len;
}

void announce_init(struct announce *ret_announce, uint64_t watchdog_ms,
                   bool (*send)(void *context, const char *assignments), void *context)
{
    *ret_announce =
        (struct announce){.send = send, .context = context, .feed_every_ms = (watchdog_ms + 1) / 2};
}

static void write_workers(const struct announce_view *view, const char *what,
                          char ret_status[ANNOUNCE_STATUS_MAX])
{
    (void)snprintf(ret_status, ANNOUNCE_STATUS_MAX,
                   "%s: %" PRIu32 " of %" PRIu32 " workers serve%s", what, view->serving,
                   view->workers, ledger_texts[view->ledger]);
}

static void write_status(const struct announce *announce, const struct announce_view *view,
                         char ret_status[ANNOUNCE_STATUS_MAX])
{
    switch (view->ending) {
    case ANNOUNCE_RESTARTS:
        (void)snprintf(ret_status, ANNOUNCE_STATUS_MAX, "Restarting in place");
        break;
    case ANNOUNCE_DRAINS:
        (void)snprintf(ret_status, ANNOUNCE_STATUS_MAX,
                       "Stopping: the workers answer what is in flight%s",
                       ledger_texts[view->ledger]);
        break;
    case ANNOUNCE_FLUSHES:
        (void)snprintf(ret_status, ANNOUNCE_STATUS_MAX,
                       "Stopping: the keeper writes the last entries%s",
                       ledger_texts[view->ledger]);
        break;
    default:
        if (view->reloading)
            write_workers(view, "Reloading", ret_status);
        else
            write_workers(view, announce->told_ready ? "Running" : "Starting", ret_status);
    }
}

/* What the manager's own states hang on. */
static void add_state(struct announce *announce, const struct announce_view *view,
                      struct message *message)
{
    if (view->ending == ANNOUNCE_DRAINS || view->ending == ANNOUNCE_FLUSHES) {
        if (!announce->told_stopping)
            add(message, "STOPPING=1\n");
        announce->told_stopping = true;
    } else if (!announce->told_ready) {
        if (view->ready)
            add(message, "READY=1\n");
        announce->told_ready = view->ready;
        announce->told_reloads = view->reloads; /* one that came before is part of the start */
    } else if (announce->told_reloads != view->reloads) {
        /* systemd compares the time with that of its own signal: CLOCK_MONOTONIC, too */
        add(message, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n", clock_monotonic_ns() / 1000);
        announce->told_reloads = view->reloads;
        announce->told_reloading = true;
    } else if (announce->told_reloading && !view->reloading) {
        add(message, "READY=1\n");
        announce->told_reloading = false;
    }
}

/* What is to be said again and again. */
static void add_due(struct announce *announce, struct message *message, uint64_t now_ms)
{
    if (announce->feed_every_ms != 0 && now_ms >= announce->feed_at_ms) {
        add(message, "WATCHDOG=1\n");
        announce->feed_at_ms = now_ms + announce->feed_every_ms;
    }
    if (announce->told_stopping && now_ms >= announce->extend_at_ms) {
        add(message, "EXTEND_TIMEOUT_USEC=%d000\n", ANNOUNCE_EXTEND_MS);
        announce->extend_at_ms = now_ms + ANNOUNCE_EXTEND_EVERY_MS;
    }
}

uint64_t announce_tick(struct announce *announce, const struct announce_view *view, uint64_t now_ms)
{
    struct announce after = *announce;
    struct message message = {.len = 0};
    uint64_t wake_ms = UINT64_MAX;

    add_state(&after, view, &message);
    add_due(&after, &message, now_ms);
    write_status(&after, view, after.status);
    if (strcmp(after.status, announce->status) != 0)
        add(&message, "STATUS=%s\n", after.status);
    if (message.len > 0 && !announce->send(announce->context, message.text))
        return now_ms + ANNOUNCE_RETRY_MS;
    *announce = after;
    if (announce->told_reloading && !view->reloading)
        return now_ms; /* refused already: the end is a message of its own */
    if (announce->feed_every_ms != 0)
        wake_ms = announce->feed_at_ms;
    return announce->told_stopping ? clock_earlier(wake_ms, announce->extend_at_ms) : wake_ms;
}
