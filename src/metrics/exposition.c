#include "metrics/exposition.h"

#include <string.h>

/* Longest line: a name, its labels with two ids of which each byte is escaped, a number. */
#define LINE_SIZE_MAX 384
/* Longest HELP and TYPE of a family. */
#define HEAD_SIZE_MAX 384
/* Lines of one event, and of a histogram. */
#define EVENT_LINES     (METRICS_EVENT_CELL_COUNT * ROLES + METRICS_ORDER_CELL_COUNT + 4)
#define HISTOGRAM_LINES (METRICS_BOUNDS_MAX + 3)
/* Lines of everything that is there once, or once for each owner. */
#define OTHER_LINES ((METRICS_CELL_COUNT + METRIC_COUNT) * (size_t)METRICS_OWNER_COUNT)
#define ROLES       3
#define NS_PER_S    1000000000U
#define US_PER_S    1000000U

/* One kind of answer of one pool. */
struct kind {
    enum metrics_owner owner;
    struct metrics_request_key key;
    struct metrics_values duration;
};

/* The kinds of answers there are, in the order of their ranks (rank_of). */
struct kinds {
    struct kind *items;
    uint32_t count;
    uint64_t ranks[METRICS_KINDS_MAX];
};

/* The text while it grows, and the family that is being written. */
struct page {
    const struct metrics_source *source;
    struct kinds *kinds;
    struct metrics_ledger ledger;
    bool owners[METRICS_OWNER_COUNT]; /* those that have slots */
    char *at;
    char *end;
    const struct metric *metric;
    bool began; /* it has its HELP and TYPE */
};

/* ---- writing ---- */

static void put(struct page *page, const char *bytes, size_t len)
{
    assert(len <= (size_t)(page->end - page->at));
    memcpy(page->at, bytes, len);
    page->at += len;
}

static void put_string(struct page *page, const char *string)
{
    put(page, string, strlen(string));
}

/* With at least `width` digits. */
static void put_number(struct page *page, uint64_t number, unsigned width)
{
    char digits[20];
    size_t first = sizeof(digits);

    do
        digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) != 0 || sizeof(digits) - first < width);
    put(page, digits + first, sizeof(digits) - first);
}

static void put_label_value(struct page *page, const char *value)
{
    for (; *value != '\0'; ++value) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            put(page, "\\", 1);
        put(page, *value == '\n' ? "n" : value, 1);
    }
}

/* A name, and the values of its labels in the order of the table; the last one may be that of a
 * histogram's bucket. */
struct labels {
    const char *value[4];
    const char *bound; /* NULL: none */
};

static void put_label(struct page *page, char before, const char *name, size_t name_len,
                      const char *value)
{
    put(page, &before, 1);
    put(page, name, name_len);
    put_string(page, "=\"");
    put_label_value(page, value);
    put_string(page, "\"");
}

static void put_labels(struct page *page, const struct labels *labels)
{
    const char *name = page->metric->labels;
    char before = '{';

    for (int i = 0; *name != '\0'; ++i) {
        size_t len = strcspn(name, ",");
        put_label(page, before, name, len, labels->value[i] != NULL ? labels->value[i] : "");
        name += len + (name[len] == ',');
        before = ',';
    }
    if (labels->bound != NULL)
        put_label(page, before, "le", 2, labels->bound);
    if (before == ',' || labels->bound != NULL)
        put_string(page, "}");
}

static void begin_family(struct page *page)
{
    static const char *const types[] = {[METRIC_COUNTER] = " counter\n",
                                        [METRIC_GAUGE] = " gauge\n",
                                        [METRIC_HISTOGRAM] = " histogram\n"};

    put_string(page, "# HELP ");
    put_string(page, page->metric->name);
    put_string(page, " ");
    put_string(page, page->metric->help);
    put_string(page, "\n# TYPE ");
    put_string(page, page->metric->name);
    put_string(page, types[page->metric->type]);
    page->began = true;
}

static void begin_line(struct page *page, const char *suffix, const struct labels *labels)
{
    if (!page->began)
        begin_family(page);
    put_string(page, page->metric->name);
    put_string(page, suffix);
    put_labels(page, labels);
    put_string(page, " ");
}

static void end_line(struct page *page, uint64_t number)
{
    put_number(page, number, 1);
    put_string(page, "\n");
}

static void put_line(struct page *page, const struct labels *labels, uint64_t number)
{
    begin_line(page, "", labels);
    end_line(page, number);
}

static void put_histogram(struct page *page, struct labels labels,
                          const struct metrics_bounds *bounds, const struct metrics_values *values)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i <= bounds->count; ++i) {
        count += values->bucket[i];
        labels.bound = i < bounds->count ? bounds->text[i] : "+Inf";
        begin_line(page, "_bucket", &labels);
        end_line(page, count);
    }
    labels.bound = NULL;
    begin_line(page, "_sum", &labels);
    if (bounds->is_time) {
        put_number(page, values->sum / NS_PER_S, 1);
        put_string(page, ".");
        put_number(page, values->sum % NS_PER_S, 9);
        put_string(page, "\n");
    } else {
        end_line(page, values->sum);
    }
    begin_line(page, "_count", &labels);
    end_line(page, count);
}

/* ---- what the slots have ---- */

static const char *pool_of(enum metrics_owner owner)
{
    return owner >= METRICS_MONOLITH && owner <= METRICS_TICKET
               ? role_name((enum role)(owner - METRICS_OWNER_OF(0)))
               : "";
}

static const char *process_of(enum metrics_owner owner)
{
    return owner == METRICS_KEEPER   ? "keeper"
           : owner == METRICS_READER ? "reader"
           : owner == METRICS_MASTER ? "master"
                                     : "worker";
}

/* The owner after that one which has slots, up to `last`; METRICS_OWNER_COUNT: none. */
static enum metrics_owner next_owner(const struct page *page, enum metrics_owner owner,
                                     enum metrics_owner last)
{
    do
        ++owner;
    while (owner <= last && !page->owners[owner]);
    return owner <= last ? owner : METRICS_OWNER_COUNT;
}

static bool has_label(const struct metric *metric, const char *label)
{
    return strstr(metric->labels, label) != NULL;
}

struct cell {
    enum metric_id metric;
    const char *value;
};

static const struct cell cells[METRICS_CELL_COUNT] = {
#define METRIC_CELL(id, cell, value) {METRIC_##id, value},
#include "metrics/metrics.def"
};

static void put_cell(struct page *page, enum metrics_cell cell)
{
    const struct metrics *metrics = page->source->metrics;
    bool by_process = has_label(page->metric, "process");
    /* nobody starts the master, and nobody tells of its death */
    enum metrics_owner last = !by_process                   ? METRICS_TICKET
                              : cell == METRICS_log_dropped ? METRICS_MASTER
                                                            : METRICS_READER;
    const char *value = cells[cell].value;

    if (!has_label(page->metric, "pool")) {
        put_line(page, &(struct labels){.value = {value}},
                 metrics_sum(metrics, METRICS_NOBODY, cell));
        return;
    }
    for (enum metrics_owner owner = METRICS_NOBODY;
         (owner = next_owner(page, owner, last)) < METRICS_OWNER_COUNT;) {
        const char *first = by_process ? process_of(owner) : value;
        struct labels labels = {.value = {pool_of(owner)}};
        if (*first != '\0')
            labels = (struct labels){.value = {first, pool_of(owner)}};
        put_line(page, &labels, metrics_sum(metrics, owner, cell));
    }
}

static void put_cells(struct page *page)
{
    for (int cell = 0; cell < METRICS_CELL_COUNT; ++cell)
        if (metric_of(cells[cell].metric) == page->metric)
            put_cell(page, (enum metrics_cell)cell);
}

static const enum metric_id event_cells[METRICS_EVENT_CELL_COUNT] = {
#define METRIC_EVENT_CELL(id, cell) METRIC_##id,
#include "metrics/metrics.def"
};

static void put_event_cell(struct page *page, enum metrics_event_cell cell)
{
    const struct metrics *metrics = page->source->metrics;

    for (uint32_t event = 0; event < metrics_event_count(metrics); ++event)
        for (enum metrics_owner owner = METRICS_NOBODY;
             (owner = next_owner(page, owner, METRICS_TICKET)) < METRICS_OWNER_COUNT;)
            put_line(page,
                     &(struct labels){.value = {metrics_event_id(metrics, event), pool_of(owner)}},
                     metrics_sum_event(metrics, owner, event, cell));
}

static void put_event_cells(struct page *page)
{
    for (int cell = 0; cell < METRICS_EVENT_CELL_COUNT; ++cell)
        if (metric_of(event_cells[cell]) == page->metric)
            put_event_cell(page, (enum metrics_event_cell)cell);
}

static const enum metric_id order_cells[METRICS_ORDER_CELL_COUNT] = {
#define METRIC_ORDER_CELL(id, cell) METRIC_##id,
#include "metrics/metrics.def"
};

static void put_order_cell(struct page *page, enum metrics_order_cell cell)
{
    const struct metrics *metrics = page->source->metrics;

    for (uint32_t event = 0; event < metrics_event_count(metrics); ++event) {
        struct metrics_orders orders;
        metrics_orders_read(metrics, event, &orders);
        put_line(page, &(struct labels){.value = {metrics_event_id(metrics, event)}},
                 orders.count[cell]);
    }
}

static void put_order_cells(struct page *page)
{
    for (int cell = 0; cell < METRICS_ORDER_CELL_COUNT; ++cell)
        if (metric_of(order_cells[cell]) == page->metric)
            put_order_cell(page, (enum metrics_order_cell)cell);
}

static const enum metric_id series_of[METRICS_SERIES_COUNT] = {
#define METRIC_SERIES(id, cell, bounds) METRIC_##id,
#include "metrics/metrics.def"
};

static void put_series(struct page *page)
{
    struct metrics_values values;

    for (int i = 0; i < METRICS_SERIES_COUNT; ++i) {
        enum metrics_series series = (enum metrics_series)i;
        if (metric_of(series_of[i]) != page->metric)
            continue;
        metrics_sum_series(page->source->metrics, series, &values);
        put_histogram(page, (struct labels){.bound = NULL}, metrics_series_bounds(series), &values);
    }
}

/* ---- answers to requests ---- */

/* The order of the lines: by route, method, status, pool. */
static uint64_t rank_of(enum metrics_owner owner, struct metrics_request_key key)
{
    return (uint64_t)key.route << 24 | (uint64_t)key.method << 16 | (uint64_t)key.status << 4 |
           (uint64_t)owner;
}

/* The place of a rank among those that are sorted, or where it would be. */
static uint32_t find_rank(const struct kinds *kinds, uint64_t rank)
{
    uint32_t from = 0, to = kinds->count;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (kinds->ranks[middle] < rank)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static void find_kind(void *context, enum metrics_owner owner, struct metrics_request_key key,
                      const struct metrics_histogram *duration)
{
    struct kinds *kinds = context;
    uint64_t rank = rank_of(owner, key);
    uint32_t place = find_rank(kinds, rank);

    (void)duration;
    if ((place < kinds->count && kinds->ranks[place] == rank) || kinds->count == METRICS_KINDS_MAX)
        return;
    memmove(&kinds->ranks[place + 1], &kinds->ranks[place],
            (kinds->count - place) * sizeof(kinds->ranks[0]));
    kinds->ranks[place] = rank;
    ++kinds->count;
}

/* What has come since the kinds were looked for is left to the next exposition. */
static void add_kind(void *context, enum metrics_owner owner, struct metrics_request_key key,
                     const struct metrics_histogram *duration)
{
    struct kinds *kinds = context;
    uint64_t rank = rank_of(owner, key);
    uint32_t place = find_rank(kinds, rank);

    if (place == kinds->count || kinds->ranks[place] != rank)
        return;
    kinds->items[place].owner = owner;
    kinds->items[place].key = key;
    metrics_values_add(&kinds->items[place].duration, duration);
}

static void put_requests(struct page *page)
{
    static const char *const methods[METRICS_METHOD_COUNT] = {
        [METRICS_METHOD_OTHER] = "_OTHER",    [METRICS_METHOD_GET] = "GET",
        [METRICS_METHOD_HEAD] = "HEAD",       [METRICS_METHOD_POST] = "POST",
        [METRICS_METHOD_OPTIONS] = "OPTIONS",
    };

    for (uint32_t i = 0; i < page->kinds->count; ++i) {
        const struct kind *kind = &page->kinds->items[i];
        unsigned status = kind->key.status;
        char digits[4] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                          (char)('0' + status % 10), '\0'};
        struct labels labels = {.value = {methods[kind->key.method % METRICS_METHOD_COUNT],
                                          page->source->route(kind->key.route),
                                          status == 0 ? "_OTHER" : digits, pool_of(kind->owner)}};
        put_histogram(page, labels, &metrics_bounds_TIME, &kind->duration);
    }
}

/* ---- what the scoreboard has ---- */

/* Sums a gauge, at `offset` in its slots, over the workers of a pool. */
static uint64_t sum_gauge(const struct page *page, enum metrics_owner owner, size_t offset)
{
    const struct scoreboard *board = page->source->scoreboard;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < board->slot_count; ++i) {
        const struct scoreboard_slot *slot = &board->slots[i];
        if (scoreboard_state(slot) != SCOREBOARD_FREE &&
            metrics_owner_of(page->source->metrics, i) == owner)
            sum += atomic_load_explicit((const _Atomic uint32_t *)((const char *)slot + offset),
                                        memory_order_relaxed);
    }
    return sum;
}

static void put_gauge_by_pool(struct page *page, size_t offset)
{
    for (enum metrics_owner owner = METRICS_NOBODY;
         (owner = next_owner(page, owner, METRICS_TICKET)) < METRICS_OWNER_COUNT;)
        put_line(page, &(struct labels){.value = {pool_of(owner)}}, sum_gauge(page, owner, offset));
}

static void put_connections(struct page *page)
{
    put_gauge_by_pool(page, offsetof(struct scoreboard_slot, connections));
}

static void put_parked(struct page *page)
{
    put_gauge_by_pool(page, offsetof(struct scoreboard_slot, parked));
}

static void put_streams(struct page *page)
{
    put_gauge_by_pool(page, offsetof(struct scoreboard_slot, streams));
}

static void put_client_gauge(struct page *page, const char *state, size_t offset)
{
    put_line(page, &(struct labels){.value = {state}}, sum_gauge(page, METRICS_TICKET, offset));
}

static void put_client_connections(struct page *page)
{
    put_client_gauge(page, "busy", offsetof(struct scoreboard_slot, client_busy));
    put_client_gauge(page, "idle", offsetof(struct scoreboard_slot, client_idle));
}

static void put_client_queue(struct page *page)
{
    put_client_gauge(page, NULL, offsetof(struct scoreboard_slot, client_queue));
}

static void put_connections_max(struct page *page)
{
    for (enum metrics_owner owner = METRICS_NOBODY;
         (owner = next_owner(page, owner, METRICS_TICKET)) < METRICS_OWNER_COUNT;)
        put_line(page, &(struct labels){.value = {pool_of(owner)}}, page->source->connections_max);
}

static void put_client_addresses(struct page *page)
{
    put_client_gauge(page, "closed", offsetof(struct scoreboard_slot, client_closed));
    put_client_gauge(page, "half_open", offsetof(struct scoreboard_slot, client_half_open));
    put_client_gauge(page, "open", offsetof(struct scoreboard_slot, client_open));
}

static uint64_t count_workers(const struct page *page, enum metrics_owner owner,
                              enum scoreboard_state state)
{
    const struct scoreboard *board = page->source->scoreboard;
    uint64_t count = 0;

    for (uint32_t i = 0; i < board->slot_count; ++i)
        count += metrics_owner_of(page->source->metrics, i) == owner &&
                 scoreboard_state(&board->slots[i]) == state;
    return count;
}

static void put_parked_max(struct page *page)
{
    for (enum metrics_owner owner = METRICS_NOBODY;
         (owner = next_owner(page, owner, METRICS_TICKET)) < METRICS_OWNER_COUNT;)
        if (owner != METRICS_TICKET)
            put_line(page, &(struct labels){.value = {pool_of(owner)}},
                     page->source->parked_max * count_workers(page, owner, SCOREBOARD_SERVING));
}

static void put_client_queue_max(struct page *page)
{
    put_line(page, &(struct labels){.bound = NULL},
             page->source->client_queue_max *
                 count_workers(page, METRICS_TICKET, SCOREBOARD_SERVING));
}

static void put_workers(struct page *page)
{
    static const char *const states[] = {[SCOREBOARD_STARTING] = "starting",
                                         [SCOREBOARD_SERVING] = "serving",
                                         [SCOREBOARD_DRAINING] = "draining"};

    for (enum metrics_owner owner = METRICS_NOBODY;
         (owner = next_owner(page, owner, METRICS_TICKET)) < METRICS_OWNER_COUNT;)
        for (int state = SCOREBOARD_STARTING; state <= SCOREBOARD_DRAINING; ++state)
            put_line(page, &(struct labels){.value = {states[state], pool_of(owner)}},
                     count_workers(page, owner, (enum scoreboard_state)state));
}

static void put_reloads(struct page *page)
{
    const struct scoreboard_reloads *reloads = page->source->scoreboard->reloads;

    put_line(page, &(struct labels){.value = {"done"}},
             atomic_load_explicit(&reloads->done, memory_order_relaxed));
    put_line(page, &(struct labels){.value = {"refused"}},
             atomic_load_explicit(&reloads->refused, memory_order_relaxed));
}

/* ---- what the stock has ---- */

static void put_ready(struct page *page)
{
    put_line(page, &(struct labels){.bound = NULL}, page->ledger.ready);
}

const char *metrics_keeper_word(enum metrics_keeper_state state)
{
    static const char *const words[METRICS_KEEPER_STATE_COUNT] = {
#define X(name) [METRICS_KEEPER_##name] = #name,
        METRICS_KEEPER_STATES(X)
#undef X
    };

    return words[state];
}

static void put_keeper_state(struct page *page)
{
    for (int state = 0; state < METRICS_KEEPER_STATE_COUNT; ++state)
        put_line(page,
                 &(struct labels){.value = {metrics_keeper_word((enum metrics_keeper_state)state)}},
                 (int)page->ledger.state == state);
}

static void put_journal_slots(struct page *page)
{
    put_line(page, &(struct labels){.bound = NULL}, page->ledger.journal_slots);
}

static void put_keys(struct page *page)
{
    put_line(page, &(struct labels){.value = {"client"}}, page->ledger.keys_of_clients);
    put_line(page, &(struct labels){.value = {"transient"}}, page->ledger.keys_transient);
}

static void put_keys_max(struct page *page)
{
    put_line(page, &(struct labels){.bound = NULL}, page->ledger.keys_max);
}

static void put_stock(struct page *page, size_t offset)
{
    const struct metrics_source *source = page->source;

    for (uint32_t event = 0; event < metrics_event_count(source->metrics); ++event) {
        struct metrics_stock_event stock;
        source->event(source->context, event, &stock);
        put_line(page, &(struct labels){.value = {metrics_event_id(source->metrics, event)}},
                 *(const uint64_t *)((const char *)&stock + offset));
    }
}

static void put_available(struct page *page)
{
    put_stock(page, offsetof(struct metrics_stock_event, available));
}

static void put_capacity(struct page *page)
{
    put_stock(page, offsetof(struct metrics_stock_event, capacity));
}

static void put_lag(struct page *page)
{
    put_stock(page, offsetof(struct metrics_stock_event, lag));
}

/* ---- the rest ---- */

static void put_build_info(struct page *page)
{
    put_line(page, &(struct labels){.value = {TICKETD_VERSION}}, 1);
}

static void put_start_time(struct page *page)
{
    uint64_t began_us = (uint64_t)metrics_began_us(page->source->metrics);

    begin_line(page, "", &(struct labels){.bound = NULL});
    put_number(page, began_us / US_PER_S, 1);
    put_string(page, ".");
    put_number(page, began_us % US_PER_S, 6);
    put_string(page, "\n");
}

/* Where a family is told. */
enum told {
    ALWAYS = 0,
    WITH_KEEPER, /* by every worker of a master that has one */
    WITH_STOCK,  /* by a worker that has the stock */
    WITH_CLIENT, /* by every worker of a master that has a ticket pool */
};

struct family {
    enum told told;
    void (*put)(struct page *page);
};

static const struct family families[METRIC_COUNT] = {
    [METRIC_REQUEST_DURATION] = {ALWAYS, put_requests},
    [METRIC_SALES] = {ALWAYS, put_event_cells},
    [METRIC_SOLD_OUTS] = {ALWAYS, put_event_cells},
    [METRIC_REPLAYS] = {ALWAYS, put_event_cells},
    [METRIC_REFUSALS] = {ALWAYS, put_cells},
    [METRIC_STOCK_AVAILABLE] = {WITH_STOCK, put_available},
    [METRIC_STOCK_CAPACITY] = {WITH_STOCK, put_capacity},
    [METRIC_ORDERS] = {WITH_KEEPER, put_order_cells},
    [METRIC_TICKETS_SOLD] = {WITH_KEEPER, put_order_cells},
    [METRIC_DUPLICATES] = {WITH_KEEPER, put_order_cells},
    [METRIC_VOIDS] = {WITH_KEEPER, put_order_cells},
    [METRIC_RETURNS] = {WITH_KEEPER, put_order_cells},
    [METRIC_RESTOCKS] = {WITH_KEEPER, put_order_cells},
    [METRIC_READY] = {WITH_STOCK, put_ready},
    [METRIC_KEEPER_STATE] = {WITH_STOCK, put_keeper_state},
    [METRIC_KEEPER_LAG] = {WITH_STOCK, put_lag},
    [METRIC_JOURNAL_SLOTS] = {WITH_STOCK, put_journal_slots},
    [METRIC_KEEPER_BATCH] = {WITH_KEEPER, put_series},
    [METRIC_LEDGER_COMMIT] = {WITH_KEEPER, put_series},
    [METRIC_LEDGER_FAILURES] = {WITH_KEEPER, put_cells},
    [METRIC_KEYS] = {WITH_STOCK, put_keys},
    [METRIC_KEYS_MAX] = {WITH_STOCK, put_keys_max},
    [METRIC_WORKERS] = {ALWAYS, put_workers},
    [METRIC_PROCESS_STARTS] = {ALWAYS, put_cells},
    [METRIC_PROCESS_DEATHS] = {ALWAYS, put_cells},
    [METRIC_RELOADS] = {ALWAYS, put_reloads},
    [METRIC_CONNECTIONS] = {ALWAYS, put_connections},
    [METRIC_CONNECTIONS_MAX] = {ALWAYS, put_connections_max},
    [METRIC_ACCEPTED] = {ALWAYS, put_cells},
    [METRIC_PARKED] = {ALWAYS, put_parked},
    [METRIC_PARKED_MAX] = {WITH_KEEPER, put_parked_max},
    [METRIC_STREAMS] = {ALWAYS, put_streams},
    [METRIC_LOG_DROPPED] = {ALWAYS, put_cells},
    [METRIC_CLIENT_CONNECTIONS] = {WITH_CLIENT, put_client_connections},
    [METRIC_CLIENT_QUEUE] = {WITH_CLIENT, put_client_queue},
    [METRIC_CLIENT_QUEUE_MAX] = {WITH_CLIENT, put_client_queue_max},
    [METRIC_CLIENT_CALLS] = {WITH_CLIENT, put_cells},
    [METRIC_CLIENT_REQUESTS] = {WITH_CLIENT, put_cells},
    [METRIC_CLIENT_BATCH] = {WITH_CLIENT, put_series},
    [METRIC_CLIENT_RETRIES] = {WITH_CLIENT, put_cells},
    [METRIC_CLIENT_ADDRESSES] = {WITH_CLIENT, put_client_addresses},
    [METRIC_BREAKER_OPENINGS] = {WITH_CLIENT, put_cells},
    [METRIC_BUILD_INFO] = {ALWAYS, put_build_info},
    [METRIC_START_TIME] = {ALWAYS, put_start_time},
};

static bool is_told(const struct page *page, enum told told)
{
    switch (told) {
    case WITH_KEEPER:
        return page->owners[METRICS_KEEPER];
    case WITH_STOCK:
        return page->source->event != NULL;
    case WITH_CLIENT:
        return page->owners[METRICS_TICKET];
    default:
        return true;
    }
}

/* As many bytes as all of it may take. */
static size_t room_for(const struct page *page)
{
    size_t lines = OTHER_LINES + METRICS_SERIES_COUNT * (size_t)HISTOGRAM_LINES;

    lines += (size_t)metrics_event_count(page->source->metrics) * EVENT_LINES;
    lines += (size_t)page->kinds->count * HISTOGRAM_LINES;
    return lines * LINE_SIZE_MAX + METRIC_COUNT * (size_t)HEAD_SIZE_MAX;
}

static void look_at(struct page *page)
{
    const struct metrics_source *source = page->source;

    for (uint32_t i = 0; i < metrics_slot_count(source->metrics); ++i)
        page->owners[metrics_owner_of(source->metrics, i)] = true;
    if (source->ledger != NULL)
        source->ledger(source->context, &page->ledger);
    metrics_each_requests(source->metrics, find_kind, page->kinds);
}

struct text metrics_exposition(const struct metrics_source *source,
                               void *(*alloc)(void *context, size_t size), void *context)
{
    struct kinds kinds = {.count = 0};
    struct page page = {.source = source, .kinds = &kinds};
    char *begin;

    look_at(&page);
    kinds.items = alloc(context, (kinds.count + 1) * sizeof(kinds.items[0]));
    memset(kinds.items, 0, (kinds.count + 1) * sizeof(kinds.items[0]));
    metrics_each_requests(source->metrics, add_kind, &kinds);
    begin = page.at = alloc(context, room_for(&page));
    page.end = begin + room_for(&page);
    for (int id = 0; id < METRIC_COUNT; ++id) {
        page.metric = metric_of((enum metric_id)id);
        page.began = false;
        if (is_told(&page, families[id].told))
            families[id].put(&page);
    }
    return (struct text){.base = begin, .len = (size_t)(page.at - begin)};
}
