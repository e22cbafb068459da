#include "master/pools.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

#include "master/handed.h"
#include "ticketd/error.h"
#include "util/clock.h"
#include "util/log.h"

/* Which part of SHUTDOWN_TIMEOUT a pool has before the one that it needs is told to stop, too. */
#define STOP_SHARE(timeout_ms) ((timeout_ms) / 4 * 3)
/* How long a handshake that has begun has to end: the way to a far client and back.  At most that
 * part of SHUTDOWN_TIMEOUT. */
#define SETTLE_MS                100
#define SETTLE_SHARE(timeout_ms) ((timeout_ms) / 8)

static struct listener_wish wish_of(const struct pools_item *item, const struct settings *settings)
{
    return (struct listener_wish){
        .settings = settings, .port = item->plan.port, .pool = role_name(item->plan.role)};
}

/* Whether its listeners are the service manager's, all of them. */
static bool is_handed(const struct pools_item *item)
{
    return item->listeners.count > 0 && item->listeners.items[0].handed;
}

static void close_all(struct pools *pools)
{
    listener_close(&pools->control);
    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        listener_close(&pools->items[i].listeners);
}

/* What the service manager has opened. */
static int take_handed(struct pools *pools, const struct settings *settings,
                       char error[SETTINGS_ERROR_MAX])
{
    static struct handed handed; /* large, and used once */
    int result = handed_receive(&handed, error), left;

    for (uint32_t i = 0; result == 0 && i < pools->deployment.count; ++i)
        result = handed_take(&handed, role_name(pools->items[i].plan.role), settings,
                             &pools->items[i].listeners, error);
    if (result == 0)
        result = handed_take(&handed, HANDED_CONTROL, settings, &pools->control, error);
    if (result != 0)
        return result;
    left = handed_finish(&handed, error);
    if (left != 0 || pools->control.count == 0)
        return left;
    if (pools->control.count == 1 && pools->control.items[0].is_unix)
        return 0;
    (void)snprintf(error, SETTINGS_ERROR_MAX,
                   "the control site takes one unix socket: whoever may connect may control");
    return TICKETD_INVALID;
}

/* What the settings ask for, for the pools that the service manager has left without. */
static int open_rest(struct pools *pools, const struct settings *settings,
                     const struct pools_item **ret_at, char error[SETTINGS_ERROR_MAX])
{
    uint32_t count = pools->deployment.count;
    struct listener_set adopted;
    int result = 0;

    listener_adopt(&adopted);
    for (uint32_t i = 0; result == 0 && i < count; ++i) {
        struct listener_wish wish = wish_of(*ret_at = &pools->items[i], settings);
        if (!is_handed(&pools->items[i]))
            result = listener_take(&pools->items[i].listeners, &wish, &adopted, error);
    }
    /* it may be in the way of what is new, as 127.0.0.1 is in the way of 0.0.0.0 */
    listener_close(&adopted);
    for (uint32_t i = 0; result == 0 && i < count; ++i) {
        struct listener_wish wish = wish_of(*ret_at = &pools->items[i], settings);
        if (!is_handed(&pools->items[i]))
            result = listener_open(&pools->items[i].listeners, &wish, error);
    }
    return result;
}

static void log_listeners(struct pools_item *item, bool alone)
{
    if (is_handed(item))
        log_info(
            "the service manager opened the listeners of the %s pool; HOST and %s are not used",
            role_name(item->plan.role), settings_row(item->plan.port_row)->name);
    for (uint32_t i = 0; i < item->listeners.count; ++i) {
        item->listener_fds[i] = item->listeners.items[i].fd;
        if (alone)
            log_info("listening on %s", item->listeners.items[i].name);
        else
            log_info("listening on %s (%s)", item->listeners.items[i].name,
                     role_name(item->plan.role));
    }
}

int pools_listen(struct pools *pools, const struct settings *settings)
{
    const struct pools_item *at = NULL;
    char error[SETTINGS_ERROR_MAX];
    int result;

    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        pools->items[i].plan = pools->deployment.pools[i];
    result = take_handed(pools, settings, error);
    if (result != 0)
        log_critical("%s", error);
    else if ((result = open_rest(pools, settings, &at, error)) != 0)
        log_critical("%s (settings HOST and %s)", error, settings_row(at->plan.port_row)->name);
    if (result != 0) {
        close_all(pools);
        return result;
    }
    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        log_listeners(&pools->items[i], pools->items[i].plan.role == ROLE_MONOLITH);
    if (pools->deployment.count > 1 &&
        settings->source[SETTING_VACANCY_URL] == SETTING_SOURCE_DEFAULT)
        (void)listener_url(&pools->items[0].listeners, pools->vacancy_url);
    return 0;
}

/* In a new child: closes what is that pool's alone. */
static void leave_pool(const struct pools_item *item)
{
    const struct pool *pool = &item->pool;

    for (uint32_t i = 0; i < item->listeners.count; ++i)
        close(item->listeners.items[i].fd);
    for (uint32_t i = 0; i < pool->board.slot_count; ++i)
        close(pool->heritage.bells[pool->first_slot + i]);
}

static void leave_control(const struct pools *pools)
{
    for (uint32_t i = 0; i < pools->control.count; ++i)
        close(pools->control.items[i].fd);
}

static void leave_in_worker(void *context)
{
    const struct pools_item *own = context;
    const struct pools *pools = own->all;

    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        if (&pools->items[i] != own)
            leave_pool(&pools->items[i]);
    if (own != &pools->items[0])
        leave_control(pools);
    pools->options.in_child(pools->options.context, own->plan.role);
}

void pools_leave(const struct pools *pools)
{
    leave_control(pools);
    for (uint32_t i = 0; i < pools->deployment.count; ++i) {
        const struct pools_item *item = &pools->items[i];
        if (!role_owns_stock(item->plan.role)) {
            leave_pool(item);
            continue;
        }
        for (uint32_t j = 0; j < item->listeners.count; ++j)
            close(item->listeners.items[j].fd); /* its bells are for keeper and reader, too */
    }
}

/* What every worker of the pool gets. */
static struct heritage heritage_of(const struct pools_item *item)
{
    const struct pools *pools = item->all;
    struct heritage heritage = *pools->options.heritage;

    heritage.settings = &item->settings;
    heritage.role = item->plan.role;
    heritage.listeners = item->listener_fds;
    heritage.listener_count = item->listeners.count;
    heritage.control_listener = -1;
    if (item == &pools->items[0] && pools->control.count > 0)
        heritage.control_listener = pools->control.items[0].fd;
    if (role_owns_stock(item->plan.role))
        return heritage;
    heritage.stock = (struct stock){NULL};
    heritage.keeper_bell = heritage.reader_bell = heritage.ledger_hold = -1;
    heritage.ledger = NULL;
    heritage.ledger_location = NULL;
    heritage.durable = false;
    return heritage;
}

void pools_init(struct pools *pools, const struct pools_options *options)
{
    uint32_t first_slot = 0;

    pools->options = *options;
    pools_take_settings(pools, options->settings);
    for (uint32_t i = 0; i < pools->deployment.count; ++i) {
        struct pools_item *item = &pools->items[i];
        struct heritage heritage;
        item->all = pools;
        heritage = heritage_of(item);
        pool_init(&item->pool, item->plan.workers, first_slot, &heritage, leave_in_worker, item);
        first_slot += POOL_SLOTS(item->plan.workers);
    }
}

void pools_take_settings(struct pools *pools, const struct settings *settings)
{
    for (uint32_t i = 0; i < pools->deployment.count; ++i) {
        struct pools_item *item = &pools->items[i];
        item->settings = *settings;
        if (item->plan.role == ROLE_TICKET && pools->vacancy_url[0] != '\0')
            (void)strlcpy(item->settings.vacancy_url, pools->vacancy_url,
                          sizeof(item->settings.vacancy_url));
    }
}

/* Lets no new client of the pool in.  Returns when it can be told to stop: by then whoever was let
 * in waits to be accepted, and its workers, who take all that wait before they close an address,
 * leave nobody behind whom the kernel would reset. */
static uint64_t shut(struct pools_item *item, uint64_t now_ms)
{
    struct pools *pools = item->all;

    if (!pools->closing)
        return now_ms;
    if (!item->shut) {
        item->shut = true;
        item->shut_ms = listener_shut(&item->listeners) ? now_ms : 0;
    }
    return item->shut_ms == 0 ? now_ms : item->shut_ms + pools->settle_ms;
}

static void tell_to_stop(struct pools_item *item)
{
    struct pools *pools = item->all;

    item->told_to_stop = true;
    /* First, so that the last who closes them is one who has taken what waits. */
    if (pools->closing)
        listener_close(&item->listeners);
    if (pools->closing && item == &pools->items[0])
        listener_close(&pools->control);
    pool_stop(&item->pool, pools->end_ms);
}

/* Tells each pool to stop when the one that needs it has ended, or has used up its time.  Returns
 * when it wants to be called again; the end of a child wakes the master, too. */
static uint64_t go_on_stopping(struct pools *pools, uint64_t now_ms)
{
    for (uint32_t i = pools->deployment.count; i-- > 0;) {
        struct pools_item *item = &pools->items[i];
        if (!item->told_to_stop) {
            uint64_t settled_ms = shut(item, now_ms);
            if (now_ms < settled_ms)
                return settled_ms;
            tell_to_stop(item);
            if (pool_gone(&item->pool)) /* there is no child whose end would wake the master */
                return now_ms;
        }
        if (!pool_gone(&item->pool) && now_ms < pools->stop_at_ms)
            return pools->stop_at_ms;
    }
    return UINT64_MAX;
}

void pools_stop(struct pools *pools, bool closing, uint64_t now_ms)
{
    uint64_t timeout_ms = (uint64_t)pools->options.settings->shutdown_timeout_ms;
    uint64_t end_ms = now_ms + timeout_ms, stop_at_ms = now_ms + STOP_SHARE(timeout_ms);

    pools->end_ms = pools->stopping ? clock_earlier(pools->end_ms, end_ms) : end_ms;
    pools->stop_at_ms = pools->stopping ? clock_earlier(pools->stop_at_ms, stop_at_ms) : stop_at_ms;
    pools->stopping = true;
    pools->closing = closing;
    pools->settle_ms = clock_earlier(SETTLE_MS, SETTLE_SHARE(timeout_ms));
    pools->rolling = pools->roll_again = false;
    /* relaxed: a signal follows, after which the workers look */
    atomic_store_explicit(pools->options.heritage->scoreboard.stop_ends_ms, pools->end_ms,
                          memory_order_relaxed);
    for (uint32_t i = 0; i < pools->deployment.count; ++i) {
        pools->items[i].told_to_stop = false;
        pools->items[i].pool.stops_later = true;
        pools->items[i].pool.rolling = false;
    }
    (void)go_on_stopping(pools, now_ms);
}

void pools_restart(struct pools *pools)
{
    pools->stopping = false;
    atomic_store_explicit(pools->options.heritage->scoreboard.stop_ends_ms, 0,
                          memory_order_relaxed);
    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        pool_restart(&pools->items[i].pool);
}

static void begin_roll(struct pools *pools)
{
    pools->rolling = true;
    pools->roll_again = pools->roll_failed = false;
    pools->roll_at = 0;
    pool_roll(&pools->items[0].pool);
}

void pools_roll(struct pools *pools)
{
    if (pools->rolling)
        pools->roll_again = true;
    else
        begin_roll(pools);
}

/* Moves a reload on to the next pool.  true when it did. */
static bool go_on_rolling(struct pools *pools)
{
    const struct pool *pool = &pools->items[pools->roll_at].pool;

    if (!pools->rolling || pool->rolling)
        return false;
    pools->roll_failed = pool->roll_failed;
    if (!pool->roll_failed && ++pools->roll_at < pools->deployment.count) {
        pool_roll(&pools->items[pools->roll_at].pool);
        return true;
    }
    pools->rolling = false;
    pools->roll_at = 0;
    if (!pools->roll_failed)
        log_info("reload done");
    if (pools->roll_again)
        begin_roll(pools); /* with a newer configuration, perhaps a good one */
    return true;
}

uint64_t pools_tick(struct pools *pools, uint64_t now_ms)
{
    uint64_t wake_ms = pools->stopping ? go_on_stopping(pools, now_ms) : UINT64_MAX;

    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        wake_ms = clock_earlier(wake_ms, pool_tick(&pools->items[i].pool, now_ms));
    return go_on_rolling(pools) ? now_ms : wake_ms;
}

bool pools_reaped(struct pools *pools, pid_t pid, int status, uint64_t now_ms)
{
    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        if (pool_reaped(&pools->items[i].pool, pid, status, now_ms))
            return true;
    return false;
}

bool pools_repair(struct pools *pools)
{
    bool all = true;

    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        all = pool_repair(&pools->items[i].pool) && all;
    return all;
}

void pools_kill(struct pools *pools)
{
    pools->stop_at_ms = pools->settle_ms = 0; /* nobody waits for anything any longer */
    if (pools->stopping)
        (void)go_on_stopping(pools, clock_monotonic_ms());
    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        pool_kill(&pools->items[i].pool);
}

void pools_kill_holder(struct pools *pools, uint32_t event, uint32_t sequence)
{
    pool_kill_holder(&pools->items[0].pool, event, sequence);
}

int pools_export(const struct pools *pools)
{
    int result = 0;

    for (uint32_t i = 0; result == 0 && i < pools->deployment.count; ++i)
        result = listener_export(&pools->items[i].listeners);
    /* its own control socket is opened anew */
    if (result == 0 && pools->control.count > 0 && pools->control.items[0].handed)
        result = listener_export(&pools->control);
    return result;
}

void pools_unexport(const struct pools *pools)
{
    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        listener_unexport(&pools->items[i].listeners);
    listener_unexport(&pools->control);
}

bool pools_ready(const struct pools *pools)
{
    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        if (!pool_ready(&pools->items[i].pool))
            return false;
    return true;
}

bool pools_gone(const struct pools *pools)
{
    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        if (!pools->items[i].told_to_stop || !pool_gone(&pools->items[i].pool))
            return false;
    return true;
}

const struct pool *pools_stillborn(const struct pools *pools)
{
    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        if (pools->items[i].pool.stillborn)
            return &pools->items[i].pool;
    return NULL;
}

uint32_t pools_serving(const struct pools *pools)
{
    uint32_t serving = 0;

    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        serving += pool_serving(&pools->items[i].pool);
    return serving;
}

uint32_t pools_worker_count(const struct pools *pools)
{
    uint32_t workers = 0;

    for (uint32_t i = 0; i < pools->deployment.count; ++i)
        workers += pools->items[i].plan.workers;
    return workers;
}
