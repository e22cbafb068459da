#include "util/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A signal may interrupt a write; more often than this in a row is not a write any more. */
enum { EINTR_RETRIES = 16 };

static void occupy_stderr(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || fd == STDERR_FILENO)
        return;
    dup3(fd, STDERR_FILENO, O_CLOEXEC);
    close(fd);
}

static void ignore_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) < 0 || action.sa_handler != SIG_DFL)
        return;
    action = (struct sigaction){.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &action, NULL);
}

static void close_own(struct log_sink *sink)
{
    if (sink->kind == LOG_SINK_REOPENED)
        close(sink->fd);
    *sink = (struct log_sink){.kind = LOG_SINK_POLLED, .fd = STDERR_FILENO};
}

static int reopen_without_blocking(void)
{
    return open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void log_sink_open(struct log_sink *sink)
{
    struct stat st;

    ignore_sigpipe();
    if (fcntl(STDERR_FILENO, F_GETFD) < 0)
        occupy_stderr();
    if (fstat(STDERR_FILENO, &st) < 0) {
        close_own(sink);
        return;
    }
    if (sink->kind == LOG_SINK_REOPENED && sink->device == st.st_dev && sink->inode == st.st_ino &&
        fcntl(sink->fd, F_GETFD) >= 0)
        return;

    close_own(sink);
    sink->device = st.st_dev;
    sink->inode = st.st_ino;
    if (S_ISREG(st.st_mode)) {
        sink->kind = LOG_SINK_FILE;
    } else if (S_ISSOCK(st.st_mode)) {
        sink->kind = LOG_SINK_SOCKET;
    } else if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        int fd = reopen_without_blocking();
        if (fd >= 0) {
            sink->kind = LOG_SINK_REOPENED;
            sink->fd = fd;
        }
    }
}

static ssize_t write_once(const struct log_sink *sink, const char *bytes, size_t len)
{
    if (sink->kind == LOG_SINK_SOCKET)
        return send(sink->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sink->kind == LOG_SINK_POLLED) {
        struct pollfd ready = {.fd = sink->fd, .events = POLLOUT};
        if (poll(&ready, 1, 0) != 1 || ready.revents != POLLOUT) {
            errno = EAGAIN;
            return -1;
        }
    }
    return write(sink->fd, bytes, len);
}

static ssize_t write_retrying(const struct log_sink *sink, const char *bytes, size_t len)
{
    ssize_t written = -1;
    for (int i = 0; i < EINTR_RETRIES; i++) {
        written = write_once(sink, bytes, len);
        if (written >= 0 || errno != EINTR)
            break;
    }
    return written;
}

bool log_sink_write(struct log_sink *sink, const char *line, size_t len)
{
    if (sink->torn) {
        if (write_retrying(sink, "\n", 1) != 1)
            return false;
        sink->torn = false;
    }
    ssize_t written = write_retrying(sink, line, len);
    if (written == (ssize_t)len)
        return true;
    sink->torn = written > 0;
    return false;
}
