#include "master/single.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper/keeper_process.h"
#include "util/backoff.h"
#include "util/clock.h"
#include "util/log.h"

/* How often the heartbeat is looked at. */
#define WATCH_MS 1000
/* One that lives this long has not died at once. */
#define SETTLED_MS 10000

void single_init(struct single *single, const struct single_options *options)
{
    *single = (struct single){.options = *options};
}

static void start(struct single *single, uint64_t now_ms)
{
    const struct single_options *options = &single->options;
    pid_t pid;

    options->on_start(options->context);
    pid = fork();
    if (pid == 0) {
        struct heritage heritage = *options->heritage;
        options->in_child(options->context);
        exit(options->run(&heritage));
    }
    if (pid == -1) {
        log_error("cannot fork the %s: %m", options->name);
        options->on_gone(options->context);
        single->restart_at_ms = now_ms + backoff_ms(++single->deaths);
        return;
    }
    metrics_raise_in(&options->heritage->metrics, options->metrics_slot, METRICS_starts);
    single->pid = pid;
    single->began_ms = now_ms;
    single->kill_at_ms = 0;
    single->killed = false;
    single->still_ms = 0;
    single->seen_beat = atomic_load_explicit(options->heartbeat, memory_order_relaxed);
    log_debug("the %s has pid %d", options->name, (int)pid);
}

void single_kill(struct single *single)
{
    if (single->pid == 0)
        return;
    (void)kill(single->pid, SIGKILL);
    single->killed = true;
}

/* Its time in the hands of its ledger does not count: a slow disk makes it unready, and killing it
 * would not make the disk quicker.  Nor does a pause of the whole machine. */
static void watch(struct single *single, uint64_t now_ms)
{
    const struct single_options *options = &single->options;
    uint64_t beat = atomic_load_explicit(options->heartbeat, memory_order_relaxed);
    bool in_io = atomic_load_explicit(options->io_since_ms, memory_order_relaxed) != 0;
    uint64_t slept_ms = now_ms - single->watched_ms;

    if (beat != single->seen_beat)
        single->ever_served = true;
    if (beat != single->seen_beat || in_io || !single->ever_served)
        single->still_ms = 0;
    else if (slept_ms <= 2 * WATCH_MS)
        single->still_ms += slept_ms;
    single->seen_beat = beat;
    single->watched_ms = now_ms;
    if (single->killed)
        return;
    if (single->kill_at_ms != 0 && now_ms >= single->kill_at_ms) {
        log_error("the %s (pid %d) did not end in time; killing it", options->name,
                  (int)single->pid);
        single_kill(single);
    } else if (single->still_ms >= SINGLE_HANG_TIMEOUT_MS) {
        log_error("the %s (pid %d) hangs: its heartbeat stands still; killing it", options->name,
                  (int)single->pid);
        single_kill(single);
    }
}

uint64_t single_tick(struct single *single, uint64_t now_ms)
{
    uint64_t wake_ms = now_ms + WATCH_MS;

    if (single->pid != 0) {
        watch(single, now_ms);
        return single->kill_at_ms != 0 && !single->killed
                   ? clock_earlier(wake_ms, single->kill_at_ms)
                   : wake_ms;
    }
    if (single->stopping || single->stillborn)
        return UINT64_MAX;
    if (!single->options.is_mended(single->options.context))
        return now_ms + 1;
    if (now_ms < single->restart_at_ms)
        return single->restart_at_ms;
    start(single, now_ms);
    return wake_ms;
}

bool single_reaped(struct single *single, pid_t pid, int status, uint64_t now_ms)
{
    uint64_t delay_ms;

    if (single->pid == 0 || single->pid != pid)
        return false;
    single->pid = 0;
    single->options.on_gone(single->options.context);
    if (single->stopping && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
        return true;
    metrics_raise_in(&single->options.heritage->metrics, single->options.metrics_slot,
                     METRICS_deaths);
    if (WIFSIGNALED(status))
        log_warning("the %s (pid %d) was killed by signal %d (%s)", single->options.name, (int)pid,
                    WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        log_warning("the %s (pid %d) exited with status %d", single->options.name, (int)pid,
                    WEXITSTATUS(status));
    if (atomic_load_explicit(single->options.heartbeat, memory_order_relaxed) != single->seen_beat)
        single->ever_served = true;
    if (now_ms - single->began_ms >= SETTLED_MS)
        single->deaths = 0;
    delay_ms = backoff_ms(single->deaths++);
    single->restart_at_ms = now_ms + delay_ms;
    single->stillborn = !single->ever_served && single->deaths >= SINGLE_STILLBORN_MAX;
    if (delay_ms > 0 && !single->stopping && !single->stillborn)
        log_info("the %s starts again in %" PRIu64 " ms", single->options.name, delay_ms);
    return true;
}

void single_stop(struct single *single, uint64_t now_ms, uint64_t most_ms)
{
    single->stopping = true;
    if (single->pid == 0)
        return;
    single->kill_at_ms = now_ms + most_ms;
    (void)kill(single->pid, KEEPER_SIGNAL_STOP);
}

void single_restart(struct single *single)
{
    single->stopping = false;
    single->deaths = 0;
    single->restart_at_ms = 0;
}

bool single_gone(const struct single *single)
{
    return single->pid == 0;
}
