/* The bench's load generator for what wrk cannot ask: arrivals at a fixed rate whose latency counts
 * from when they were due, and a crowd that buys, each time with a fresh key, until all is sold.
 *
 *   crowd open PORT CONNECTIONS RATE WARMUP_S SECONDS METHOD PATH [BODY]
 *   crowd sell-out PORT CONNECTIONS SECONDS_MAX PATH BODY
 *
 * It is written here because no tool in Debian, and none well kept elsewhere that holds 40,000
 * requests a second on one core, does the first: wrk has no rate, wrk2 is no longer kept, h2load
 * counts from when it really sent (so a stall of the server delays the requests that would have
 * shown it), k6 and vegeta need several cores for that rate.  The second, a key of its own in each
 * request and an end at the first refusal, none of them does at that rate.  HTTP is not written
 * here anew: the judge of answers is that of ticketd's own client.
 *
 * One process, one thread, 127.0.0.1 only; all connections stand before the clock starts.
 *
 * open: request k is due k/RATE seconds after the start, whatever became of the others.  It is sent
 * on the connection that has been free longest, or waits for one.  Those of the warm-up are not
 * counted.  After the last was due the rest has DRAIN_S to be answered; what is not (errors) or was
 * never sent (unsent) enters the percentiles with what it has waited.  Always requests + errors +
 * unsent = RATE * SECONDS; refused ones are among the requests.
 *
 * sell-out: every connection buys again when its answer came, until it is told "success":false;
 * what is refused otherwise (503: nothing was sold) is asked again with the same key.
 *
 * Both end with one line for a program to read:  bench-result requests=… */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "crowd_link.h"
#include "crowd_tally.h"
#include "util/clock.h"

#define CONNECTIONS_MAX 20000
#define RATE_MAX        1000000
#define SECONDS_MAX     3600
#define DRAIN_S         5
#define NS_PER_S        UINT64_C(1000000000)
#define NS_PER_US       1000U
#define EVENTS_PER_WAIT 64
#define SPARE_FILES     16

struct crowd {
    struct crowd_request request;
    struct crowd_link *links;
    size_t count;
    size_t open;      /* links that are not closed */
    size_t in_flight; /* requests */
    int poller;
    uint64_t begin_ns; /* before the load began: the time, and this process's CPU time */
    uint64_t begin_cpu_us;
    struct crowd_tally tally;
    uint64_t requests; /* answered: those that are counted */
    uint64_t refused;
    uint64_t errors;
};

/* The open loop's schedule.  The free links stand in a ring, the one that waits longest first. */
struct schedule {
    uint64_t begin_ns;
    uint64_t rate;
    uint64_t uncounted; /* requests of the warm-up */
    uint64_t total;     /* with them */
    uint64_t next;      /* the first one that is not sent */
    uint64_t wrong;     /* errors and refusals in the warm-up */
    struct crowd_link **free;
    size_t free_first;
    size_t free_count;
};

struct sale {
    uint64_t serial; /* of the last key */
    uint64_t last_ns;
    uint64_t sold_out; /* connections that were told so */
};

static uint64_t own_cpu_us(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0)
        err(EXIT_FAILURE, "getrusage");
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000U +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void crowd_init(struct crowd *crowd, uint16_t port, size_t count)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        err(EXIT_FAILURE, "RLIMIT_NOFILE");
    files.rlim_cur = files.rlim_max;
    if (files.rlim_max < count + SPARE_FILES || setrlimit(RLIMIT_NOFILE, &files) != 0)
        errx(EXIT_FAILURE, "%zu connections are more than this process may open", count);
    /* A wait of some microseconds shall not become one of fifty. */
    if (prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0) != 0)
        err(EXIT_FAILURE, "PR_SET_TIMERSLACK");
    crowd->links = calloc(count, sizeof(*crowd->links));
    crowd->poller = epoll_create1(EPOLL_CLOEXEC);
    if (crowd->links == NULL || crowd->poller < 0)
        err(EXIT_FAILURE, "cannot set up %zu connections", count);
    for (; crowd->count < count; ++crowd->count)
        crowd_link_connect(&crowd->links[crowd->count], port, crowd->poller);
    crowd->open = count;
    crowd->begin_ns = clock_monotonic_ns();
    crowd->begin_cpu_us = own_cpu_us();
}

static void crowd_deinit(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->count; ++i)
        crowd_link_close(&crowd->links[i]);
    free(crowd->links);
    (void)close(crowd->poller);
    crowd_tally_deinit(&crowd->tally);
}

static bool crowd_send(struct crowd *crowd, struct crowd_link *link)
{
    if (!crowd_link_send(link, &crowd->request)) {
        --crowd->open;
        return false;
    }
    ++crowd->in_flight;
    return true;
}

/* As crowd_link_receive; the request that this ended, if any, is told by *ret_answered. */
static enum crowd_verdict crowd_receive(struct crowd *crowd, struct crowd_link *link,
                                        bool *ret_answered)
{
    bool in_flight = link->in_flight;
    enum crowd_verdict verdict = crowd_link_receive(link);

    *ret_answered = in_flight && verdict != CROWD_WAITING;
    crowd->in_flight -= *ret_answered;
    crowd->open -= link->fd < 0;
    return verdict;
}

/* Waits for answers until the moment at most; `on_link` gets each link that has something. */
static void crowd_wait(struct crowd *crowd, uint64_t until_ns, void *user,
                       void (*on_link)(void *user, struct crowd_link *link))
{
    struct epoll_event events[EVENTS_PER_WAIT];
    uint64_t now_ns = clock_monotonic_ns(), ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec most = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    int count = epoll_pwait2(crowd->poller, events, EVENTS_PER_WAIT, &most, NULL);

    if (count < 0 && errno != EINTR)
        err(EXIT_FAILURE, "epoll_pwait2");
    for (int i = 0; i < count; ++i) {
        struct crowd_link *link = events[i].data.ptr;

        /* What was done for a link before it may have closed this one. */
        if (link->fd >= 0)
            on_link(user, link);
    }
}

/* busy_permille is of this process: where it nears 1000, the load was slower than the server. */
static void crowd_print(struct crowd *crowd, uint64_t duration_ns)
{
    uint64_t us = (clock_monotonic_ns() - crowd->begin_ns) / NS_PER_US + 1;
    uint64_t cpu_us = own_cpu_us() - crowd->begin_cpu_us; /* without the sorting that follows */

    printf("bench-result requests=%" PRIu64 " duration_us=%" PRIu64, crowd->requests,
           duration_ns / NS_PER_US);
    crowd_tally_print(&crowd->tally);
    printf(" errors=%" PRIu64 " refused=%" PRIu64 " busy_permille=%" PRIu64, crowd->errors,
           crowd->refused, cpu_us * 1000U / us);
}

/* ---- the open loop ---- */

struct open_loop {
    struct crowd crowd;
    struct schedule schedule;
};

static uint64_t due_ns(const struct schedule *schedule, uint64_t number)
{
    return schedule->begin_ns + number * NS_PER_S / schedule->rate;
}

static void put_free(struct open_loop *loop, struct crowd_link *link)
{
    struct schedule *schedule = &loop->schedule;

    schedule->free[(schedule->free_first + schedule->free_count++) % loop->crowd.count] = link;
}

/* NULL: none is free.  One that was closed while it stood there is passed over. */
static struct crowd_link *take_free(struct open_loop *loop)
{
    struct schedule *schedule = &loop->schedule;
    struct crowd_link *link = NULL;

    while (schedule->free_count > 0 && (link == NULL || link->fd < 0)) {
        link = schedule->free[schedule->free_first];
        schedule->free_first = (schedule->free_first + 1) % loop->crowd.count;
        --schedule->free_count;
    }
    return link != NULL && link->fd >= 0 ? link : NULL;
}

/* The number of the request rides in the link as its serial. */
static bool is_counted(const struct open_loop *loop, uint64_t number)
{
    return number >= loop->schedule.uncounted;
}

static void count_error(struct open_loop *loop, const struct crowd_link *link)
{
    if (is_counted(loop, link->serial))
        ++loop->crowd.errors;
    else
        ++loop->schedule.wrong;
}

static void send_due(struct open_loop *loop)
{
    struct schedule *schedule = &loop->schedule;
    struct crowd_link *link;

    while (schedule->next < schedule->total &&
           due_ns(schedule, schedule->next) <= clock_monotonic_ns() &&
           (link = take_free(loop)) != NULL) {
        link->serial = schedule->next++;
        link->since_ns = due_ns(schedule, link->serial);
        if (!crowd_send(&loop->crowd, link))
            count_error(loop, link);
    }
}

static void on_open_link(void *user, struct crowd_link *link)
{
    struct open_loop *loop = user;
    struct crowd *crowd = &loop->crowd;
    bool answered, refused;
    enum crowd_verdict verdict = crowd_receive(crowd, link, &answered);

    if (answered && verdict == CROWD_BROKEN) {
        count_error(loop, link);
    } else if (answered) {
        refused = verdict != CROWD_DONE;
        if (is_counted(loop, link->serial)) {
            ++crowd->requests;
            crowd->refused += refused;
            crowd_tally_add(&crowd->tally, clock_monotonic_ns() - link->since_ns);
        } else {
            loop->schedule.wrong += refused;
        }
        if (link->fd >= 0)
            put_free(loop, link);
    }
    send_due(loop);
}

/* What has waited in vain, in flight or unsent, has waited at least until now. */
static uint64_t give_up(struct open_loop *loop)
{
    struct crowd *crowd = &loop->crowd;
    uint64_t now_ns = clock_monotonic_ns(), unsent = 0;

    for (size_t i = 0; i < crowd->count; ++i) {
        if (!crowd->links[i].in_flight)
            continue;
        count_error(loop, &crowd->links[i]);
        if (is_counted(loop, crowd->links[i].serial))
            crowd_tally_add(&crowd->tally, now_ns - crowd->links[i].since_ns);
    }
    for (uint64_t number = loop->schedule.next; number < loop->schedule.total; ++number) {
        uint64_t due = due_ns(&loop->schedule, number);

        if (!is_counted(loop, number))
            continue;
        ++unsent;
        if (due < now_ns)
            crowd_tally_add(&crowd->tally, now_ns - due);
    }
    return unsent;
}

static void run_schedule(struct open_loop *loop, uint64_t deadline_ns)
{
    struct schedule *schedule = &loop->schedule;
    struct crowd *crowd = &loop->crowd;

    while (crowd->open > 0 && (schedule->next < schedule->total || crowd->in_flight > 0) &&
           clock_monotonic_ns() < deadline_ns) {
        uint64_t until_ns = deadline_ns;

        send_due(loop);
        /* Without a free link only an answer can change anything. */
        if (schedule->next < schedule->total && schedule->free_count > 0)
            until_ns = due_ns(schedule, schedule->next);
        crowd_wait(crowd, until_ns, loop, on_open_link);
    }
}

static uint64_t argument(const char *text, const char *what, uint64_t max)
{
    const char *problem;
    uint64_t number = (uint64_t)strtonum(text, 1, (long long)max, &problem);

    if (problem != NULL)
        errx(EXIT_FAILURE, "%s %s is %s", what, text, problem);
    return number;
}

static void open_main(char **argv)
{
    static struct open_loop loop;
    uint16_t port = (uint16_t)argument(argv[0], "PORT", UINT16_MAX);
    size_t count = argument(argv[1], "CONNECTIONS", CONNECTIONS_MAX);
    uint64_t rate = argument(argv[2], "RATE", RATE_MAX);
    uint64_t warmup_s = argument(argv[3], "WARMUP_S", SECONDS_MAX);
    uint64_t seconds = argument(argv[4], "SECONDS", SECONDS_MAX), unsent;
    struct schedule *schedule = &loop.schedule;

    crowd_request_init(&loop.crowd.request, argv[5], argv[6], argv[7], false);
    crowd_tally_init(&loop.crowd.tally, rate * seconds);
    crowd_init(&loop.crowd, port, count);
    *schedule = (struct schedule){
        .rate = rate,
        .uncounted = rate * warmup_s,
        .total = rate * (warmup_s + seconds),
        .free = calloc(count, sizeof(struct crowd_link *)),
    };
    if (schedule->free == NULL)
        err(EXIT_FAILURE, "cannot set up %zu connections", count);
    for (size_t i = 0; i < count; ++i)
        put_free(&loop, &loop.crowd.links[i]);
    schedule->begin_ns = clock_monotonic_ns();
    run_schedule(&loop, due_ns(schedule, schedule->total) + DRAIN_S * NS_PER_S);
    unsent = give_up(&loop);
    crowd_print(&loop.crowd, seconds * NS_PER_S);
    printf(" unsent=%" PRIu64 " warmup_wrong=%" PRIu64 "\n", unsent, schedule->wrong);
    free(schedule->free);
    crowd_deinit(&loop.crowd);
}

/* ---- until sold out ---- */

struct sell_out {
    struct crowd crowd;
    struct sale sale;
};

static void buy(struct sell_out *run, struct crowd_link *link)
{
    link->since_ns = clock_monotonic_ns();
    if (!crowd_send(&run->crowd, link))
        ++run->crowd.errors;
}

static void on_sale_link(void *user, struct crowd_link *link)
{
    struct sell_out *run = user;
    struct crowd *crowd = &run->crowd;
    bool answered;
    enum crowd_verdict verdict = crowd_receive(crowd, link, &answered);

    if (!answered)
        return;
    crowd->requests += verdict != CROWD_BROKEN;
    if (verdict == CROWD_DONE) {
        run->sale.last_ns = clock_monotonic_ns();
        crowd_tally_add(&crowd->tally, run->sale.last_ns - link->since_ns);
        link->serial = ++run->sale.serial;
    } else if (verdict == CROWD_REFUSED) {
        ++crowd->refused;
    } else if (verdict == CROWD_SOLD_OUT) {
        ++run->sale.sold_out;
        return;
    }
    if (link->fd >= 0)
        buy(run, link);
    else
        ++crowd->errors;
}

static void sell_out_main(char **argv)
{
    static struct sell_out run;
    struct crowd *crowd = &run.crowd;
    uint16_t port = (uint16_t)argument(argv[0], "PORT", UINT16_MAX);
    size_t count = argument(argv[1], "CONNECTIONS", CONNECTIONS_MAX);
    uint64_t seconds_max = argument(argv[2], "SECONDS_MAX", SECONDS_MAX), begin_ns, deadline_ns;

    crowd_request_init(&crowd->request, "POST", argv[3], argv[4], true);
    crowd_tally_init(&crowd->tally, 0);
    crowd_init(crowd, port, count);
    begin_ns = clock_monotonic_ns();
    deadline_ns = begin_ns + seconds_max * NS_PER_S;
    for (size_t i = 0; i < count; ++i) {
        crowd->links[i].serial = ++run.sale.serial;
        buy(&run, &crowd->links[i]);
    }
    while (crowd->in_flight > 0 && clock_monotonic_ns() < deadline_ns)
        crowd_wait(crowd, deadline_ns, &run, on_sale_link);
    crowd->errors += crowd->in_flight;
    crowd_print(crowd, run.sale.last_ns > 0 ? run.sale.last_ns - begin_ns : 0);
    printf(" sold=%zu sold_out=%" PRIu64 "\n", crowd->tally.count, run.sale.sold_out);
    crowd_deinit(crowd);
}

int main(int argc, char **argv)
{
    if ((argc == 9 || argc == 10) && strcmp(argv[1], "open") == 0) {
        open_main(argv + 2);
    } else if (argc == 7 && strcmp(argv[1], "sell-out") == 0) {
        sell_out_main(argv + 2);
    } else {
        (void)fprintf(
            stderr, "usage: crowd open PORT CONNECTIONS RATE WARMUP_S SECONDS METHOD PATH [BODY]\n"
                    "       crowd sell-out PORT CONNECTIONS SECONDS_MAX PATH BODY\n");
        return 2;
    }
    return EXIT_SUCCESS;
}
