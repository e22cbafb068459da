#include "route/route.h"

#define MONOLITH ROLE_BIT(ROLE_MONOLITH)
#define VACANCY  (ROLE_BIT(ROLE_MONOLITH) | ROLE_BIT(ROLE_VACANCY))
#define TICKET   (ROLE_BIT(ROLE_MONOLITH) | ROLE_BIT(ROLE_TICKET))

/* clang-format off */
const struct route route_table[] = {
    {"POST", "/api/v1/purchase",      TICKET,   route_purchase,      false, NULL,                 NULL, "Buy tickets."},
    {"GET",  "/api/v1/available",     VACANCY,  route_available,     false, NULL,                 NULL, "How many tickets are left."},
    {"POST", "/api/v1/reserve/batch", VACANCY,  route_reserve_batch, false, route_batch_body_max, NULL, "Many reserves in one request, each judged on its own."},
    {"POST", "/api/v1/reserve",       VACANCY,  route_reserve,       false, NULL,                 NULL, "Take tickets out of the stock."},
    {"GET",  "/api/v1/orders/{id}",   ROLE_ALL, route_order,         false, NULL,                 NULL, "One sale, by the order_id of its answer."},
    {"GET",  "/api/v1/health",        ROLE_ALL, route_health,        false, NULL,                 NULL, "Says that the process lives."},
    {"GET",  "/api/v1/ready",         ROLE_ALL, route_ready,         false, NULL,                 NULL, "Says whether the service can sell now."},
    {"GET",  "/health",               ROLE_ALL, route_health,        false, NULL,                 NULL, "Says that the process lives."},
    {"GET",  "/ready",                ROLE_ALL, route_ready,         false, NULL,                 NULL, "Says whether the service can sell now."},
    {"GET",  "/metrics",              ROLE_ALL, route_metrics,       true,  NULL,                 route_metrics_offered, "What is counted, for Prometheus."},
    {"GET",  "/",                     ROLE_ALL, route_root,          true,  NULL,                 NULL, "Service name, version, mode, and these lists."},
    {NULL,   NULL,                    0,        NULL,                false, NULL,                 NULL, NULL},
};

const struct route route_control_table[] = {
    {"GET",  "/control/v1/status", ROLE_ALL, route_control_status,  false, NULL, NULL, "The master, its reloads, its keeper."},
    {"GET",  "/control/v1/stock",  VACANCY,  route_control_stock,   false, NULL, NULL, "Every event, and what is durable of it."},
    {"POST", "/control/v1/stock",  VACANCY,  route_control_restock, false, NULL, NULL, "Adds tickets to an event."},
    {"POST", "/control/v1/reload", ROLE_ALL, route_control_reload,  false, NULL, NULL, "Has the master reload."},
    {"GET",  "/metrics",           ROLE_ALL, route_metrics,         true,  NULL, NULL, "What is counted, for Prometheus."},
    {"GET",  "/",                  ROLE_ALL, route_control_root,    false, NULL, NULL, "This list."},
    {NULL,   NULL,                 0,        NULL,                  false, NULL, NULL, NULL},
};
/* clang-format on */
