#include "crowd_link.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/upstream_reply.h"
#include "ticketd/text.h"

#define SERIAL_DIGITS 16

void crowd_request_init(struct crowd_request *request, const char *method, const char *path,
                        const char *body, bool keyed)
{
    char key[64] = "", content[96] = "";
    uint64_t run;
    int size;

    if (getentropy(&run, sizeof(run)) != 0)
        err(EXIT_FAILURE, "getentropy");
    if (keyed)
        (void)snprintf(key, sizeof(key), "Idempotency-Key: \"%016" PRIx64 "%0*d\"\r\n", run,
                       SERIAL_DIGITS, 0);
    if (body != NULL)
        (void)snprintf(content, sizeof(content),
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    size = snprintf(request->bytes, sizeof(request->bytes),
                    "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s\r\n%s", method, path, content, key,
                    body != NULL ? body : "");
    if (size < 0 || (size_t)size >= sizeof(request->bytes))
        errx(EXIT_FAILURE, "a request is longer than %d bytes", CROWD_REQUEST_SIZE);
    request->size = (size_t)size;
    request->serial = keyed ? strstr(request->bytes, "\"\r\n") - SERIAL_DIGITS : NULL;
}

static void set_serial(struct crowd_request *request, uint64_t serial)
{
    for (char *digit = request->serial + SERIAL_DIGITS; digit > request->serial; serial >>= 4)
        *--digit = "0123456789abcdef"[serial & 15];
}

void crowd_link_connect(struct crowd_link *link, uint16_t port, int poller)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = link};
    int on = 1;

    *link = (struct crowd_link){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (link->fd < 0)
        err(EXIT_FAILURE, "socket");
    if (connect(link->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        err(EXIT_FAILURE, "connect to 127.0.0.1:%u", port);
    if (setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        fcntl(link->fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(poller, EPOLL_CTL_ADD, link->fd, &event) != 0)
        err(EXIT_FAILURE, "cannot watch a connection");
}

void crowd_link_close(struct crowd_link *link)
{
    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = -1;
    link->in_flight = false;
}

bool crowd_link_send(struct crowd_link *link, struct crowd_request *request)
{
    if (request->serial != NULL)
        set_serial(request, link->serial);
    /* With nothing else in flight the socket has room for it: what it does not take whole is a
     * connection that is over. */
    if (send(link->fd, request->bytes, request->size, MSG_NOSIGNAL) != (ssize_t)request->size) {
        crowd_link_close(link);
        return false;
    }
    link->in_flight = true;
    link->input_size = 0;
    return true;
}

static bool contains(struct text text, struct text wanted)
{
    return memmem(text.base, text.len, wanted.base, wanted.len) != NULL;
}

/* Some servers put a blank after the colon. */
static bool is_refusal(struct text body)
{
    return contains(body, TEXT("\"success\":false")) || contains(body, TEXT("\"success\": false"));
}

static enum crowd_verdict judge(struct crowd_link *link)
{
    struct upstream_head head;
    size_t size;

    if (upstream_head_parse(link->input, link->input_size, &head) != NULL)
        return CROWD_BROKEN;
    size = head.head_len + head.body_len;
    if (head.head_len == 0 || link->input_size < size)
        return link->input_size < sizeof(link->input) ? CROWD_WAITING : CROWD_BROKEN;
    if (link->input_size > size || !link->in_flight)
        return CROWD_BROKEN;
    link->in_flight = false;
    if (!head.keep)
        crowd_link_close(link);
    if (head.status != 200)
        return CROWD_REFUSED;
    return is_refusal((struct text){.base = link->input + head.head_len, .len = head.body_len})
               ? CROWD_SOLD_OUT
               : CROWD_DONE;
}

enum crowd_verdict crowd_link_receive(struct crowd_link *link)
{
    ssize_t got =
        recv(link->fd, link->input + link->input_size, sizeof(link->input) - link->input_size, 0);
    enum crowd_verdict verdict = CROWD_BROKEN;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return CROWD_WAITING;
    if (got > 0) {
        link->input_size += (size_t)got;
        verdict = judge(link);
    }
    if (verdict == CROWD_BROKEN)
        crowd_link_close(link);
    return verdict;
}
