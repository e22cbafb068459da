#include "util/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

const char *log_sink_journal_path = "/run/systemd/journal/socket";

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

static bool is_own(const struct log_sink *sink)
{
    return sink->kind == LOG_SINK_REOPENED || sink->kind == LOG_SINK_JOURNAL;
}

static void close_own(struct log_sink *sink)
{
    if (is_own(sink))
        close(sink->fd);
    *sink = (struct log_sink){.kind = LOG_SINK_POLLED, .fd = STDERR_FILENO};
}

static int reopen_without_blocking(void)
{
    return open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* systemd tells which socket is the journal's: somebody may have redirected descriptor 2 since. */
static bool is_journal(const struct stat *st)
{
    const char *told = getenv("JOURNAL_STREAM");
    char own[64];

    (void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);
    return told != NULL && strcmp(told, own) == 0;
}

static socklen_t journal_address(struct sockaddr_un *ret_address)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(ret_address->sun_path, sizeof(ret_address->sun_path), "%s",
                   log_sink_journal_path);
    return sizeof(*ret_address);
}

/* A socket by which journald can be reached now, or −1.  It stays unconnected, so that it outlives
 * a restart of journald. */
static int open_journal(void)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    socklen_t len = journal_address(&address);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, len) == 0 &&
        connect(fd, &nobody, sizeof(nobody)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void open_socket(struct log_sink *sink, const struct stat *st)
{
    int fd = is_journal(st) ? open_journal() : -1;

    sink->kind = fd < 0 ? LOG_SINK_SOCKET : LOG_SINK_JOURNAL;
    if (fd >= 0)
        sink->fd = fd;
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
    if (is_own(sink) && sink->device == st.st_dev && sink->inode == st.st_ino &&
        fcntl(sink->fd, F_GETFD) >= 0)
        return;

    close_own(sink);
    sink->device = st.st_dev;
    sink->inode = st.st_ino;
    if (S_ISREG(st.st_mode)) {
        sink->kind = LOG_SINK_FILE;
    } else if (S_ISSOCK(st.st_mode)) {
        open_socket(sink, &st);
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
    if (sink->kind == LOG_SINK_SOCKET || sink->kind == LOG_SINK_JOURNAL)
        return send(STDERR_FILENO, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
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

bool log_sink_write_fields(struct log_sink *sink, const char *fields, size_t fields_len,
                           const char *line, size_t len)
{
    static char name[] = "MESSAGE=";
    struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)fields, .iov_len = fields_len},
        {.iov_base = name, .iov_len = sizeof(name) - 1},
        {.iov_base = (void *)(uintptr_t)line, .iov_len = len},
    };
    struct sockaddr_un address;
    struct msghdr message = {.msg_name = &address,
                             .msg_namelen = journal_address(&address),
                             .msg_iov = parts,
                             .msg_iovlen = sizeof(parts) / sizeof(parts[0])};
    ssize_t sent = -1;

    for (int i = 0; i < EINTR_RETRIES; i++) {
        sent = sendmsg(sink->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0 || errno != EINTR)
            break;
    }
    return sent >= 0; /* a datagram goes out whole or not at all */
}
