#include "crowd_tally.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_US 1000U

static void make_room(struct crowd_tally *tally, size_t room)
{
    tally->us = reallocarray(tally->us, room, sizeof(*tally->us));
    if (tally->us == NULL)
        err(EXIT_FAILURE, "no memory for %zu latencies", room);
    memset(tally->us + tally->count, 0, (room - tally->count) * sizeof(*tally->us));
    tally->room = room;
}

void crowd_tally_init(struct crowd_tally *tally, size_t room)
{
    *tally = (struct crowd_tally){.us = NULL};
    make_room(tally, room > 0 ? room : 1);
}

void crowd_tally_deinit(struct crowd_tally *tally)
{
    free(tally->us);
    *tally = (struct crowd_tally){.us = NULL};
}

void crowd_tally_add(struct crowd_tally *tally, uint64_t ns)
{
    uint64_t us = ns / NS_PER_US;

    if (tally->count == tally->room)
        make_room(tally, tally->room * 2);
    tally->us[tally->count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

/* The least of the sorted latencies that so many in a thousand do not exceed. */
static uint32_t at_permille(const struct crowd_tally *tally, size_t permille)
{
    return tally->count > 0 ? tally->us[(tally->count * permille + 999) / 1000 - 1] : 0;
}

void crowd_tally_print(struct crowd_tally *tally)
{
    qsort(tally->us, tally->count, sizeof(*tally->us), compare);
    printf(" p50_us=%u p99_us=%u p999_us=%u max_us=%u", at_permille(tally, 500),
           at_permille(tally, 990), at_permille(tally, 999), at_permille(tally, 1000));
}
