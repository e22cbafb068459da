/* The access log: one line a request when ACCESS_LOG is on.  For src/http only. */
#ifndef TICKETD_HTTP_ACCESS_H
#define TICKETD_HTTP_ACCESS_H

#include "http/h2o.h"

/* Logs every request that ends on this path.  Call while the path is being configured. */
void http_access_register(h2o_pathconf_t *path);

#endif
