/* Preloaded by a test.  Wall clock: shifted by the seconds that the file TEST_WALL_SHIFT holds, not
 * before it is there.  Monotonic clock: TEST_MONOTONIC_RATE times as fast. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long shift_s(void)
{
    const char *path = getenv("TEST_WALL_SHIFT");
    int fd = path == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    char text[32] = "";

    if (fd == -1)
        return 0;
    (void)!syscall(SYS_read, fd, text, sizeof(text) - 1);
    (void)syscall(SYS_close, fd);
    return strtol(text, NULL, 10);
}

static void hasten(struct timespec *time)
{
    static struct timespec first;
    const char *rate = getenv("TEST_MONOTONIC_RATE");
    long long spent_ns;

    if (rate == NULL)
        return;
    if (first.tv_sec == 0)
        first = *time;
    spent_ns = (time->tv_sec - first.tv_sec) * 1000000000LL + (time->tv_nsec - first.tv_nsec);
    spent_ns = first.tv_nsec + spent_ns * strtol(rate, NULL, 10);
    time->tv_sec = first.tv_sec + spent_ns / 1000000000LL;
    time->tv_nsec = spent_ns % 1000000000LL;
}

int clock_gettime(clockid_t id, struct timespec *time)
{
    int result = (int)syscall(SYS_clock_gettime, id, time);

    if (result == 0 && id == CLOCK_REALTIME)
        time->tv_sec += shift_s();
    if (result == 0 && id == CLOCK_MONOTONIC)
        hasten(time);
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    int result = (int)syscall(SYS_gettimeofday, time, zone);

    if (result == 0)
        time->tv_sec += shift_s();
    return result;
}
