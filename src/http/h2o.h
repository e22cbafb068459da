/* The one place that includes libh2o, set to the poller that the library was built with.  The 2.2
 * line is no longer maintained upstream: keep it behind src/http, src/route, src/worker and the
 * remote client. */
#ifndef TICKETD_HTTP_H2O_H
#define TICKETD_HTTP_H2O_H

#ifndef H2O_USE_EPOLL
#define H2O_USE_EPOLL 1
#endif
#ifndef H2O_USE_LIBUV
#define H2O_USE_LIBUV 0
#endif

#include <h2o.h>
#include <h2o/http1.h>

#include "ticketd/text.h"

static inline struct text text_of(h2o_iovec_t bytes)
{
    return (struct text){.base = bytes.base, .len = bytes.len};
}

static inline h2o_iovec_t iovec_of(struct text text)
{
    return h2o_iovec_init(text.base, text.len);
}

#endif
