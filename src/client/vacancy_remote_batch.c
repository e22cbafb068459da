#include "client/vacancy_remote_internal.h"
#include "ticketd/error.h"

/* What the end of an exchange means for all of a batch. */
enum ending {
    JUDGED,  /* each has a result of its own */
    REFUSED, /* the peer lives and has begun nothing */
    UNSENT,
    BROKEN,
};

/* ---- sending ---- */

/* Less than what is left, so that the vacancy pool withdraws what is late, and says so, before it
 * is given up here. */
static uint64_t timeout_of(uint64_t left_ms)
{
    uint64_t margin_ms = left_ms / 10;

    if (margin_ms < 20)
        margin_ms = left_ms < 40 ? left_ms / 2 : 20;
    return left_ms > margin_ms ? left_ms - margin_ms : 1;
}

static uint64_t earliest_of(const struct remote_queue *queue, uint32_t count)
{
    const struct remote_cell *cell = TAILQ_FIRST(&queue->cells);
    uint64_t deadline_ms = cell->deadline_ms;

    while (--count > 0) {
        cell = TAILQ_NEXT(cell, in_queue);
        if (cell->deadline_ms < deadline_ms)
            deadline_ms = cell->deadline_ms;
    }
    return deadline_ms;
}

static struct text print_batch(const struct vacancy_remote *remote,
                               const struct remote_queue *queue, uint32_t count,
                               uint64_t timeout_ms)
{
    const struct remote_cell *cell = TAILQ_FIRST(&queue->cells);
    char *end = reserve_batch_begin(remote->text, timeout_ms);

    for (uint32_t i = 0; i < count; ++i, cell = TAILQ_NEXT(cell, in_queue))
        end = reserve_batch_add(end,
                                &(struct reserve_batch_request){
                                    .quantity = cell->quantity,
                                    .key = {cell->key, cell->key_len},
                                    .fresh = cell->made_key && cell->attempts == 0,
                                    .request_id = {cell->request_id, cell->request_id_len},
                                    .traceparent = {cell->traceparent, cell->traceparent_len},
                                },
                                i == 0);
    end = reserve_batch_end(end);
    return (struct text){.base = remote->text, .len = (size_t)(end - remote->text)};
}

/* Of one queue at a time: what is sent once more has less time left, which the fresh ones would
 * share. */
int remote_batch_send(struct vacancy_remote *remote, struct remote_queue *queue, uint64_t now_ms)
{
    uint32_t count = queue->count < remote->batch_max ? queue->count : remote->batch_max;
    /* The vacancy pool gets no more: else a sale that waits for its ledger is broken off, and
     * nobody knows of it what that pool would have said. */
    uint64_t ends_ms =
        remote_attempt_ends_ms(queue == &remote->fresh, earliest_of(queue, count), now_ms);
    struct remote_trip *trip;
    int answer = upstream_judge(remote->upstream);

    if (answer != TICKETD_DONE)
        return answer;
    trip = remote_trip_take(remote);
    if (trip == NULL)
        return TICKETD_BUSY;
    trip->is_batch = true;
    answer = remote_trip_begin(
        trip, &(struct upstream_request){
                  .method = "POST",
                  .path = TEXT("/api/v1/reserve/batch"),
                  .body = print_batch(remote, queue, count,
                                      timeout_of(ends_ms > now_ms ? ends_ms - now_ms : 0)),
                  .deadline_ms = ends_ms,
              });
    if (answer != TICKETD_DONE)
        return answer;
    ++remote->batches_away;
    metrics_observe(remote->metrics, METRICS_SERIES_client_batch, count);
    for (; count > 0; --count)
        remote_board(trip, TAILQ_FIRST(&queue->cells));
    return TICKETD_DONE;
}

/* ---- judging ---- */

/* An answer of another status than 200. */
static enum ending refusal_of(struct vacancy_remote *remote, const struct upstream_reply *reply,
                              int *ret_status)
{
    int status = reply->status == 503 ? remote_status_of(reply->body) : TICKETD_UNAVAILABLE;
    bool is_ours = reply->status == 503 && status != TICKETD_OUTCOME_UNKNOWN;

    if (!is_ours)
        remote_warn(&remote->refused, "the vacancy pool refused a batch of purchases",
                    reply->status >= 500   ? "with a fault"
                    : reply->status >= 400 ? "as a wrong request"
                                           : "in a way that is not known here");
    *ret_status = status;
    return is_ours || (reply->status >= 400 && reply->status < 500) ? REFUSED : BROKEN;
}

/* Fills in remote->results, or *ret_status. */
static enum ending ending_of(struct remote_trip *trip, const struct upstream_reply *reply,
                             int *ret_status)
{
    struct vacancy_remote *remote = trip->remote;
    const char *why = "out of memory";

    if (reply->end != UPSTREAM_REPLIED) {
        remote_warn(&remote->lost, "a batch of purchases got no answer from the vacancy pool",
                    reply->why);
        return reply->end == UPSTREAM_NOT_SENT ? UNSENT : BROKEN;
    }
    if (reply->status != 200)
        return refusal_of(remote, reply, ret_status);
    if (reserve_batch_read_results(reply->body, remote->results, trip->members.count, &why) == 0)
        return JUDGED;
    remote_warn(&remote->unbelievable, "the vacancy pool's answer to a batch is not believed", why);
    return BROKEN;
}

/* After a broken attempt only these tell what became of it; see the header. */
static bool tells(int status)
{
    return status == TICKETD_DONE || status == TICKETD_SOLD_OUT || status == TICKETD_KEY_REUSED ||
           status == TICKETD_OUTCOME_UNKNOWN;
}

static void judge(struct vacancy_remote *remote, struct remote_cell *cell,
                  const struct reserve_batch_result *result, uint64_t now_ms)
{
    if (cell->broken && !tells(result->status)) {
        remote_try_again(remote, cell, now_ms);
        return;
    }
    remote_end(remote, cell,
               &(struct vacancy_result){
                   .status = result->status,
                   .remaining = result->remaining,
                   /* it may be the sale of an attempt of this very call */
                   .replayed = result->replayed && !cell->broken,
                   .order = result->order,
               });
}

void remote_batch_ended(struct remote_trip *trip, const struct upstream_reply *reply)
{
    struct vacancy_remote *remote = trip->remote;
    const uint64_t now_ms = clock_monotonic_ms();
    int status = TICKETD_UNAVAILABLE;
    const enum ending ending = ending_of(trip, reply, &status);
    const struct reserve_batch_result *result = remote->results;
    struct remote_cell *cell;

    --remote->batches_away;
    ++remote->batches_ended;
    remote->answered = true;
    for (; (cell = TAILQ_FIRST(&trip->members.cells)) != NULL; ++result) {
        --remote->travelling;
        cell->broken = cell->broken || ending == BROKEN;
        if (ending == JUDGED)
            judge(remote, cell, result, now_ms);
        else if (ending == REFUSED && !cell->broken)
            remote_end_with(remote, cell, status);
        else
            remote_try_again(remote, cell, now_ms);
    }
}
