#include "ledger/tail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int tails_grow(struct ledger_tails *tails)
{
    if (tails->count == tails->room) {
        uint32_t room = tails->room ? tails->room * 2 : 16;
        struct ledger_tail *of = realloc(tails->of, room * sizeof(*of));
        uint32_t *touched;

        if (!of)
            return -ENOMEM;
        tails->of = of;
        touched = realloc(tails->touched, room * sizeof(*touched));
        if (!touched)
            return -ENOMEM;
        tails->touched = touched;
        tails->room = room;
    }
    memset(&tails->of[tails->count++], 0, sizeof(*tails->of));
    return 0;
}

void tails_free(struct ledger_tails *tails)
{
    free(tails->of);
    free(tails->touched);
    memset(tails, 0, sizeof(*tails));
}

static void touch(struct ledger_tails *tails, uint32_t event)
{
    struct ledger_tail *tail = &tails->of[event];

    if (!tail->touched) {
        tail->touched = true;
        tail->draft = tail->durable;
        tails->touched[tails->touched_count++] = event;
    }
}

/* Adds an entry to its event's totals; false if it does not follow from them. */
static bool add_up(struct ledger_totals *totals, const struct ledger_entry *entry)
{
    if (entry->sequence != totals->entries || entry->sequence > LEDGER_SEQUENCE_MAX)
        return false;
    totals->entries++;
    totals->time_us = entry->time_us;
    totals->available -= entry->quantity;
    switch (entry->kind) {
    case LEDGER_SALE:
        totals->sold += entry->quantity;
        break;
    case LEDGER_DUPLICATE:
    case LEDGER_VOID:
    case LEDGER_RETURN:
        totals->owed += entry->quantity;
        break;
    case LEDGER_RESTOCK:
        totals->capacity -= entry->quantity;
        break;
    default:
        return false;
    }
    if ((entry->quantity < 0) != (entry->kind == LEDGER_RETURN || entry->kind == LEDGER_RESTOCK) &&
        entry->quantity != 0)
        return false;
    return totals->available == entry->available && totals->sold >= 0 && totals->owed >= 0;
}

int tails_draft(struct ledger_tails *tails, const struct ledger_entry *entries, size_t count,
                char why[TAIL_WHY_MAX])
{
    for (size_t i = 0; i < count; i++) {
        const struct ledger_entry *entry = &entries[i];

        if (entry->event >= tails->count) {
            (void)snprintf(why, TAIL_WHY_MAX, "has no event %u", entry->event);
            return -EINVAL;
        }
        touch(tails, entry->event);
        if (!add_up(&tails->of[entry->event].draft, entry)) {
            (void)snprintf(why, TAIL_WHY_MAX,
                           "cannot take entry %llu of event %u: it does not follow from the entry "
                           "before",
                           (unsigned long long)entry->sequence, entry->event);
            return -EINVAL;
        }
    }
    return 0;
}

int tails_draft_event(struct ledger_tails *tails, const char *id, uint32_t available,
                      int64_t time_us, struct ledger_entry *ret_first, char why[TAIL_WHY_MAX])
{
    struct ledger_entry first = {
        .event = tails->count,
        .kind = LEDGER_RESTOCK,
        .quantity = -(int32_t)available,
        .available = available,
        .time_us = time_us,
    };
    int r;

    if (available > STOCK_QUANTITY_MAX || strlen(id) > STOCK_EVENT_ID_MAX ||
        tails->count > LEDGER_EVENT_MAX) {
        (void)snprintf(why, TAIL_WHY_MAX, "cannot take the event %.*s: out of bounds",
                       STOCK_EVENT_ID_MAX, id);
        return -EINVAL;
    }
    r = tails_grow(tails);
    if (r != 0) {
        (void)snprintf(why, TAIL_WHY_MAX, "has no memory for another event");
        return r;
    }
    r = tails_draft(tails, &first, 1, why);
    if (r != 0) {
        tails_end_event(tails, false);
        return r;
    }
    *ret_first = first;
    return 0;
}

void tails_end(struct ledger_tails *tails, bool written)
{
    for (uint32_t i = 0; i < tails->touched_count; i++) {
        struct ledger_tail *tail = &tails->of[tails->touched[i]];

        if (written)
            tail->durable = tail->draft;
        tail->touched = false;
    }
    tails->touched_count = 0;
}

void tails_end_event(struct ledger_tails *tails, bool written)
{
    tails_end(tails, written);
    if (!written)
        tails->count--;
}
