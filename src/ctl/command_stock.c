/* ticketctl stock, ticketctl stock add: through the server if one runs, else in the ledger. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/control.h"
#include "ctl/output.h"
#include "ticketd/error.h"

enum {
    /* How long a ledger that is just being left may stay locked. */
    LOCK_WAIT_MS = 1000,
};

/* One event; a negative number is one that nobody here knows. */
struct row {
    const char *id;
    int64_t capacity, available, sold, owed, sequence, lag;
};

static void write_heading(const struct ctl *ctl)
{
    if (!ctl->json)
        (void)printf("%-20s %12s %12s %12s %12s %16s %10s\n", "EVENT", "CAPACITY", "AVAILABLE",
                     "SOLD", "OWED", "SEQUENCE", "LAG");
}

static void write_number(int width, int64_t number)
{
    if (number < 0)
        (void)printf(" %*s", width, "-");
    else
        (void)printf(" %*" PRId64, width, number);
}

static void add_number(struct json_value *object, const char *name, int64_t number)
{
    if (number >= 0)
        json_add_integer(object, name, number);
}

static int write_row(const struct ctl *ctl, const struct row *row)
{
    struct json_value *object;

    if (!ctl->json) {
        (void)printf("%-20s", row->id);
        write_number(12, row->capacity);
        write_number(12, row->available);
        write_number(12, row->sold);
        write_number(12, row->owed);
        write_number(16, row->sequence);
        write_number(10, row->lag);
        (void)putchar('\n');
        return CTL_OK;
    }
    object = json_object_new();
    json_add_string(object, "event", row->id);
    add_number(object, "capacity", row->capacity);
    add_number(object, "available", row->available);
    add_number(object, "sold", row->sold);
    add_number(object, "owed", row->owed);
    add_number(object, "sequence", row->sequence);
    add_number(object, "lag", row->lag);
    return output_json(object);
}

/* Rows on their way out. */
struct table {
    const struct ctl *ctl;
    uint32_t shown;
    int status;
};

/* One row, if its event is wanted. */
static void show(struct table *table, const struct row *row)
{
    const char *wanted = table->ctl->arguments[0];

    if (table->status != CTL_OK || (wanted != NULL && strcmp(wanted, row->id) != 0))
        return;
    if (table->shown++ == 0)
        write_heading(table->ctl);
    table->status = write_row(table->ctl, row);
}

static int end_table(const struct table *table)
{
    if (table->status == CTL_OK && table->shown == 0 && table->ctl->arguments[0] != NULL)
        return ctl_no_event(table->ctl->arguments[0]);
    return table->status;
}

/* What the server knows, and of what it has taken back the part that only the ledger tells.  The
 * ledger is looked at a moment later, so its owed tickets may have left what the server counted. */
static struct row row_of(const struct control_event *event, const struct ledger_event *told)
{
    int64_t taken = event->capacity - event->available;
    struct row row = {
        .id = event->id,
        .capacity = event->capacity,
        .available = event->available,
        .sold = -1,
        .owed = -1,
        .sequence = event->sequence,
        .lag = event->sequence - event->published_sequence,
    };

    if (told != NULL) {
        row.owed = (int64_t)told->owed;
        row.sold = taken > row.owed ? taken - row.owed : 0;
    }
    return row;
}

/* Every event of the ledger as it is now. */
static int read_ledger(const struct ctl *ctl, struct ctl_events *ret_events)
{
    struct ledger *ledger;
    int status = ctl_open_reader(ctl, &ledger);

    if (status != CTL_OK)
        return status;
    status = ctl_read_events(ctl, ledger, ret_events);
    ctl->place.ops->close(ledger);
    return status;
}

static int show_served(const struct ctl *ctl, const struct control_stock *stock)
{
    struct ctl_events events = {0};
    struct table table = {.ctl = ctl};

    if (ctl->place.location[0] != '\0')
        table.status = read_ledger(ctl, &events);
    for (uint32_t i = 0; i < stock->count; ++i) {
        const struct control_event *event = &stock->events[i];
        const struct row row = row_of(event, ctl_find_event(&events, event->id));

        show(&table, &row);
    }
    ctl_events_free(&events);
    if (table.status == CTL_OK && stock->cut)
        (void)fputs("ticketctl: there are more events than the server tells\n", stderr);
    return end_table(&table);
}

static int show_ledger(const struct ctl *ctl)
{
    struct ctl_events events;
    struct table table = {.ctl = ctl, .status = read_ledger(ctl, &events)};

    if (table.status != CTL_OK)
        return table.status;
    for (uint32_t i = 0; i < events.count; ++i) {
        const struct ledger_event *event = &events.list[i];
        const struct row row = {
            .id = event->id,
            .capacity = (int64_t)event->capacity,
            .available = event->available,
            .sold = (int64_t)event->capacity - event->available - (int64_t)event->owed,
            .owed = (int64_t)event->owed,
            .sequence = (int64_t)event->next_sequence,
            .lag = -1,
        };

        show(&table, &row);
    }
    ctl_events_free(&events);
    return end_table(&table);
}

int command_stock(struct ctl *ctl)
{
    struct control_error error;
    struct control_stock stock;
    int answer = control_get_stock(ctl, &stock, &error);
    int status;

    /* without a ledger in a file the server was the only one to ask */
    if (answer == CONTROL_ABSENT && ctl->place.location[0] != '\0')
        return show_ledger(ctl);
    if (answer != CONTROL_DONE)
        return control_failed(answer, &error);
    status = show_served(ctl, &stock);
    control_stock_free(&stock);
    return status;
}

static int write_added(const struct ctl *ctl, uint32_t count, int64_t available)
{
    struct json_value *object;

    if (!ctl->json) {
        (void)printf("%s: added %" PRIu32 ", available %" PRId64 "\n", ctl->arguments[0], count,
                     available);
        return CTL_OK;
    }
    object = json_object_new();
    json_add_string(object, "event", ctl->arguments[0]);
    json_add_integer(object, "added", count);
    json_add_integer(object, "available", available);
    return output_json(object);
}

/* A whole number of tickets, 1 to STOCK_QUANTITY_MAX, and nothing after it. */
static bool read_tickets(const char *text, uint32_t *ret_count)
{
    char *end;
    long long number;

    if (*text < '0' || *text > '9')
        return false; /* strtoll would take blanks and signs */
    errno = 0;
    number = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || number < 1 || number > STOCK_QUANTITY_MAX)
        return false;
    *ret_count = (uint32_t)number;
    return true;
}

static int64_t wall_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Appends the entry as the keeper would.  What has passed since the ledger's newest entry is noted
 * as a step of the clock, as the keeper does at its start: nobody has watched the clock meanwhile,
 * and keys must not age by more than what is known to have passed. */
static int append(const struct ctl *ctl, struct ledger *ledger, const struct ctl_events *events,
                  const struct ledger_event *event, uint32_t count)
{
    const struct ledger_ops *ops = ctl->place.ops;
    struct ledger_entry entry = {
        .event = event->event,
        .kind = LEDGER_RESTOCK,
        .quantity = -(int32_t)count,
        .sequence = event->next_sequence,
        .available = event->available + count,
    };
    int64_t newest_us = event->time_us;
    int result = 0;

    for (uint32_t i = 0; i < events->count; ++i)
        if (events->list[i].time_us > newest_us)
            newest_us = events->list[i].time_us;
    entry.time_us = wall_us();
    if (entry.time_us > newest_us)
        result = ops->note_clock_step(ledger, entry.time_us, entry.time_us - newest_us);
    else
        entry.time_us = newest_us;
    return result == 0 ? ops->append(ledger, &entry, 1) : result;
}

/* The ledger is open for writing. */
static int add_to_ledger(const struct ctl *ctl, struct ledger *ledger, uint32_t count)
{
    struct ctl_events events;
    const struct ledger_event *event;
    int status = ctl_read_events(ctl, ledger, &events);
    int64_t available = 0;
    int result;

    if (status != CTL_OK)
        return status;
    event = ctl_find_event(&events, ctl->arguments[0]);
    if (event == NULL) {
        status = ctl_no_event(ctl->arguments[0]);
    } else if (count > STOCK_QUANTITY_MAX - event->available) {
        status = ctl_fail(CTL_NO, "an event may have at most %d tickets available; none were added",
                          STOCK_QUANTITY_MAX);
    } else {
        available = (int64_t)event->available + count;
        result = append(ctl, ledger, &events, event, count);
        if (result != 0)
            status = ctl_ledger_failed(ctl, ledger, result);
    }
    ctl_events_free(&events);
    return status == CTL_OK ? write_added(ctl, count, available) : status;
}

/* No server listens.  Whoever holds the lock nevertheless is one that starts or ends, or one that
 * listens elsewhere: then nothing is changed. */
static int add_without_server(const struct ctl *ctl, uint32_t count)
{
    const struct ledger_ops *ops = ctl->place.ops;
    char error[SETTINGS_ERROR_MAX] = "";
    struct ledger *ledger = NULL;
    int hold = -1;
    int status = ctl_open_reader(ctl, &ledger); /* a writer would make one that is not there */
    int result;

    if (status != CTL_OK)
        return status;
    ops->close(ledger);
    result = ops->lock(&hold, ctl->place.location, LOCK_WAIT_MS, error, sizeof(error));
    if (result == LEDGER_HELD)
        return ctl_fail(EX_TEMPFAIL, "%s, and no server answers at %s; none were added", error,
                        ctl->socket_path);
    if (result != 0)
        return ctl_open_failed(result, error);
    result = ops->open(&ledger, ctl->place.location, hold, error, sizeof(error));
    if (result == 0) {
        status = add_to_ledger(ctl, ledger, count);
        ops->close(ledger);
    } else {
        status = ctl_open_failed(result, error);
    }
    if (hold >= 0)
        (void)close(hold);
    return status;
}

int command_stock_add(struct ctl *ctl)
{
    struct control_status server;
    struct control_error error;
    int64_t available = 0;
    uint32_t count;
    int answer;

    if (!read_tickets(ctl->arguments[1], &count))
        return ctl_fail(EX_USAGE, "\"%.80s\" is no number of tickets: 1 to %d", ctl->arguments[1],
                        STOCK_QUANTITY_MAX);
    /* Asked first, because a server that does not answer this has been told of no tickets. */
    answer = control_get_status(ctl, &server, &error);
    if (answer == CONTROL_ABSENT && ctl->place.location[0] != '\0')
        return add_without_server(ctl, count);
    if (answer != CONTROL_DONE)
        return control_failed(answer, &error);
    answer = control_add_stock(ctl, ctl->arguments[0], count, &available, &error);
    if (answer == CONTROL_DONE)
        return write_added(ctl, count, available);
    if (answer == CONTROL_SILENT || answer == CONTROL_BROKEN)
        (void)fputs("ticketctl: it is not known whether the tickets were added; look at the stock "
                    "before adding them again\n",
                    stderr);
    return control_failed(answer, &error);
}
