#include "ctl/audit_keys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_S INT64_C(1000000)

enum {
    FIRST_ROOM = 1024,
};

/* One entry whose key's half was seen more than once. */
struct suspect {
    struct ledger_key key;
    uint64_t sequence;
    int64_t time_us;
};

struct suspects {
    struct audit_keys *keys; /* its halves are the repeated ones */
    const struct audit_keys_judge *judge;
    struct suspect *list;
    size_t count, room;
};

void audit_keys_begin(struct audit_keys *keys, size_t limit)
{
    *keys = (struct audit_keys){.limit = limit, .slices = 1};
}

void audit_keys_free(struct audit_keys *keys)
{
    free(keys->halves);
    keys->halves = NULL;
}

/* The later one: the other begins with the key's kind. */
static uint64_t half_of(const struct ledger_key *key)
{
    uint64_t half;

    memcpy(&half, key->bytes + sizeof(half), sizeof(half));
    return half;
}

/* What is between the kind and that half chooses the slice: the keys of a slice still have all of
 * the half. */
static uint64_t slice_of(const struct ledger_key *key, uint64_t slices)
{
    uint32_t quarter;

    memcpy(&quarter, key->bytes + KEY_KIND_BYTES, sizeof(quarter));
    return quarter % slices;
}

static bool is_keyed_sale(const struct ledger_entry *entry)
{
    return entry->kind == LEDGER_SALE && !ledger_key_is_none(&entry->key);
}

/* Room for one more in an array that doubles; NULL when there is no memory (it stays as it was). */
static void *grow(void *list, size_t count, size_t *room, size_t size)
{
    size_t wanted = *room != 0 ? *room * 2 : FIRST_ROOM;
    void *grown = count < *room ? list : realloc(list, wanted * size);

    if (grown != NULL && count >= *room)
        *room = wanted;
    return grown;
}

static int keep(struct audit_keys *keys, const struct ledger_entry *entry)
{
    uint64_t *halves = grow(keys->halves, keys->count, &keys->room, sizeof(*halves));

    if (halves == NULL)
        return -ENOMEM;
    keys->halves = halves;
    halves[keys->count++] = half_of(&entry->key);
    return 0;
}

int audit_keys_entry(struct audit_keys *keys, const struct ledger_entry *entry)
{
    if (!is_keyed_sale(entry))
        return 0;
    /* beyond the limit it is only counted: then the keys are read again, slice by slice */
    return ++keys->keyed <= keys->limit ? keep(keys, entry) : 0;
}

static int compare_halves(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static int compare_suspects(const void *a, const void *b)
{
    const struct suspect *left = a, *right = b;
    int order = memcmp(&left->key, &right->key, sizeof(left->key));

    return order != 0 ? order
                      : (left->sequence > right->sequence) - (left->sequence < right->sequence);
}

/* Sorts the halves and keeps one of each that is there more than once. */
static void keep_repeated(struct audit_keys *keys)
{
    size_t repeated = 0;

    if (keys->count > 1)
        qsort(keys->halves, keys->count, sizeof(*keys->halves), compare_halves);
    for (size_t i = 1; i < keys->count; ++i) {
        uint64_t half = keys->halves[i];

        if (half == keys->halves[i - 1] && (repeated == 0 || keys->halves[repeated - 1] != half))
            keys->halves[repeated++] = half;
    }
    keys->count = repeated;
}

static void step(const struct audit_keys_judge *judge)
{
    if (judge->on_step != NULL)
        judge->on_step(judge->step_context);
}

static int on_suspect(void *context, const struct ledger_entry *entry)
{
    struct suspects *suspects = context;
    const struct audit_keys *keys = suspects->keys;
    uint64_t half = half_of(&entry->key);
    struct suspect *list;

    step(suspects->judge);
    if (!is_keyed_sale(entry) || slice_of(&entry->key, keys->slices) != keys->slice ||
        bsearch(&half, keys->halves, keys->count, sizeof(half), compare_halves) == NULL)
        return 0;
    list = grow(suspects->list, suspects->count, &suspects->room, sizeof(*list));
    if (list == NULL)
        return -ENOMEM;
    suspects->list = list;
    list[suspects->count++] =
        (struct suspect){.key = entry->key, .sequence = entry->sequence, .time_us = entry->time_us};
    return 0;
}

/* Two sales of one key: were they so close that the second should have found the first? */
static void judge_pair(const struct audit_keys_judge *judge, const struct suspect *first,
                       const struct suspect *second)
{
    int64_t apart_us = ledger_key_clock_age_us(judge->clock, first->time_us) -
                       ledger_key_clock_age_us(judge->clock, second->time_us);
    char is[AUDIT_TEXT_MAX];

    if (apart_us >= ledger_key_ttl_s(&first->key, judge->ttl_s) * US_PER_S)
        return; /* forgotten in between, as is its right */
    (void)snprintf(is, sizeof(is), "that of the sale %" PRIu64, first->sequence);
    audit_tell(judge->sink, judge->told->id, second->sequence, "key", is, "sold once");
}

static int walk(const struct audit_keys_judge *judge,
                int (*on_entry)(void *context, const struct ledger_entry *entry), void *context)
{
    return judge->ops->each_entry(judge->ledger, judge->told->event, 0, judge->told->next_sequence,
                                  on_entry, context);
}

/* The halves of one slice are there. */
static int end_slice(struct audit_keys *keys, const struct audit_keys_judge *judge)
{
    struct suspects suspects = {.keys = keys, .judge = judge};
    int result;

    keep_repeated(keys);
    if (keys->count == 0)
        return 0;
    result = walk(judge, on_suspect, &suspects);
    if (suspects.count > 1)
        qsort(suspects.list, suspects.count, sizeof(*suspects.list), compare_suspects);
    for (size_t i = 1; result == 0 && i < suspects.count; ++i)
        if (ledger_key_equal(&suspects.list[i - 1].key, &suspects.list[i].key))
            judge_pair(judge, &suspects.list[i - 1], &suspects.list[i]);
    free(suspects.list);
    return result;
}

struct slice_walk {
    struct audit_keys *keys;
    const struct audit_keys_judge *judge;
};

static int on_sliced(void *context, const struct ledger_entry *entry)
{
    const struct slice_walk *walking = context;
    struct audit_keys *keys = walking->keys;

    step(walking->judge);
    return is_keyed_sale(entry) && slice_of(&entry->key, keys->slices) == keys->slice
               ? keep(keys, entry)
               : 0;
}

int audit_keys_end(struct audit_keys *keys, const struct audit_keys_judge *judge)
{
    struct slice_walk walking = {.keys = keys, .judge = judge};
    int result = 0;

    if (keys->keyed <= keys->limit)
        return end_slice(keys, judge);
    keys->slices = keys->keyed / keys->limit + 1;
    for (keys->slice = 0; result == 0 && keys->slice < keys->slices; ++keys->slice) {
        keys->count = 0;
        result = walk(judge, on_sliced, &walking);
        if (result == 0)
            result = end_slice(keys, judge);
    }
    return result;
}
