#include "master/master.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <bsd/unistd.h>

#include "config/control_path.h"
#include "keeper/keeper_process.h"
#include "master/announce.h"
#include "master/ledger_children.h"
#include "master/notify.h"
#include "master/pools.h"
#include "master/rehearsal.h"
#include "master/stock_owner.h"
#include "master/watch.h"
#include "stock/keeper_link.h"
#include "ticketd/error.h"
#include "util/clock.h"
#include "util/log.h"

/* How long after the first event of a folder its files are looked at. */
#define WATCH_QUIET_MS 200
/* A second SIGTERM or SIGINT so soon after the first one is the same wish. */
#define STOP_REPEAT_MS 500

/* What the keeper has for its last entries, also when the workers have used up SHUTDOWN_TIMEOUT. */
#define KEEPER_END_MS 1000

enum ending {
    ENDING_NONE = 0,
    ENDING_STOP,    /* SIGTERM or SIGINT */
    ENDING_RESTART, /* in place, for RELOAD */
};

struct master {
    struct settings settings;
    const struct master_options *options;
    char binary[PATH_MAX];    /* as it was started; a rebuilt one replaces it there */
    int *bells;               /* an eventfd for each slot of the scoreboard */
    struct stock_owner owner; /* where one of the pools owns a stock; else zero */
    struct scoreboard scoreboard;
    struct metrics metrics;
    struct heritage heritage; /* what every child gets, but for what a pool has of its own */
    struct pools pools;
    struct ledger_children ledger_children;
    struct watch watch;
    struct rehearsal rehearsal;
    struct notify notify;
    struct announce announce;
    int signals; /* signalfd */
    int bell;    /* eventfd: a child's state has changed */
    enum ending ending;
    uint64_t stopped_ms; /* when the stop began */
    bool hurried;        /* told a second time: killed whoever still had something to do */
    bool told_ready;
    uint64_t watch_at_ms;      /* when to look at watched files; 0: nothing moved */
    uint64_t reloads_taken_up; /* of those asked for: refused, or served by the rolling pools */
    int exit_status;
};

bool master_can_run(const struct settings *settings, char error[SETTINGS_ERROR_MAX])
{
    struct ledger_place ledger;

    if (deployment_judge(settings, error) != TICKETD_DONE)
        return false;
    return !deployment_of(settings).owns_stock ||
           stock_owner_judge(settings, &ledger, error) == TICKETD_DONE;
}

/* Logs why the start fails.  Returns `result`, a negated errno. */
static int cannot_start(int result)
{
    errno = -result;
    log_critical("cannot start: %m");
    return result;
}

static int raise_descriptor_limit(const struct settings *settings)
{
    char error[SETTINGS_ERROR_MAX];
    struct rlimit limit;

    if (!master_can_run(settings, error)) {
        log_critical("%s", error);
        return TICKETD_INVALID;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
        return cannot_start(-errno);
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == -1 ? cannot_start(-errno) : 0;
}

static void block_signals(sigset_t *ret_set)
{
    static const int signals[] = {SIGTERM,           SIGINT, SIGHUP, SIGCHLD, WORKER_SIGNAL_ROLL,
                                  KEEPER_SIGNAL_STOP};

    sigemptyset(ret_set);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); ++i)
        sigaddset(ret_set, signals[i]);
    (void)sigprocmask(SIG_BLOCK, ret_set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    /* inherited as ignored, the kernel would reap children and tell nobody */
    (void)signal(SIGCHLD, SIG_DFL);
}

static int open_descriptors(struct master *master)
{
    sigset_t set;

    block_signals(&set);
    master->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    master->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return master->signals == -1 || master->bell == -1 ? -errno : 0;
}

static int open_bell(int *ret_bell)
{
    *ret_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return *ret_bell == -1 ? -errno : 0;
}

/* While the ledger loads: there is no child, and no client has been answered; the ledger is whole
 * whenever its process ends, and a unix socket that is left behind is no hindrance to the next. */
static void on_stop_while_loading(int number)
{
    (void)number;
    _exit(EXIT_SUCCESS);
}

/* `now`: SIGTERM and SIGINT end the process as soon as they come, for a large ledger, a slow disk
 * or another process that has the ledger would keep it from its loop for long; else they wait for
 * the loop. */
static void let_stop_end(bool now)
{
    struct sigaction action = {.sa_handler = now ? on_stop_while_loading : SIG_DFL};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (!now)
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    if (now)
        (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* 0; TICKETD_INVALID: a setting is wrong; any other: why it cannot be had; the log has said so. */
static int open_stock(struct master *master)
{
    const struct deployment *deployment = &master->pools.deployment;
    char error[SETTINGS_ERROR_MAX];
    int result;

    if (!deployment->owns_stock)
        return 0;
    (void)notify_send(&master->notify, "STATUS=Starting: loading the ledger");
    let_stop_end(true);
    result = stock_owner_open(&master->owner, &master->settings,
                              POOL_SLOTS(deployment->pools[0].workers), error);
    let_stop_end(false);
    if (result != 0) {
        log_critical("%s", error);
        return result;
    }
    log_info("the ledger is %s:%s; %" PRIu64 " keys are remembered", master->owner.place.ops->name,
             master->owner.place.location, master->owner.keys);
    return 0;
}

/* After the stock is open: what is counted goes by its events. */
static int open_metrics(struct master *master)
{
    const struct stock *stock = &master->owner.stock;
    uint32_t event_count = stock->segment != NULL ? stock_event_count(stock) : 1;
    int result = metrics_create(&master->metrics, master->scoreboard.slot_count, event_count);

    if (result < 0)
        return cannot_start(result);
    log_count_drops_in(metrics_cell_in(&master->metrics, METRICS_SLOT_MASTER(&master->metrics),
                                       METRICS_log_dropped));
    if (stock->segment == NULL)
        metrics_add_event_id(&master->metrics, STOCK_DEFAULT_EVENT, 0);
    for (uint32_t i = 0; stock->segment != NULL && i < event_count; ++i)
        metrics_add_event_id(&master->metrics, stock_event_id(stock, i),
                             stock_view(stock, i).sequence);
    return 0;
}

static int open_bells(struct master *master)
{
    uint32_t count = master->scoreboard.slot_count;
    int result;

    master->bells = calloc(count, sizeof(int));
    if (master->bells == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; ++i)
        if ((result = open_bell(&master->bells[i])) < 0)
            return result;
    master->heritage.keeper_bell = master->heritage.reader_bell = -1;
    if (!master->pools.deployment.owns_stock)
        return 0;
    if ((result = open_bell(&master->heritage.keeper_bell)) == 0)
        result = open_bell(&master->heritage.reader_bell);
    return result;
}

/* Without one, ticketd sells all the same. */
static void open_control(struct master *master)
{
    char error[SETTINGS_ERROR_MAX], path[CONTROL_PATH_SIZE];
    int result;

    if (master->pools.control.count > 0)
        return; /* the service manager has opened it */
    switch (control_path_find(&master->settings, master->owner.place.location, path)) {
    case TICKETD_DONE:
        result = control_path_prepare(path);
        if (result < 0) {
            errno = -result;
            log_warning("cannot make the folder of %s: %m; ticketctl cannot ask this server", path);
        } else if (listener_open_control(&master->pools.control, &master->settings, path, error) !=
                   0) {
            log_warning("%s; ticketctl cannot ask this server", error);
        }
        break;
    case TICKETD_INVALID:
        log_warning("the path of the control socket is too long; CONTROL_SOCKET can name another; "
                    "ticketctl cannot ask this server");
        break;
    default:
        break; /* memory: has no file beside which it could be */
    }
}

static void open_watch(struct master *master)
{
    const char *config = master->options->input->config_path;
    int result;

    master->watch.fd = -1;
    if (!master->settings.reload || !settings_in_development(&master->settings))
        return;
    result = watch_open(&master->watch, master->binary, config == NULL ? "./.env" : config);
    if (result != 0) {
        errno = -result;
        log_warning("RELOAD has no effect: files cannot be watched: %m");
    }
}

/* In a new child: the master's own descriptors have no business there. */
static void leave_master(void *context)
{
    struct master *master = context;

    close(master->signals);
    notify_close(&master->notify);
    watch_close(&master->watch);
    if (master->rehearsal.pid != 0)
        close(master->rehearsal.output);
}

/* In a new keeper or reader, which serve nobody: an address is closed when the master and the
 * workers have closed it, and not when the ledger's processes end. */
static void leave_in_ledger_child(void *context)
{
    struct master *master = context;

    leave_master(master);
    pools_leave(&master->pools);
}

/* In a new worker.  One that must ask for the stock over HTTP has no other way to it: not the
 * memory, not the right to the ledger, nor the bells of who has them. */
static void leave_in_worker(void *context, enum role role)
{
    struct master *master = context;

    leave_master(master);
    if (role_owns_stock(role) || !master->pools.deployment.owns_stock)
        return;
    stock_owner_close(&master->owner);
    close(master->heritage.keeper_bell);
    close(master->heritage.reader_bell);
}

static void set_up_children(struct master *master)
{
    pools_init(&master->pools, &(struct pools_options){.settings = &master->settings,
                                                       .heritage = &master->heritage,
                                                       .in_child = leave_in_worker,
                                                       .context = master});
    if (master->pools.deployment.owns_stock)
        ledger_children_init(&master->ledger_children, &master->owner.stock, &master->heritage,
                             leave_in_ledger_child, master);
}

static void set_up_heritage(struct master *master)
{
    struct heritage *heritage = &master->heritage;

    heritage->settings = &master->settings;
    heritage->scoreboard = master->scoreboard;
    heritage->metrics = master->metrics;
    heritage->stock = master->owner.stock;
    heritage->ledger = master->owner.place.ops;
    heritage->ledger_location = master->owner.place.location;
    heritage->ledger_hold = master->owner.hold;
    heritage->durable = master->owner.place.durable;
    heritage->control_listener = -1;
    heritage->bells = master->bells;
    heritage->master_bell = master->bell;
    heritage->master = getpid();
}

static void set_up_log(const struct settings *settings)
{
    log_init(&(struct log_options){.level = settings->log_level, .json = settings->json_logs});
}

static void on_ignored(void *context, const char *name)
{
    (void)context;
    log_warning("%s has changed but takes effect only after a restart; the old value stays", name);
}

/* Reloads that were asked for and have not been counted as done or refused. */
static uint64_t open_reloads(const struct scoreboard_reloads *reloads)
{
    /* relaxed, here and below: only this process counts what ended, and who asked has signalled */
    return atomic_load_explicit(&reloads->asked, memory_order_relaxed) -
           atomic_load_explicit(&reloads->done, memory_order_relaxed) -
           atomic_load_explicit(&reloads->refused, memory_order_relaxed);
}

/* Counts the reloads that the rolling of workers has served, when it has ended. */
static void count_reloads(struct master *master)
{
    struct scoreboard_reloads *reloads = master->scoreboard.reloads;
    uint64_t ended = atomic_load_explicit(&reloads->done, memory_order_relaxed) +
                     atomic_load_explicit(&reloads->refused, memory_order_relaxed);

    if (!master->pools.rolling && master->reloads_taken_up > ended)
        scoreboard_add(master->pools.roll_failed ? &reloads->refused : &reloads->done,
                       master->reloads_taken_up - ended);
}

/* SIGHUP: read the settings again, then roll the workers, which take them over. */
static void reload(struct master *master)
{
    struct scoreboard_reloads *reloads = master->scoreboard.reloads;
    char error[SETTINGS_ERROR_MAX];
    struct settings_input input = *master->options->input;
    struct settings fresh;

    /* a signal of somebody who has not counted it */
    if (atomic_load_explicit(&reloads->asked, memory_order_relaxed) == master->reloads_taken_up)
        atomic_fetch_add_explicit(&reloads->asked, 1, memory_order_relaxed);
    master->reloads_taken_up = atomic_load_explicit(&reloads->asked, memory_order_relaxed);
    input.environment = environ; /* it may have moved since the start */
    if (settings_load(&fresh, &input, error) != 0 || !master_can_run(&fresh, error)) {
        log_error("reload refused, nothing is changed: %s", error);
        if (!master->pools.rolling)
            scoreboard_add(&reloads->refused, open_reloads(reloads));
        return;
    }
    settings_reload(&master->settings, &fresh, on_ignored, NULL);
    pools_take_settings(&master->pools, &master->settings);
    set_up_log(&master->settings);
    log_info("reloading");
    pools_roll(&master->pools);
}

static void stop(struct master *master, const char *why)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (master->ending == ENDING_STOP) {
        if (now_ms - master->stopped_ms < STOP_REPEAT_MS)
            return; /* one wish, told to the process and to its group */
        log_warning("%s again: not waiting any longer", why);
        master->hurried = true;
        pools_kill(&master->pools);
        ledger_children_kill(&master->ledger_children);
        return;
    }
    log_info("%s: stopping", why);
    master->ending = ENDING_STOP;
    rehearsal_cancel(&master->rehearsal);
    master->stopped_ms = now_ms;
    pools_stop(&master->pools, true, now_ms);
}

static void begin_restart(struct master *master)
{
    if (master->ending != ENDING_NONE)
        return;
    log_info("restarting in place");
    master->ending = ENDING_RESTART;
    master->stopped_ms = clock_monotonic_ms();
    pools_stop(&master->pools, false, master->stopped_ms);
}

/* All workers are gone: become the new binary.  Returns only if that fails. */
static void finish_restart(struct master *master)
{
    int result = pools_export(&master->pools);

    if (result == 0) {
        execv(master->binary, master->options->arguments);
        result = -errno;
    }
    errno = -result;
    log_error("cannot restart in place: %m; going on as before");
    pools_unexport(&master->pools);
    master->ending = ENDING_NONE;
    ledger_children_restart(&master->ledger_children);
    pools_restart(&master->pools);
}

static void on_keeper_reaped(struct master *master, int status)
{
    if (master->ending == ENDING_STOP && !master->hurried && status != 0)
        master->exit_status = EXIT_FAILURE; /* it has said what is not in the ledger */
}

static void reap(struct master *master)
{
    uint64_t now_ms = clock_monotonic_ms();
    bool good = false;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pools_reaped(&master->pools, pid, status, now_ms))
            continue;
        if (single_reaped(&master->ledger_children.keeper, pid, status, now_ms)) {
            on_keeper_reaped(master, status);
            continue;
        }
        if (single_reaped(&master->ledger_children.reader, pid, status, now_ms))
            continue;
        if (rehearsal_reaped(&master->rehearsal, pid, status, &good) && good)
            begin_restart(master);
    }
}

static void on_signals(struct master *master)
{
    struct signalfd_siginfo info;

    while (read(master->signals, &info, sizeof(info)) == sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGCHLD:
            reap(master);
            break;
        case SIGHUP:
            if (master->ending == ENDING_NONE)
                reload(master);
            break;
        case SIGTERM:
        case SIGINT:
            stop(master, info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
            break;
        default:
            break;
        }
    }
}

static void on_watch(struct master *master)
{
    int result;

    master->watch_at_ms = 0;
    if (master->ending != ENDING_NONE || !watch_changed(&master->watch))
        return;
    log_info("the binary or the configuration has changed");
    rehearsal_cancel(&master->rehearsal);
    result = rehearsal_start(&master->rehearsal, master->binary, master->options->arguments);
    if (result != 0) {
        errno = -result;
        log_error("not restarted, the new binary does not run: %m");
    }
}

static bool is_ready(const struct master *master)
{
    return pools_ready(&master->pools) && ledger_children_ready(&master->ledger_children);
}

static void give_up(struct master *master, const char *why)
{
    log_critical("%s; giving up", why);
    master->exit_status = EXIT_FAILURE;
    stop(master, "failure");
}

/* The keeper first: nothing is sold for good without it. */
static uint64_t tick_children(struct master *master, uint64_t now_ms)
{
    uint32_t event, sequence;
    uint64_t wake_ms = pools_repair(&master->pools) ? UINT64_MAX : now_ms + 1;

    if (master->pools.deployment.owns_stock &&
        keeper_stalled(&master->owner.stock, &event, &sequence))
        pools_kill_holder(&master->pools, event, sequence);
    wake_ms = clock_earlier(wake_ms, ledger_children_tick(&master->ledger_children, now_ms));
    return clock_earlier(wake_ms, pools_tick(&master->pools, now_ms));
}

/* Gives up what cannot live. */
static void judge_children(struct master *master)
{
    const struct pool *stillborn = pools_stillborn(&master->pools);
    char why[64];

    if (master->ending != ENDING_NONE)
        return;
    if (stillborn != NULL) {
        (void)snprintf(why, sizeof(why), "%ss die before they serve", stillborn->worker);
        give_up(master, why);
    } else if (ledger_children_stillborn(&master->ledger_children)) {
        give_up(master, "the keeper or the reader of the ledger dies before it serves");
    }
}

static enum announce_ledger ledger_condition(const struct master *master, uint64_t now_ms)
{
    if (!master->pools.deployment.owns_stock)
        return ANNOUNCE_LEDGER_GOOD;
    switch (keeper_state(&master->owner.stock)) {
    case KEEPER_RUNNING:
        return keeper_is_ready(&master->owner.stock, now_ms) ? ANNOUNCE_LEDGER_GOOD
                                                             : ANNOUNCE_LEDGER_SLOW;
    case KEEPER_FAULT:
        return ANNOUNCE_LEDGER_FAULT;
    default:
        return ANNOUNCE_LEDGER_LOADING;
    }
}

static enum announce_ending ending_to_tell(const struct master *master)
{
    switch (master->ending) {
    case ENDING_RESTART:
        return ANNOUNCE_RESTARTS;
    case ENDING_STOP:
        return pools_gone(&master->pools) ? ANNOUNCE_FLUSHES : ANNOUNCE_DRAINS;
    default:
        return ANNOUNCE_STAYS;
    }
}

static uint64_t announce(struct master *master, uint64_t now_ms)
{
    struct announce_view view = {
        .ready = is_ready(master),
        .serving = pools_serving(&master->pools),
        .workers = pools_worker_count(&master->pools),
        .ledger = ledger_condition(master, now_ms),
        .reloads = master->reloads_taken_up,
        .reloading = master->pools.rolling,
        .ending = ending_to_tell(master),
    };

    return announce_tick(&master->announce, &view, now_ms);
}

static bool send_notice(void *context, const char *assignments)
{
    return notify_send(&((struct master *)context)->notify, assignments);
}

static uint64_t tick(struct master *master, uint64_t now_ms)
{
    uint64_t wake_ms = tick_children(master, now_ms);

    count_reloads(master);
    if (master->watch_at_ms != 0 && now_ms >= master->watch_at_ms)
        on_watch(master);
    if (master->watch_at_ms != 0)
        wake_ms = clock_earlier(wake_ms, master->watch_at_ms);
    wake_ms = clock_earlier(wake_ms, rehearsal_tick(&master->rehearsal, now_ms));
    if (!master->told_ready && is_ready(master)) {
        master->told_ready = true;
        log_info("ready: %" PRIu32 " workers serve", pools_worker_count(&master->pools));
    }
    judge_children(master);
    return clock_earlier(wake_ms, announce(master, now_ms));
}

static void wait_for_events(struct master *master, uint64_t wake_ms)
{
    struct pollfd fds[] = {
        {.fd = master->signals, .events = POLLIN},
        {.fd = master->bell, .events = POLLIN},
        {.fd = master->watch.fd, .events = POLLIN},
    };
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t wait_ms = wake_ms > now_ms ? wake_ms - now_ms : 0;
    eventfd_t rung;

    if (poll(fds, 3, wait_ms < INT32_MAX ? (int)wait_ms : INT32_MAX) <= 0)
        return;
    if (fds[0].revents != 0)
        on_signals(master);
    if (fds[1].revents != 0)
        (void)eventfd_read(master->bell, &rung);
    if (fds[2].revents != 0) {
        watch_clear(&master->watch);
        if (master->watch_at_ms == 0)
            master->watch_at_ms = clock_monotonic_ms() + WATCH_QUIET_MS;
    }
}

/* All workers are gone and what they left is mended: the keeper moves the rest into the ledger.
 * true when the last child is gone. */
static bool end_children(struct master *master)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t end_ms = master->stopped_ms + (uint64_t)master->settings.shutdown_timeout_ms;
    uint64_t most_ms = end_ms > now_ms + KEEPER_END_MS ? end_ms - now_ms : KEEPER_END_MS;

    if (!pools_gone(&master->pools) || !pools_repair(&master->pools))
        return false;
    ledger_children_stop(&master->ledger_children, now_ms, most_ms);
    return ledger_children_gone(&master->ledger_children);
}

static void supervise(struct master *master)
{
    for (;;) {
        wait_for_events(master, tick(master, clock_monotonic_ms()));
        if (master->ending == ENDING_NONE || !end_children(master))
            continue;
        if (master->ending == ENDING_STOP)
            return;
        finish_restart(master);
    }
}

static int set_up(struct master *master)
{
    ssize_t len = readlink("/proc/self/exe", master->binary, sizeof(master->binary) - 1);
    int result;

    if (len == -1)
        return cannot_start(-errno);
    master->binary[len] = '\0';
    notify_open(&master->notify);
    announce_init(&master->announce, master->notify.watchdog_ms, send_notice, master);
    if ((result = raise_descriptor_limit(&master->settings)) != 0)
        return result;
    master->pools.deployment = deployment_of(&master->settings);
    if ((result = open_descriptors(master)) == 0)
        result =
            scoreboard_create(&master->scoreboard, deployment_slots(&master->pools.deployment));
    if (result == 0)
        result = open_bells(master);
    if (result < 0)
        return cannot_start(result);
    /* before the ledger: clients wait in the kernel while an old tree lets go of it */
    if ((result = pools_listen(&master->pools, &master->settings)) != 0 ||
        (result = open_stock(master)) != 0 || (result = open_metrics(master)) != 0)
        return result;
    open_watch(master);
    set_up_heritage(master);
    open_control(master);
    set_up_children(master);
    return 0;
}

static void log_start(const struct master *master)
{
    const struct deployment *deployment = &master->pools.deployment;
    char pools[128] = "";
    size_t len = 0;

    for (uint32_t i = 0; i < deployment->count; ++i) {
        const struct deployment_pool *pool = &deployment->pools[i];
        len += (size_t)snprintf(pools + len, sizeof(pools) - len, "%s%s with %s=%" PRIu32,
                                i == 0 ? "" : " and ", role_name(pool->role),
                                settings_row(pool->workers_row)->name, pool->workers);
    }
    log_info("ticketd " TICKETD_VERSION " runs as %s", pools);
    for (uint32_t i = 0; i < deployment->count; ++i)
        if (deployment->pools[i].role == ROLE_TICKET)
            log_info("the vacancy pool is %s", master->pools.items[i].settings.vacancy_url);
}

int master_run(const struct master_options *options)
{
    static struct master master; /* too large for a stack, one a process */
    int result;

    master.settings = *options->settings;
    master.options = options;
    set_up_log(&master.settings);
    log_set_role("master", -1);
    setproctitle("master");
    result = set_up(&master);
    if (result != 0)
        return result == TICKETD_INVALID ? EX_CONFIG : EXIT_FAILURE;
    log_start(&master);
    supervise(&master);
    log_info("stopped");
    watch_close(&master.watch);
    log_count_drops_in(NULL);
    metrics_destroy(&master.metrics);
    scoreboard_destroy(&master.scoreboard);
    if (master.pools.deployment.owns_stock)
        stock_owner_close(&master.owner);
    free(master.bells);
    return master.exit_status;
}
