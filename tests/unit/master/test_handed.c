#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "master/handed.h"
#include "ticketd/error.h"

static struct settings settings;
static char error[SETTINGS_ERROR_MAX];

static int set_up(void **state)
{
    struct settings_input input = {.environment = (char *[]){NULL}};

    (void)state;
    return settings_load(&settings, &input, error);
}

/* A socket on a loopback port of the kernel's choice. */
static int open_inet(int type, bool listening)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (listening)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* A listening unix socket; an abstract one when the path begins with @. */
static int open_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    len += offsetof(struct sockaddr_un, sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, (socklen_t)len), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void hand(struct handed *handed, int fd, const char *name)
{
    handed->items[handed->count++] = (struct handed_socket){.fd = fd, .name = strdup(name)};
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

/* Each socket goes to whom it is named for, in order, and none is left. */
static void test_by_name(void **state)
{
    static struct handed handed;
    struct listener_set vacancy = {.count = 0}, ticket = {.count = 0};
    int first = open_inet(SOCK_STREAM, true), second = open_inet(SOCK_STREAM, true);
    int third = open_inet(SOCK_STREAM, true);

    (void)state;
    handed.count = 0;
    hand(&handed, first, "ticket");
    hand(&handed, second, "vacancy");
    hand(&handed, third, "ticket");
    assert_int_equal(handed_take(&handed, "vacancy", &settings, &vacancy, error), TICKETD_DONE);
    assert_int_equal(handed_take(&handed, "ticket", &settings, &ticket, error), TICKETD_DONE);
    assert_int_equal(handed_finish(&handed, error), TICKETD_DONE);
    assert_int_equal(vacancy.count, 1);
    assert_int_equal(vacancy.items[0].fd, second);
    assert_int_equal(ticket.count, 2);
    assert_int_equal(ticket.items[0].fd, first);
    assert_int_equal(ticket.items[1].fd, third);
    listener_close(&vacancy);
    listener_close(&ticket);
}

/* A name that nobody took is told; one that is no pool's takes nothing from who asks. */
static void test_left_over(void **state)
{
    static struct handed handed;
    struct listener_set set = {.count = 0};
    int fd = open_inet(SOCK_STREAM, true);

    (void)state;
    handed.count = 0;
    hand(&handed, fd, "tickets");
    assert_int_equal(handed_take(&handed, "ticket", &settings, &set, error), TICKETD_DONE);
    assert_int_equal(set.count, 0);
    assert_int_equal(handed_finish(&handed, error), TICKETD_INVALID);
    assert_non_null(strstr(error, "\"tickets\""));
    assert_int_equal(handed.count, 0);
    close(fd);
}

/* A TCP socket gets what the settings give to our own, does not block, and has a URL as its name.
 */
static void test_tcp(void **state)
{
    struct listener_set set = {.count = 0};
    int fd = open_inet(SOCK_STREAM, true);
    char url[LISTENER_NAME_MAX], expected[LISTENER_NAME_MAX];
    struct sockaddr_in address;
    socklen_t len = sizeof(address);

    (void)state;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(expected, sizeof(expected), "http://127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(listener_take_handed(&set, &settings, fd, "monolith", error), TICKETD_DONE);
    assert_true(set.items[0].handed);
    assert_false(set.items[0].is_unix);
    assert_string_equal(set.items[0].name, expected);
    assert_true(listener_url(&set, url));
    assert_string_equal(url, expected);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), settings.write_timeout_ms);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    listener_close(&set);
}

/* A unix socket's file stays when we close it: systemd made it. */
static void test_unix(void **state)
{
    char path[] = "/tmp/ticketd-handed-XXXXXX", file[64], url[LISTENER_NAME_MAX], name[80];
    struct listener_set set = {.count = 0};

    (void)state;
    assert_non_null(mkdtemp(path));
    (void)snprintf(file, sizeof(file), "%s/s", path);
    (void)snprintf(name, sizeof(name), "unix:%s", file);
    assert_int_equal(listener_take_handed(&set, &settings, open_path(file), "monolith", error),
                     TICKETD_DONE);
    assert_true(set.items[0].is_unix);
    assert_string_equal(set.items[0].name, name);
    assert_true(listener_url(&set, url));
    assert_string_equal(url, name);
    listener_close(&set);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(path), 0);
}

/* An abstract one serves as well, though no URL of ours leads to it. */
static void test_abstract(void **state)
{
    struct listener_set set = {.count = 0};
    char name[64], url[LISTENER_NAME_MAX], expected[80];

    (void)state;
    (void)snprintf(name, sizeof(name), "@ticketd-handed-%d", (int)getpid());
    (void)snprintf(expected, sizeof(expected), "unix:%s", name);
    assert_int_equal(listener_take_handed(&set, &settings, open_path(name), "monolith", error),
                     TICKETD_DONE);
    assert_string_equal(set.items[0].name, expected);
    assert_false(listener_url(&set, url));
    listener_close(&set);
}

/* What cannot serve is refused by its name and stays open: it is its owner's. */
static void test_refused(void **state)
{
    struct listener_set set = {.count = 0};
    int datagrams = open_inet(SOCK_DGRAM, false), bound = open_inet(SOCK_STREAM, false);
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(listener_take_handed(&set, &settings, datagrams, "a", error), TICKETD_INVALID);
    assert_string_equal(error, "the socket \"a\" that the service manager handed over is no stream "
                               "socket; use ListenStream");
    assert_int_equal(listener_take_handed(&set, &settings, bound, "b", error), TICKETD_INVALID);
    assert_non_null(strstr(error, "\"b\""));
    assert_non_null(strstr(error, "does not listen"));
    assert_int_equal(listener_take_handed(&set, &settings, file, "c", error), TICKETD_INVALID);
    assert_int_equal(set.count, 0);
    assert_int_equal(close(datagrams) | close(bound) | close(file), 0);
}

/* A pool has room for a number of them, and not for one more. */
static void test_too_many(void **state)
{
    static struct listener_set set;
    int fd = open_inet(SOCK_STREAM, true);

    (void)state;
    set.count = 0;
    for (int i = 0; i < LISTENERS_MAX; ++i)
        assert_int_equal(listener_take_handed(&set, &settings, fd, "monolith", error),
                         TICKETD_DONE);
    assert_int_equal(listener_take_handed(&set, &settings, fd, "monolith", error), TICKETD_INVALID);
    assert_non_null(strstr(error, "one too many"));
    assert_int_equal(set.count, LISTENERS_MAX);
    close(fd);
}

/* They survive an execve by their number alone: the environment names them already. */
static void test_export(void **state)
{
    struct listener_set set = {.count = 0};
    int fd = open_inet(SOCK_STREAM, true);

    (void)state;
    assert_int_equal(listener_take_handed(&set, &settings, fd, "monolith", error), TICKETD_DONE);
    assert_int_equal(listener_export(&set), 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    assert_string_equal(getenv("TICKETD_LISTENERS"), "");
    listener_unexport(&set);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_null(getenv("TICKETD_LISTENERS"));
    listener_close(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_name),  cmocka_unit_test(test_left_over),
        cmocka_unit_test(test_tcp),      cmocka_unit_test(test_unix),
        cmocka_unit_test(test_abstract), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_many), cmocka_unit_test(test_export),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
