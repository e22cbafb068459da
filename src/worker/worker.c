#include "worker/worker.h"

#include <assert.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/vacancy_local.h"
#include "client/vacancy_remote.h"
#include "http/server.h"
#include "route/route.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/log.h"
#include "worker/control_source.h"
#include "worker/metrics_source.h"

/* How long before SHUTDOWN_TIMEOUT a worker gives up on what is still open: the master ends those
 * that are left at the time-out itself. */
#define DRAIN_MARGIN_MS (2 * HTTP_SWEEP_MS)

/* See keep_memory. */
#define KEEP_BYTES (16 << 20)
#define MAP_BYTES  (4 << 20)

static_assert(WORKER_LISTENERS_MAX <= HTTP_LISTENERS_MAX, "the server has room for all of them");

struct worker {
    const struct heritage *heritage;
    struct scoreboard_slot *slot;
    struct vacancy_client *vacancy; /* one of these two */
    struct vacancy_remote *remote;  /* of a ticket worker; NULL: it has the stock */
    struct vacancy_local local;
    struct stock stock;
    struct http_timer deadline_timer; /* of the local one's calls that wait */
    uint64_t deadline_ms;             /* that it is set to; UINT64_MAX: none */
    struct http_server server;
    struct router router;
    struct control_source control;
    struct metrics_source metrics_source;
    struct metrics_recorder metrics;
    uint64_t shown_ms; /* the sweep after which it last was said what there is */
    h2o_socket_t *signals;
};

static void tell_master(const struct worker *worker, enum scoreboard_state state)
{
    scoreboard_set_state(worker->slot, state);
    heritage_ring_master(worker->heritage);
}

/* How long it may take to end: SHUTDOWN_TIMEOUT, or what the pools that ended before have left of
 * it. */
static uint64_t time_to_end_ms(const struct worker *worker, bool stop)
{
    uint64_t most_ms = (uint64_t)worker->heritage->settings->shutdown_timeout_ms;
    /* relaxed: the master stored it before the signal */
    uint64_t ends_ms =
        atomic_load_explicit(worker->heritage->scoreboard.stop_ends_ms, memory_order_relaxed);
    uint64_t now_ms = clock_monotonic_ms();

    if (!stop || ends_ms == 0)
        return most_ms;
    return ends_ms > now_ms ? clock_earlier(most_ms, ends_ms - now_ms) : 0;
}

static void drain(struct worker *worker, bool stop)
{
    uint64_t deadline_ms = time_to_end_ms(worker, stop);
    uint64_t idle_ms = stop ? (uint64_t)worker->heritage->settings->drain_idle_ms : deadline_ms;

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

static void on_bell(void *context)
{
    (void)vacancy_local_deliver(&((struct worker *)context)->local);
}

static void on_deadline(void *context)
{
    struct worker *worker = context;

    worker->deadline_ms = UINT64_MAX; /* watch_deadlines sets it anew */
    (void)vacancy_local_expire(&worker->local, clock_monotonic_ms());
}

/* Sets the timer to the earliest deadline; as they come in order, that is seldom needed. */
static void watch_deadlines(struct worker *worker)
{
    uint64_t deadline_ms = vacancy_local_deadline(&worker->local);
    uint64_t now_ms;

    if (deadline_ms >= worker->deadline_ms)
        return;
    now_ms = clock_monotonic_ms();
    http_timer_set(&worker->deadline_timer,
                   deadline_ms > now_ms ? (uint32_t)(deadline_ms - now_ms) : 1, 0);
    worker->deadline_ms = deadline_ms;
}

static int open_local(struct worker *worker)
{
    const struct heritage *heritage = worker->heritage;

    worker->stock = heritage->stock;
    worker->vacancy = &worker->local.client;
    return vacancy_local_init(&worker->local,
                              &(struct vacancy_local_options){
                                  .stock = &worker->stock,
                                  .place = STOCK_PLACE_OF(heritage->slot),
                                  .durable = heritage->durable,
                                  .keeper_bell = heritage->keeper_bell,
                                  .reader_bell = heritage->reader_bell,
                                  .sale_timeout_ms = (uint64_t)heritage->settings->sale_timeout_ms,
                                  .parked_max = (uint32_t)heritage->settings->parked_max,
                              });
}

static int open_vacancy(struct worker *worker)
{
    const struct heritage *heritage = worker->heritage;

    assert((heritage->stock.segment != NULL) == role_owns_stock(heritage->role));
    if (role_owns_stock(heritage->role))
        return open_local(worker);
    worker->remote = vacancy_remote_new(heritage->settings, &worker->metrics);
    if (worker->remote == NULL)
        return -ENOMEM;
    worker->vacancy = vacancy_remote_client(worker->remote);
    return 0;
}

/* What of the vacancy client needs the loop. */
static int start_vacancy(struct worker *worker)
{
    h2o_context_t *context = &worker->server.context;

    if (worker->remote != NULL)
        return vacancy_remote_start(worker->remote, context);
    return http_timer_init(&worker->deadline_timer, context->loop, on_deadline, worker);
}

static int set_up(struct worker *worker, const struct heritage *heritage)
{
    struct http_server_options options = {
        .settings = heritage->settings,
        .scoreboard = (struct scoreboard *)&heritage->scoreboard,
        .slot = heritage->slot,
        .metrics = &worker->metrics,
        .pool = (uint32_t)heritage->role,
        .bells = heritage->bells,
        .on_bell = role_owns_stock(heritage->role) ? on_bell : NULL,
        .context = worker,
        .listeners = heritage->listeners,
        .listener_count = heritage->listener_count,
        .control_listener = heritage->control_listener,
    };
    int result;

    worker->heritage = heritage;
    worker->slot = &heritage->scoreboard.slots[heritage->slot];
    worker->deadline_ms = UINT64_MAX;
    log_count_drops_in(metrics_cell_in(&heritage->metrics, heritage->slot, METRICS_log_dropped));
    metrics_recorder_init(&worker->metrics, &heritage->metrics, heritage->slot);
    if ((result = json_init()) < 0 || (result = open_vacancy(worker)) < 0 ||
        (result = http_server_init(&worker->server, &options)) < 0)
        return result;
    control_source_init(&worker->control, heritage);
    metrics_source_init(&worker->metrics_source, heritage);
    router_init(&worker->router, &worker->server, heritage->role, worker->vacancy, &worker->control,
                &worker->metrics_source);
    if ((result = http_server_start(&worker->server, &options)) < 0 ||
        (result = start_vacancy(worker)) < 0)
        return result;
    return open_signals(worker);
}

/* Says how much there is now: what is cheap to say in every turn, the rest after every sweep. */
static void show(struct worker *worker)
{
    if (worker->remote == NULL) {
        scoreboard_show(&worker->slot->parked, worker->local.parked.used);
    } else if (worker->shown_ms != worker->server.now_ms) {
        worker->shown_ms = worker->server.now_ms;
        vacancy_remote_show(worker->remote, worker->slot);
    }
}

/* Waits for what comes, and serves it.  With a stock everything is delivered inside libh2o's
 * callbacks: an answer that is sent outside of them costs two more system calls, since the loop
 * registers its socket for writing before it finds that nothing is left to write.  So this worker
 * rings its own bell for what has come since it last looked. */
static void turn(struct worker *worker)
{
    h2o_loop_t *loop = worker->server.context.loop;

    scoreboard_add(&worker->slot->heartbeat, 1);
    show(worker);
    /* -1, here and below, is EINTR (a debugger, SIGCONT): the loop goes on */
    if (worker->remote != NULL) {
        (void)h2o_evloop_run(loop, vacancy_remote_gathers(worker->remote) ? 0 : INT32_MAX);
        return;
    }
    watch_deadlines(worker);
    if (vacancy_local_gathers(&worker->local, clock_monotonic_ms())) {
        (void)h2o_evloop_run(loop, 0);
        return;
    }
    if (!vacancy_local_sleep(&worker->local))
        (void)eventfd_write(worker->heritage->bells[worker->heritage->slot], 1);
    (void)h2o_evloop_run(loop, INT32_MAX);
    vacancy_local_awake(&worker->local);
}

/* Memory that requests under way take and give back at the rate of sales stays with the process, up
 * to this: the C library would return and fetch it again, a page fault for each four kilobytes. */
static void keep_memory(void)
{
    (void)mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
    /* set alone, the first would fix this one at its small default */
    (void)mallopt(M_MMAP_THRESHOLD, MAP_BYTES);
}

int worker_run(const struct heritage *heritage)
{
    static struct worker worker; /* too large for a stack, one a process */
    int result;

    if (!heritage_bind(heritage))
        return EXIT_FAILURE;
    keep_memory();
    setproctitle("worker %u (%s)", heritage->index, role_name(heritage->role));
    log_set_role(role_worker(heritage->role), (int)heritage->index);
    log_adopt_stderr(); /* libh2o prints there */
    result = set_up(&worker, heritage);
    if (result < 0) {
        errno = -result;
        log_critical("cannot start: %m");
        return EXIT_FAILURE;
    }
    tell_master(&worker, SCOREBOARD_SERVING);
    while (!http_server_drained(&worker.server))
        turn(&worker);
    log_debug("drained");
    return EXIT_SUCCESS;
}
