#include "client/parked.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/token.h"

int parked_init(struct parked_table *table, uint32_t cell_count)
{
    struct token_source source = {.left = 0};

    *table = (struct parked_table){.cell_count = cell_count, .chain_bits = 1};
    while (UINT32_C(1) << table->chain_bits < cell_count)
        ++table->chain_bits;
    table->seed = token_next(&source) | 1;
    TAILQ_INIT(&table->deadlines);
    TAILQ_INIT(&table->indexed);
    table->cells = calloc(cell_count, sizeof(*table->cells));
    table->chains = calloc(UINT64_C(1) << table->chain_bits, sizeof(*table->chains));
    if (table->cells == NULL || table->chains == NULL) {
        parked_deinit(table);
        return -ENOMEM;
    }
    return 0;
}

void parked_deinit(struct parked_table *table)
{
    free(table->cells);
    free(table->chains);
    table->cells = NULL;
    table->chains = NULL;
}

/* Multiply-shift, as in stock/keys.c: the key is a hash already, only its chain must not be chosen.
 * Its later half: the first bytes of all transient keys are the same. */
static struct parked_list *chain_of(const struct parked_table *table, const struct ledger_key *key)
{
    uint64_t half;

    memcpy(&half, key->bytes + sizeof(half), sizeof(half));
    return &table->chains[half * table->seed >> (64 - table->chain_bits)];
}

/* Whether a cell of that deadline belongs right behind this one. */
static bool fits_behind(const struct parked *before, uint64_t deadline_ms)
{
    const struct parked *next = TAILQ_NEXT(before, by_deadline);

    return before->deadline_ms <= deadline_ms && (next == NULL || next->deadline_ms > deadline_ms);
}

/* Deadlines mostly come in order, so the place is mostly the end; else, for those of one batch
 * whose time is short, behind the one before. */
static void time_it(struct parked_table *table, struct parked *cell, uint64_t deadline_ms)
{
    struct parked *before = table->timed_last;

    if (before == NULL || !fits_behind(before, deadline_ms))
        before = TAILQ_LAST(&table->deadlines, parked_queue);
    cell->deadline_ms = deadline_ms;
    cell->timed = true;
    table->timed_last = cell;
    while (before != NULL && before->deadline_ms > deadline_ms)
        before = TAILQ_PREV(before, parked_queue, by_deadline);
    if (before == NULL)
        TAILQ_INSERT_HEAD(&table->deadlines, cell, by_deadline);
    else
        TAILQ_INSERT_AFTER(&table->deadlines, before, cell, by_deadline);
}

static void untime(struct parked_table *table, struct parked *cell)
{
    if (cell->timed)
        TAILQ_REMOVE(&table->deadlines, cell, by_deadline);
    if (table->timed_last == cell)
        table->timed_last = NULL;
    cell->timed = false;
}

struct parked *parked_take(struct parked_table *table, struct vacancy_call *call,
                           uint64_t deadline_ms, const struct ledger_key *key)
{
    struct parked *cell = LIST_FIRST(&table->free);

    if (cell != NULL)
        LIST_REMOVE(cell, by_key);
    else if (table->fresh < table->cell_count)
        cell = &table->cells[table->fresh++];
    else
        return NULL;
    ++table->used;
    *cell = (struct parked){.call = call, .kind = PARKED_JUDGED, .key = *key};
    if (!ledger_key_is_none(key))
        LIST_INSERT_HEAD(chain_of(table, key), cell, by_key);
    time_it(table, cell, deadline_ms);
    return cell;
}

void parked_free(struct parked_table *table, struct parked *cell)
{
    assert(cell->kind != PARKED_FREE);
    parked_end_wait(table, cell);
    untime(table, cell);
    if (!ledger_key_is_none(&cell->key))
        LIST_REMOVE(cell, by_key);
    cell->kind = PARKED_FREE;
    cell->call = NULL;
    --table->used;
    LIST_INSERT_HEAD(&table->free, cell, by_key);
}

uint32_t parked_cookie(const struct parked_table *table, const struct parked *cell)
{
    return (uint32_t)(cell - table->cells);
}

struct parked *parked_of_cookie(struct parked_table *table, uint32_t cookie)
{
    return cookie < table->cell_count ? &table->cells[cookie] : NULL;
}

void parked_orphan(struct parked_table *table, struct parked *cell)
{
    untime(table, cell);
    cell->call = NULL;
}

void parked_put_off(struct parked_table *table, struct parked *cell, uint64_t deadline_ms)
{
    untime(table, cell);
    time_it(table, cell, deadline_ms);
}

void parked_wait_for_index(struct parked_table *table, struct parked *cell, uint64_t sequence)
{
    cell->kind = PARKED_INDEX;
    cell->sequence = sequence;
    TAILQ_INSERT_TAIL(&table->indexed, cell, by_index);
}

void parked_end_wait(struct parked_table *table, struct parked *cell)
{
    if (cell->kind != PARKED_INDEX)
        return;
    TAILQ_REMOVE(&table->indexed, cell, by_index);
    cell->kind = PARKED_JUDGED;
}

void parked_follow(struct parked *cell, struct parked *leader)
{
    LIST_REMOVE(cell, by_key);
    LIST_INSERT_AFTER(leader, cell, by_key);
    cell->kind = PARKED_FOLLOWER;
}

void parked_lead(struct parked_table *table, struct parked *cell)
{
    LIST_REMOVE(cell, by_key);
    LIST_INSERT_HEAD(chain_of(table, &cell->key), cell, by_key);
    cell->kind = PARKED_JUDGED;
}

/* The first cell of that key that is not being judged: the leader, if there is one. */
static struct parked *first_of(const struct parked_table *table, uint32_t event,
                               const struct ledger_key *key)
{
    struct parked *cell;

    LIST_FOREACH(cell, chain_of(table, key), by_key)
    if (cell->event == event && ledger_key_equal(&cell->key, key) && cell->kind != PARKED_JUDGED)
        return cell;
    return NULL;
}

struct parked *parked_leader(const struct parked_table *table, uint32_t event,
                             const struct ledger_key *key)
{
    struct parked *cell = first_of(table, event, key);

    return cell == NULL || cell->kind == PARKED_FOLLOWER ? NULL : cell;
}

struct parked *parked_follower(const struct parked_table *table, uint32_t event,
                               const struct ledger_key *key)
{
    struct parked *cell = first_of(table, event, key);

    return cell == NULL || cell->kind != PARKED_FOLLOWER ? NULL : cell;
}
