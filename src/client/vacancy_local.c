#include "client/vacancy_local.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "stock/keeper_link.h"
#include "stock/keys.h"
#include "ticketd/error.h"
#include "ticketd/ledger.h"
#include "util/clock.h"

#define OUTCOMES_AT_A_TIME 256

static const struct ledger_key no_key;

static struct vacancy_local *local_of(struct vacancy_client *client)
{
    return (struct vacancy_local *)client;
}

static bool is_late(const struct vacancy_request *request)
{
    return request->deadline_ms != 0 && clock_monotonic_ms() >= request->deadline_ms;
}

static uint64_t deadline_of(const struct vacancy_local *local,
                            const struct vacancy_request *request)
{
    return request->deadline_ms != 0 ? request->deadline_ms
                                     : clock_monotonic_ms() + local->options.sale_timeout_ms;
}

/* The keeper is to be rung at the end of this turn of the loop; said before there is work for it.
 */
static void promise_bell(struct vacancy_local *local)
{
    if (local->owes_bell)
        return;
    local->owes_bell = true;
    keeper_link_owe_bell(local->options.stock, local->options.place);
}

/* There is work for the keeper. */
static void owe_bell(struct vacancy_local *local)
{
    promise_bell(local);
    ++local->gathered;
}

/* Completes a call that is not parked. */
static void refuse(struct vacancy_call *call, int status)
{
    vacancy_complete(call, &(struct vacancy_result){.status = status});
}

/* Frees the cell, then completes its call, which may start another one in it. */
static void end(struct vacancy_local *local, struct parked *cell,
                const struct vacancy_result *result)
{
    struct vacancy_call *call = cell->call;

    parked_free(&local->parked, cell);
    if (call != NULL)
        vacancy_complete(call, result);
}

static void end_with(struct vacancy_local *local, struct parked *cell, int status)
{
    end(local, cell, &(struct vacancy_result){.status = status});
}

/* Finds the event, or completes the call with why not. */
static bool begin(struct vacancy_local *local, struct vacancy_call *call,
                  const struct vacancy_request *request, uint32_t *ret_event)
{
    int status = TICKETD_TIMED_OUT;

    if (!is_late(request))
        status = stock_event_find(local->options.stock, request->event.base, request->event.len,
                                  ret_event);
    if (status == TICKETD_DONE)
        return true;
    refuse(call, status);
    return false;
}

/* Why no sale may begin now, or 0.  A keeper that has died is being replaced: what is sold
 * meanwhile waits for its successor. */
static int judge_keeper(const struct vacancy_local *local)
{
    return keeper_state(local->options.stock) == KEEPER_FAULT ? TICKETD_LEDGER_FAULT : TICKETD_DONE;
}

static struct vacancy_result sold(uint32_t event, uint64_t sequence, uint64_t token,
                                  uint32_t available)
{
    return (struct vacancy_result){
        .status = TICKETD_DONE,
        .remaining = available,
        .order = {.event = event, .sequence = sequence, .token = token},
    };
}

/* The answer of the sale that the key has made, to a call that asks for `quantity`. */
static struct vacancy_result replay(const struct key_sale *sale, uint32_t quantity)
{
    struct vacancy_result result = sold(sale->event, sale->sequence, sale->token, sale->available);

    if (sale->quantity != quantity)
        return (struct vacancy_result){.status = TICKETD_KEY_REUSED};
    result.replayed = true;
    return result;
}

/* Whether the index knows the key; then the cell has ended. */
static bool ended_by_index(struct vacancy_local *local, struct parked *cell)
{
    struct vacancy_result result;
    struct key_sale sale;
    int answer = keys_find(local->options.stock, cell->event, &cell->key, &sale);

    if (answer == TICKETD_NOT_FOUND)
        return false;
    if (answer == TICKETD_DONE)
        result = replay(&sale, cell->quantity);
    else
        result = (struct vacancy_result){.status = answer};
    end(local, cell, &result);
    return true;
}

/* Too little stock.  Sold out for certain only when the index covers what was seen and does not
 * hold the key. */
static void sold_out(struct vacancy_local *local, struct parked *cell,
                     const struct stock_entry *seen)
{
    bool keyed = !ledger_key_is_none(&cell->key);

    if (keyed && stock_durable(local->options.stock, cell->event) < seen->sequence) {
        parked_wait_for_index(&local->parked, cell, seen->sequence);
        owe_bell(local);
    } else if (!keyed || !ended_by_index(local, cell)) {
        end(local, cell,
            &(struct vacancy_result){.status = TICKETD_SOLD_OUT, .remaining = seen->available});
    }
}

/* Why no sale may begin now.  Of a key that has a sale on its way it must not be said that nothing
 * was sold. */
static int refusal_of(const struct vacancy_local *local, const struct parked *cell, int answer)
{
    bool in_flight =
        answer == TICKETD_LEDGER_FAULT && !ledger_key_is_none(&cell->key) &&
        stock_key_in_flight(local->options.stock, cell->event,
                            journal_end(local->options.stock, cell->event), &cell->key);

    return in_flight ? TICKETD_KEY_IN_FLIGHT : answer;
}

static void sell(struct vacancy_local *local, struct parked *cell)
{
    struct stock_sale sale = {
        .quantity = cell->quantity,
        .waits = true,
        .cookie = parked_cookie(&local->parked, cell),
        .token = token_next(&local->tokens),
        .key = cell->key,
    };
    struct stock_entry entry;
    int answer = judge_keeper(local);

    /* What will hardly sell promises nothing: a flood on a sold-out event wakes no keeper. */
    if (answer == TICKETD_DONE &&
        stock_available(local->options.stock, cell->event) >= cell->quantity)
        promise_bell(local);
    if (answer == TICKETD_DONE)
        answer = stock_sell(local->options.stock, local->options.place, cell->event, &sale, &entry);
    if (answer == TICKETD_SOLD_OUT) {
        sold_out(local, cell, &entry);
    } else if (answer != TICKETD_DONE) {
        end_with(local, cell, refusal_of(local, cell, answer));
    } else {
        cell->kind = PARKED_SALE;
        cell->sequence = entry.sequence;
        owe_bell(local);
    }
}

/* Judges a parked sale: its key's earlier answer, or wait for who has the key, or sell. */
static void judge(struct vacancy_local *local, struct parked *cell)
{
    struct parked *leader;

    if (ledger_key_is_none(&cell->key)) {
        sell(local, cell);
        return;
    }
    if (!cell->fresh && ended_by_index(local, cell))
        return;
    leader = parked_leader(&local->parked, cell->event, &cell->key);
    if (leader != NULL)
        parked_follow(cell, leader);
    else if (keys_are_full(local->options.stock, &cell->key))
        end_with(local, cell, TICKETD_BUSY);
    else
        sell(local, cell);
}

/* Who had the key has ended: the next ones are judged until one of them has it. */
static void judge_followers(struct vacancy_local *local, uint32_t event,
                            const struct ledger_key *key)
{
    struct parked *next;

    if (ledger_key_is_none(key))
        return;
    while (parked_leader(&local->parked, event, key) == NULL &&
           (next = parked_follower(&local->parked, event, key)) != NULL) {
        parked_lead(&local->parked, next);
        judge(local, next);
    }
}

/* Nothing to wait for: `memory:`, and no key or a fresh one. */
static void sell_at_once(struct vacancy_local *local, struct vacancy_call *call, uint32_t event,
                         uint32_t quantity, const struct ledger_key *key)
{
    struct stock_sale sale = {
        .quantity = quantity, .token = token_next(&local->tokens), .key = *key};
    struct vacancy_result result;
    struct stock_entry entry = {0};
    int answer = stock_sell(local->options.stock, local->options.place, event, &sale, &entry);

    if (answer == TICKETD_DONE) {
        result = sold(event, entry.sequence, sale.token, entry.available);
        if (stock_lag(local->options.stock, event) >= VACANCY_LOCAL_LAZY)
            owe_bell(local);
    } else {
        result = (struct vacancy_result){.status = answer, .remaining = entry.available};
        if (answer == TICKETD_BUSY)
            owe_bell(local);
    }
    vacancy_complete(call, &result);
}

static void local_reserve(struct vacancy_client *client, struct vacancy_call *call,
                          const struct vacancy_request *request)
{
    struct vacancy_local *local = local_of(client);
    struct ledger_key key = no_key;
    struct parked *cell;
    uint32_t event;
    bool fresh;

    if (!begin(local, call, request, &event))
        return;
    if (request->key.len > 0)
        key_hash(local->hasher, request->key, &key);
    fresh = request->fresh && ledger_key_is_transient(&key);
    if (!local->options.durable && (request->key.len == 0 || fresh)) {
        if (fresh && keys_are_full(local->options.stock, &key))
            refuse(call, TICKETD_BUSY);
        else
            sell_at_once(local, call, event, request->quantity, &key);
        return;
    }
    cell = parked_take(&local->parked, call, deadline_of(local, request), &key);
    if (cell == NULL) {
        refuse(call, TICKETD_BUSY);
        return;
    }
    cell->event = event;
    cell->quantity = request->quantity;
    cell->fresh = fresh;
    call->pending = cell;
    judge(local, cell);
}

static void local_available(struct vacancy_client *client, struct vacancy_call *call,
                            const struct vacancy_request *request)
{
    struct vacancy_local *local = local_of(client);
    struct stock_entry now;
    uint32_t event;

    if (!begin(local, call, request, &event))
        return;
    now = stock_look(local->options.stock, event);
    vacancy_complete(call, &(struct vacancy_result){
                               .status = TICKETD_DONE,
                               .remaining = now.available,
                               .instance = stock_instance(local->options.stock),
                               .sequence = now.sequence,
                           });
}

static void local_health(struct vacancy_client *client, struct vacancy_call *call,
                         const struct vacancy_request *request)
{
    struct vacancy_local *local = local_of(client);

    refuse(call, is_late(request) ? TICKETD_TIMED_OUT
                 : keeper_is_ready(local->options.stock, clock_monotonic_ms())
                     ? TICKETD_DONE
                     : TICKETD_UNAVAILABLE);
}

static void local_order(struct vacancy_client *client, struct vacancy_call *call,
                        const struct vacancy_request *request)
{
    struct vacancy_local *local = local_of(client);
    const struct order_id *order = &request->order;
    struct parked *cell;
    bool ring = false;

    if (order->event >= stock_event_count(local->options.stock)) {
        refuse(call, TICKETD_NOT_FOUND);
        return;
    }
    cell = parked_take(&local->parked, call, deadline_of(local, request), &no_key);
    if (cell == NULL) {
        refuse(call, TICKETD_BUSY);
        return;
    }
    call->pending = cell;
    cell->kind = PARKED_ORDER;
    cell->event = order->event;
    cell->sequence = order->sequence;
    cell->token = order->token;
    if (keeper_link_look_up(local->options.stock, local->options.place,
                            &(struct segment_lookup){.event = order->event,
                                                     .sequence = order->sequence,
                                                     .token = order->token,
                                                     .cookie = parked_cookie(&local->parked, cell)},
                            &ring) != TICKETD_DONE)
        end_with(local, cell, TICKETD_BUSY);
    else if (ring)
        (void)eventfd_write(local->options.reader_bell, 1);
}

static void local_restock(struct vacancy_client *client, struct vacancy_call *call,
                          const struct vacancy_request *request)
{
    struct vacancy_local *local = local_of(client);
    struct parked *cell;
    uint32_t event;
    int answer;

    if (!begin(local, call, request, &event))
        return;
    answer = judge_keeper(local);
    cell = answer == TICKETD_DONE
               ? parked_take(&local->parked, call, deadline_of(local, request), &no_key)
               : NULL;
    if (cell == NULL) {
        refuse(call, answer == TICKETD_DONE ? TICKETD_BUSY : answer);
        return;
    }
    call->pending = cell;
    cell->kind = PARKED_RESTOCK;
    cell->event = event;
    cell->token = token_next(&local->tokens);
    owe_bell(local);
    answer = keeper_link_ask_restock(local->options.stock, local->options.place, event,
                                     request->quantity, parked_cookie(&local->parked, cell),
                                     cell->token);
    if (answer != TICKETD_DONE)
        end_with(local, cell, answer);
}

/* 0: taken back.  Else its outcome is still to come. */
static int take_back(struct vacancy_local *local, const struct parked *cell)
{
    switch (cell->kind) {
    case PARKED_SALE:
        return stock_withdraw(local->options.stock, cell->event, cell->sequence);
    case PARKED_RESTOCK:
        return keeper_link_take_back_restock(local->options.stock, local->options.place,
                                             cell->token);
    default:
        return TICKETD_DONE; /* has taken nothing */
    }
}

static void local_cancel(struct vacancy_client *client, struct vacancy_call *call)
{
    struct vacancy_local *local = local_of(client);
    struct parked *cell = call->pending;
    struct ledger_key key = cell->key;
    uint32_t event = cell->event;
    bool led = cell->kind != PARKED_FOLLOWER;

    cell->call = NULL;
    if (take_back(local, cell) != TICKETD_DONE) {
        parked_orphan(&local->parked, cell);
        return;
    }
    parked_free(&local->parked, cell);
    if (led)
        judge_followers(local, event, &key);
}

static const struct vacancy_client_ops vacancy_local_ops = {
    .name = "local",
    .reserve = local_reserve,
    .available = local_available,
    .health = local_health,
    .order = local_order,
    .restock = local_restock,
    .cancel = local_cancel,
};

int vacancy_local_init(struct vacancy_local *local, const struct vacancy_local_options *options)
{
    int result;

    *local = (struct vacancy_local){.options = *options};
    vacancy_client_init(&local->client, &vacancy_local_ops);
    result = parked_init(&local->parked, options->parked_max);
    if (result < 0)
        return result;
    local->hasher = key_hasher_new();
    return local->hasher == NULL ? -ENOMEM : 0;
}

void vacancy_local_deinit(struct vacancy_local *local)
{
    parked_deinit(&local->parked);
    key_hasher_free(local->hasher);
    local->hasher = NULL;
}

static struct vacancy_result result_of(const struct segment_outcome *outcome)
{
    struct vacancy_result result =
        sold(outcome->event, outcome->origin, outcome->token, outcome->available);

    switch (outcome->outcome) {
    case KEEPER_SOLD:
    case KEEPER_RESTOCKED:
        return result;
    case KEEPER_DUPLICATE:
        result.replayed = true;
        return result;
    case KEEPER_KEY_REUSED:
        return (struct vacancy_result){.status = TICKETD_KEY_REUSED};
    default:
        return (struct vacancy_result){.status = TICKETD_INVALID};
    }
}

/* Whether the outcome is that of what waits in the cell: an outcome may come twice (when a keeper
 * died), and the cell may have another call since. */
static bool is_meant(const struct parked *cell, const struct segment_outcome *outcome)
{
    if (cell == NULL || cell->event != outcome->event)
        return false;
    return cell->kind == PARKED_SALE      ? cell->sequence == outcome->sequence
           : cell->kind == PARKED_RESTOCK ? cell->token == outcome->token
                                          : false;
}

/* What the coming deliveries will touch has been out of the caches since it was parked. */
static void expect(struct vacancy_local *local, const struct segment_outcome *outcomes,
                   uint32_t now)
{
    const struct parked *cell;

    if (now >= 4 && (cell = parked_of_cookie(&local->parked, outcomes[now - 4].cookie)) != NULL)
        __builtin_prefetch(cell);
    if (now >= 2 && (cell = parked_of_cookie(&local->parked, outcomes[now - 2].cookie)) != NULL &&
        cell->call != NULL) {
        __builtin_prefetch(cell->call);
        __builtin_prefetch((const char *)cell->call + 64);
    }
}

static void deliver(struct vacancy_local *local, const struct segment_outcome *outcome)
{
    struct parked *cell = parked_of_cookie(&local->parked, outcome->cookie);
    struct vacancy_result result;
    struct ledger_key key;

    if (!is_meant(cell, outcome))
        return;
    key = cell->key;
    result = result_of(outcome);
    end(local, cell, &result);
    judge_followers(local, outcome->event, &key);
}

static void deliver_order(struct vacancy_local *local, const struct segment_order *order)
{
    struct parked *cell = parked_of_cookie(&local->parked, order->cookie);
    struct vacancy_result result = {.status = order->status};

    if (cell == NULL || cell->kind != PARKED_ORDER || cell->event != order->event ||
        cell->sequence != order->sequence || cell->token != order->token)
        return;
    if (order->status == TICKETD_DONE) {
        const char *id = stock_event_id(local->options.stock, cell->event);
        result.order = (struct order_id){
            .event = cell->event, .sequence = cell->sequence, .token = cell->token};
        result.quantity = order->quantity;
        result.time_us = order->time_us;
        result.event = (struct text){.base = id, .len = strlen(id)};
    }
    end(local, cell, &result);
}

/* The first of those that wait for the index and need not any more, among the first *most. */
static struct parked *first_indexed(const struct vacancy_local *local, uint32_t *most)
{
    struct parked *cell = TAILQ_FIRST(&local->parked.indexed);

    for (; cell != NULL && *most > 0; cell = TAILQ_NEXT(cell, by_index), --*most)
        if (stock_durable(local->options.stock, cell->event) >= cell->sequence)
            return cell;
    return NULL;
}

/* Judges again who waited for the index, each at most once: one may have to wait again. */
static bool deliver_indexed(struct vacancy_local *local)
{
    uint32_t most = local->parked.used;
    struct parked *cell;
    bool any = false;

    while ((cell = first_indexed(local, &most)) != NULL) {
        struct ledger_key key = cell->key;
        uint32_t event = cell->event;
        --most;
        any = true;
        parked_end_wait(&local->parked, cell);
        judge(local, cell);
        judge_followers(local, event, &key);
    }
    return any;
}

bool vacancy_local_deliver(struct vacancy_local *local)
{
    struct segment_outcome outcomes[OUTCOMES_AT_A_TIME];
    struct segment_order order;
    bool any = false;
    uint32_t count;

    while ((count = keeper_link_outcomes(local->options.stock, local->options.place, outcomes,
                                         OUTCOMES_AT_A_TIME)) > 0) {
        /* backwards: what was parked last is the most likely to be in the caches still */
        for (uint32_t i = count; i-- > 0;) {
            expect(local, outcomes, i);
            deliver(local, &outcomes[i]);
        }
        any = true;
    }
    while (keeper_link_order(local->options.stock, local->options.place, &order)) {
        deliver_order(local, &order);
        any = true;
    }
    if (keeper_link_wants_reader(local->options.stock, local->options.place))
        (void)eventfd_write(local->options.reader_bell, 1);
    /* The keeper waits for what they ask next who were just answered. */
    if (keeper_link_owes_bell(local->options.stock, local->options.place))
        owe_bell(local);
    if (!TAILQ_EMPTY(&local->parked.indexed))
        any |= deliver_indexed(local);
    return any;
}

/* The answer when a call's time is over and it has taken nothing. */
static int late_status(const struct vacancy_local *local, const struct parked *cell,
                       enum parked_kind kind)
{
    if (kind == PARKED_FOLLOWER ||
        (!ledger_key_is_none(&cell->key) &&
         stock_key_in_flight(local->options.stock, cell->event, cell->sequence, &cell->key)))
        return TICKETD_KEY_IN_FLIGHT;
    return keeper_state(local->options.stock) == KEEPER_FAULT ? TICKETD_LEDGER_FAULT
                                                              : TICKETD_TIMED_OUT;
}

static void give_up(struct vacancy_local *local, struct parked *cell)
{
    struct vacancy_call *call = cell->call;

    parked_orphan(&local->parked, cell);
    refuse(call, TICKETD_OUTCOME_UNKNOWN);
}

static void expire(struct vacancy_local *local, struct parked *cell, uint64_t now_ms)
{
    struct ledger_key key = cell->key;
    enum parked_kind kind = cell->kind;
    uint32_t event = cell->event;

    if (take_back(local, cell) != TICKETD_DONE) {
        if (cell->extended || keeper_state(local->options.stock) == KEEPER_FAULT) {
            give_up(local, cell);
        } else {
            cell->extended = true;
            parked_put_off(&local->parked, cell, now_ms + VACANCY_LOCAL_GRACE_MS);
        }
        return;
    }
    end_with(local, cell, late_status(local, cell, kind));
    if (kind != PARKED_FOLLOWER)
        judge_followers(local, event, &key);
}

uint64_t vacancy_local_deadline(const struct vacancy_local *local)
{
    const struct parked *cell = TAILQ_FIRST(&local->parked.deadlines);

    return cell == NULL ? UINT64_MAX : cell->deadline_ms;
}

uint64_t vacancy_local_expire(struct vacancy_local *local, uint64_t now_ms)
{
    struct parked *cell = TAILQ_FIRST(&local->parked.deadlines);
    uint64_t looks = 0;

    /* few at a time: the loop has others to serve in between, and each with a key may have to look
     * through the journal */
    for (unsigned i = 0; i < VACANCY_LOCAL_EXPIRE_MAX && looks < VACANCY_LOCAL_LOOKS_MAX; ++i) {
        if (cell == NULL || cell->deadline_ms > now_ms)
            break;
        looks += ledger_key_is_none(&cell->key) ? 0 : stock_lag(local->options.stock, cell->event);
        expire(local, cell, now_ms);
        cell = TAILQ_FIRST(&local->parked.deadlines);
    }
    return vacancy_local_deadline(local);
}

bool vacancy_local_gathers(struct vacancy_local *local, uint64_t now_ms)
{
    if (local->turns == 0)
        local->since_ms = now_ms;
    if (local->gathered == local->looked_at || local->gathered >= VACANCY_LOCAL_GATHER_MAX ||
        local->turns >= VACANCY_LOCAL_GATHER_TURNS ||
        now_ms >= local->since_ms + VACANCY_LOCAL_GATHER_MS)
        return false;
    local->looked_at = local->gathered;
    ++local->turns;
    return true;
}

bool vacancy_local_sleep(struct vacancy_local *local)
{
    const struct vacancy_local_options *options = &local->options;
    uint32_t most = local->parked.used;

    if (local->owes_bell) {
        local->owes_bell = false;
        local->gathered = local->looked_at = local->turns = 0;
        if (keeper_link_wants_bell(options->stock, options->place))
            (void)eventfd_write(options->keeper_bell, 1);
    }
    if (most == 0)
        return true; /* nothing can come */
    if (!keeper_link_worker_sleeps(options->stock, options->place,
                                   !TAILQ_EMPTY(&local->parked.indexed)))
        return false;
    if (first_indexed(local, &most) == NULL)
        return true;
    vacancy_local_awake(local);
    return false;
}

void vacancy_local_awake(struct vacancy_local *local)
{
    keeper_link_worker_awake(local->options.stock, local->options.place);
}
