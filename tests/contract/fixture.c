#include "fixture.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/vacancy_local.h"
#include "late_client.h"

struct in_process {
    struct vacancy_local local;
    struct late_client late; /* over local; unused by the fixture "local" */
};

static struct in_process *own_of(struct fixture *fixture)
{
    return fixture->own;
}

static void local_make(struct fixture *fixture)
{
    struct in_process *own = calloc(1, sizeof(*own));

    if (own == NULL)
        abort();
    fixture->own = own;
    vacancy_local_init(&own->local, &fixture->stock);
    fixture->client = &own->local.client;
}

static bool local_pump(struct fixture *fixture)
{
    (void)fixture;
    return false;
}

static void local_destroy(struct fixture *fixture)
{
    free(fixture->own);
}

static void late_make(struct fixture *fixture)
{
    local_make(fixture);
    late_client_init(&own_of(fixture)->late, fixture->client, LATE_JUDGED_WHEN_PUMPED);
    fixture->client = &own_of(fixture)->late.client;
}

static void judged_make(struct fixture *fixture)
{
    local_make(fixture);
    late_client_init(&own_of(fixture)->late, fixture->client, LATE_JUDGED_AT_START);
    fixture->client = &own_of(fixture)->late.client;
}

/* One at a time, so that what happens between two completions is seen too. */
static bool late_pump(struct fixture *fixture)
{
    return late_client_pump(&own_of(fixture)->late, 1) > 0;
}

static void late_destroy(struct fixture *fixture)
{
    late_client_deinit(&own_of(fixture)->late);
    local_destroy(fixture);
}

static const struct fixture_ops implementations[] = {
    {
        .name = "local",
        .cancelled = CANCELLED_TAKES_NOTHING,
        .pending_max = 1000,
        .make = local_make,
        .pump = local_pump,
        .destroy = local_destroy,
    },
    {
        .name = "late",
        .cancelled = CANCELLED_TAKES_NOTHING,
        .pending_max = 1000,
        .make = late_make,
        .pump = late_pump,
        .destroy = late_destroy,
    },
    {
        .name = "judged",
        .cancelled = CANCELLED_STAYS_SOLD,
        .pending_max = 1000,
        .make = judged_make,
        .pump = late_pump,
        .destroy = late_destroy,
    },
};

const struct fixture_ops *fixture_find(const char *name)
{
    for (size_t i = 0; i < sizeof(implementations) / sizeof(implementations[0]); ++i)
        if (strcmp(implementations[i].name, name) == 0)
            return &implementations[i];
    return NULL;
}
