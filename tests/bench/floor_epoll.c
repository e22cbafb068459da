/* The bench's lowest floor: a bare epoll loop that answers HTTP/1.1 with fixed bytes.
 *
 * It does what no correct server can leave out: finds the end of each head, skips the body that
 * Content-Length announces, keeps the connection open, takes requests that arrive in pieces or
 * several at once, and finishes answers that the socket did not take whole.  Nothing else. */
#include "floor.h"

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    INPUT_SIZE = 8192,   /* head and body of one request; a longer one gets 400 */
    ANSWER_SIZE = 512,   /* the longest fixed answer, head included */
    EVENTS_PER_WAIT = 64 /* connections that one epoll_wait may report */
};

struct answer {
    char bytes[ANSWER_SIZE];
    size_t size;
};

struct request {
    size_t size; /* head and body */
    const struct answer *answer;
    bool last; /* the client asked to close, or cannot be understood */
};

struct client {
    int fd;
    bool waits_for_room; /* epoll reports writability, not input */
    bool closing;        /* close once the unsent bytes are gone */
    const char *unsent;  /* the rest of the answer in hand; points into a struct answer */
    size_t unsent_size;  /* 0: no answer in hand */
    size_t input_size;   /* bytes read and not yet answered */
    char input[INPUT_SIZE];
};

static struct answer available, purchase, not_found, bad_request;
static int poller;

/* `fields`: those of this answer alone, each with its line's end. */
static void answer_init(struct answer *answer, const char *status, const char *fields,
                        const char *body)
{
    int size = snprintf(answer->bytes, sizeof(answer->bytes),
                        "HTTP/1.1 %s\r\n"
                        "Date: " FLOOR_DATE "\r\n"
                        "Connection: keep-alive\r\n"
                        "Content-Length: %zu\r\n"
                        "Content-Type: " FLOOR_CONTENT_TYPE "\r\n"
                        "X-Request-ID: " FLOOR_REQUEST_ID "\r\n"
                        "Access-Control-Allow-Origin: " FLOOR_ALLOW_ORIGIN "\r\n"
                        "Access-Control-Expose-Headers: " FLOOR_EXPOSE_HEADERS "\r\n"
                        "%s"
                        "\r\n"
                        "%s",
                        status, strlen(body), fields, body);

    if (size < 0 || (size_t)size >= sizeof(answer->bytes))
        errx(1, "a fixed answer is longer than %d bytes", ANSWER_SIZE);
    answer->size = (size_t)size;
}

static bool starts_with(const char *text, const char *end, const char *prefix)
{
    size_t size = strlen(prefix);

    return (size_t)(end - text) >= size && memcmp(text, prefix, size) == 0;
}

static const struct answer *find_answer(const char *head, const char *end)
{
    if (starts_with(head, end, "GET " FLOOR_AVAILABLE_PATH " "))
        return &available;
    if (starts_with(head, end, "POST " FLOOR_PURCHASE_PATH " "))
        return &purchase;
    return &not_found;
}

/* The value of the header in this line, or NULL when the line is another header's. */
static const char *header_value(const char *line, const char *end, const char *name)
{
    size_t size = strlen(name);

    if ((size_t)(end - line) <= size || line[size] != ':' || strncasecmp(line, name, size) != 0)
        return NULL;
    line += size + 1;
    while (line < end && *line == ' ')
        line++;
    return line;
}

/* 0 and *ret_size, or -1 when the value is no length that fits the buffer. */
static int parse_length(const char *digits, size_t *ret_size)
{
    size_t size = 0;

    if (*digits < '0' || *digits > '9')
        return -1;
    for (; *digits >= '0' && *digits <= '9'; digits++) {
        size = size * 10 + (size_t)(*digits - '0');
        if (size > INPUT_SIZE)
            return -1;
    }
    if (*digits != '\r')
        return -1;
    *ret_size = size;
    return 0;
}

/* Reads the header lines between the request line and the blank line (whose "\r\n" `end` follows).
 * 0, or -1 when the body's end cannot be known. */
static int read_headers(const char *head, const char *end, size_t *ret_body_size, bool *ret_last)
{
    const char *line = memchr(head, '\n', (size_t)(end - head));
    const char *value;
    size_t body_size = 0;
    bool last = false;

    while (line != NULL && ++line < end) {
        if ((value = header_value(line, end, "Content-Length")) != NULL) {
            if (parse_length(value, &body_size) < 0)
                return -1;
        } else if (header_value(line, end, "Transfer-Encoding") != NULL) {
            return -1;
        } else if ((value = header_value(line, end, "Connection")) != NULL) {
            last = strncasecmp(value, "close", strlen("close")) == 0;
        }
        line = memchr(line, '\n', (size_t)(end - line));
    }
    *ret_body_size = body_size;
    *ret_last = last;
    return 0;
}

/* 0: a whole request; 1: more input is needed. */
static int next_request(const char *input, size_t input_size, struct request *ret_request)
{
    struct request request = {.size = input_size, .answer = &bad_request, .last = true};
    const char *blank = memmem(input, input_size, "\r\n\r\n", 4);
    size_t head_size, body_size;

    if (blank == NULL && input_size < INPUT_SIZE)
        return 1;
    if (blank != NULL && read_headers(input, blank + 2, &body_size, &request.last) == 0) {
        head_size = (size_t)(blank + 4 - input);
        if (head_size + body_size > input_size && head_size + body_size <= INPUT_SIZE)
            return 1;
        if (head_size + body_size <= input_size) {
            request.size = head_size + body_size;
            request.answer = find_answer(input, blank);
        } else {
            request.last = true;
        }
    }
    *ret_request = request;
    return 0;
}

static void client_free(struct client *client)
{
    close(client->fd);
    free(client);
}

static void client_watch(struct client *client, bool room)
{
    struct epoll_event event = {.events = room ? EPOLLOUT : EPOLLIN, .data.ptr = client};

    if (client->waits_for_room == room)
        return;
    client->waits_for_room = room;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, client->fd, &event) != 0)
        err(1, "epoll_ctl");
}

/* 0: all sent; 1: the socket is full; -1: the connection is over. */
static int send_rest(struct client *client)
{
    while (client->unsent_size > 0) {
        ssize_t sent = send(client->fd, client->unsent, client->unsent_size, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? 1 : -1;
        client->unsent += sent;
        client->unsent_size -= (size_t)sent;
    }
    return client->closing ? -1 : 0;
}

/* Answers every whole request in the buffer, in order.  As send_rest(). */
static int answer_all(struct client *client)
{
    struct request request;
    size_t done = 0;
    int r;

    while ((r = send_rest(client)) == 0 && done < client->input_size) {
        if (next_request(client->input + done, client->input_size - done, &request) > 0)
            break;
        done += request.size;
        client->unsent = request.answer->bytes;
        client->unsent_size = request.answer->size;
        client->closing = request.last;
    }
    client->input_size -= done;
    if (done > 0 && client->input_size > 0)
        memmove(client->input, client->input + done, client->input_size);
    return r;
}

static void client_serve(struct client *client)
{
    ssize_t got;
    int r;

    if (!client->waits_for_room) {
        got = recv(client->fd, client->input + client->input_size, INPUT_SIZE - client->input_size,
                   0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            client_free(client);
            return;
        }
        client->input_size += (size_t)got;
    }
    r = answer_all(client);
    if (r < 0)
        client_free(client);
    else
        client_watch(client, r > 0);
}

static void accept_all(int listener)
{
    struct client *client;
    int on = 1;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN};

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        client = calloc(1, sizeof(*client));
        if (client == NULL)
            err(1, "calloc");
        client->fd = fd;
        event.data.ptr = client;
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0)
            err(1, "epoll_ctl");
    }
}

static void run(int listener)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) != 0)
        err(1, "epoll");
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS_PER_WAIT, -1);

        if (count < 0 && errno != EINTR)
            err(1, "epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(listener);
            else
                client_serve(events[i].data.ptr);
        }
    }
}

int main(int argc, char **argv)
{
    answer_init(&available, "200 OK",
                "Cache-Control: " FLOOR_CACHE_CONTROL "\r\nETag: " FLOOR_ETAG "\r\n",
                FLOOR_AVAILABLE_BODY);
    answer_init(&purchase, "200 OK", "", FLOOR_PURCHASE_BODY);
    answer_init(&not_found, "404 Not Found", "", "{}");
    answer_init(&bad_request, "400 Bad Request", "", "{}");
    run(floor_listen(floor_port_argument(argc, argv)));
}
