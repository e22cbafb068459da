#include "workload.h"

#include <stdlib.h>
#include <string.h>

#include "cmocka_first.h"

static const char *const event_ids[WORKLOAD_EVENTS] = {"default", "concert", "matinee"};

enum {
    FIRST_STOCK = 1000,
};

struct workload *workload_new(uint64_t seed)
{
    struct workload *workload = calloc(1, sizeof(*workload));

    assert_non_null(workload);
    workload->state = seed * 2 + 1;
    return workload;
}

void workload_free(struct workload *workload)
{
    free(workload);
}

static uint64_t next(struct workload *workload)
{
    workload->state ^= workload->state << 13;
    workload->state ^= workload->state >> 7;
    workload->state ^= workload->state << 17;
    return workload->state * 0x2545f4914f6cdd1dU;
}

unsigned workload_random(struct workload *workload, unsigned limit)
{
    return (unsigned)((next(workload) >> 32) % limit);
}

void workload_note(struct workload *workload, size_t moment, bool acknowledged)
{
    struct workload_step *step = &workload->steps[workload->step_count++];

    assert_true(workload->step_count <= WORKLOAD_STEPS_MAX);
    step->moment = moment;
    step->acknowledged = acknowledged;
    memcpy(step->entries, workload->made, sizeof(step->entries));
}

int workload_create_event(struct workload *workload, struct ledger *ledger, uint32_t event,
                          size_t moment)
{
    workload->entries[event][0] = (struct ledger_entry){
        .event = event,
        .kind = LEDGER_RESTOCK,
        .quantity = -FIRST_STOCK,
        .available = FIRST_STOCK,
        .time_us = 1,
    };
    if (workload->made[event] == 0) {
        workload->made[event] = 1;
        workload_note(workload, moment, false);
    }
    return ledger_sqlite_ops.create_event(ledger, event_ids[event], FIRST_STOCK, 1);
}

/* What comes next for an event: mostly sales, all kinds now and then. */
static struct ledger_entry make_entry(struct workload *workload, uint32_t event)
{
    const struct ledger_entry *before = &workload->entries[event][workload->made[event] - 1];
    struct ledger_entry entry = {
        .event = event,
        .sequence = workload->made[event],
        .time_us = before->time_us + workload_random(workload, 1000),
        .kind = LEDGER_SALE,
        .quantity = 1 + (int32_t)workload_random(workload, 3),
    };
    unsigned drawn = workload_random(workload, 16);

    if (before->available < 10) {
        entry.kind = LEDGER_RESTOCK;
        entry.quantity = -FIRST_STOCK;
    } else if (drawn == 0 && workload->owed[event] > 0) {
        entry.kind = LEDGER_RETURN;
        entry.quantity = -1;
        workload->owed[event]--;
    } else if (drawn <= 2) {
        entry.kind = drawn == 1 ? LEDGER_VOID : LEDGER_DUPLICATE;
        entry.origin = drawn == 1 ? 0 : entry.sequence - 1;
        workload->owed[event] += entry.quantity;
    }
    if (entry.kind == LEDGER_SALE)
        entry.token = next(workload);
    if (entry.kind <= LEDGER_DUPLICATE && drawn % 2 == 0) {
        uint64_t random = next(workload);

        memcpy(entry.key.bytes + 8, &random, sizeof(random));
        entry.key.bytes[0] = 1;
    }
    entry.available = (uint32_t)((int64_t)before->available - entry.quantity);
    return entry;
}

size_t workload_batch(struct workload *workload, struct ledger_entry *entries)
{
    size_t count = 1 + workload_random(workload, WORKLOAD_BATCH_MAX);

    for (size_t i = 0; i < count; i++) {
        uint32_t event = workload_random(workload, WORKLOAD_EVENTS);

        assert_true(workload->made[event] < WORKLOAD_ENTRIES_MAX);
        entries[i] = make_entry(workload, event);
        workload->entries[event][workload->made[event]++] = entries[i];
    }
    return count;
}

static int on_event(void *context, const struct ledger_event *event)
{
    uint64_t *entries = context;

    if (event->event >= WORKLOAD_EVENTS || strcmp(event->id, event_ids[event->event]) != 0)
        return 1;
    entries[event->event] = event->next_sequence;
    return 0;
}

static bool entry_equal(const struct ledger_entry *a, const struct ledger_entry *b)
{
    return a->event == b->event && a->sequence == b->sequence && a->kind == b->kind &&
           a->quantity == b->quantity && a->available == b->available && a->token == b->token &&
           a->origin == b->origin && a->time_us == b->time_us &&
           memcmp(&a->key, &b->key, sizeof(a->key)) == 0;
}

/* What was found must be what one of the steps tried, from the last acknowledged one on. */
static void check_boundary(const struct workload *workload, const uint64_t *found, size_t moment,
                           const char *about)
{
    static const uint64_t nothing[WORKLOAD_EVENTS];
    bool allowed = memcmp(found, nothing, sizeof(nothing)) == 0;

    for (size_t i = 0; i < workload->step_count && workload->steps[i].moment <= moment; i++) {
        const struct workload_step *step = &workload->steps[i];
        bool equal = memcmp(found, step->entries, sizeof(step->entries)) == 0;

        allowed = step->acknowledged ? equal : allowed || equal;
    }
    if (!allowed)
        fail_msg("%s: %llu, %llu, %llu entries are no state that was promised or tried", about,
                 (unsigned long long)found[0], (unsigned long long)found[1],
                 (unsigned long long)found[2]);
}

void workload_check(const struct workload *workload, struct ledger *ledger, size_t moment,
                    const char *about)
{
    uint64_t found[WORKLOAD_EVENTS] = {0};

    if (ledger_sqlite_ops.each_event(ledger, on_event, found) != 0)
        fail_msg("%s: events: %s", about, ledger_sqlite_ops.error(ledger));
    check_boundary(workload, found, moment, about);
    for (uint32_t event = 0; event < WORKLOAD_EVENTS; event++) {
        struct ledger_entry entry;

        for (uint64_t sequence = 0; sequence < found[event]; sequence++) {
            if (ledger_sqlite_ops.find(ledger, event, sequence, &entry) != 0 ||
                !entry_equal(&entry, &workload->entries[event][sequence]))
                fail_msg("%s: entry %llu of event %u is not what was sold", about,
                         (unsigned long long)sequence, event);
        }
        if (ledger_sqlite_ops.find(ledger, event, found[event], &entry) != LEDGER_NOT_FOUND)
            fail_msg("%s: event %u has an entry after its last", about, event);
    }
}
