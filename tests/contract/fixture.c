#include "fixture.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/keeper/keeping.h"
#include "client/vacancy_local.h"
#include "late_client.h"
#include "remote_side.h"

struct in_process {
    struct keeping keeping;
    struct vacancy_local local;
    struct late_client late; /* over local; unused by "local" and "durable" */
};

static struct in_process *own_of(struct fixture *fixture)
{
    return fixture->own;
}

static void make(struct fixture *fixture, const struct ledger_ops *ops, bool durable)
{
    struct in_process *own = calloc(1, sizeof(*own));

    if (own == NULL)
        abort();
    fixture->own = own;
    keeping_make(&own->keeping, &fixture->stock, ops);
    keeping_open(&own->keeping);
    if (vacancy_local_init(&own->local,
                           &(struct vacancy_local_options){.stock = &fixture->stock,
                                                           .place = STOCK_PLACE_OF(0),
                                                           .durable = durable,
                                                           .keeper_bell = -1,
                                                           .reader_bell = -1,
                                                           .sale_timeout_ms = 3600000,
                                                           .parked_max = PARKED_MAX}) != 0)
        abort();
    fixture->client = &own->local.client;
}

static void local_make(struct fixture *fixture)
{
    make(fixture, &ledger_memory_ops, false);
}

static void durable_make(struct fixture *fixture)
{
    make(fixture, &ledger_sqlite_ops, true);
}

/* One turn of the keeper, then one of the worker. */
static bool local_pump(struct fixture *fixture)
{
    struct in_process *own = own_of(fixture);
    struct keeper_stall stall;
    bool kept = keeper_turn(own->keeping.keeper, &stall) == KEEPER_TURN_DONE;

    return vacancy_local_deliver(&own->local) || kept;
}

static void local_destroy(struct fixture *fixture)
{
    vacancy_local_deinit(&own_of(fixture)->local);
    keeping_end(&own_of(fixture)->keeping);
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
    return late_client_pump(&own_of(fixture)->late, 1) > 0 || local_pump(fixture);
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
        .name = "durable",
        .cancelled = CANCELLED_TAKES_EITHER, /* the keeper may have taken it */
        .pending_max = 1000,
        .make = durable_make,
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
    {
        .name = "remote",
        .cancelled = CANCELLED_TAKES_EITHER, /* it may be travelling */
        .narrow = true,
        .pending_max = 1000,
        .make = remote_make,
        .pump = remote_pump,
        .destroy = remote_destroy,
    },
    {
        .name = "remote-lone",
        .cancelled = CANCELLED_TAKES_EITHER,
        .narrow = true,
        .pending_max = 1000,
        .make = remote_lone_make,
        .pump = remote_pump,
        .destroy = remote_destroy,
    },
};

const struct fixture_ops *fixture_find(const char *name)
{
    for (size_t i = 0; i < sizeof(implementations) / sizeof(implementations[0]); ++i)
        if (strcmp(implementations[i].name, name) == 0)
            return &implementations[i];
    return NULL;
}
