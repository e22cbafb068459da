#include "keeper/sleeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "keeper/keeper_process.h"

int sleeper_init(struct sleeper *sleeper, int bell)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, KEEPER_SIGNAL_STOP);
    *sleeper = (struct sleeper){.bell = bell};
    sleeper->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return sleeper->signals == -1 ? -errno : 0;
}

bool sleeper_wait(struct sleeper *sleeper, int most_ms)
{
    struct pollfd fds[] = {
        {.fd = sleeper->bell, .events = POLLIN},
        {.fd = sleeper->signals, .events = POLLIN},
    };
    struct signalfd_siginfo info;
    eventfd_t rung;

    if (poll(fds, sizeof(fds) / sizeof(fds[0]), most_ms) <= 0)
        return false;
    if (fds[0].revents != 0)
        (void)eventfd_read(sleeper->bell, &rung);
    if (fds[1].revents != 0 && read(sleeper->signals, &info, sizeof(info)) == sizeof(info))
        sleeper->told_to_end = true;
    return true;
}
