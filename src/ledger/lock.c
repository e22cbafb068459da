#include "ledger/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "ticketd/ledger.h"
#include "util/clock.h"

enum {
    /* How often a waiter looks.  A blocking flock cannot be given a limit without a signal. */
    LOOK_EVERY_MS = 20,
    HOLDER_MAX = 120,
};

/* "process 4711, since 2026-02-03T04:05:06Z"; losing it (a full disk) costs only the name. */
static void write_holder(int fd)
{
    char line[HOLDER_MAX], since[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    int len;

    if (gmtime_r(&now, &utc))
        (void)strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", &utc);
    len = snprintf(line, sizeof(line), "process %ld, since %s\n", (long)getpid(), since);
    if (ftruncate(fd, 0) == 0 && pwrite(fd, line, (size_t)len, 0) != len)
        (void)!ftruncate(fd, 0);
}

/* The holder's line, as far as it is one. */
static void read_holder(int fd, char holder[HOLDER_MAX])
{
    ssize_t len = pread(fd, holder, HOLDER_MAX - 1, 0);

    holder[len > 0 ? len : 0] = '\0';
    for (char *c = holder; *c; c++) {
        if (*c < ' ' || *c > '~') {
            *c = '\0';
            break;
        }
    }
    if (holder[0] == '\0')
        (void)snprintf(holder, HOLDER_MAX, "another process");
}

static int wait_for(int fd, unsigned wait_ms)
{
    uint64_t deadline = clock_monotonic_ms() + wait_ms;

    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        struct timespec pause = {.tv_nsec = LOOK_EVERY_MS * 1000000L};

        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return -errno;
        if (clock_monotonic_ms() >= deadline)
            return LEDGER_HELD;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

int lock_take(const char *path, unsigned wait_ms, int *ret_fd, char *error, size_t error_size)
{
    char file[PATH_MAX], holder[HOLDER_MAX];
    int len = snprintf(file, sizeof(file), "%s-lock", path);
    int fd, r;

    if (len < 0 || (size_t)len >= sizeof(file)) {
        (void)snprintf(error, error_size, "the ledger's path is too long: %s", path);
        return -ENAMETOOLONG;
    }
    fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) {
        r = -errno;
        (void)snprintf(error, error_size, "cannot lock the ledger %s: %s: %s", path, file,
                       strerror(-r));
        return r;
    }
    r = wait_for(fd, wait_ms);
    if (r == 0) {
        write_holder(fd);
        *ret_fd = fd;
        return 0;
    }
    if (r == LEDGER_HELD) {
        read_holder(fd, holder);
        (void)snprintf(error, error_size, "the ledger %s is in use by %s", path, holder);
    } else {
        (void)snprintf(error, error_size, "cannot lock the ledger %s: %s: %s", path, file,
                       strerror(-r));
    }
    (void)close(fd);
    return r;
}
