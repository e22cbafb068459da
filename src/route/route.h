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
#include "metrics/exposition.h"
#include "route/control.h"
#include "ticketd/role.h"
#include "ticketd/vacancy_client.h"
#include "util/json.h"

/* Most distinct paths of both tables. */
#define ROUTE_PATHS_MAX 32
/* Length of the part of an entity tag that names the stock: its quote, 16 digits, a hyphen. */
#define ROUTE_INSTANCE_LEN 18

struct router;

/* Answers the exchange, now or later. */
typedef void route_handler(struct router *router, struct http_exchange *exchange);

struct route {
    const char *method; /* GET also serves HEAD */
    const char *path;
    unsigned roles; /* ROLE_BIT(role) of those that serve it */
    route_handler *handle;
    bool compress;    /* gzip above 1 KB */
    bool same_origin; /* not for pages of other origins, whatever CORS_ALLOW_ORIGINS says */
    /* Longest body, where it is not MAX_BODY_BYTES: of one path of a table at most; else NULL. */
    size_t (*body_max)(const struct settings *settings);
    /* Whether the settings have it; where they do not, there is no such path.  NULL: always. */
    bool (*offered)(const struct settings *settings);
    const char *summary;
};

/* The table, most asked first; "/" is last.  Ends with a NULL path. */
extern const struct route route_table[];

/* The routes of the control site (http/server.h): the operator's tool asks them through a local
 * socket, and nothing of the public site tells of them. */
extern const struct route route_control_table[];

/* Room for an entity tag that a route makes: quotes, 16 digits, a suffix. */
#define ROUTE_ETAG_SIZE 32

/* What one path offers in this role. */
struct router_path {
    struct router *router;
    const struct route *get;  /* also HEAD; NULL when it has none */
    const struct route *post; /* NULL when it has none */
    struct text allow;
};

/* GET /openapi.json, once it was asked for; until then the document is empty. */
struct router_openapi {
    struct text document; /* on the heap, for as long as the process lives */
    char etag[ROUTE_ETAG_SIZE];
    char etag_gzip[ROUTE_ETAG_SIZE];
};

struct router {
    /* fixed after start */
    const struct settings *settings;
    enum role role;
    struct vacancy_client *vacancy;
    const struct control_source *control;        /* NULL: the control site answers 503 */
    const struct metrics_source *metrics_source; /* NULL: there is no /metrics */
    struct metrics_recorder *metrics;
    uint32_t event; /* the one that is sold, as it is counted */
    /* of GET /api/v1/available */
    char cache_control[48];
    size_t cache_control_len;
    struct event_source *available_stream; /* NULL: this role has no stock */
    uint64_t instance;                     /* whose text is below; 0: none yet */
    char instance_text[ROUTE_INSTANCE_LEN + 1];

    struct event_source *live; /* of the dashboard and ticketctl top; NULL: without metrics */

    struct router_path paths[ROUTE_PATHS_MAX];
    uint32_t path_count;

    struct router_openapi openapi;
};

/* Registers the role's routes with the server; call between http_server_init and _start.  `router`
 * stays in place as long as the server; the client and the sources (which may be NULL) are
 * borrowed. */
void router_init(struct router *router, struct http_server *server, enum role role,
                 struct vacancy_client *vacancy, const struct control_source *control,
                 const struct metrics_source *metrics);

/* stock.c */
route_handler route_available, route_available_stream;
/* Makes the source of the streams, in a role that has the stock. */
void route_available_open(struct router *router, struct http_server *server);
/* live.c */
route_handler route_live, route_dashboard;
/* Makes the source of what happens now. */
void route_live_open(struct router *router, struct http_server *server);
bool route_dashboard_offered(const struct settings *settings);
/* sale.c */
route_handler route_reserve, route_purchase;
/* batch.c */
route_handler route_reserve_batch;
size_t route_batch_body_max(const struct settings *settings);
/* order.c */
route_handler route_order;
/* openapi.c */
route_handler route_openapi;
/* control.c */
route_handler route_control_root, route_control_status, route_control_stock, route_control_restock,
    route_control_reload;
/* metrics.c */
route_handler route_metrics;
bool route_metrics_offered(const struct settings *settings);
/* operations.c */
route_handler route_root, route_health, route_ready;

/* page.c */
route_handler route_docs, route_redoc, route_asset;
bool route_docs_offered(const struct settings *settings);
bool route_assets_offered(const struct settings *settings); /* some page is */

/* Sends the page of that name (src/assets/manifest) with that Content-Security-Policy (page.c). */
void route_send_page(struct http_exchange *exchange, struct text name, struct text policy);
/* Answers are counted by the number of their path (metrics.c), the same in every process of one
 * master: 0 for one that is in no table; and back, "" for no path's. */
uint32_t route_number_of(const char *path);
const char *route_of_number(uint32_t number);

/* What is said of a call that failed. */
struct route_failure {
    int status; /* of ticketd/error.h */
    enum problem_code code;
    const char *detail; /* static; says what the client may do */
};

/* What is said of a status other than done and sold out (failure.c). */
const struct route_failure *route_failure_of(int status);

/* Counts a failure where the service failed, and not the client. */
void route_count_failure(struct router *router, const struct route_failure *failure);

/* Counts it and sends its problem. */
void route_failed(struct router *router, struct http_exchange *exchange, int status);

/* The same for TICKETD_OUTCOME_UNKNOWN of a request that came without a key, and was sent on with
 * one: the client is told which. */
void route_outcome_unknown(struct router *router, struct http_exchange *exchange, struct text key);

/* Whether this process serves a row of a table. */
bool route_is_offered(const struct router *router, const struct route *route);

/* Adds the list of what this process serves of a table (operations.c). */
void route_add_endpoints(const struct router *router, struct json_value *document,
                         const struct route *table);

/* Prints `document` into `room` bytes of the request's memory, frees it, and sends it, not to be
 * kept by caches: 200, 202 or 503 (document.c).  Room for every such document is the caller's. */
void route_send_document(struct http_exchange *exchange, struct json_value *document, size_t room,
                         int status);

#endif
