#include "route/route.h"

#define MONOLITH ROLE_BIT(ROLE_MONOLITH)
#define VACANCY  (ROLE_BIT(ROLE_MONOLITH) | ROLE_BIT(ROLE_VACANCY))
#define TICKET   (ROLE_BIT(ROLE_MONOLITH) | ROLE_BIT(ROLE_TICKET))

/* clang-format off */
const struct route route_table[] = {
    {"POST", "/api/v1/purchase",  TICKET,   route_purchase,  false, "Buy tickets."},
    {"GET",  "/api/v1/available", VACANCY,  route_available, false, "How many tickets are left."},
    {"POST", "/api/v1/reserve",   VACANCY,  route_reserve,   false, "Take tickets out of the stock."},
    {"GET",  "/api/v1/health",    ROLE_ALL, route_health,    false, "Says that the process lives."},
    {"GET",  "/api/v1/ready",     ROLE_ALL, route_ready,     false, "Says whether the service can sell now."},
    {"GET",  "/health",           ROLE_ALL, route_health,    false, "Says that the process lives."},
    {"GET",  "/ready",            ROLE_ALL, route_ready,     false, "Says whether the service can sell now."},
    {"GET",  "/",                 ROLE_ALL, route_root,      true,  "Service name, version, mode, and these lists."},
    {NULL,   NULL,                0,        NULL,            false, NULL},
};
/* clang-format on */
