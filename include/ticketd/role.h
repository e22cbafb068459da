/* What a pool of workers is for.  A monolith does all, so it carries both other roles' routes. */
#ifndef TICKETD_ROLE_H
#define TICKETD_ROLE_H

#include <stdbool.h>

enum role {
    ROLE_MONOLITH = 0,
    ROLE_VACANCY,
    ROLE_TICKET,
};

#define ROLE_BIT(role) (1U << (role))
#define ROLE_ALL       (ROLE_BIT(ROLE_MONOLITH) | ROLE_BIT(ROLE_VACANCY) | ROLE_BIT(ROLE_TICKET))

/* "monolith", "vacancy", "ticket"; static. */
static inline const char *role_name(enum role role)
{
    return role == ROLE_MONOLITH ? "monolith" : role == ROLE_VACANCY ? "vacancy" : "ticket";
}

/* What its workers are called in logs; static. */
static inline const char *role_worker(enum role role)
{
    return role == ROLE_MONOLITH  ? "worker"
           : role == ROLE_VACANCY ? "vacancy worker"
                                  : "ticket worker";
}

/* A ticket worker never has the stock, and asks over HTTP for it. */
static inline bool role_owns_stock(enum role role)
{
    return role != ROLE_TICKET;
}

#endif
