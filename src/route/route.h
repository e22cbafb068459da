/* The routes: which method on which path is served by which role, and by what.  One table
 * (route/table.c) feeds the dispatch, Allow, the list at "/" and whatever describes the service.
 * Workers only. */
#ifndef TICKETD_ROUTE_ROUTE_H
#define TICKETD_ROUTE_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"
#include "http/exchange.h"
#include "http/server.h"
#include "ticketd/role.h"
#include "ticketd/vacancy_client.h"

/* Most distinct paths of the table. */
#define ROUTE_PATHS_MAX 32

struct router;

/* Answers the exchange, now or later. */
typedef void route_handler(struct router *router, struct http_exchange *exchange);

struct route {
    const char *method; /* GET also serves HEAD */
    const char *path;
    unsigned roles; /* ROLE_BIT(role) of those that serve it */
    route_handler *handle;
    bool compress; /* gzip above 1 KB */
    const char *summary;
};

/* The table, most asked first; "/" is last.  Ends with a NULL path. */
extern const struct route route_table[];

/* What one path offers in this role. */
struct router_path {
    struct router *router;
    const struct route *get;  /* also HEAD; NULL when it has none */
    const struct route *post; /* NULL when it has none */
    struct text allow;
};

struct router {
    /* fixed after start */
    const struct settings *settings;
    enum role role;
    struct vacancy_client *vacancy;
    struct scoreboard_slot *slot;
    char cache_control[48]; /* of GET /api/v1/available */
    struct router_path paths[ROUTE_PATHS_MAX];
    uint32_t path_count;
};

/* Registers the role's routes with the server; call between http_server_init and _start.  `router`
 * stays in place as long as the server. */
void router_init(struct router *router, struct http_server *server, enum role role,
                 struct vacancy_client *vacancy);

/* stock.c */
route_handler route_available;
/* sale.c */
route_handler route_reserve, route_purchase;
/* operations.c */
route_handler route_root, route_health, route_ready;

/* Sends the problem of a call that was not judged: a status of ticketd/error.h other than done and
 * sold out (failure.c). */
void route_failed(struct router *router, struct http_exchange *exchange, int status);

#endif
