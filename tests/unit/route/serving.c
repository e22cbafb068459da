#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "serving.h"
#include "util/clock.h"
#include "util/json.h"

/* For what must happen: long enough that only a fault reaches it. */
#define DEADLINE_MS 20000

struct serving serving;
/* of the public site and of the control site */
static struct sockaddr_un addresses[2];
static socklen_t address_lens[2];

/* A listening socket of a name that the kernel chooses. */
static int listen_at(int index)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_int_not_equal(fd, -1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address.sun_family)), 0);
    assert_int_equal(listen(fd, 128), 0);
    address_lens[index] = sizeof(addresses[index]);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addresses[index], &address_lens[index]),
                     0);
    return fd;
}

void serving_start(const struct control_source *source)
{
    static int bell, listener;
    char error[SETTINGS_ERROR_MAX];
    struct settings_input input = {.config_path = "/dev/null"};
    struct http_server_options options = {
        .settings = &serving.settings,
        .scoreboard = &serving.scoreboard,
        .metrics = &serving.recorder,
        .bells = &bell,
        .listeners = &listener,
        .listener_count = 1,
    };

    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(json_init(), 0);
    assert_int_equal(settings_load(&serving.settings, &input, error), 0);
    assert_int_equal(scoreboard_create(&serving.scoreboard, 1), 0);
    assert_int_equal(metrics_create(&serving.metrics, 1, 1), 0);
    metrics_own(&serving.metrics, 0, 1, METRICS_MONOLITH);
    metrics_add_event_id(&serving.metrics, "default", 1);
    metrics_recorder_init(&serving.recorder, &serving.metrics, 0);
    serving.source = (struct metrics_source){
        .metrics = &serving.metrics, .scoreboard = &serving.scoreboard, .route = route_of_number};
    bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    listener = listen_at(0);
    options.control_listener = listen_at(1);
    scripted_init(&serving.client);
    assert_int_equal(http_server_init(&serving.server, &options), 0);
    router_init(&serving.router, &serving.server, ROLE_MONOLITH, &serving.client.client, source,
                &serving.source);
    assert_int_equal(http_server_start(&serving.server, &options), 0);
    scoreboard_set_state(&serving.scoreboard.slots[0], SCOREBOARD_SERVING);
}

uint64_t serving_counted(enum metrics_event_cell cell)
{
    return metrics_sum_event(&serving.metrics, METRICS_MONOLITH, 0, cell);
}

uint64_t serving_refused(void)
{
    static const enum metrics_cell cells[] = {
        METRICS_refused_overloaded,         METRICS_refused_vacancy_unavailable,
        METRICS_refused_ledger_unavailable, METRICS_refused_outcome_unknown,
        METRICS_refused_internal_error,
    };
    uint64_t sum = 0;

    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); ++i)
        sum += metrics_sum(&serving.metrics, METRICS_MONOLITH, cells[i]);
    return sum;
}

struct wanted {
    struct metrics_request_key key;
    uint64_t count;
};

static void on_requests(void *context, enum metrics_owner owner, struct metrics_request_key key,
                        const struct metrics_histogram *duration)
{
    struct wanted *wanted = context;
    struct metrics_values values = {.sum = 0};

    assert_int_equal(owner, METRICS_MONOLITH);
    if (key.route != wanted->key.route || key.method != wanted->key.method ||
        key.status != wanted->key.status)
        return;
    metrics_values_add(&values, duration);
    wanted->count += metrics_values_count(&values);
}

uint64_t serving_answers(enum metrics_method method, const char *path, unsigned status)
{
    struct wanted wanted = {.key = {.method = (uint8_t)method, .status = (uint16_t)status}};

    if (path != NULL) {
        wanted.key.route = (uint16_t)route_number_of(path);
        assert_int_not_equal(wanted.key.route, 0);
    }
    metrics_each_requests(&serving.metrics, on_requests, &wanted);
    return wanted.count;
}

int serving_connect(bool control)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_int_not_equal(fd, -1);
    assert_int_equal(connect(fd, (struct sockaddr *)&addresses[control], address_lens[control]), 0);
    return fd;
}

void serving_turn(void)
{
    (void)h2o_evloop_run(serving.server.context.loop, 0);
}

void serving_await_waiting(size_t count)
{
    uint64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;

    while (serving.client.waiting_count != count) {
        if (clock_monotonic_ms() > end_ms)
            fail_msg("%zu calls wait instead of %zu", serving.client.waiting_count, count);
        serving_turn();
    }
}

void serving_await_no_connection(void)
{
    const struct http_server *server = &serving.server;
    uint64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;

    while (server->connections + server->control_connections > 0) {
        if (clock_monotonic_ms() > end_ms)
            fail_msg("%u connections are left", server->connections + server->control_connections);
        serving_turn();
    }
}

void serving_send(int fd, const char *bytes, size_t len)
{
    uint64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;

    while (len > 0) {
        ssize_t sent = write(fd, bytes, len);
        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
        } else if (errno != EAGAIN || clock_monotonic_ms() > end_ms) {
            fail_msg("cannot send: %s", strerror(errno));
        }
        serving_turn();
    }
}

/* The next byte, or -1 at the connection's end: an answer is read to its last byte and no further,
 * as the next one may follow. */
static int next_byte(int fd)
{
    uint64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;
    unsigned char byte;

    for (;;) {
        ssize_t got = read(fd, &byte, 1);
        if (got == 1)
            return byte;
        if (got == 0 || errno != EAGAIN)
            return -1;
        if (clock_monotonic_ms() > end_ms)
            fail_msg("no answer");
        serving_turn();
    }
}

const char *answer_header(const struct answer *answer, const char *name)
{
    static char value[1024];
    char line[128];
    const char *found;

    (void)snprintf(line, sizeof(line), "\r\n%s: ", name);
    found = strcasestr(answer->head, line);
    if (found == NULL)
        return NULL;
    found += strlen(line);
    (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(found, "\r"), found);
    return value;
}

void serving_receive(int fd, bool headless, struct answer *ret_answer)
{
    size_t len = 0, body_len = 0;
    const char *length;

    *ret_answer = (struct answer){.status = 0};
    while (strstr(ret_answer->head, "\r\n\r\n") == NULL) {
        int byte = next_byte(fd);
        if (byte == -1)
            return;
        assert_true(len + 1 < sizeof(ret_answer->head));
        ret_answer->head[len++] = (char)byte;
    }
    assert_memory_equal(ret_answer->head, "HTTP/1.1 ", 9);
    ret_answer->status = (int)strtol(ret_answer->head + 9, NULL, 10);
    length = answer_header(ret_answer, "Content-Length");
    if (!headless && length != NULL)
        body_len = strtoul(length, NULL, 10);
    assert_true(body_len < sizeof(ret_answer->body));
    for (size_t i = 0; i < body_len; ++i)
        ret_answer->body[i] = (char)next_byte(fd);
}

struct answer serving_ask(bool control, const char *method, const char *path, const char *headers,
                          const char *body)
{
    static char request[8192];
    struct answer answer;
    int fd = serving_connect(control), len;

    len = body == NULL ? snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n",
                                  method, path, headers)
                       : snprintf(request, sizeof(request),
                                  "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n%s\r\n%s",
                                  method, path, strlen(body), headers, body);
    assert_in_range(len, 1, sizeof(request) - 1);
    serving_send(fd, request, (size_t)len);
    serving_receive(fd, strcmp(method, "HEAD") == 0, &answer);
    (void)close(fd);
    return answer;
}

void expect_problem(const struct answer *answer, int status, const char *code)
{
    struct json_document document;
    const char *found = NULL;

    if (answer->status != status)
        fail_msg("%d instead of %d: %s", answer->status, status, answer->body);
    assert_string_equal(answer_header(answer, "Content-Type"), "application/problem+json");
    assert_int_equal(json_parse(&document, answer->body, strlen(answer->body)), JSON_DONE);
    assert_int_equal(json_get_string(&document, "code", &found), JSON_DONE);
    assert_string_equal(found, code);
    json_release(&document);
    if (status == 503)
        assert_in_range(strtol(answer_header(answer, "Retry-After"), NULL, 10), 1,
                        HTTP_RETRY_AFTER_MAX_S);
    else
        assert_null(answer_header(answer, "Retry-After"));
}
