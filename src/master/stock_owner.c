#include "master/stock_owner.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ledger/key_clock.h"
#include "stock/keys.h"
#include "ticketd/error.h"

#define US_PER_S INT64_C(1000000)

struct loading {
    struct stock_owner *owner;
    const struct settings *settings;
    struct ledger *ledger;
    struct ledger_key_clock *clock;
    char *error;
};

int stock_owner_judge(const struct settings *settings, struct ledger_place *ret_place,
                      char error[SETTINGS_ERROR_MAX])
{
    return ledger_place_find(settings->ledger_url, ret_place, error, SETTINGS_ERROR_MAX);
}

static int on_event(void *context, const struct ledger_event *event)
{
    struct loading *loading = context;
    struct stock_event wanted = {.id = event->id,
                                 .available = event->available,
                                 .capacity = event->capacity,
                                 .sequence = event->next_sequence};
    uint32_t index;

    switch (stock_event_create(&loading->owner->stock, &wanted, &index)) {
    case TICKETD_DONE:
        return 0;
    case TICKETD_BUSY:
        (void)snprintf(loading->error, SETTINGS_ERROR_MAX,
                       "EVENTS_MAX: %" PRId64 " is not allowed: the ledger has more events",
                       loading->settings->events_max);
        return TICKETD_INVALID;
    default:
        (void)snprintf(loading->error, SETTINGS_ERROR_MAX,
                       "the ledger is damaged: its event \"%s\" cannot be one", event->id);
        return LEDGER_DAMAGED;
    }
}

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

/* Puts every event of the ledger into the stock; a new ledger gets its first one. */
static int load_events(struct loading *loading)
{
    const struct ledger_ops *ops = loading->owner->place.ops;
    uint32_t event;
    int result = ops->each_event(loading->ledger, on_event, loading);

    if (result != 0 || stock_event_find(&loading->owner->stock, STOCK_DEFAULT_EVENT,
                                        sizeof(STOCK_DEFAULT_EVENT) - 1, &event) == 0)
        return result;
    result = ops->create_event(loading->ledger, STOCK_DEFAULT_EVENT,
                               (uint32_t)loading->settings->initial_stock, now_us());
    if (result != 0)
        return result;
    return on_event(loading, &(struct ledger_event){
                                 .id = STOCK_DEFAULT_EVENT,
                                 .next_sequence = 1,
                                 .available = (uint32_t)loading->settings->initial_stock,
                                 .capacity = (uint64_t)loading->settings->initial_stock,
                             });
}

static int on_key(void *context, const struct ledger_keyed_sale *sale)
{
    struct loading *loading = context;
    struct stock *stock = &loading->owner->stock;
    int64_t age_us = ledger_key_clock_age_us(loading->clock, sale->time_us);
    struct key_sale key = {
        .key = sale->key,
        .event = sale->event,
        .sequence = sale->sequence,
        .token = sale->token,
        .quantity = (uint32_t)sale->quantity,
        .available = sale->available,
    };

    if (age_us > ledger_key_ttl_s(&sale->key, loading->settings->idempotency_ttl_s) * US_PER_S)
        return 0;
    /* No start fails for keys that are soon forgotten anyway: the youngest of them are kept. */
    if (ledger_key_is_transient(&sale->key) && keys_are_full(stock, &sale->key))
        keys_forget_oldest(stock, SEGMENT_KEYS_TRANSIENT);
    /* Sales that were on their way when the keys were full may have gone beyond the setting, by as
     * many as the index has spare: the next start must not fail for them. */
    if (keys_put(stock, &key, (uint32_t)(age_us / US_PER_S)) == TICKETD_DONE)
        return 0;
    (void)snprintf(loading->error, SETTINGS_ERROR_MAX,
                   "IDEMPOTENCY_KEYS_MAX: %" PRId64
                   " is not allowed: the ledger has more keys that are to be remembered",
                   loading->settings->idempotency_keys_max);
    return TICKETD_INVALID;
}

static int load_keys(struct loading *loading)
{
    const struct ledger_ops *ops = loading->owner->place.ops;
    int64_t client_ttl_s = loading->settings->idempotency_ttl_s;
    int64_t ttl_us =
        (client_ttl_s > KEY_TRANSIENT_TTL_S ? client_ttl_s : KEY_TRANSIENT_TTL_S) * US_PER_S;
    int result;

    loading->clock = malloc(sizeof(*loading->clock));
    if (loading->clock == NULL)
        return -ENOMEM;
    result = ledger_key_clock_load(ops, loading->ledger, loading->clock);
    if (result == 0)
        result = ops->each_key(loading->ledger, ledger_key_clock_since(loading->clock, ttl_us),
                               on_key, loading);
    free(loading->clock);
    loading->owner->keys = keys_count(&loading->owner->stock, SEGMENT_KEYS_OF_CLIENTS);
    return result;
}

static int load(struct stock_owner *owner, const struct settings *settings,
                char error[SETTINGS_ERROR_MAX])
{
    const struct ledger_ops *ops = owner->place.ops;
    struct loading loading = {.owner = owner, .settings = settings, .error = error};
    int result =
        ops->open(&loading.ledger, owner->place.location, owner->hold, error, SETTINGS_ERROR_MAX);

    if (result != 0)
        return result;
    error[0] = '\0';
    result = load_events(&loading);
    if (result == 0)
        result = load_keys(&loading);
    if (result != 0 && error[0] == '\0')
        (void)snprintf(error, SETTINGS_ERROR_MAX, "%s", ops->error(loading.ledger));
    ops->close(loading.ledger);
    return result;
}

int stock_owner_open(struct stock_owner *owner, const struct settings *settings, uint32_t slots,
                     char error[SETTINGS_ERROR_MAX])
{
    struct stock_options options = {
        .events_max = (uint32_t)settings->events_max,
        .ring_slots = (uint32_t)settings->journal_slots,
        .places = STOCK_PLACE_OF(slots),
        .parked_max = (uint32_t)settings->parked_max,
        .keys_max = (uint64_t)settings->idempotency_keys_max,
    };
    int result = stock_owner_judge(settings, &owner->place, error);

    owner->hold = -1;
    if (result == 0)
        result = ledger_place_prepare(&owner->place, error, SETTINGS_ERROR_MAX);
    if (result == 0)
        result = owner->place.ops->lock(&owner->hold, owner->place.location, STOCK_OWNER_WAIT_MS,
                                        error, SETTINGS_ERROR_MAX);
    if (result != 0)
        return result;
    result = stock_create(&owner->stock, &options);
    if (result < 0) {
        errno = -result;
        (void)snprintf(error, SETTINGS_ERROR_MAX, "cannot make the stock: %m");
    } else {
        result = load(owner, settings, error);
    }
    if (result != 0)
        stock_owner_close(owner);
    return result;
}

void stock_owner_close(struct stock_owner *owner)
{
    stock_destroy(&owner->stock);
    if (owner->place.ops != NULL && owner->hold != -1)
        close(owner->hold);
    owner->hold = -1;
}
