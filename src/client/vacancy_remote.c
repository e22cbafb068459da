#include "client/vacancy_remote.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "client/vacancy_remote_internal.h"
#include "scoreboard/scoreboard.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"
#include "util/append.h"
#include "util/log.h"

static_assert(sizeof(KEY_TRANSIENT_PREFIX) - 1 + 32 <= KEY_TEXT_MAX, "our own keys have room");
static_assert(RESERVE_BATCH_ENVELOPE_SIZE + RESERVE_BATCH_REQUEST_SIZE >=
                  RESERVE_BATCH_REQUEST_ID_MAX + TRACEPARENT_LEN + 64,
              "the headers of any request fit into the scratch memory too");

static const uint32_t delays_ms[REMOTE_DELAY_COUNT] = REMOTE_DELAYS;

static struct vacancy_remote *remote_of(struct vacancy_client *client)
{
    return (struct vacancy_remote *)client;
}

/* ---- how calls end ---- */

static enum metrics_cell counter_of(int status)
{
    switch (status) {
    case TICKETD_DONE:
        return METRICS_client_done;
    case TICKETD_SOLD_OUT:
        return METRICS_client_sold_out;
    case TICKETD_BUSY:
        return METRICS_client_busy;
    case TICKETD_UNAVAILABLE:
        return METRICS_client_unavailable;
    case TICKETD_TIMED_OUT:
        return METRICS_client_timed_out;
    case TICKETD_OUTCOME_UNKNOWN:
        return METRICS_client_outcome_unknown;
    default:
        return METRICS_client_other;
    }
}

void remote_end(struct vacancy_remote *remote, struct remote_cell *cell,
                const struct vacancy_result *result)
{
    struct vacancy_call *call = cell->call;
    struct vacancy_result told = *result;
    bool was_probe = cell->kind == REMOTE_PROBE;
    char key[KEY_TEXT_MAX]; /* the callback may start a call in the cell */

    if (result->status == TICKETD_OUTCOME_UNKNOWN && cell->made_key) {
        memcpy(key, cell->key, cell->key_len);
        told.key = (struct text){.base = key, .len = cell->key_len};
    }
    if (call != NULL && cell->kind != REMOTE_HEALTH)
        metrics_add(remote->metrics, counter_of(told.status), 1);
    remote_release(remote, cell);
    if (was_probe)
        remote_probe_ended(remote, told.status);
    else if (call != NULL)
        vacancy_complete(call, &told);
}

void remote_end_with(struct vacancy_remote *remote, struct remote_cell *cell, int status)
{
    remote_end(remote, cell, &(struct vacancy_result){.status = status});
}

void remote_give_up(struct vacancy_remote *remote, struct remote_cell *cell)
{
    remote_end_with(remote, cell, cell->broken ? TICKETD_OUTCOME_UNKNOWN : TICKETD_UNAVAILABLE);
}

static void send_again(struct vacancy_remote *remote, struct remote_cell *cell)
{
    metrics_add(remote->metrics, METRICS_client_retries, 1);
    remote_move(cell, cell->kind == REMOTE_RESERVE ? &remote->again : &remote->asks);
}

void remote_try_again(struct vacancy_remote *remote, struct remote_cell *cell, uint64_t now_ms)
{
    uint32_t level = cell->attempts++;

    if (cell->call == NULL && cell->kind != REMOTE_PROBE) {
        remote_release(remote, cell);
        return;
    }
    if (now_ms >= cell->deadline_ms) {
        remote_give_up(remote, cell);
        return;
    }
    if (cell->heap_place == 0)
        remote_time(remote, cell);
    if (level == 0) {
        send_again(remote, cell);
    } else {
        level = level > REMOTE_DELAY_COUNT ? REMOTE_DELAY_COUNT - 1 : level - 1;
        cell->moment_ms = now_ms + delays_ms[level];
        remote_move(cell, &remote->delayed[level]);
    }
    remote_at_turn_end(remote);
}

void remote_warn(struct remote_warning *warning, const char *what, const char *why)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (warning->said_ms != 0 && now_ms < warning->said_ms + REMOTE_WARN_MS) {
        ++warning->unsaid;
        return;
    }
    if (warning->unsaid > 0)
        log_warning("%s: %s (and %" PRIu64 " more since the last such line)", what, why,
                    warning->unsaid);
    else
        log_warning("%s: %s", what, why);
    *warning = (struct remote_warning){.said_ms = now_ms};
}

/* ---- trips ---- */

struct remote_trip *remote_trip_take(struct vacancy_remote *remote)
{
    struct remote_trip *trip = LIST_FIRST(&remote->free_trips);

    if (trip != NULL) {
        LIST_REMOVE(trip, in_free);
    } else if (remote->fresh_trip < remote->trip_count) {
        trip = &remote->trips[remote->fresh_trip++];
        trip->remote = remote;
        remote_queue_init(&trip->members);
    }
    return trip;
}

static void give_back(struct remote_trip *trip)
{
    assert(trip->members.count == 0);
    LIST_INSERT_HEAD(&trip->remote->free_trips, trip, in_free);
}

static void on_reply(struct upstream_call *call, const struct upstream_reply *reply)
{
    struct remote_trip *trip = (struct remote_trip *)call; /* its first member */

    if (trip->is_batch)
        remote_batch_ended(trip, reply);
    else
        remote_ask_ended(trip, reply);
    give_back(trip);
    remote_at_turn_end(trip->remote);
}

int remote_trip_begin(struct remote_trip *trip, const struct upstream_request *request)
{
    int answer = upstream_send(trip->remote->upstream, &trip->upstream, request, on_reply);

    if (answer != TICKETD_DONE)
        give_back(trip);
    return answer;
}

uint64_t remote_attempt_ends_ms(bool is_first, uint64_t deadline_ms, uint64_t now_ms)
{
    uint64_t rest_ms = deadline_ms > now_ms ? (deadline_ms - now_ms) / 4 : 0;

    return is_first && rest_ms >= REMOTE_REST_MIN_MS ? deadline_ms - rest_ms : deadline_ms;
}

void remote_board(struct remote_trip *trip, struct remote_cell *cell)
{
    remote_untime(trip->remote, cell);
    remote_move(cell, &trip->members);
    ++trip->remote->travelling;
}

/* ---- a turn ---- */

/* Gives up what is late; false: there is more of it. */
static bool expire(struct vacancy_remote *remote, uint64_t now_ms)
{
    struct remote_cell *cell;

    for (uint32_t most = REMOTE_EXPIRE_MAX; most > 0; --most) {
        cell = remote_earliest(remote);
        if (cell == NULL || cell->deadline_ms > now_ms)
            return true;
        remote_give_up(remote, cell);
    }
    return false;
}

static void wake_delayed(struct vacancy_remote *remote, uint64_t now_ms)
{
    struct remote_cell *cell;

    for (uint32_t i = 0; i < REMOTE_DELAY_COUNT; ++i)
        while ((cell = TAILQ_FIRST(&remote->delayed[i].cells)) != NULL && cell->moment_ms <= now_ms)
            send_again(remote, cell);
}

static bool fresh_may_leave(const struct vacancy_remote *remote, uint64_t now_ms)
{
    const struct remote_cell *oldest = TAILQ_FIRST(&remote->fresh.cells);

    return oldest != NULL && (remote->batches_away == 0 || remote->batches_ended > 0 ||
                              remote->fresh.count >= remote->batch_max ||
                              now_ms >= oldest->moment_ms + REMOTE_PATIENCE_MS);
}

/* Whether those that may leave wait for what another look of the loop brings. */
static bool gathers(struct vacancy_remote *remote, uint64_t now_ms)
{
    uint32_t count = remote->fresh.count;
    bool brought = remote->answered || count != remote->looked_at;

    if (!fresh_may_leave(remote, now_ms)) {
        remote->looks = 0;
        return false;
    }
    if (remote->looks == 0)
        remote->since_ms = now_ms;
    remote->answered = false;
    if (!brought || count >= remote->batch_max || remote->looks >= REMOTE_LOOKS_MAX ||
        now_ms >= remote->since_ms + REMOTE_PATIENCE_MS) {
        remote->looks = 0;
        return false;
    }
    ++remote->looks;
    return true;
}

/* Whose first ones are to be sent now; NULL: nobody's. */
static struct remote_queue *next_to_leave(struct vacancy_remote *remote, uint64_t now_ms)
{
    struct remote_queue *queue = remote->again.count > 0 ? &remote->again
                                 : !remote->gathering && fresh_may_leave(remote, now_ms)
                                     ? &remote->fresh
                                     : NULL;
    const struct remote_cell *ask = TAILQ_FIRST(&remote->asks.cells);

    if (ask == NULL || remote->asks_away >= REMOTE_ASKS_MAX)
        return queue;
    if (queue == NULL || ask->number < TAILQ_FIRST(&queue->cells)->number)
        return &remote->asks;
    return queue;
}

/* Nothing can be sent: those that wait are told so, unless they have been sent before.  What their
 * callbacks start is judged in the next turn. */
static void refuse_waiting(struct vacancy_remote *remote, uint64_t now_ms, int status)
{
    struct remote_queue *const queues[] = {&remote->again, &remote->fresh, &remote->asks};

    for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); ++i) {
        struct remote_cell *cell;
        for (uint32_t most = queues[i]->count;
             most > 0 && (cell = TAILQ_FIRST(&queues[i]->cells)) != NULL; --most) {
            if (cell->broken)
                remote_try_again(remote, cell, now_ms);
            else
                remote_end_with(remote, cell, status);
        }
    }
}

static void depart(struct vacancy_remote *remote, uint64_t now_ms)
{
    struct remote_queue *queue;
    int answer = TICKETD_DONE;

    while (answer == TICKETD_DONE && (queue = next_to_leave(remote, now_ms)) != NULL) {
        if (queue == &remote->asks) {
            answer = remote_ask_send(remote);
        } else {
            answer = remote_batch_send(remote, queue, now_ms);
            if (remote->batches_ended > 0)
                --remote->batches_ended;
        }
    }
    if (!remote->gathering)
        remote->batches_ended = 0;
    remote->looked_at = remote->fresh.count;
    remote->blocked = answer == TICKETD_BUSY;
    if (answer != TICKETD_DONE && answer != TICKETD_BUSY)
        refuse_waiting(remote, now_ms, answer);
}

/* When there will be something to do even if nothing comes; UINT64_MAX: never. */
static uint64_t next_moment(const struct vacancy_remote *remote, uint64_t now_ms)
{
    const struct remote_cell *cell = remote_earliest(remote);
    uint64_t next_ms = cell != NULL ? cell->deadline_ms : UINT64_MAX;

    for (uint32_t i = 0; i < REMOTE_DELAY_COUNT; ++i)
        if ((cell = TAILQ_FIRST(&remote->delayed[i].cells)) != NULL)
            next_ms = clock_earlier(next_ms, cell->moment_ms);
    if (!remote->blocked && !remote->gathering &&
        (cell = TAILQ_FIRST(&remote->fresh.cells)) != NULL)
        next_ms = clock_earlier(next_ms, cell->moment_ms + REMOTE_PATIENCE_MS);
    if (remote->blocked && remote->batches_away + remote->asks_away == 0)
        next_ms = clock_earlier(next_ms, now_ms + REMOTE_POLL_MS);
    return next_ms;
}

static void set_timer(struct vacancy_remote *remote, uint64_t now_ms)
{
    uint64_t next_ms = next_moment(remote, now_ms);

    if (next_ms >= remote->timer_ms)
        return;
    http_timer_set(&remote->timer, next_ms > now_ms ? (uint32_t)(next_ms - now_ms) : 1, 0);
    remote->timer_ms = next_ms;
}

static void turn(struct vacancy_remote *remote)
{
    uint64_t now_ms = clock_monotonic_ms();

    h2o_timeout_unlink(&remote->turn_end);
    if (expire(remote, now_ms)) {
        wake_delayed(remote, now_ms);
        remote->gathering = gathers(remote, now_ms);
        depart(remote, now_ms);
    }
    set_timer(remote, now_ms);
}

static void on_turn_end(h2o_timeout_entry_t *entry)
{
    turn(H2O_STRUCT_FROM_MEMBER(struct vacancy_remote, turn_end, entry));
}

static void on_time(void *context)
{
    struct vacancy_remote *remote = context;

    remote->timer_ms = UINT64_MAX;
    turn(remote);
}

/* libh2o's clock is the wall clock: an entry that was linked before somebody set it back would wait
 * until it has caught up, so it is linked anew. */
void remote_at_turn_end(struct vacancy_remote *remote)
{
    if (h2o_timeout_is_linked(&remote->turn_end)) {
        if (remote->turn_end.registered_at <= h2o_now(remote->context->loop))
            return;
        h2o_timeout_unlink(&remote->turn_end);
    }
    h2o_timeout_link(remote->context->loop, &remote->context->zero_timeout, &remote->turn_end);
}

bool vacancy_remote_gathers(struct vacancy_remote *remote)
{
    if (remote->gathering)
        remote_at_turn_end(remote);
    return remote->gathering;
}

/* ---- the interface ---- */

/* Completes a call that has no cell. */
static void refuse(struct vacancy_remote *remote, struct vacancy_call *call, int status)
{
    metrics_add(remote->metrics, counter_of(status), 1);
    vacancy_complete(call, &(struct vacancy_result){.status = status});
}

bool remote_begin(struct vacancy_remote *remote, struct vacancy_call *call,
                  const struct vacancy_request *request, uint64_t *ret_now_ms,
                  uint64_t *ret_deadline_ms)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t deadline_ms = now_ms + remote->timeout_ms;

    if (request->deadline_ms != 0)
        deadline_ms = clock_earlier(deadline_ms, request->deadline_ms);
    if (now_ms >= deadline_ms) {
        refuse(remote, call, TICKETD_TIMED_OUT);
        return false;
    }
    *ret_now_ms = now_ms;
    *ret_deadline_ms = deadline_ms;
    return true;
}

/* Whether the event is the one that the vacancy pool sells over HTTP. */
static bool is_known(struct text event)
{
    return text_equal(event, TEXT(STOCK_DEFAULT_EVENT));
}

/* The length of what was copied: 0 for what is too long, or would not pass as a header. */
static uint8_t keep(char *room, size_t most, struct text text)
{
    if (text.len == 0 || text.len > most || !text_is_visible(text))
        return 0;
    memcpy(room, text.base, text.len);
    return (uint8_t)text.len;
}

static void keep_ids(struct remote_cell *cell, const struct vacancy_request *request)
{
    cell->request_id_len = keep(cell->request_id, sizeof(cell->request_id), request->request_id);
    if (traceparent_is_sane(request->traceparent))
        cell->traceparent_len =
            keep(cell->traceparent, sizeof(cell->traceparent), request->traceparent);
}

/* Random all through: it may be told to a client, who must not guess anybody else's from it. */
static void make_key(struct vacancy_remote *remote, struct remote_cell *cell)
{
    char *end = append_text(cell->key, TEXT(KEY_TRANSIENT_PREFIX));

    end = append_hex_u64(end, token_next(&remote->tokens));
    end = append_hex_u64(end, token_next(&remote->tokens));
    cell->key_len = (uint8_t)(end - cell->key);
    cell->made_key = true;
}

static void remote_reserve(struct vacancy_client *client, struct vacancy_call *call,
                           const struct vacancy_request *request)
{
    struct vacancy_remote *remote = remote_of(client);
    struct remote_cell *cell;
    uint64_t now_ms, deadline_ms;

    assert(request->quantity >= 1 && request->quantity <= STOCK_QUANTITY_MAX);
    if (!remote_begin(remote, call, request, &now_ms, &deadline_ms))
        return;
    if (!is_known(request->event)) {
        refuse(remote, call, TICKETD_EVENT_UNKNOWN);
        return;
    }
    cell = remote_take(remote, call, REMOTE_RESERVE, deadline_ms, &remote->fresh);
    if (cell == NULL) {
        refuse(remote, call, TICKETD_BUSY);
        return;
    }
    cell->moment_ms = now_ms;
    cell->quantity = request->quantity;
    keep_ids(cell, request);
    cell->key_len = keep(cell->key, sizeof(cell->key), request->key);
    if (request->key.len == 0)
        make_key(remote, cell);
    if (cell->key_len == 0)
        remote_end_with(remote, cell, TICKETD_INVALID);
    else
        remote_at_turn_end(remote);
}

static void ask(struct vacancy_client *client, struct vacancy_call *call,
                const struct vacancy_request *request, enum remote_kind kind)
{
    struct vacancy_remote *remote = remote_of(client);
    struct remote_cell *cell;
    uint64_t now_ms, deadline_ms;

    if (!remote_begin(remote, call, request, &now_ms, &deadline_ms))
        return;
    if (kind == REMOTE_AVAILABLE && !is_known(request->event)) {
        refuse(remote, call, TICKETD_EVENT_UNKNOWN);
        return;
    }
    cell = remote_take(remote, call, kind, deadline_ms, &remote->asks);
    if (cell == NULL) {
        refuse(remote, call, TICKETD_BUSY);
        return;
    }
    cell->order = request->order;
    keep_ids(cell, request);
    remote_at_turn_end(remote);
}

static void remote_available(struct vacancy_client *client, struct vacancy_call *call,
                             const struct vacancy_request *request)
{
    ask(client, call, request, REMOTE_AVAILABLE);
}

static void remote_order(struct vacancy_client *client, struct vacancy_call *call,
                         const struct vacancy_request *request)
{
    ask(client, call, request, REMOTE_ORDER);
}

/* Operators ask the vacancy pool's own control socket. */
static void remote_restock(struct vacancy_client *client, struct vacancy_call *call,
                           const struct vacancy_request *request)
{
    (void)request;
    refuse(remote_of(client), call, TICKETD_UNAVAILABLE);
}

static void remote_cancel(struct vacancy_client *client, struct vacancy_call *call)
{
    struct remote_cell *cell = call->pending;

    if (cell->heap_place == 0)
        cell->call = NULL; /* it travels */
    else
        remote_release(remote_of(client), cell);
}

static const struct vacancy_client_ops vacancy_remote_ops = {
    .name = "remote",
    .reserve = remote_reserve,
    .available = remote_available,
    .health = remote_health,
    .order = remote_order,
    .restock = remote_restock,
    .cancel = remote_cancel,
};

/* ---- life ---- */

static uint32_t smaller(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

struct vacancy_remote *vacancy_remote_new(const struct settings *settings,
                                          struct metrics_recorder *metrics)
{
    struct vacancy_remote *remote = calloc(1, sizeof(*remote));

    if (remote == NULL)
        return NULL;
    vacancy_client_init(&remote->client, &vacancy_remote_ops);
    remote->settings = settings;
    remote->metrics = metrics_recorder_or_none(metrics);
    remote->batch_max = smaller((uint64_t)settings->batch_max, RESERVE_BATCH_MAX);
    remote->queue_max = (uint32_t)settings->http_queue_max;
    remote->timeout_ms = (uint64_t)settings->vacancy_timeout_ms;
    remote->trip_count = (uint32_t)settings->http_max_connections;
    remote->cell_count =
        remote->queue_max +
        smaller((uint64_t)remote->batch_max * remote->trip_count, REMOTE_TRAVEL_MAX);
    remote->timer_ms = UINT64_MAX;
    remote->turn_end.cb = on_turn_end;
    remote->trips = calloc(remote->trip_count, sizeof(*remote->trips));
    remote->text = malloc(RESERVE_BATCH_ENVELOPE_SIZE +
                          (size_t)remote->batch_max * RESERVE_BATCH_REQUEST_SIZE);
    remote->results = calloc(remote->batch_max, sizeof(*remote->results));
    if (remote_cells_init(remote) < 0 || remote->trips == NULL || remote->text == NULL ||
        remote->results == NULL) {
        vacancy_remote_free(remote);
        return NULL;
    }
    return remote;
}

struct vacancy_client *vacancy_remote_client(struct vacancy_remote *remote)
{
    return &remote->client;
}

int vacancy_remote_start(struct vacancy_remote *remote, struct st_h2o_context_t *context)
{
    const struct settings *settings = remote->settings;
    const uint64_t results_size =
        RESERVE_BATCH_ENVELOPE_SIZE + (uint64_t)remote->batch_max * RESERVE_BATCH_RESULT_SIZE;
    struct upstream_options options = {
        .context = context,
        .connections_max = remote->trip_count,
        .keepalive_max =
            smaller((uint64_t)settings->http_keepalive_connections, remote->trip_count),
        .breaker_failures = (uint32_t)settings->breaker_failures,
        .breaker_open_ms = (uint32_t)settings->breaker_open_ms,
        .metrics = remote->metrics,
        .body_max = results_size > REMOTE_BODY_MAX ? (uint32_t)results_size : REMOTE_BODY_MAX,
    };
    int result;

    if (endpoint_parse_url(settings->vacancy_url, &options.endpoint) != TICKETD_DONE)
        return -EINVAL;
    result = http_timer_init(&remote->timer, context->loop, on_time, remote);
    if (result < 0)
        return result;
    remote->context = context;
    remote->upstream = upstream_new(&options);
    return remote->upstream != NULL ? 0 : -ENOMEM;
}

void vacancy_remote_show(const struct vacancy_remote *remote, struct scoreboard_slot *slot)
{
    uint32_t queue = remote->fresh.count + remote->again.count + remote->asks.count;

    for (uint32_t i = 0; i < REMOTE_DELAY_COUNT; ++i)
        queue += remote->delayed[i].count;
    scoreboard_show(&slot->client_queue, queue);
    scoreboard_show(&slot->parked, remote->used);
    upstream_show(remote->upstream, slot);
}

void vacancy_remote_free(struct vacancy_remote *remote)
{
    if (remote == NULL)
        return;
    upstream_free(remote->upstream);
    h2o_timeout_unlink(&remote->turn_end);
    http_timer_deinit(&remote->timer);
    remote_cells_deinit(remote);
    free(remote->trips);
    free(remote->text);
    free(remote->results);
    free(remote);
}
