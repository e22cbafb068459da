#include "master/notify.h"

#include <assert.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static_assert(NOTIFY_SOCKETS_FIRST == SD_LISTEN_FDS_START, "as systemd numbers them");

/* A descriptor that is connected to the socket of that name, or −1. */
static int connect_to(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    int fd;

    if (len < 2 || len >= sizeof(address.sun_path) || (name[0] != '/' && name[0] != '@'))
        return -1;
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0'; /* an abstract address has no end, but a length */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1)
        return -1;
    len += offsetof(struct sockaddr_un, sun_path) + (name[0] == '/');
    if (connect(fd, (const struct sockaddr *)&address, (socklen_t)len) == 0)
        return fd;
    close(fd);
    return -1;
}

void notify_open(struct notify *ret_notify)
{
    const char *name = getenv("NOTIFY_SOCKET");
    uint64_t watchdog_us;

    *ret_notify = (struct notify){.probe = name == NULL ? -1 : connect_to(name)};
    if (ret_notify->probe != -1 && sd_watchdog_enabled(0, &watchdog_us) > 0)
        ret_notify->watchdog_ms = watchdog_us / 1000;
}

/* sd_notify waits for room. */
static bool has_room(const struct notify *notify)
{
    struct pollfd fd = {.fd = notify->probe, .events = POLLOUT};

    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) != 0;
}

bool notify_send(const struct notify *notify, const char *assignments)
{
    return notify->probe == -1 || (has_room(notify) && sd_notify(0, assignments) > 0);
}

int notify_sockets(char ***ret_names)
{
    return sd_listen_fds_with_names(0, ret_names);
}

void notify_close(struct notify *notify)
{
    if (notify->probe != -1)
        close(notify->probe);
    notify->probe = -1;
}
