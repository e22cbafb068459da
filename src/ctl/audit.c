#include "ctl/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <bsd/string.h>

void audit_tell(struct audit_sink *sink, const char *event, uint64_t sequence, const char *what,
                const char *is, const char *should_be)
{
    struct audit_difference difference = {.event = event, .what = what, .sequence = sequence};

    (void)strlcpy(difference.is, is, sizeof(difference.is));
    (void)strlcpy(difference.should_be, should_be, sizeof(difference.should_be));
    sink->count++;
    sink->on_difference(sink->context, &difference);
}

/* A number that is not what it should be. */
static void tell(struct audit *audit, uint64_t sequence, const char *what, int64_t is,
                 const char *relation, int64_t should_be)
{
    char is_text[AUDIT_TEXT_MAX], should_text[AUDIT_TEXT_MAX];

    (void)snprintf(is_text, sizeof(is_text), "%" PRId64, is);
    (void)snprintf(should_text, sizeof(should_text), "%s%" PRId64, relation, should_be);
    audit_tell(audit->sink, audit->told->id, sequence, what, is_text, should_text);
}

static void expect(struct audit *audit, uint64_t sequence, const char *what, int64_t is,
                   int64_t should_be)
{
    if (is != should_be)
        tell(audit, sequence, what, is, "", should_be);
}

static void expect_at_least(struct audit *audit, uint64_t sequence, const char *what, int64_t is,
                            int64_t least)
{
    if (is < least)
        tell(audit, sequence, what, is, "at least ", least);
}

void audit_begin(struct audit *audit, const struct ledger_event *told,
                 const struct control_event *published, const struct ledger_ops *ops,
                 struct ledger *ledger, struct audit_sink *sink)
{
    *audit = (struct audit){
        .told = told, .published = published, .ops = ops, .ledger = ledger, .sink = sink};
}

/* Adds the entry to the sum of its kind. */
static void add_kind(struct audit *audit, const struct ledger_entry *entry)
{
    struct audit_balance *balance = &audit->balance;
    bool gives = entry->kind == LEDGER_RETURN || entry->kind == LEDGER_RESTOCK;

    if (entry->quantity != 0 && (entry->quantity < 0) != gives)
        tell(audit, entry->sequence, "quantity", entry->quantity, gives ? "at most " : "at least ",
             0);
    switch (entry->kind) {
    case LEDGER_SALE:
        balance->sold += entry->quantity;
        break;
    case LEDGER_DUPLICATE:
    case LEDGER_VOID:
    case LEDGER_RETURN:
        balance->owed += entry->quantity;
        expect_at_least(audit, entry->sequence, "owed", balance->owed, 0);
        break;
    case LEDGER_RESTOCK:
        balance->capacity -= entry->quantity;
        break;
    default:
        tell(audit, entry->sequence, "kind", entry->kind, "one of 1 to ", LEDGER_RESTOCK);
        break;
    }
}

/* A duplicate's origin: 0, or a negated errno of the ledger. */
static int check_origin(struct audit *audit, const struct ledger_entry *entry)
{
    struct ledger_entry origin;
    char is[AUDIT_TEXT_MAX];
    int result = audit->ops->find(audit->ledger, audit->told->event, entry->origin, &origin);

    if (result < 0)
        return result;
    if (result == 0 && entry->origin < entry->sequence && origin.kind == LEDGER_SALE &&
        !ledger_key_is_none(&entry->key) && ledger_key_equal(&entry->key, &origin.key))
        return 0;
    (void)snprintf(is, sizeof(is), "%" PRIu64, entry->origin);
    audit_tell(audit->sink, audit->told->id, entry->sequence, "origin", is,
               "an earlier sale with the same key");
    return 0;
}

int audit_entry(struct audit *audit, const struct ledger_entry *entry)
{
    struct audit_balance *balance = &audit->balance;
    uint64_t sequence = entry->sequence;

    expect(audit, sequence, "sequence", (int64_t)sequence, (int64_t)balance->entries);
    if (audit->begun)
        expect_at_least(audit, sequence, "time_us", entry->time_us, audit->time_us);
    add_kind(audit, entry);
    expect(audit, sequence, "available", entry->available, balance->available - entry->quantity);
    if (entry->available > STOCK_QUANTITY_MAX)
        tell(audit, sequence, "available", entry->available, "at most ", STOCK_QUANTITY_MAX);

    balance->entries = sequence + 1;
    balance->available = entry->available;
    audit->time_us = entry->time_us;
    audit->begun = true;
    if (audit->published != NULL &&
        balance->entries <= (uint64_t)audit->published->published_sequence)
        audit->at_published = *balance;
    return entry->kind == LEDGER_DUPLICATE ? check_origin(audit, entry) : 0;
}

/* The server keeps what it has published and goes on selling; its capacity may be a restock ahead
 * of that, but no further than the ledger, which was read later. */
static void compare_server(struct audit *audit)
{
    const struct control_event *published = audit->published;
    const struct audit_balance *then = &audit->at_published;

    if (then->entries != (uint64_t)published->published_sequence) {
        tell(audit, UINT64_MAX, "server's published sequence", published->published_sequence,
             "at most the ledger's ", (int64_t)audit->balance.entries);
        return;
    }
    expect(audit, then->entries - 1, "server's published available", published->published_available,
           then->available);
    if (published->sequence == published->published_sequence)
        expect(audit, then->entries - 1, "server's available", published->available,
               then->available);
    expect_at_least(audit, UINT64_MAX, "server's capacity", published->capacity, then->capacity);
    if (published->capacity > audit->balance.capacity)
        tell(audit, UINT64_MAX, "server's capacity", published->capacity, "at most ",
             audit->balance.capacity);
}

void audit_end(struct audit *audit)
{
    const struct ledger_event *told = audit->told;
    const struct audit_balance *balance = &audit->balance;

    expect(audit, UINT64_MAX, "capacity", balance->capacity,
           balance->available + balance->sold + balance->owed);
    expect(audit, UINT64_MAX, "entries in the table of events", (int64_t)told->next_sequence,
           (int64_t)balance->entries);
    expect(audit, UINT64_MAX, "capacity in the table of events", (int64_t)told->capacity,
           balance->capacity);
    expect(audit, UINT64_MAX, "available in the table of events", told->available,
           balance->available);
    expect(audit, UINT64_MAX, "owed in the table of events", (int64_t)told->owed, balance->owed);
    expect(audit, UINT64_MAX, "sold in the table of events",
           (int64_t)told->capacity - told->available - (int64_t)told->owed, balance->sold);
    if (audit->published != NULL)
        compare_server(audit);
}
