/* ticketctl orders: sales out of the ledger, the newest first, or all of them as they came. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/output.h"
#include "ticketd/error.h"
#include "ticketd/order_id.h"
#include "util/time_text.h"

enum {
    /* Entries that are read at a time on the way back. */
    LOOK_BACK = 1024,
};

struct listing {
    const struct ctl *ctl;
    struct ledger *ledger;
    struct ctl_events events;
    const struct ledger_event *only; /* NULL: every event */
    int output;                      /* what went wrong with writing JSON */

    /* Newest first: the best so far, with room for one look more than is wanted. */
    struct ledger_entry *found;
    size_t count, room;
    size_t of_event; /* found in the event that is being read */
    bool is_too_old; /* the look has met an entry before --since */

    struct progress progress;
};

static void write_order(struct listing *listing, const struct ledger_entry *entry)
{
    const struct order_id id = {
        .event = entry->event, .sequence = entry->sequence, .token = entry->token};
    const char *event = listing->events.list[entry->event].id;
    char id_text[ORDER_ID_LEN + 1], time_text[TIME_TEXT_SIZE];
    struct json_value *row;
    int status;

    order_id_format(&id, id_text);
    time_text_format(entry->time_us, time_text);
    if (!listing->ctl->json) {
        (void)printf("%s  %s  %10" PRId32 "  %s\n", id_text, time_text, entry->quantity, event);
        return;
    }
    row = json_object_new();
    json_add_string(row, "order_id", id_text);
    json_add_string(row, "event", event);
    json_add_integer(row, "qty", entry->quantity);
    json_add_string(row, "status", "confirmed");
    json_add_string(row, "created_at", time_text);
    json_add_integer(row, "sequence", (int64_t)entry->sequence);
    status = output_json(row);
    if (listing->output == CTL_OK)
        listing->output = status;
}

static void write_heading(const struct listing *listing)
{
    if (!listing->ctl->json)
        (void)printf("%-36s  %-27s  %10s  %s\n", "ORDER", "TIME", "TICKETS", "EVENT");
}

static int newer_first(const void *a, const void *b)
{
    const struct ledger_entry *left = a, *right = b;

    if (left->time_us != right->time_us)
        return left->time_us < right->time_us ? 1 : -1;
    if (left->event != right->event)
        return left->event < right->event ? -1 : 1;
    return (left->sequence < right->sequence) - (left->sequence > right->sequence);
}

/* The best stay. */
static void keep_newest(struct listing *listing)
{
    if (listing->count > 1)
        qsort(listing->found, listing->count, sizeof(*listing->found), newer_first);
    if (listing->count > listing->ctl->limit)
        listing->count = listing->ctl->limit;
}

static int on_recent(void *context, const struct ledger_entry *entry)
{
    struct listing *listing = context;

    if (listing->ctl->has_since && entry->time_us < listing->ctl->since_us) {
        listing->is_too_old = true;
        return 0;
    }
    if (entry->kind == LEDGER_SALE) {
        listing->found[listing->count++] = *entry;
        listing->of_event++;
    }
    return 0;
}

/* From the event's end back, until there are enough or the rest is too old. */
static int look_back(struct listing *listing, const struct ledger_event *event)
{
    const struct ledger_ops *ops = listing->ctl->place.ops;
    uint64_t to = event->next_sequence;
    int result = 0;

    listing->of_event = 0;
    listing->is_too_old = false;
    while (result == 0 && to > 0 && listing->of_event < listing->ctl->limit &&
           !listing->is_too_old) {
        uint64_t from = to > LOOK_BACK ? to - LOOK_BACK : 0;

        result = ops->each_entry(listing->ledger, event->event, from, to, on_recent, listing);
        keep_newest(listing);
        to = from;
    }
    return result;
}

static int list_newest(struct listing *listing)
{
    int result = 0;

    listing->room = (size_t)listing->ctl->limit + LOOK_BACK;
    listing->found = calloc(listing->room, sizeof(*listing->found));
    if (listing->found == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; result == 0 && i < listing->events.count; ++i)
        if (listing->only == NULL || listing->only == &listing->events.list[i])
            result = look_back(listing, &listing->events.list[i]);
    if (result == 0)
        write_heading(listing);
    for (size_t i = 0; result == 0 && i < listing->count; ++i)
        write_order(listing, &listing->found[i]);
    free(listing->found);
    return result;
}

static int on_any(void *context, const struct ledger_entry *entry)
{
    struct listing *listing = context;

    progress_step(&listing->progress);
    if (entry->kind == LEDGER_SALE &&
        (!listing->ctl->has_since || entry->time_us >= listing->ctl->since_us))
        write_order(listing, entry);
    /* a reader that has gone: there is nobody to go on for */
    return listing->output != CTL_OK || ferror(stdout) ? CTL_NO : 0;
}

static int list_all(struct listing *listing)
{
    const struct ledger_ops *ops = listing->ctl->place.ops;
    int result = 0;

    write_heading(listing);
    progress_begin(&listing->progress, "orders",
                   listing->only != NULL ? listing->only->next_sequence : listing->events.entries,
                   isatty(STDOUT_FILENO) == 1);
    for (uint32_t i = 0; result == 0 && i < listing->events.count; ++i) {
        const struct ledger_event *event = &listing->events.list[i];

        if (listing->only == NULL || listing->only == event)
            result = ops->each_entry(listing->ledger, event->event, 0, event->next_sequence, on_any,
                                     listing);
    }
    progress_clear(&listing->progress);
    return result > 0 ? 0 : result; /* what the output lacks is told at its end */
}

static int show_one(struct listing *listing, const struct order_id *id)
{
    struct ledger_entry entry;
    int result = listing->ctl->place.ops->find(listing->ledger, id->event, id->sequence, &entry);

    if (result < 0)
        return result;
    if (result == LEDGER_NOT_FOUND || entry.kind != LEDGER_SALE || entry.token != id->token ||
        entry.event >= listing->events.count) {
        listing->output = ctl_fail(CTL_NO, "there is no order %s", listing->ctl->arguments[0]);
        return 0;
    }
    write_heading(listing);
    write_order(listing, &entry);
    return 0;
}

static int list(struct listing *listing)
{
    const char *wanted = listing->ctl->arguments[0];
    struct order_id id;

    if (wanted != NULL && order_id_parse(wanted, strlen(wanted), &id) == TICKETD_DONE)
        return show_one(listing, &id);
    if (wanted != NULL) {
        listing->only = ctl_find_event(&listing->events, wanted);
        if (listing->only == NULL) {
            listing->output = ctl_no_event(wanted);
            return 0;
        }
    }
    return listing->ctl->all ? list_all(listing) : list_newest(listing);
}

int command_orders(struct ctl *ctl)
{
    struct listing listing = {.ctl = ctl};
    int status = ctl_open_reader(ctl, &listing.ledger);
    int result;

    if (status != CTL_OK)
        return status;
    status = ctl_read_events(ctl, listing.ledger, &listing.events);
    if (status == CTL_OK) {
        result = list(&listing);
        status = result != 0 ? ctl_ledger_failed(ctl, listing.ledger, result) : listing.output;
    }
    ctl_events_free(&listing.events);
    ctl->place.ops->close(listing.ledger);
    return status;
}
