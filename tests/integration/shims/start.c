/* Preloaded by a test.  A worker asks for random bytes while it starts: there it waits for as long
 * as the file TEST_START_HANGS exists, and dies if the file TEST_START_DIES does.  The master,
 * which leads its session and asks too, is left alone; so is, with TEST_START_ONLY, every worker
 * whose title does not have that in it.
 *
 * Whoever finds the file TEST_BELL_HANGS after it has rung a bell takes it away, and hangs there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_meant(void)
{
    const char *only = getenv("TEST_START_ONLY");
    char title[256];
    ssize_t len;
    int fd;

    if (getsid(0) == getpid())
        return 0;
    if (only == NULL)
        return 1;
    fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    len = read(fd, title, sizeof(title));
    close(fd);
    return len > 0 && memmem(title, (size_t)len, only, strlen(only)) != NULL;
}

static int exists(const char *variable)
{
    const char *path = is_meant() ? getenv(variable) : NULL;

    return path != NULL && access(path, F_OK) == 0;
}

ssize_t getrandom(void *bytes, size_t len, unsigned flags)
{
    while (exists("TEST_START_HANGS"))
        (void)usleep(10000);
    if (exists("TEST_START_DIES"))
        _exit(3);
    return syscall(SYS_getrandom, bytes, len, flags);
}

int eventfd_write(int fd, eventfd_t value)
{
    const char *path = exists("TEST_BELL_HANGS") ? getenv("TEST_BELL_HANGS") : NULL;
    ssize_t written = write(fd, &value, sizeof(value));
    int saved_errno = errno;

    if (path != NULL && unlink(path) == 0)
        for (;;)
            (void)pause();
    errno = saved_errno;
    return written == sizeof(value) ? 0 : -1;
}
