/* Preloaded by a test.  A worker asks for random bytes while it starts: there it waits for as long
 * as the file TEST_START_HANGS exists, and dies if the file TEST_START_DIES does.  The master,
 * which leads its session and asks too, is left alone. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

static int exists(const char *variable)
{
    const char *path = getsid(0) == getpid() ? NULL : getenv(variable);

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
