/* Which pools this master runs, and with what: DEPLOYMENT_MODE and SERVICES.  Judges and counts
 * only; opens nothing.  Master only. */
#ifndef TICKETD_MASTER_DEPLOYMENT_H
#define TICKETD_MASTER_DEPLOYMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"
#include "ticketd/role.h"

/* Most pools of one master. */
#define DEPLOYMENT_POOLS_MAX 2

struct deployment_pool {
    enum role role;
    uint32_t workers;            /* how many processes */
    enum setting_id workers_row; /* the setting that says so */
    int64_t port;                /* of its listeners */
    enum setting_id port_row;
};

struct deployment {
    struct deployment_pool pools[DEPLOYMENT_POOLS_MAX]; /* first the one that owns the stock */
    uint32_t count;
    bool owns_stock; /* one of them does */
};

/* What these settings ask for. */
struct deployment deployment_of(const struct settings *settings);

/* Slots of the scoreboard that all its pools need. */
uint32_t deployment_slots(const struct deployment *deployment);

/* Whether the settings that say what runs here fit together, and whether this process may open as
 * many files as they ask for.  0, or TICKETD_INVALID with one line in `error`. */
int deployment_judge(const struct settings *settings, char error[SETTINGS_ERROR_MAX]);

#endif
