/* The remote client over real connections, with a peer that behaves badly. */
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
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../crash/scratch.h"
#include "client/vacancy_remote_internal.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"
#include "util/log.h"

/* For what must happen: long enough that only a fault reaches it. */
#define PATIENCE_OF_TESTS_MS 20000
#define LONG_MS              60000
#define SHORT_MS             100

#define SOLD                                                                                       \
    "{\"results\":[{\"success\":true,\"remaining\":7,\"message\":\"Reserved\","                    \
    "\"order_id\":\"00010000-0000-8007-8000-000000000001\",\"replayed\":true}]}"

struct probe {
    struct vacancy_call call; /* first */
    unsigned completed;
    struct vacancy_result result;
    char key[KEY_TEXT_MAX + 1];
};

static h2o_globalconf_t config;
static h2o_context_t context;
static struct settings settings;
static struct scratch scratch;
static struct vacancy_remote *remote;
static int listener;

static int set_up_group(void **state)
{
    char error[SETTINGS_ERROR_MAX];
    struct settings_input input = {.config_path = "/dev/null"};

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    h2o_config_init(&config);
    h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("default")), 80);
    h2o_context_init(&context, h2o_evloop_create(), &config);
    log_init(&(struct log_options){.level = LOG_LEVEL_CRITICAL});
    return json_init() == 0 && settings_load(&settings, &input, error) == 0 ? 0 : -1;
}

static int set_up(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)state;
    scratch_make(&scratch);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", scratch.folder);
    (void)snprintf(settings.vacancy_url, sizeof(settings.vacancy_url), "unix:%s", address.sun_path);
    settings.vacancy_timeout_ms = LONG_MS;
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 16), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vacancy_remote_free(remote);
    remote = NULL;
    (void)close(listener);
    scratch_remove(&scratch);
    return 0;
}

static void on_complete(struct vacancy_call *call, const struct vacancy_result *result)
{
    struct probe *probe = (struct probe *)call;

    ++probe->completed;
    probe->result = *result;
    if (result->key.len > 0)
        memcpy(probe->key, result->key.base, result->key.len);
}

static void start(void)
{
    remote = vacancy_remote_new(&settings, NULL);
    assert_non_null(remote);
    assert_int_equal(vacancy_remote_start(remote, &context), 0);
}

static void reserve(struct probe *probe)
{
    vacancy_reserve(vacancy_remote_client(remote), &probe->call,
                    &(struct vacancy_request){.event = TEXT(STOCK_DEFAULT_EVENT), .quantity = 1},
                    on_complete);
}

/* One turn of the loop; fails when the case takes too long. */
static void turn(uint64_t end_ms)
{
    if (clock_monotonic_ms() > end_ms)
        fail_msg("nothing happens");
    (void)h2o_evloop_run(context.loop, vacancy_remote_gathers(remote) ? 0 : 10);
}

static uint64_t limit(void)
{
    return clock_monotonic_ms() + PATIENCE_OF_TESTS_MS;
}

static void await(const struct probe *probe, int status)
{
    uint64_t end_ms = limit();

    while (probe->completed == 0)
        turn(end_ms);
    assert_int_equal(probe->completed, 1);
    assert_int_equal(probe->result.status, status);
}

/* ---- the peer ---- */

static int peer_accept(void)
{
    uint64_t end_ms = limit();
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) == -1)
        turn(end_ms);
    return fd;
}

/* Reads one request and says which key it carries; false: the connection has ended. */
static bool peer_read(int fd, char ret_key[KEY_TEXT_MAX + 1])
{
    static char bytes[8192];
    uint64_t end_ms = limit();
    size_t len = 0;

    memset(bytes, 0, sizeof(bytes));
    while (strstr(bytes, "]}") == NULL) {
        ssize_t got = read(fd, bytes + len, sizeof(bytes) - 1 - len);
        if (got == 0 || (got == -1 && errno != EAGAIN))
            return false;
        len += got > 0 ? (size_t)got : 0;
        turn(end_ms);
    }
    assert_non_null(strstr(bytes, "POST /api/v1/reserve/batch HTTP/1.1\r\n"));
    assert_non_null(strstr(bytes, "\"idempotency_key\":\""));
    assert_int_equal(
        sscanf(strstr(bytes, "\"idempotency_key\":\""), "\"idempotency_key\":\"%255[^\"]", ret_key),
        1);
    return true;
}

/* `cut`: so many bytes are left out at the end. */
static void peer_reply(int fd, size_t cut)
{
    char reply[1024];
    int len = snprintf(reply, sizeof(reply),
                       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       strlen(SOLD), SOLD);

    assert_int_equal(write(fd, reply, (size_t)len - cut), (size_t)len - cut);
}

static void expect_sold_again(struct probe *probe, const char *first_key)
{
    char key[KEY_TEXT_MAX + 1];
    int fd = peer_accept();

    assert_true(peer_read(fd, key));
    assert_string_equal(key, first_key);
    peer_reply(fd, 0);
    await(probe, TICKETD_DONE);
    assert_false(probe->result.replayed);
    (void)close(fd);
}

/* A peer that takes a request and closes gets it again, with the same key, on another connection.
 */
static void test_closed_without_reply(void **state)
{
    struct probe probe = {.completed = 0};
    char key[KEY_TEXT_MAX + 1];
    int fd;

    (void)state;
    start();
    reserve(&probe);
    fd = peer_accept();
    assert_true(peer_read(fd, key));
    (void)close(fd);
    expect_sold_again(&probe, key);
}

/* The same after a reply that is not whole: what it seemed to say is not told. */
static void test_closed_within_reply(void **state)
{
    struct probe probe = {.completed = 0};
    char key[KEY_TEXT_MAX + 1];
    int fd;

    (void)state;
    start();
    reserve(&probe);
    fd = peer_accept();
    assert_true(peer_read(fd, key));
    peer_reply(fd, 1);
    (void)close(fd);
    expect_sold_again(&probe, key);
}

/* A connection that was kept and that the peer has closed since costs nobody an error. */
static void test_kept_connection_closed(void **state)
{
    struct probe first = {.completed = 0}, second = {.completed = 0};
    char keys[2][KEY_TEXT_MAX + 1];
    int fd;

    (void)state;
    start();
    reserve(&first);
    fd = peer_accept();
    assert_true(peer_read(fd, keys[0]));
    peer_reply(fd, 0);
    await(&first, TICKETD_DONE);
    reserve(&second); /* leaves on the kept connection, which is closed when it comes */
    (void)close(fd);
    fd = peer_accept();
    assert_true(peer_read(fd, keys[1]));
    assert_string_not_equal(keys[1], keys[0]);
    peer_reply(fd, 0);
    await(&second, TICKETD_DONE);
    (void)close(fd);
}

/* A peer that never replies: nobody knows, and the key to ask again with is told. */
static void test_no_reply(void **state)
{
    struct probe probe = {.completed = 0};
    char key[KEY_TEXT_MAX + 1];
    int fd;

    (void)state;
    settings.vacancy_timeout_ms = SHORT_MS;
    start();
    reserve(&probe);
    fd = peer_accept();
    assert_true(peer_read(fd, key));
    await(&probe, TICKETD_OUTCOME_UNKNOWN);
    assert_string_equal(probe.key, key);
    (void)close(fd);
}

/* Nobody listens: nothing was sold, and that is said long before the time is over. */
static void test_nobody_listens(void **state)
{
    struct probe probes[2] = {{.completed = 0}};
    uint64_t begun_ms = clock_monotonic_ms();

    (void)state;
    (void)close(listener);
    start();
    for (size_t i = 0; i < 2; ++i) {
        reserve(&probes[i]);
        await(&probes[i], TICKETD_UNAVAILABLE);
    }
    assert_true(clock_monotonic_ms() < begun_ms + LONG_MS / 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_closed_without_reply),   CASE(test_closed_within_reply),
        CASE(test_kept_connection_closed), CASE(test_no_reply),
        CASE(test_nobody_listens),
    };

    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
