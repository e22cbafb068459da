#include "route/route.h"

#define MONOLITH ROLE_BIT(ROLE_MONOLITH)
#define VACANCY  (ROLE_BIT(ROLE_MONOLITH) | ROLE_BIT(ROLE_VACANCY))
#define TICKET   (ROLE_BIT(ROLE_MONOLITH) | ROLE_BIT(ROLE_TICKET))

/* clang-format off */
const struct route route_table[] = {
    {"POST", "/api/v1/purchase",      TICKET,   route_purchase,      false, false, NULL,                 NULL,                 "Buy tickets."},
    {"GET",  "/api/v1/available/stream", VACANCY,  route_available_stream, false, false, NULL,              NULL, "The same, told anew whenever it changes: server-sent events."},
    {"GET",  "/api/v1/available",     VACANCY,  route_available,     false, false, NULL,                 NULL,                 "How many tickets are left."},
    {"POST", "/api/v1/reserve/batch", VACANCY,  route_reserve_batch, false, false, route_batch_body_max, NULL,                 "Many reserves in one request, each judged on its own."},
    {"POST", "/api/v1/reserve",       VACANCY,  route_reserve,       false, false, NULL,                 NULL,                 "Take tickets out of the stock."},
    {"GET",  "/api/v1/orders/{id}",   ROLE_ALL, route_order,         false, false, NULL,                 NULL,                 "One sale, by the order_id of its answer."},
    {"GET",  "/api/v1/health",        ROLE_ALL, route_health,        false, false, NULL,                 NULL,                 "Says that the process lives."},
    {"GET",  "/api/v1/ready",         ROLE_ALL, route_ready,         false, false, NULL,                 NULL,                 "Says whether the service can sell now."},
    {"GET",  "/health",               ROLE_ALL, route_health,        false, false, NULL,                 NULL,                 "Says that the process lives."},
    {"GET",  "/ready",                ROLE_ALL, route_ready,         false, false, NULL,                 NULL,                 "Says whether the service can sell now."},
    {"GET",  "/metrics",              ROLE_ALL, route_metrics,       true,  true,  NULL,                 route_metrics_offered, "What is counted, for Prometheus."},
    {"GET",  "/openapi.json",         ROLE_ALL, route_openapi,       true,  false, NULL,                 NULL,                 "This list for programs: OpenAPI 3.1."},
    {"GET",  "/docs",                 ROLE_ALL, route_docs,          false, true,  NULL,                 route_docs_offered,   "A page to try the API out."},
    {"GET",  "/redoc",                ROLE_ALL, route_redoc,         false, true,  NULL,                 route_docs_offered,   "A page to read the API."},
    {"GET",  "/dashboard/stream",     ROLE_ALL, route_live,          false, true,  NULL,                 route_dashboard_offered, "What the dashboard shows, once a second: server-sent events."},
    {"GET",  "/dashboard",            ROLE_ALL, route_dashboard,     false, true,  NULL,                 route_dashboard_offered, "A page that shows what happens now."},
    {"GET",  "/assets/{name}",        ROLE_ALL, route_asset,         false, true,  NULL,                 route_assets_offered, "What pages are made of."},
    {"GET",  "/",                     ROLE_ALL, route_root,          true,  false, NULL,                 NULL,                 "Service name, version, mode, and these lists."},
    {NULL,   NULL,                    0,        NULL,                false, false, NULL,                 NULL,                 NULL},
};

const struct route route_control_table[] = {
    {"GET",  "/control/v1/status", ROLE_ALL, route_control_status,  false, false, NULL, NULL, "The master, its reloads, its keeper."},
    {"GET",  "/control/v1/live",   ROLE_ALL, route_live,            false, false, NULL, NULL, "What happens now, once a second: server-sent events."},
    {"GET",  "/control/v1/stock",  VACANCY,  route_control_stock,   false, false, NULL, NULL, "Every event, and what is durable of it."},
    {"POST", "/control/v1/stock",  VACANCY,  route_control_restock, false, false, NULL, NULL, "Adds tickets to an event."},
    {"POST", "/control/v1/reload", ROLE_ALL, route_control_reload,  false, false, NULL, NULL, "Has the master reload."},
    {"GET",  "/metrics",           ROLE_ALL, route_metrics,         true,  false, NULL, NULL, "What is counted, for Prometheus."},
    {"GET",  "/",                  ROLE_ALL, route_control_root,    false, false, NULL, NULL, "This list."},
    {NULL,   NULL,                 0,        NULL,                  false, false, NULL, NULL, NULL},
};
/* clang-format on */
