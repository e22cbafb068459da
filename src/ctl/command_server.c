/* ticketctl status and ticketctl reload: what only a running server can do. */
#include <inttypes.h>
#include <time.h>

#include "ctl/commands.h"
#include "ctl/control.h"
#include "ctl/output.h"
#include "ctl/top_frame.h"
#include "ctl/transport.h"
#include "util/clock.h"

enum {
    POLL_MS = 50,
};

/* What else there is to know: what the server tells first of what happens. */
struct first_look {
    struct top top;
    bool known;
};

static bool on_first_look(void *context, const char *data, size_t len)
{
    struct first_look *look = context;

    look->known = top_decode(&look->top, data, len) == 0;
    return false;
}

/* Without it the status is shorter, which is no failure. */
static void look_once(const struct ctl *ctl, struct first_look *ret_look)
{
    struct control_error error;

    *ret_look = (struct first_look){.known = false};
    if (control_listen(ctl,
                       &(struct transport_listener){
                           .context = ret_look, .on_event = on_first_look, .fds = {-1, -1}},
                       &error) != CONTROL_DONE)
        ret_look->known = false;
}

static void write_status(const struct control_status *status, const struct first_look *look)
{
    const struct top *top = &look->top;
    char first[TOP_TEXT], second[TOP_TEXT], third[TOP_TEXT];

    (void)printf("service     %s\nversion     %s\nrole        %s\nmaster      process %" PRId64
                 "\n",
                 status->service, status->version, status->role, status->master_pid);
    for (uint32_t i = 0; look->known && i < top->pool_count; ++i)
        (void)printf("workers     %s: %.0f serving, %.0f starting, %.0f draining, %.0f died\n",
                     top->pools[i].name, top->pools[i].serving, top->pools[i].starting,
                     top->pools[i].draining, top->pools[i].died);
    if (look->known)
        (void)printf("clients     %s connections, %s streams, %s parked\n",
                     top_count(first, top->connections), top_count(second, top->streams),
                     top_count(third, top->parked));
    if (look->known && top->has_stock)
        (void)printf("stock       %s available of %s, %s sold\nready       %s\n",
                     top_count(first, top->available), top_count(second, top->capacity),
                     top_count(third, top->sold), top->ready ? "yes" : "no");
    (void)printf("keeper      %s, %" PRId64 " entries behind\nreloads     %" PRId64
                 " asked for, %" PRId64 " done, %" PRId64 " refused\n",
                 status->keeper, status->keeper_lag, status->reloads_asked, status->reloads_done,
                 status->reloads_refused);
}

/* Leaves out what was not told. */
static void add_count(struct json_value *object, const char *name, double count)
{
    if (count >= 0 && count < 1e15)
        json_add_integer(object, name, (int64_t)count);
}

static void add_look(struct json_value *row, const struct top *top)
{
    struct json_value *part = json_add_array(row, "workers");

    for (uint32_t i = 0; i < top->pool_count; ++i) {
        struct json_value *pool = json_append_object(part);
        json_add_string(pool, "pool", top->pools[i].name);
        add_count(pool, "serving", top->pools[i].serving);
        add_count(pool, "starting", top->pools[i].starting);
        add_count(pool, "draining", top->pools[i].draining);
        add_count(pool, "died", top->pools[i].died);
    }
    add_count(row, "connections", top->connections);
    add_count(row, "streams", top->streams);
    add_count(row, "parked", top->parked);
    if (!top->has_stock)
        return;
    json_add_bool(row, "ready", top->ready);
    part = json_add_object(row, "stock");
    add_count(part, "available", top->available);
    add_count(part, "capacity", top->capacity);
    add_count(part, "sold", top->sold);
}

static int write_status_json(const struct control_status *status, const struct first_look *look)
{
    struct json_value *row = json_object_new(), *part;

    json_add_string(row, "service", status->service);
    json_add_string(row, "version", status->version);
    json_add_string(row, "role", status->role);
    json_add_integer(row, "master_pid", status->master_pid);
    if (look->known)
        add_look(row, &look->top);
    part = json_add_object(row, "keeper");
    json_add_string(part, "state", status->keeper);
    json_add_integer(part, "lag", status->keeper_lag);
    part = json_add_object(row, "reload");
    json_add_integer(part, "asked", status->reloads_asked);
    json_add_integer(part, "done", status->reloads_done);
    json_add_integer(part, "refused", status->reloads_refused);
    return output_json(row);
}

int command_status(struct ctl *ctl)
{
    struct control_status status;
    struct control_error error;
    struct first_look look;
    int answer = control_get_status(ctl, &status, &error);

    if (answer != CONTROL_DONE)
        return control_failed(answer, &error);
    look_once(ctl, &look);
    if (ctl->json)
        return write_status_json(&status, &look);
    write_status(&status, &look);
    return CTL_OK;
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
