/* ticketctl audit: walks all entries of all events. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "ctl/audit.h"
#include "ctl/audit_keys.h"
#include "ctl/commands.h"
#include "ctl/control.h"
#include "ctl/output.h"
#include "ledger/key_clock.h"

struct auditing {
    const struct ctl *ctl;
    struct ledger *ledger;
    struct ctl_events events;
    struct control_stock stock; /* what the server says, if has_server */
    bool has_server;
    struct ledger_key_clock *clock;
    struct audit_sink sink;
    struct progress progress;
    int output; /* what went wrong with writing JSON */

    /* The event that is being walked. */
    struct audit audit;
    struct audit_keys keys;
};

static void write_json(struct auditing *auditing, struct json_value *object)
{
    int status = output_json(object);

    if (auditing->output == CTL_OK)
        auditing->output = status;
}

static void on_difference(void *context, const struct audit_difference *difference)
{
    struct auditing *auditing = context;
    struct json_value *row;

    progress_clear(&auditing->progress);
    if (!auditing->ctl->json) {
        (void)printf("%s", difference->event);
        if (difference->sequence != UINT64_MAX)
            (void)printf(" %" PRIu64, difference->sequence);
        (void)printf(": %s is %s, should be %s\n", difference->what, difference->is,
                     difference->should_be);
        return;
    }
    row = json_object_new();
    json_add_string(row, "type", "difference");
    json_add_string(row, "event", difference->event);
    if (difference->sequence != UINT64_MAX)
        json_add_integer(row, "sequence", (int64_t)difference->sequence);
    json_add_string(row, "what", difference->what);
    json_add_string(row, "is", difference->is);
    json_add_string(row, "should_be", difference->should_be);
    write_json(auditing, row);
}

static void on_step(void *context)
{
    progress_step(context);
}

static int on_entry(void *context, const struct ledger_entry *entry)
{
    struct auditing *auditing = context;
    int result = audit_entry(&auditing->audit, entry);

    progress_step(&auditing->progress);
    return result == 0 ? audit_keys_entry(&auditing->keys, entry) : result;
}

/* The first entry past those that the table of events counts. */
static int on_stray(void *context, const struct ledger_entry *entry)
{
    *(uint64_t *)context = entry->sequence;
    return CTL_NO;
}

static int on_totals(void *context, const struct ledger_event *event)
{
    struct ledger_event *wanted = context;

    if (event->event == wanted->event)
        wanted->next_sequence = event->next_sequence;
    return 0;
}

/* Entries that the totals do not count.  A server may have added some since the totals were read,
 * and their transaction has raised these too: so only what is still past them is wrong. */
static int check_stray(struct auditing *auditing, const struct ledger_event *told)
{
    const struct ledger_ops *ops = auditing->ctl->place.ops;
    struct ledger_event now = {.event = told->event};
    uint64_t sequence = 0;
    int result = ops->each_entry(auditing->ledger, told->event, told->next_sequence,
                                 LEDGER_SEQUENCE_MAX + 1, on_stray, &sequence);

    if (result != CTL_NO)
        return result;
    result = ops->each_event(auditing->ledger, on_totals, &now);
    if (result == 0 && sequence >= now.next_sequence)
        audit_tell(&auditing->sink, told->id, sequence, "entry", "there",
                   "none that the table of events does not count");
    return result;
}

static int walk_event(struct auditing *auditing, const struct ledger_event *told)
{
    const struct ledger_ops *ops = auditing->ctl->place.ops;
    const struct audit_keys_judge judge = {
        .told = told,
        .clock = auditing->clock,
        .ttl_s = auditing->ctl->settings.idempotency_ttl_s,
        .ops = ops,
        .ledger = auditing->ledger,
        .sink = &auditing->sink,
        .on_step = on_step,
        .step_context = &auditing->progress,
    };
    int result =
        ops->each_entry(auditing->ledger, told->event, 0, told->next_sequence, on_entry, auditing);

    if (result == 0)
        audit_end(&auditing->audit);
    if (result == 0)
        result = audit_keys_end(&auditing->keys, &judge);
    return result == 0 ? check_stray(auditing, told) : result;
}

static void describe_event(struct auditing *auditing, uint64_t differences)
{
    const struct audit_balance *balance = &auditing->audit.balance;
    const char *id = auditing->audit.told->id;
    struct json_value *row;

    progress_clear(&auditing->progress);
    if (!auditing->ctl->json) {
        (void)printf("%s: %" PRIu64 " entries, capacity %" PRId64 ", available %" PRId64
                     ", sold %" PRId64 ", owed %" PRId64 ": ",
                     id, balance->entries, balance->capacity, balance->available, balance->sold,
                     balance->owed);
        if (differences == 0)
            (void)puts("agrees");
        else
            (void)printf("%" PRIu64 " differences\n", differences);
        return;
    }
    row = json_object_new();
    json_add_string(row, "type", "event");
    json_add_string(row, "event", id);
    json_add_integer(row, "entries", (int64_t)balance->entries);
    json_add_integer(row, "capacity", balance->capacity);
    json_add_integer(row, "available", balance->available);
    json_add_integer(row, "sold", balance->sold);
    json_add_integer(row, "owed", balance->owed);
    json_add_integer(row, "differences", (int64_t)differences);
    write_json(auditing, row);
}

static int audit_event(struct auditing *auditing, uint32_t index)
{
    const struct ledger_event *told = &auditing->events.list[index];
    const struct control_event *published =
        auditing->has_server ? control_find_event(&auditing->stock, told->id) : NULL;
    uint64_t before = auditing->sink.count;
    int result;

    if (told->event != index)
        audit_tell(&auditing->sink, told->id, UINT64_MAX, "number",
                   "not the one after the event before", "one of a row without gaps");
    if (auditing->has_server && published == NULL && !auditing->stock.cut)
        audit_tell(&auditing->sink, told->id, UINT64_MAX, "event", "not in the server's stock",
                   "there");
    audit_begin(&auditing->audit, told, published, auditing->ctl->place.ops, auditing->ledger,
                &auditing->sink);
    audit_keys_begin(&auditing->keys, AUDIT_KEYS_A_PASS);
    result = walk_event(auditing, told);
    audit_keys_free(&auditing->keys);
    if (result == 0)
        describe_event(auditing, auditing->sink.count - before);
    return result;
}

/* What the server sells, and entries, of which the table of events has nothing. */
static int check_unknown(struct auditing *auditing)
{
    const struct ledger_ops *ops = auditing->ctl->place.ops;
    uint64_t sequence = 0;
    int result;

    for (uint32_t i = 0; i < auditing->stock.count; ++i)
        if (ctl_find_event(&auditing->events, auditing->stock.events[i].id) == NULL)
            audit_tell(&auditing->sink, auditing->stock.events[i].id, UINT64_MAX, "event",
                       "in the server's stock alone", "in the ledger too");
    result = ops->each_entry(auditing->ledger, auditing->events.count, 0, LEDGER_SEQUENCE_MAX + 1,
                             on_stray, &sequence);
    if (result == CTL_NO)
        audit_tell(&auditing->sink, "(none)", sequence, "event", "not in the table of events",
                   "there, since it has entries");
    return result < 0 ? result : 0;
}

static void summarise(struct auditing *auditing)
{
    uint64_t differences = auditing->sink.count;
    struct json_value *row;

    if (!auditing->ctl->json) {
        (void)printf("%" PRIu32 " events, %" PRIu64 " entries, %s: ", auditing->events.count,
                     auditing->events.entries,
                     auditing->has_server ? "compared with the running server"
                                          : "no server is running");
        if (differences == 0)
            (void)puts("all agree");
        else
            (void)printf("%" PRIu64 " differences\n", differences);
        return;
    }
    row = json_object_new();
    json_add_string(row, "type", "summary");
    json_add_integer(row, "events", auditing->events.count);
    json_add_integer(row, "entries", (int64_t)auditing->events.entries);
    json_add_bool(row, "server", auditing->has_server);
    json_add_integer(row, "differences", (int64_t)differences);
    json_add_bool(row, "agrees", differences == 0);
    write_json(auditing, row);
}

static int walk_all(struct auditing *auditing)
{
    const struct ledger_ops *ops = auditing->ctl->place.ops;
    int result;

    auditing->clock = malloc(sizeof(*auditing->clock));
    if (auditing->clock == NULL)
        return -ENOMEM;
    progress_begin(&auditing->progress, "audit", auditing->events.entries, false);
    result = ledger_key_clock_load(ops, auditing->ledger, auditing->clock);
    for (uint32_t i = 0; result == 0 && i < auditing->events.count; ++i)
        result = audit_event(auditing, i);
    if (result == 0)
        result = check_unknown(auditing);
    progress_clear(&auditing->progress);
    free(auditing->clock);
    return result;
}

/* The ledger is read after the server was asked, so that it holds all that the server published. */
static int audit_ledger(struct auditing *auditing)
{
    const struct ctl *ctl = auditing->ctl;
    int status = ctl_open_reader(ctl, &auditing->ledger);
    int result;

    if (status != CTL_OK)
        return status;
    status = ctl_read_events(ctl, auditing->ledger, &auditing->events);
    if (status == CTL_OK) {
        result = walk_all(auditing);
        if (result != 0)
            status = ctl_ledger_failed(ctl, auditing->ledger, result);
    }
    if (status == CTL_OK) {
        summarise(auditing);
        status = auditing->output != CTL_OK  ? auditing->output
                 : auditing->sink.count == 0 ? CTL_OK
                                             : CTL_NO;
    }
    ctl_events_free(&auditing->events);
    ctl->place.ops->close(auditing->ledger);
    return status;
}

int command_audit(struct ctl *ctl)
{
    struct auditing auditing = {.ctl = ctl};
    struct control_error error;
    int answer, status;

    auditing.sink = (struct audit_sink){.on_difference = on_difference, .context = &auditing};
    answer = control_get_stock(ctl, &auditing.stock, &error);
    auditing.has_server = answer == CONTROL_DONE;
    if (answer != CONTROL_DONE && answer != CONTROL_ABSENT)
        return control_failed(answer, &error);
    status = audit_ledger(&auditing);
    control_stock_free(&auditing.stock);
    return status;
}
