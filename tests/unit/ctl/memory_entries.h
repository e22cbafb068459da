/* One event's entries in an array, behind the ledger's table of operations, and a sink that keeps
 * what an audit tells. */
#ifndef TICKETD_TESTS_CTL_MEMORY_ENTRIES_H
#define TICKETD_TESTS_CTL_MEMORY_ENTRIES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/audit.h"
#include "ticketd/ledger.h"

/* `struct ledger` of these operations. */
struct ledger {
    const struct ledger_entry *entries;
    size_t count;
    int fault; /* what every look answers instead, if not 0 */
    unsigned walks;
};

static inline int memory_find(struct ledger *ledger, uint32_t event, uint64_t sequence,
                              struct ledger_entry *ret_entry)
{
    (void)event;
    for (size_t i = 0; i < ledger->count && ledger->fault == 0; i++)
        if (ledger->entries[i].sequence == sequence) {
            *ret_entry = ledger->entries[i];
            return 0;
        }
    return ledger->fault != 0 ? ledger->fault : LEDGER_NOT_FOUND;
}

static inline int memory_each(struct ledger *ledger, uint32_t event, uint64_t from, uint64_t to,
                              int (*on_entry)(void *context, const struct ledger_entry *entry),
                              void *context)
{
    int result = ledger->fault;

    (void)event;
    ledger->walks++;
    for (size_t i = 0; i < ledger->count && result == 0; i++)
        if (ledger->entries[i].sequence >= from && ledger->entries[i].sequence < to)
            result = on_entry(context, &ledger->entries[i]);
    return result;
}

static const struct ledger_ops memory_ops = {.find = memory_find, .each_entry = memory_each};

/* Everything that was told, a line each: "sequence what is should" ("-" for the whole event). */
struct told {
    struct audit_sink sink;
    char text[2048];
};

static inline void on_told(void *context, const struct audit_difference *difference)
{
    struct told *told = context;
    size_t len = strlen(told->text);
    char sequence[24] = "-";

    if (difference->sequence != UINT64_MAX)
        (void)snprintf(sequence, sizeof(sequence), "%llu",
                       (unsigned long long)difference->sequence);
    (void)snprintf(told->text + len, sizeof(told->text) - len, "%s %s: %s, %s\n", sequence,
                   difference->what, difference->is, difference->should_be);
}

static inline void told_init(struct told *told)
{
    *told = (struct told){.sink = {.on_difference = on_told, .context = told}};
}

#endif
