#include "master/deployment.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>

#include "config/endpoint.h"
#include "master/pool.h"
#include "ticketd/error.h"

/* Descriptors a worker needs besides its connections and a bell for each slot. */
#define DESCRIPTORS_SPARE 64

static uint32_t usable_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == -1)
        return 1;
    return (uint32_t)CPU_COUNT(&set);
}

static uint32_t worker_count(int64_t setting)
{
    uint32_t count = setting > 0 ? (uint32_t)setting : usable_cpus();

    return count < POOL_WORKERS_MAX ? count : POOL_WORKERS_MAX;
}

static void add(struct deployment *deployment, const struct deployment_pool *pool)
{
    deployment->pools[deployment->count++] = *pool;
    deployment->owns_stock = deployment->owns_stock || role_owns_stock(pool->role);
}

struct deployment deployment_of(const struct settings *settings)
{
    struct deployment deployment = {.count = 0};

    if (settings->deployment_mode == DEPLOYMENT_MODE_MONOLITH) {
        add(&deployment, &(struct deployment_pool){.role = ROLE_MONOLITH,
                                                   .workers = worker_count(settings->workers),
                                                   .workers_row = SETTING_WORKERS,
                                                   .port = settings->monolith_port,
                                                   .port_row = SETTING_MONOLITH_PORT});
        return deployment;
    }
    if (settings->services != SERVICES_TICKET)
        add(&deployment,
            &(struct deployment_pool){.role = ROLE_VACANCY,
                                      .workers = worker_count(settings->vacancy_workers),
                                      .workers_row = SETTING_VACANCY_WORKERS,
                                      .port = settings->vacancy_port,
                                      .port_row = SETTING_VACANCY_PORT});
    if (settings->services != SERVICES_VACANCY)
        add(&deployment,
            &(struct deployment_pool){.role = ROLE_TICKET,
                                      .workers = worker_count(settings->ticket_workers),
                                      .workers_row = SETTING_TICKET_WORKERS,
                                      .port = settings->ticket_port,
                                      .port_row = SETTING_TICKET_PORT});
    return deployment;
}

uint32_t deployment_slots(const struct deployment *deployment)
{
    uint32_t slots = 0;

    for (uint32_t i = 0; i < deployment->count; ++i)
        slots += POOL_SLOTS(deployment->pools[i].workers);
    return slots;
}

/* A monolith is one pool, whatever SERVICES picks from two. */
static int judge_services(const struct settings *settings, char error[SETTINGS_ERROR_MAX])
{
    if (settings->deployment_mode != DEPLOYMENT_MODE_MONOLITH || settings->services == SERVICES_ALL)
        return TICKETD_DONE;
    (void)snprintf(error, SETTINGS_ERROR_MAX,
                   "SERVICES: \"%s\" is not allowed: only all with DEPLOYMENT_MODE=monolith, which "
                   "has one pool; vacancy and ticket are pools of DEPLOYMENT_MODE=microservices",
                   settings->services == SERVICES_VACANCY ? "vacancy" : "ticket");
    return TICKETD_INVALID;
}

/* The pools tell their addresses apart by port, and a path has none. */
static int judge_host(const struct settings *settings, const struct deployment *deployment,
                      char error[SETTINGS_ERROR_MAX])
{
    const char *cursor = settings->host, *item;
    struct endpoint endpoint;
    size_t len;

    if (deployment->count < 2)
        return TICKETD_DONE;
    while (settings_list_next(&cursor, &item, &len)) {
        if (endpoint_parse_address(item, len, &endpoint) != TICKETD_DONE ||
            endpoint.kind != ENDPOINT_UNIX)
            continue;
        (void)snprintf(error, SETTINGS_ERROR_MAX,
                       "HOST: \"%.*s\" is not allowed: two pools cannot listen on one path; give "
                       "each pool a master of its own (SERVICES=vacancy, SERVICES=ticket) or leave "
                       "unix: out",
                       (int)len, item);
        return TICKETD_INVALID;
    }
    return TICKETD_DONE;
}

/* Every worker may come to hold all connections, when the others are being replaced. */
static int judge_descriptors(const struct settings *settings, const struct deployment *deployment,
                             char error[SETTINGS_ERROR_MAX])
{
    bool calls = deployment->pools[deployment->count - 1].role == ROLE_TICKET;
    rlim_t spare = DESCRIPTORS_SPARE + deployment_slots(deployment);
    struct rlimit limit = {.rlim_max = 0};

    if (calls)
        spare += (rlim_t)settings->http_max_connections;
    (void)getrlimit(RLIMIT_NOFILE, &limit); /* cannot fail for this resource */
    if (limit.rlim_max >= (rlim_t)settings->max_connections + spare)
        return TICKETD_DONE;
    (void)snprintf(
        error, SETTINGS_ERROR_MAX,
        "MAX_CONNECTIONS: %" PRId64 " is not allowed: a process may open %ju files here, "
        "which leaves %jd connections%s; lower it or raise LimitNOFILE",
        settings->max_connections, (uintmax_t)limit.rlim_max,
        (intmax_t)limit.rlim_max - (intmax_t)spare, calls ? " besides HTTP_MAX_CONNECTIONS" : "");
    return TICKETD_INVALID;
}

int deployment_judge(const struct settings *settings, char error[SETTINGS_ERROR_MAX])
{
    struct deployment deployment = deployment_of(settings);
    int result = judge_services(settings, error);

    if (result == TICKETD_DONE)
        result = judge_host(settings, &deployment, error);
    return result == TICKETD_DONE ? judge_descriptors(settings, &deployment, error) : result;
}
