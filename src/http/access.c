#include "http/access.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "http/connection.h"
#include "http/exchange.h"
#include "util/clock.h"
#include "util/log.h"

#define REMOTE_MAX (INET6_ADDRSTRLEN + sizeof("[]:65535"))

/* "127.0.0.1:5000", "[::1]:5000", "unix:", or "-" when that is not known any more. */
static void print_remote(h2o_conn_t *conn, char remote[REMOTE_MAX])
{
    struct sockaddr_storage address;
    socklen_t len = conn->callbacks->get_peername(conn, (struct sockaddr *)&address);
    char host[INET6_ADDRSTRLEN] = "";

    if (len != 0 && address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        (void)snprintf(remote, REMOTE_MAX, "%s:%u", host, ntohs(in->sin_port));
    } else if (len != 0 && address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&address;
        (void)inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
        (void)snprintf(remote, REMOTE_MAX, "[%s]:%u", host, ntohs(in->sin6_port));
    } else {
        (void)snprintf(remote, REMOTE_MAX,
                       len != 0 && address.ss_family == AF_UNIX ? "unix:" : "-");
    }
}

static void log_one(h2o_logger_t *logger, h2o_req_t *req)
{
    struct http_connection *connection;
    const struct http_exchange *exchange;
    struct text agent;
    char remote[REMOTE_MAX];

    (void)logger;
    if (req->conn->callbacks->get_socket(req->conn) == NULL)
        return;
    connection = http_connection_of(req);
    exchange = connection->exchange;
    connection->exchange = NULL;
    if (exchange == NULL || exchange->req != req)
        return; /* a head that was never judged */
    agent = http_header(exchange, TEXT("user-agent"));
    print_remote(req->conn, remote);
    log_access(&(struct log_access){
        .remote = remote,
        .method = req->input.method.base,
        .method_len = req->input.method.len,
        .path = req->input.path.base,
        .path_len = req->input.path.len,
        .request_id = exchange->request_id.base,
        .request_id_len = exchange->request_id.len,
        .user_agent = agent.base,
        .user_agent_len = agent.len,
        .traceparent = exchange->traceparent.base,
        .traceparent_len = exchange->traceparent.len,
        .status = req->res.status,
        .bytes = req->bytes_sent,
        .duration_us = (clock_monotonic_ns() - exchange->began_ns) / 1000,
    });
}

void http_access_register(h2o_pathconf_t *path)
{
    h2o_logger_t *logger = h2o_create_logger(path, sizeof(*logger));

    logger->log_access = log_one;
}
