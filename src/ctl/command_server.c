/* ticketctl status and ticketctl reload: what only a running server can do. */
#include <inttypes.h>
#include <time.h>

#include "ctl/commands.h"
#include "ctl/control.h"
#include "ctl/output.h"
#include "util/clock.h"

enum {
    POLL_MS = 50,
};

int command_status(struct ctl *ctl)
{
    struct control_status status;
    struct control_error error;
    struct json_value *row, *part;
    int answer = control_get_status(ctl, &status, &error);

    if (answer != CONTROL_DONE)
        return control_failed(answer, &error);
    if (!ctl->json) {
        (void)printf("service     %s\nversion     %s\nrole        %s\nmaster      process %" PRId64
                     "\nkeeper      %s, %" PRId64 " entries behind\nreloads     %" PRId64
                     " asked for, %" PRId64 " done, %" PRId64 " refused\n",
                     status.service, status.version, status.role, status.master_pid, status.keeper,
                     status.keeper_lag, status.reloads_asked, status.reloads_done,
                     status.reloads_refused);
        return CTL_OK;
    }
    row = json_object_new();
    json_add_string(row, "service", status.service);
    json_add_string(row, "version", status.version);
    json_add_string(row, "role", status.role);
    json_add_integer(row, "master_pid", status.master_pid);
    part = json_add_object(row, "keeper");
    json_add_string(part, "state", status.keeper);
    json_add_integer(part, "lag", status.keeper_lag);
    part = json_add_object(row, "reload");
    json_add_integer(part, "asked", status.reloads_asked);
    json_add_integer(part, "done", status.reloads_done);
    json_add_integer(part, "refused", status.reloads_refused);
    return output_json(row);
}

static int write_reload(const struct ctl *ctl, int64_t number, const char *state)
{
    struct json_value *row;

    if (!ctl->json) {
        (void)printf("reload %" PRId64 ": %s\n", number, state);
        return CTL_OK;
    }
    row = json_object_new();
    json_add_integer(row, "reload", number);
    json_add_string(row, "state", state);
    return output_json(row);
}

static void pause_ms(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    (void)nanosleep(&pause, NULL);
}

/* Asks until the reload has ended.  Each time on a new connection: the worker that answered the
 * last one may be among those that are replaced. */
static int wait_for(const struct ctl *ctl, int64_t number, const struct control_status *before)
{
    unsigned timeout_ms = ctl->has_timeout ? ctl->timeout_ms : CTL_RELOAD_TIMEOUT_MS;
    uint64_t until_ms = clock_monotonic_ms() + timeout_ms;
    struct control_status status;
    struct control_error error;

    for (;;) {
        int answer = control_get_status(ctl, &status, &error);

        if (answer != CONTROL_DONE)
            return control_failed(answer, &error);
        if (status.master_pid != before->master_pid || status.reloads_asked < number)
            return ctl_fail(EX_TEMPFAIL, "the server was restarted before the reload ended");
        if (status.reloads_done + status.reloads_refused >= number)
            break;
        if (clock_monotonic_ms() >= until_ms)
            return ctl_fail(EX_TEMPFAIL, "reload %" PRId64 " has not ended within %u.%03u s",
                            number, timeout_ms / 1000, timeout_ms % 1000);
        pause_ms(POLL_MS);
    }
    if (status.reloads_refused == before->reloads_refused)
        return write_reload(ctl, number, "done");
    return ctl_fail(CTL_NO, "reload %" PRId64 " was refused and changed nothing; the log says why",
                    number);
}

int command_reload(struct ctl *ctl)
{
    struct control_status before;
    struct control_error error;
    int64_t number = 0;
    int answer = control_get_status(ctl, &before, &error);

    if (answer == CONTROL_DONE)
        answer = control_reload(ctl, &number, &error);
    if (answer != CONTROL_DONE)
        return control_failed(answer, &error);
    return ctl->wait ? wait_for(ctl, number, &before) : write_reload(ctl, number, "asked for");
}
