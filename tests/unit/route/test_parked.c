#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "serving.h"

#define SALE(id)                                                                                   \
    "POST /api/v1/reserve HTTP/1.1\r\nHost: a\r\nX-Request-ID: " id                                \
    "\r\nContent-Length: 9\r\n\r\n{\"qty\":1}"
#define ORDER(id)                                                                                  \
    "GET /api/v1/orders/00030000-0001-8007-8000-000000000009 HTTP/1.1\r\nHost: a\r\n"              \
    "X-Request-ID: " id "\r\n\r\n"
/* Turns of the loop after which a socket that is ready has been looked at. */
#define SOME_TURNS 5

static unsigned poller_changes;

/* Stands before the C library's, and counts. */
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    ++poller_changes;
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

static int group_set_up(void **state)
{
    (void)state;
    serving_start(NULL);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    scripted_init(&serving.client);
    serving.client.late = true;
    serving.client.answer.event = TEXT("default");
    return 0;
}

static void send_text(int fd, const char *text)
{
    serving_send(fd, text, strlen(text));
}

/* A connection whose request waits for its answer. */
static int park(const char *request)
{
    int fd = serving_connect(false);

    send_text(fd, request);
    serving_await_waiting(1);
    return fd;
}

static void some_turns(void)
{
    for (int i = 0; i < SOME_TURNS; ++i)
        serving_turn();
}

static void expect_answer(int fd, const char *request_id)
{
    struct answer answer;

    serving_receive(fd, false, &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_header(&answer, "X-Request-ID"), request_id);
}

static void expect_end(int fd)
{
    struct answer answer;

    serving_receive(fd, false, &answer);
    assert_int_equal(answer.status, 0);
    (void)close(fd);
}

/* A connection answers request after request, each of which waited. */
static void test_one_after_the_other(void **state)
{
    int fd = park(SALE("0"));

    (void)state;
    scripted_answer_next(&serving.client);
    expect_answer(fd, "0");
    for (int i = 0; i < 3; ++i) {
        send_text(fd, i == 1 ? ORDER("1") : SALE("1"));
        serving_await_waiting(1);
        some_turns();
        scripted_answer_next(&serving.client);
        expect_answer(fd, "1");
    }
    (void)close(fd);
}

/* In the loop, as a worker's keeper does it. */
static void on_bell(h2o_socket_t *bell, const char *error)
{
    eventfd_t rung;

    assert_null(error);
    assert_int_equal(eventfd_read(h2o_socket_get_fd(bell), &rung), 0);
    scripted_answer_next(&serving.client);
}

/* A request that waits and its answer change nothing at the poller: for a durable sale that would
 * be two system calls more. */
static void test_poller_is_left_alone(void **state)
{
    int bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), fd;
    h2o_socket_t *bell =
        h2o_evloop_socket_create(serving.server.context.loop, bell_fd, H2O_SOCKET_FLAG_DONT_READ);
    unsigned before = 0;

    (void)state;
    h2o_socket_read_start(bell, on_bell);
    fd = park(SALE("0"));
    for (int i = 0; i < 10; ++i) {
        some_turns();
        assert_int_equal(eventfd_write(bell_fd, 1), 0);
        expect_answer(fd, "0");
        if (i == 0)
            before = poller_changes;
        send_text(fd, SALE("0"));
        serving_await_waiting(1);
    }
    assert_true(before > 0);
    assert_int_equal(poller_changes, before);
    scripted_answer_next(&serving.client);
    expect_answer(fd, "0");
    (void)close(fd);
    h2o_socket_close(bell);
}

/* Requests that arrive while one waits are answered after it, in order and each once. */
static void test_pipelined(void **state)
{
    int fd = park(SALE("first"));

    (void)state;
    send_text(fd, ORDER("second"));
    some_turns();
    send_text(fd, SALE("third"));
    some_turns();
    assert_int_equal(serving.client.asked, 1);
    for (unsigned i = 1; i <= 3; ++i) {
        static const char *const ids[] = {"first", "second", "third"};
        scripted_answer_next(&serving.client);
        expect_answer(fd, ids[i - 1]);
        if (i < 3)
            serving_await_waiting(1);
        assert_int_equal(serving.client.asked, i < 3 ? i + 1 : 3);
    }
    (void)close(fd);
}

/* Requests that came together with the one that waits are answered too, though no event tells of
 * them any more. */
static void test_came_together(void **state)
{
    int fd = park(SALE("first") ORDER("second") SALE("third"));

    (void)state;
    some_turns();
    scripted_answer_next(&serving.client);
    expect_answer(fd, "first");
    serving_await_waiting(1);
    scripted_answer_next(&serving.client);
    expect_answer(fd, "second");
    serving_await_waiting(1);
    scripted_answer_next(&serving.client);
    expect_answer(fd, "third");
    (void)close(fd);
}

/* The rest of a request that began to arrive while another waited completes it. */
static void test_half_a_request(void **state)
{
    static const char second[] = SALE("second");
    int fd = park(SALE("first"));

    (void)state;
    serving_send(fd, second, 40);
    some_turns();
    scripted_answer_next(&serving.client);
    expect_answer(fd, "first");
    send_text(fd, second + 40);
    serving_await_waiting(1);
    scripted_answer_next(&serving.client);
    expect_answer(fd, "second");
    (void)close(fd);
}

/* A client that says that it will send no more still gets its answer, and then the end. */
static void test_half_closed(void **state)
{
    static const char *const requests[] = {SALE("x"), ORDER("x")};

    (void)state;
    for (size_t i = 0; i < 2; ++i) {
        int fd = park(requests[i]);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        some_turns();
        assert_int_equal(serving.client.cancelled, 0);
        scripted_answer_next(&serving.client);
        expect_answer(fd, "x");
        expect_end(fd);
    }
}

/* A client that left costs nothing: its answer goes nowhere, and its connection ends. */
static void test_left(void **state)
{
    int fd = park(SALE("x"));
    uint32_t connections = serving.server.connections;

    (void)state;
    (void)close(fd);
    some_turns();
    assert_int_equal(serving.client.waiting_count, 1);
    scripted_answer_next(&serving.client);
    some_turns();
    assert_int_equal(serving.server.connections, connections - 1);
}

/* What a client sends while its request waits stays out of the buffer that holds the request's own
 * bytes: an answer still finds the request's id there, whoever came meanwhile. */
static void test_flood(void **state)
{
    size_t size = (size_t)1024 * 1024;
    char *flood = malloc(size);
    int fd = park(ORDER("the-id-that-must-survive")), other;
    struct answer answer;

    (void)state;
    assert_non_null(flood);
    memset(flood, 'x', size);
    for (int i = 0; i < SOME_TURNS; ++i) {
        /* as much as the kernel takes: nobody reads it */
        ssize_t sent = send(fd, flood, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        assert_true(i > 0 || sent > 0);
        serving_turn();
    }
    other = serving_connect(false);
    send_text(other, ORDER("the-id-of-somebody-else!"));
    serving_await_waiting(2);
    scripted_answer_next(&serving.client);
    expect_answer(fd, "the-id-that-must-survive");
    serving_receive(fd, false, &answer);
    assert_true(answer.status == 0 || answer.status == 400);
    (void)close(fd);
    scripted_answer_next(&serving.client);
    expect_answer(other, "the-id-of-somebody-else!");
    (void)close(other);
    free(flood);
}

/* A draining server answers what waits, says close, and is done when all has ended; what waits past
 * the deadline ends with its answer, which goes nowhere.  (Last: nothing is served after it.) */
static void test_drain(void **state)
{
    int answered = serving_connect(false), cut = serving_connect(false);
    struct answer answer;

    (void)state;
    send_text(answered, SALE("answered"));
    serving_await_waiting(1);
    send_text(cut, SALE("cut"));
    serving_await_waiting(2);
    http_server_drain(&serving.server, false, 0, 60000);
    scripted_answer_next(&serving.client);
    serving_receive(answered, false, &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_header(&answer, "Connection"), "close");
    expect_end(answered);
    assert_false(http_server_drained(&serving.server));

    http_server_drain(&serving.server, false, 0, 0);
    expect_end(cut); /* after the next sweep */
    some_turns();
    assert_int_equal(serving.client.waiting_count, 1);
    scripted_answer_next(&serving.client);
    serving_await_no_connection();
    assert_true(http_server_drained(&serving.server));
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_one_after_the_other),
        CASE(test_poller_is_left_alone),
        CASE(test_pipelined),
        CASE(test_came_together),
        CASE(test_half_a_request),
        CASE(test_half_closed),
        CASE(test_left),
        CASE(test_flood),
        CASE(test_drain),
    };

    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
