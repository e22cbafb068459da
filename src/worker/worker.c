#include "worker/worker.h"

#include <assert.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/vacancy_local.h"
#include "http/server.h"
#include "route/route.h"
#include "util/json.h"
#include "util/log.h"

/* How long before SHUTDOWN_TIMEOUT a worker gives up on what is still open: the master ends those
 * that are left at the time-out itself. */
#define DRAIN_MARGIN_MS (2 * HTTP_SWEEP_MS)

static_assert(WORKER_LISTENERS_MAX <= HTTP_LISTENERS_MAX, "the server has room for all of them");

struct worker {
    const struct heritage *heritage;
    struct scoreboard_slot *slot;
    struct stock stock;
    struct vacancy_local vacancy;
    struct http_server server;
    struct router router;
    h2o_socket_t *signals;
};

static void tell_master(const struct worker *worker, enum scoreboard_state state)
{
    scoreboard_set_state(worker->slot, state);
    (void)eventfd_write(worker->heritage->master_bell, 1);
}

static void drain(struct worker *worker, bool stop)
{
    const struct settings *settings = worker->heritage->settings;
    uint64_t deadline_ms = (uint64_t)settings->shutdown_timeout_ms;
    uint64_t idle_ms = stop ? (uint64_t)settings->drain_idle_ms : deadline_ms;

    deadline_ms =
        deadline_ms > 2 * DRAIN_MARGIN_MS ? deadline_ms - DRAIN_MARGIN_MS : deadline_ms / 2;
    if (idle_ms > deadline_ms)
        idle_ms = deadline_ms;
    log_debug("draining %u connections", worker->server.connections);
    http_server_drain(&worker->server, stop, idle_ms, deadline_ms);
    tell_master(worker, SCOREBOARD_DRAINING);
}

static void on_signal(h2o_socket_t *sock, const char *error)
{
    struct worker *worker = sock->data;
    struct signalfd_siginfo info;

    if (error != NULL)
        return;
    while (read(h2o_socket_get_fd(sock), &info, sizeof(info)) == sizeof(info))
        drain(worker, info.ssi_signo == WORKER_SIGNAL_STOP);
}

static int open_signals(struct worker *worker)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, WORKER_SIGNAL_STOP);
    sigaddset(&set, WORKER_SIGNAL_ROLL);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd == -1)
        return -errno;
    worker->signals =
        h2o_evloop_socket_create(worker->server.context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    worker->signals->data = worker;
    h2o_socket_read_start(worker->signals, on_signal);
    return 0;
}

static int set_up(struct worker *worker, const struct heritage *heritage)
{
    struct http_server_options options = {
        .settings = heritage->settings,
        .scoreboard = (struct scoreboard *)&heritage->scoreboard,
        .slot = heritage->slot,
        .pool = (uint32_t)heritage->role,
        .bells = heritage->bells,
        .listeners = heritage->listeners,
        .listener_count = heritage->listener_count,
        .control_listener = -1,
    };
    int result;

    assert(heritage->stock.segment != NULL && "a ticket worker needs a remote client");
    worker->heritage = heritage;
    worker->slot = &heritage->scoreboard.slots[heritage->slot];
    worker->stock = heritage->stock;
    log_count_drops_in(&worker->slot->count.log_dropped);
    if ((result = json_init()) < 0 || (result = http_server_init(&worker->server, &options)) < 0)
        return result;
    vacancy_local_init(&worker->vacancy, &worker->stock);
    router_init(&worker->router, &worker->server, heritage->role, &worker->vacancy.client, NULL);
    if ((result = http_server_start(&worker->server, &options)) < 0)
        return result;
    return open_signals(worker);
}

int worker_run(const struct heritage *heritage)
{
    static struct worker worker; /* too large for a stack, one a process */
    int result;

    /* Die with the master, also if it died before this line. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != heritage->master)
        return EXIT_FAILURE;
    setproctitle("worker %u (%s)", heritage->index, role_name(heritage->role));
    log_set_role("worker", (int)heritage->index);
    result = set_up(&worker, heritage);
    if (result < 0) {
        errno = -result;
        log_critical("cannot start: %m");
        return EXIT_FAILURE;
    }
    tell_master(&worker, SCOREBOARD_SERVING);
    while (!http_server_drained(&worker.server)) {
        /* −1 is EINTR (a debugger, SIGCONT): the loop goes on */
        (void)h2o_evloop_run(worker.server.context.loop, INT32_MAX);
        scoreboard_add(&worker.slot->heartbeat, 1);
    }
    log_debug("drained");
    return EXIT_SUCCESS;
}
