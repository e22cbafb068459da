/* A timer of a worker's loop that runs on the monotonic clock.  libh2o's own timers follow the wall
 * clock: when somebody sets it back they stand still, and when it jumps forward they all fire. */
#ifndef TICKETD_HTTP_TIMER_H
#define TICKETD_HTTP_TIMER_H

#include <stdint.h>

#include "http/h2o.h"

struct http_timer {
    h2o_socket_t *sock; /* a timerfd in the loop */
    void (*on_time)(void *context);
    void *context;
};

/* Joins the loop, not set yet.  `timer` stays in place until it leaves.  0 or -errno. */
int http_timer_init(struct http_timer *timer, h2o_loop_t *loop, void (*on_time)(void *context),
                    void *context);

/* Fires in first_ms and then every every_ms; every_ms 0: once; first_ms 0: not at all. */
void http_timer_set(struct http_timer *timer, uint32_t first_ms, uint32_t every_ms);

/* Fires once, in so many microseconds, of which there is at least one. */
void http_timer_set_once_us(struct http_timer *timer, uint32_t us);

/* Leaves the loop; on_time never runs again.  Accepts one that was zeroed and never joined. */
void http_timer_deinit(struct http_timer *timer);

#endif
