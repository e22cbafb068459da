#include "route/route.h"

#define MONOLITH ROLE_BIT(ROLE_MONOLITH)
#define VACANCY  (ROLE_BIT(ROLE_MONOLITH) | ROLE_BIT(ROLE_VACANCY))
#define TICKET   (ROLE_BIT(ROLE_MONOLITH) | ROLE_BIT(ROLE_TICKET))

/* clang-format off */
const struct route route_table[] = {
    {"POST", "/api/v1/purchase",     TICKET,   route_purchase,  false, "Buy tickets."},
    {"GET",  "/api/v1/available",    VACANCY,  route_available, false, "How many tickets are left."},
    {"POST", "/api/v1/reserve",      VACANCY,  route_reserve,   false, "Take tickets out of the stock."},
    {"GET",  "/api/v1/orders/{id}",  ROLE_ALL, route_order,     false, "One sale, by the order_id of its answer."},
    {"GET",  "/api/v1/health",       ROLE_ALL, route_health,    false, "Says that the process lives."},
    {"GET",  "/api/v1/ready",        ROLE_ALL, route_ready,     false, "Says whether the service can sell now."},
    {"GET",  "/health",              ROLE_ALL, route_health,    false, "Says that the process lives."},
    {"GET",  "/ready",               ROLE_ALL, route_ready,     false, "Says whether the service can sell now."},
    {"GET",  "/",                    ROLE_ALL, route_root,      true,  "Service name, version, mode, and these lists."},
    {NULL,   NULL,                   0,        NULL,            false, NULL},
};

const struct route route_control_table[] = {
    {"GET",  "/control/v1/status", ROLE_ALL, route_control_status,  false, "The master, its reloads, its keeper."},
    {"GET",  "/control/v1/stock",  VACANCY,  route_control_stock,   false, "Every event, and what is durable of it."},
    {"POST", "/control/v1/stock",  VACANCY,  route_control_restock, false, "Adds tickets to an event."},
    {"POST", "/control/v1/reload", ROLE_ALL, route_control_reload,  false, "Has the master reload."},
    {"GET",  "/",                  ROLE_ALL, route_control_root,    false, "This list."},
    {NULL,   NULL,                 0,        NULL,                  false, NULL},
};
/* clang-format on */
