#include "http/timer.h"

#include <assert.h>
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void on_read(h2o_socket_t *sock, const char *error)
{
    struct http_timer *timer = sock->data;
    uint64_t times;

    if (error == NULL && read(h2o_socket_get_fd(sock), &times, sizeof(times)) == sizeof(times))
        timer->on_time(timer->context);
}

int http_timer_init(struct http_timer *timer, h2o_loop_t *loop, void (*on_time)(void *context),
                    void *context)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd == -1)
        return -errno;
    timer->on_time = on_time;
    timer->context = context;
    timer->sock = h2o_evloop_socket_create(loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    timer->sock->data = timer;
    h2o_socket_read_start(timer->sock, on_read);
    return 0;
}

static struct timespec after_ms(uint32_t ms)
{
    return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
}

void http_timer_set(struct http_timer *timer, uint32_t first_ms, uint32_t every_ms)
{
    struct itimerspec times = {.it_value = after_ms(first_ms), .it_interval = after_ms(every_ms)};

    /* cannot fail: the descriptor is ours and the times are in range */
    (void)timerfd_settime(h2o_socket_get_fd(timer->sock), 0, &times, NULL);
}

void http_timer_set_once_us(struct http_timer *timer, uint32_t us)
{
    struct itimerspec times = {
        .it_value = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000}};

    assert(us > 0);
    (void)timerfd_settime(h2o_socket_get_fd(timer->sock), 0, &times, NULL); /* likewise */
}

void http_timer_deinit(struct http_timer *timer)
{
    if (timer->sock != NULL)
        h2o_socket_close(timer->sock);
    timer->sock = NULL;
}
