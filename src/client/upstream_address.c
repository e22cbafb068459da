#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/upstream_internal.h"
#include "scoreboard/scoreboard.h"
#include "util/clock.h"
#include "util/log.h"

static void open_pool(struct upstream *upstream, struct upstream_address *address,
                      struct sockaddr *name, socklen_t name_len)
{
    h2o_socketpool_init_by_address(&address->pool, name, name_len, 0, SIZE_MAX);
    h2o_socketpool_set_timeout(&address->pool, upstream->loop, UPSTREAM_IDLE_MS);
}

/* libh2o can close all idle connections of a pool only with the pool.  Connections that are in use
 * hold on to its place in memory and to nothing in it. */
void upstream_close_idle(struct upstream *upstream, struct upstream_address *address)
{
    struct sockaddr_storage name = address->pool.peer.sockaddr.bytes;
    socklen_t name_len = address->pool.peer.sockaddr.len;

    h2o_socketpool_dispose(&address->pool);
    open_pool(upstream, address, (struct sockaddr *)&name, name_len);
}

static void free_address(struct upstream_address *address)
{
    h2o_socketpool_dispose(&address->pool);
    free(address);
}

static void print_address(struct upstream_address *address, const struct sockaddr *name,
                          socklen_t name_len)
{
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1], port[sizeof("65535")];

    if (name->sa_family == AF_UNIX)
        (void)snprintf(address->text, sizeof(address->text), "unix:%s",
                       ((const struct sockaddr_un *)name)->sun_path);
    else if (getnameinfo(name, name_len, host, sizeof(host), port, sizeof(port),
                         NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        (void)snprintf(address->text, sizeof(address->text), "an address without a name");
    else if (name->sa_family == AF_INET6)
        (void)snprintf(address->text, sizeof(address->text), "[%s]:%s", host, port);
    else
        (void)snprintf(address->text, sizeof(address->text), "%s:%s", host, port);
}

static struct upstream_address *new_address(struct upstream *upstream, struct sockaddr *name,
                                            socklen_t name_len)
{
    struct upstream_address *address = calloc(1, sizeof(*address));

    if (address == NULL)
        return NULL;
    address->id = upstream->next_id++;
    breaker_init(&address->breaker, upstream->options.breaker_failures,
                 upstream->options.breaker_open_ms);
    open_pool(upstream, address, name, name_len);
    print_address(address, name, name_len);
    return address;
}

static struct upstream_address *find(struct upstream_address *const *addresses, size_t count,
                                     const struct sockaddr *name, socklen_t name_len)
{
    for (size_t i = 0; i < count; ++i)
        if (addresses[i]->pool.peer.sockaddr.len == name_len &&
            memcmp(&addresses[i]->pool.peer.sockaddr.bytes, name, name_len) == 0)
            return addresses[i];
    return NULL;
}

/* Exchanges under way keep it until they end. */
static void unlist(struct upstream *upstream, struct upstream_address *address)
{
    address->listed = false;
    if (upstream->served == address)
        upstream->served = NULL;
    if (address->exchanges == 0)
        free_address(address);
    else
        upstream_close_idle(upstream, address);
}

/* Takes the place of the list, in its order; what was there already stays as it is. */
static void list(struct upstream *upstream, const struct addrinfo *found)
{
    struct upstream_address *old[UPSTREAM_ADDRESSES_MAX];
    size_t old_count = upstream->address_count, count = 0;

    memcpy(old, upstream->addresses, sizeof(old));
    for (size_t i = 0; i < old_count; ++i)
        old[i]->listed = false;
    for (; found != NULL && count < UPSTREAM_ADDRESSES_MAX; found = found->ai_next) {
        struct upstream_address *address = find(old, old_count, found->ai_addr, found->ai_addrlen);

        if (find(upstream->addresses, count, found->ai_addr, found->ai_addrlen) != NULL)
            continue;
        if (address == NULL)
            address = new_address(upstream, found->ai_addr, found->ai_addrlen);
        if (address == NULL)
            break;
        address->listed = true;
        upstream->addresses[count++] = address;
    }
    upstream->address_count = count;
    for (size_t i = 0; i < old_count; ++i)
        if (!old[i]->listed)
            unlist(upstream, old[i]);
}

static void take_answer(struct upstream *upstream, const char *error, const struct addrinfo *found,
                        uint64_t now_ms)
{
    const char *host = upstream->options.endpoint.host;

    if (error != NULL && !upstream->resolve_failed)
        log_warning("%s does not resolve: %s", host, error);
    else if (error == NULL && upstream->resolve_failed)
        log_info("%s resolves again", host);
    upstream->resolve_failed = error != NULL;
    upstream->resolve_stale_ms = now_ms + (error == NULL ? UPSTREAM_RESOLVE_MS : 0);
    if (error == NULL)
        list(upstream, found);
}

static void on_answer(h2o_hostinfo_getaddr_req_t *request, const char *error,
                      struct addrinfo *found, void *data)
{
    struct upstream *upstream = data;
    uint64_t now_ms = clock_monotonic_ms();

    (void)request;
    upstream->resolving = NULL;
    take_answer(upstream, error, found, now_ms);
    upstream_exchange_resolved(upstream, now_ms);
}

/* Addresses need no resolver: the C library only reads them. */
static void read_address(struct upstream *upstream, const char *port, uint64_t now_ms)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(upstream->options.endpoint.host, port, &hints, &found);

    take_answer(upstream, result == 0 ? NULL : gai_strerror(result), found, now_ms);
    if (result == 0)
        freeaddrinfo(found);
}

static void take_path(struct upstream *upstream, uint64_t now_ms)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct addrinfo found = {.ai_addr = (struct sockaddr *)&name, .ai_addrlen = sizeof(name)};

    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%.*s", (int)sizeof(name.sun_path) - 1,
                   upstream->options.endpoint.host);
    take_answer(upstream, NULL, &found, now_ms);
}

void upstream_resolve(struct upstream *upstream, uint64_t now_ms)
{
    const struct endpoint *endpoint = &upstream->options.endpoint;
    char port[sizeof("65535")];

    if (upstream->resolving != NULL || now_ms < upstream->resolve_stale_ms ||
        now_ms < upstream->resolve_earliest_ms)
        return;
    upstream->resolve_earliest_ms = now_ms + UPSTREAM_RESOLVE_PAUSE_MS;
    (void)snprintf(port, sizeof(port), "%u", endpoint->port);
    if (endpoint->kind == ENDPOINT_UNIX)
        take_path(upstream, now_ms);
    else if (endpoint->kind != ENDPOINT_NAME)
        read_address(upstream, port, now_ms);
    else
        upstream->resolving =
            h2o_hostinfo_getaddr(&upstream->options.context->receivers.hostinfo_getaddr,
                                 h2o_iovec_init(endpoint->host, strlen(endpoint->host)),
                                 h2o_iovec_init(port, strlen(port)), AF_UNSPEC, SOCK_STREAM,
                                 IPPROTO_TCP, AI_NUMERICSERV, on_answer, upstream);
}

void upstream_doubt_addresses(struct upstream *upstream, uint64_t now_ms)
{
    upstream->resolve_stale_ms = now_ms;
    upstream_resolve(upstream, now_ms);
}

/* ---- choosing ---- */

static bool was_tried(const struct upstream_exchange *exchange, uint32_t id)
{
    for (size_t i = 0; exchange != NULL && i < exchange->tried_count; ++i)
        if (exchange->tried[i] == id)
            return true;
    return false;
}

/* The first in order that was not tried and whose breaker would admit a call. */
static struct upstream_address *next_address(const struct upstream *upstream,
                                             const struct upstream_exchange *exchange,
                                             uint64_t now_ms)
{
    size_t first = 0;

    while (first < upstream->address_count && upstream->addresses[first] != upstream->served)
        ++first;
    for (size_t i = 0; i < upstream->address_count; ++i) {
        struct upstream_address *address =
            upstream->addresses[(first + i) % upstream->address_count];
        if (!was_tried(exchange, address->id) && breaker_would_admit(&address->breaker, now_ms))
            return address;
    }
    return NULL;
}

bool upstream_address_left(const struct upstream *upstream,
                           const struct upstream_exchange *exchange, uint64_t now_ms)
{
    return next_address(upstream, exchange, now_ms) != NULL;
}

bool upstream_address_take(struct upstream *upstream, struct upstream_exchange *exchange,
                           uint64_t now_ms)
{
    struct upstream_address *address = next_address(upstream, exchange, now_ms);

    if (address == NULL || exchange->tried_count == UPSTREAM_ADDRESSES_MAX ||
        !breaker_admit(&address->breaker, now_ms))
        return false;
    exchange->tried[exchange->tried_count++] = address->id;
    exchange->address = address;
    ++address->exchanges;
    return true;
}

void upstream_address_release(struct upstream_exchange *exchange)
{
    struct upstream_address *address = exchange->address;

    exchange->address = NULL;
    if (address != NULL && --address->exchanges == 0 && !address->listed)
        free_address(address);
}

/* ---- connections ---- */

/* libh2o's own count includes connections that were found closed by the peer. */
static size_t idle_count(const struct upstream_address *address)
{
    const h2o_linklist_t *anchor = &address->pool._shared.sockets, *link;
    size_t count = 0;

    for (link = anchor->next; link != anchor; link = link->next)
        ++count;
    return count;
}

size_t upstream_idle_count(const struct upstream *upstream)
{
    size_t count = 0;

    for (size_t i = 0; i < upstream->address_count; ++i)
        count += idle_count(upstream->addresses[i]);
    return count;
}

void upstream_make_room(struct upstream *upstream, const struct upstream_address *wanted)
{
    size_t idle = upstream_idle_count(upstream);

    if (idle_count(wanted) > 0)
        return; /* it takes one of these */
    for (size_t i = 0;
         i < upstream->address_count && upstream->busy + idle > upstream->options.connections_max;
         ++i) {
        idle -= idle_count(upstream->addresses[i]);
        upstream_close_idle(upstream, upstream->addresses[i]);
    }
}

void upstream_show(const struct upstream *upstream, struct scoreboard_slot *slot)
{
    uint32_t count[] = {[BREAKER_CLOSED] = 0, [BREAKER_OPEN] = 0, [BREAKER_HALF_OPEN] = 0};

    for (size_t i = 0; i < upstream->address_count; ++i)
        ++count[upstream->addresses[i]->breaker.state];
    scoreboard_show(&slot->client_closed, count[BREAKER_CLOSED]);
    scoreboard_show(&slot->client_open, count[BREAKER_OPEN]);
    scoreboard_show(&slot->client_half_open, count[BREAKER_HALF_OPEN]);
    scoreboard_show(&slot->client_busy, upstream->busy);
    scoreboard_show(&slot->client_idle, upstream_idle_count(upstream));
}

void upstream_free_addresses(struct upstream *upstream)
{
    if (upstream->resolving != NULL)
        h2o_hostinfo_getaddr_cancel(upstream->resolving);
    for (size_t i = 0; i < upstream->address_count; ++i)
        free_address(upstream->addresses[i]);
}
