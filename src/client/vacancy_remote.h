/* The vacancy_client that asks a vacancy pool over HTTP/1.1 (client/upstream.h).  For ticket
 * workers.
 *
 * Reserves travel in batches (wire/reserve_batch.h, POST /api/v1/reserve/batch), each judged on its
 * own.  One that comes while nothing is under way may leave at the end of the same turn of the
 * loop, with all that came in that turn; those that come while a batch is under way gather, and may
 * leave together when it ends, when they fill a batch, or when the oldest has waited
 * REMOTE_PATIENCE_MS (a slow batch does not hold up the rest), as far as there are connections.
 * Before they leave, the loop looks once more for others, without waiting, and goes on as long as a
 * look brings some, for REMOTE_PATIENCE_MS at most: those who were just answered ask again, and
 * would else be a second group, with batches of its own, for ever.  So a lone purchase waits for
 * nobody, and a crowd costs few requests.
 *
 * What waits is bounded by HTTP_QUEUE_MAX; beyond it a call gets TICKETD_BUSY.
 *
 * Every reserve carries a key: the client's, or one made here (KEY_TRANSIENT_PREFIX).  An attempt
 * that ends without a believable reply, the first one when three quarters of its time are over, is
 * made again with the same key, until VACANCY_TIMEOUT (or the request's earlier deadline) is over:
 *
 *     no attempt ever left this machine    TICKETD_UNAVAILABLE, nothing was sold
 *     every attempt was answered, none     what the last one said (TICKETD_BUSY, …)
 *       sold
 *     some attempt was broken and no       TICKETD_OUTCOME_UNKNOWN, with the key to ask again with
 *       later one told what became of it
 *
 * The second attempt is made at once (a kept connection that the peer has just closed says nothing
 * of its health), the next ones after 10, 20, … 500 ms.  A batch that the vacancy pool refuses as a
 * whole (a 503 of its own, or 4xx) has begun nothing; every other reply that is not understood
 * counts as broken.  While every address's breaker is open, what was never broken is not tried
 * again.
 *
 * After a broken attempt only a sale, a replay, sold out, or a reused key are believed to tell: the
 * vacancy pool does not begin a batch whose connection is closed already, and it says sold out only
 * when no sale of that key is on its way.
 *
 * A probe (health) asks the pool's /ready at most once every REMOTE_PROBE_MS, however often it is
 * called; all who ask meanwhile get the same answer. */
#ifndef TICKETD_CLIENT_VACANCY_REMOTE_H
#define TICKETD_CLIENT_VACANCY_REMOTE_H

#include <stdbool.h>

#include "config/settings.h"
#include "ticketd/vacancy_client.h"

/* How long the oldest purchase waits for the batch under way before it leaves on a connection of
 * its own. */
#define REMOTE_PATIENCE_MS 5
/* Between two probes of the vacancy pool. */
#define REMOTE_PROBE_MS 250

struct metrics_recorder;
struct scoreboard_slot;
struct st_h2o_context_t; /* libh2o's, kept out of this header */
struct vacancy_remote;   /* opaque; begins with struct vacancy_client */

/* Borrows the settings, which must stay as they are, and the recorder (NULL: nothing is counted).
 * Nothing is connected yet.  NULL when there is no memory. */
struct vacancy_remote *vacancy_remote_new(const struct settings *settings,
                                          struct metrics_recorder *metrics);

/* What callers hold. */
struct vacancy_client *vacancy_remote_client(struct vacancy_remote *remote);

/* Joins the worker's loop; before the first call.  0 or -errno. */
int vacancy_remote_start(struct vacancy_remote *remote, struct st_h2o_context_t *context);

/* Before each turn of the worker's loop: whether purchases wait for its end only, so that it must
 * not wait itself. */
bool vacancy_remote_gathers(struct vacancy_remote *remote);

/* Shows in the worker's slot what waits and how it is connected.  Looks at every idle connection:
 * not for each turn of the loop. */
void vacancy_remote_show(const struct vacancy_remote *remote, struct scoreboard_slot *slot);

/* Pending calls never complete.  Accepts NULL. */
void vacancy_remote_free(struct vacancy_remote *remote);

#endif
