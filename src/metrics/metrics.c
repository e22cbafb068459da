#include "metrics/metrics.h"

#include <bsd/string.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define CACHE_LINE 64
/* Slots of those that are no workers. */
#define OTHER_SLOTS 3
/* A reader that met a new version so often in a row takes what it has. */
#define READ_TRIES_MAX 1000
/* What no answer has: those without room of their own are counted by it. */
#define OVERFLOW_KEY ((struct metrics_request_key){.route = 0})

/* Two versions of the keeper's counts of an event, of which the newest is the one to read. */
struct orders {
    alignas(CACHE_LINE) _Atomic uint32_t version; /* the low bit tells which */
    struct {
        _Atomic uint64_t sequence;
        _Atomic uint64_t count[METRICS_ORDER_CELL_COUNT];
    } copy[2];
};

struct metrics_head {
    /* fixed after start */
    int64_t began_us;
    size_t size;
    uint32_t slot_count; /* all */
    uint32_t events_max;
    uint32_t event_count;
    size_t slots_at, events_at, events_stride, orders_at, ids_at;
    uint8_t owners[]; /* enum metrics_owner, by slot */
};

static const struct metric metrics_table[METRIC_COUNT] = {
#define METRIC(id, name_, type_, labels_, help_)                                                   \
    {.name = (name_), .type = METRIC_##type_, .labels = (labels_), .help = (help_)},
#include "metrics/metrics.def"
};

const struct metrics_bounds metrics_bounds_TIME = {
    .bound = {50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000, 20000000,
              50000000, 100000000, 200000000, 500000000, 1000000000, 2000000000, 5000000000,
              10000000000},
    .text = {"5e-05", "0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005", "0.01", "0.02",
             "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10"},
    .count = METRICS_BOUNDS_MAX,
    .is_time = true,
};

const struct metrics_bounds metrics_bounds_COUNT = {
    .bound = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024},
    .text = {"1", "2", "4", "8", "16", "32", "64", "128", "256", "512", "1024"},
    .count = 11,
};

static const struct metrics_bounds *const bounds_of[METRICS_SERIES_COUNT] = {
#define METRIC_SERIES(id, cell, bounds) &metrics_bounds_##bounds,
#include "metrics/metrics.def"
};

const struct metric *metric_of(enum metric_id id)
{
    return &metrics_table[id];
}

/* ---- the memory ---- */

static size_t aligned(size_t size)
{
    return (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static void *at(const struct metrics *metrics, size_t offset)
{
    return (char *)metrics->head + offset;
}

static struct metrics_slot *slot_of(const struct metrics *metrics, uint32_t slot)
{
    assert(slot < metrics->head->slot_count);
    return (struct metrics_slot *)at(metrics, metrics->head->slots_at) + slot;
}

static _Atomic uint64_t *events_of(const struct metrics *metrics, uint32_t slot)
{
    return at(metrics, metrics->head->events_at + slot * metrics->head->events_stride);
}

static struct orders *orders_of(const struct metrics *metrics, uint32_t event)
{
    return (struct orders *)at(metrics, metrics->head->orders_at) + event;
}

static char *id_of(const struct metrics *metrics, uint32_t event)
{
    return (char *)at(metrics, metrics->head->ids_at) + event * (size_t)(METRICS_EVENT_ID_MAX + 1);
}

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct metrics_head plan(uint32_t slot_count, uint32_t events_max)
{
    struct metrics_head head = {.slot_count = slot_count, .events_max = events_max};

    head.began_us = now_us();
    head.slots_at = aligned(sizeof(head) + slot_count);
    head.events_at = head.slots_at + slot_count * sizeof(struct metrics_slot);
    head.events_stride = aligned(events_max * METRICS_EVENT_CELL_COUNT * sizeof(uint64_t));
    head.orders_at = head.events_at + slot_count * head.events_stride;
    head.ids_at = head.orders_at + events_max * sizeof(struct orders);
    head.size = head.ids_at + events_max * (size_t)(METRICS_EVENT_ID_MAX + 1);
    return head;
}

int metrics_create(struct metrics *ret_metrics, uint32_t worker_slots, uint32_t events_max)
{
    struct metrics_head head =
        plan(worker_slots + OTHER_SLOTS,
             events_max < METRICS_EVENTS_MAX ? events_max : METRICS_EVENTS_MAX);
    struct metrics metrics = {.worker_slots = worker_slots};

    metrics.head = mmap(NULL, head.size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (metrics.head == MAP_FAILED)
        return -errno;
    *metrics.head = head;
    *ret_metrics = metrics;
    metrics_own(ret_metrics, METRICS_SLOT_MASTER(ret_metrics), 1, METRICS_MASTER);
    return 0;
}

void metrics_destroy(struct metrics *metrics)
{
    if (metrics->head != NULL)
        munmap(metrics->head, metrics->head->size);
    metrics->head = NULL;
}

void metrics_own(const struct metrics *metrics, uint32_t first_slot, uint32_t count,
                 enum metrics_owner owner)
{
    if (metrics->head == NULL)
        return;
    assert(first_slot + count <= metrics->head->slot_count);
    for (uint32_t i = 0; i < count; ++i)
        metrics->head->owners[first_slot + i] = (uint8_t)owner;
}

void metrics_add_event_id(const struct metrics *metrics, const char *id, uint64_t sequence)
{
    struct metrics_head *head = metrics->head;

    if (head == NULL || head->event_count == head->events_max)
        return;
    (void)strlcpy(id_of(metrics, head->event_count), id, METRICS_EVENT_ID_MAX + 1);
    ++head->event_count;
    metrics_orders_write(metrics, head->event_count - 1,
                         &(struct metrics_orders){.sequence = sequence});
}

/* ---- writing ---- */

/* In 32 bits: never 0, and with three bits left above. */
static uint32_t pack(struct metrics_request_key key)
{
    return UINT32_C(1) << 29 | (uint32_t)key.route << 13 | (uint32_t)key.method << 10 | key.status;
}

static struct metrics_request_key unpack(uint32_t packed)
{
    return (struct metrics_request_key){
        .route = (uint16_t)(packed >> 13), .status = packed & 1023, .method = packed >> 10 & 7};
}

/* Where the key is, or would be: at most half of the places are taken. */
static struct metrics_place *place_of(struct metrics_recorder *recorder, uint32_t key)
{
    const uint32_t mask = sizeof(recorder->places) / sizeof(recorder->places[0]) - 1;
    uint32_t i = key * UINT32_C(2654435769) >> 20; /* Fibonacci hashing: TAOCP vol. 3, 6.4 */

    static_assert((2 * METRICS_REQUESTS_MAX & (2 * METRICS_REQUESTS_MAX - 1)) == 0,
                  "a power of two");
    while (recorder->places[i & mask].key != 0 && recorder->places[i & mask].key != key)
        ++i;
    return &recorder->places[i & mask];
}

void metrics_recorder_init(struct metrics_recorder *recorder, const struct metrics *metrics,
                           uint32_t slot)
{
    *recorder = (struct metrics_recorder){.slot = NULL};
    if (metrics->head == NULL)
        return;
    recorder->slot = slot_of(metrics, slot);
    recorder->events = events_of(metrics, slot);
    recorder->event_count = metrics->head->event_count;
    /* what the owner before has counted: this one goes on with it */
    for (uint32_t i = 0; i < atomic_load(&recorder->slot->request_count); ++i) {
        uint32_t key = atomic_load(&recorder->slot->requests[i].key);
        *place_of(recorder, key) = (struct metrics_place){.key = key, .index = i};
    }
}

struct metrics_recorder *metrics_recorder_or_none(struct metrics_recorder *recorder)
{
    static struct metrics_recorder none;

    return recorder != NULL ? recorder : &none;
}

_Atomic uint64_t *metrics_cell_in(const struct metrics *metrics, uint32_t slot,
                                  enum metrics_cell cell)
{
    return metrics->head == NULL ? NULL : &slot_of(metrics, slot)->cell[cell];
}

void metrics_raise_in(const struct metrics *metrics, uint32_t slot, enum metrics_cell cell)
{
    if (metrics->head != NULL)
        metrics_raise(&slot_of(metrics, slot)->cell[cell], 1);
}

uint32_t metrics_event_of(const struct metrics *metrics, struct text id)
{
    for (uint32_t i = 0; i < metrics_event_count(metrics); ++i) {
        const char *known = id_of(metrics, i);
        if (text_equal((struct text){.base = known, .len = strlen(known)}, id))
            return i;
    }
    return UINT32_MAX;
}

/* The first bounds are the likely ones. */
static void observe(struct metrics_histogram *histogram, const struct metrics_bounds *bounds,
                    uint64_t value)
{
    uint32_t i = 0;

    while (i < bounds->count && value > bounds->bound[i])
        ++i;
    metrics_raise(&histogram->bucket[i], 1);
    metrics_raise(&histogram->sum, value);
}

void metrics_observe(struct metrics_recorder *recorder, enum metrics_series series, uint64_t value)
{
    if (recorder->slot != NULL)
        observe(&recorder->slot->series[series], bounds_of[series], value);
}

/* Takes a new kind of answer into the slot; NULL: it has no room. */
static struct metrics_requests *add_requests(struct metrics_recorder *recorder, uint32_t key)
{
    struct metrics_slot *slot = recorder->slot;
    uint32_t count = atomic_load_explicit(&slot->request_count, memory_order_relaxed);

    /* the last one is for all that find no room */
    if (count == METRICS_REQUESTS_MAX ||
        (count == METRICS_REQUESTS_MAX - 1 && key != pack(OVERFLOW_KEY)))
        return NULL;
    *place_of(recorder, key) = (struct metrics_place){.key = key, .index = count};
    atomic_store_explicit(&slot->requests[count].key, key, memory_order_relaxed);
    /* release: who sees the count sees the key */
    atomic_store_explicit(&slot->request_count, count + 1, memory_order_release);
    return &slot->requests[count];
}

static struct metrics_requests *requests_of(struct metrics_recorder *recorder, uint32_t key)
{
    const struct metrics_place *place = place_of(recorder, key);

    return place->key == key ? &recorder->slot->requests[place->index]
                             : add_requests(recorder, key);
}

void metrics_request(struct metrics_recorder *recorder, struct metrics_request_key key,
                     uint64_t duration_ns)
{
    struct metrics_requests *requests;

    if (recorder->slot == NULL)
        return;
    requests = requests_of(recorder, pack(key));
    if (requests == NULL)
        requests = requests_of(recorder, pack(OVERFLOW_KEY));
    observe(&requests->duration, &metrics_bounds_TIME, duration_ns);
}

/* ---- the keeper's ---- */

void metrics_orders_read(const struct metrics *metrics, uint32_t event,
                         struct metrics_orders *ret_orders)
{
    struct orders *orders;
    uint32_t version;

    *ret_orders = (struct metrics_orders){.sequence = 0};
    if (event >= metrics_event_count(metrics))
        return;
    orders = orders_of(metrics, event);
    for (unsigned tries = 0; tries < READ_TRIES_MAX; ++tries) {
        /* acquire: who sees the version sees its copy */
        version = atomic_load_explicit(&orders->version, memory_order_acquire);
        ret_orders->sequence =
            atomic_load_explicit(&orders->copy[version & 1].sequence, memory_order_relaxed);
        for (int i = 0; i < METRICS_ORDER_CELL_COUNT; ++i)
            ret_orders->count[i] =
                atomic_load_explicit(&orders->copy[version & 1].count[i], memory_order_relaxed);
        /* The next version leaves this copy alone, but the one after it is being written here as
         * soon as that is published: the loads above come before the next one. */
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&orders->version, memory_order_relaxed) == version)
            return;
    }
}

void metrics_orders_write(const struct metrics *metrics, uint32_t event,
                          const struct metrics_orders *orders)
{
    struct orders *to;
    uint32_t version;

    if (event >= metrics_event_count(metrics))
        return;
    to = orders_of(metrics, event);
    version = atomic_load_explicit(&to->version, memory_order_relaxed) + 1;
    /* release: the stores below do not overtake the version before, which ends the reading of this
     * copy; pairs with the reader's fence */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&to->copy[version & 1].sequence, orders->sequence, memory_order_relaxed);
    for (int i = 0; i < METRICS_ORDER_CELL_COUNT; ++i)
        atomic_store_explicit(&to->copy[version & 1].count[i], orders->count[i],
                              memory_order_relaxed);
    /* release: pairs with the reader's first load */
    atomic_store_explicit(&to->version, version, memory_order_release);
}

/* ---- reading ---- */

int64_t metrics_began_us(const struct metrics *metrics)
{
    return metrics->head == NULL ? 0 : metrics->head->began_us;
}

uint32_t metrics_slot_count(const struct metrics *metrics)
{
    return metrics->head == NULL ? 0 : metrics->head->slot_count;
}

enum metrics_owner metrics_owner_of(const struct metrics *metrics, uint32_t slot)
{
    return metrics->head->owners[slot];
}

uint32_t metrics_event_count(const struct metrics *metrics)
{
    return metrics->head == NULL ? 0 : metrics->head->event_count;
}

const char *metrics_event_id(const struct metrics *metrics, uint32_t event)
{
    assert(event < metrics->head->event_count);
    return id_of(metrics, event);
}

static bool is_asked(const struct metrics *metrics, uint32_t slot, enum metrics_owner owner)
{
    enum metrics_owner found = metrics_owner_of(metrics, slot);

    return found != METRICS_NOBODY && (owner == METRICS_NOBODY || owner == found);
}

uint64_t metrics_sum(const struct metrics *metrics, enum metrics_owner owner,
                     enum metrics_cell cell)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < metrics_slot_count(metrics); ++i)
        if (is_asked(metrics, i, owner))
            sum += atomic_load_explicit(&slot_of(metrics, i)->cell[cell], memory_order_relaxed);
    return sum;
}

uint64_t metrics_sum_event(const struct metrics *metrics, enum metrics_owner owner, uint32_t event,
                           enum metrics_event_cell cell)
{
    uint64_t sum = 0;

    assert(event < metrics_event_count(metrics));
    for (uint32_t i = 0; i < metrics_slot_count(metrics); ++i)
        if (is_asked(metrics, i, owner))
            sum += atomic_load_explicit(
                &events_of(metrics, i)[event * METRICS_EVENT_CELL_COUNT + cell],
                memory_order_relaxed);
    return sum;
}

void metrics_values_add(struct metrics_values *values, const struct metrics_histogram *histogram)
{
    values->sum += atomic_load_explicit(&histogram->sum, memory_order_relaxed);
    for (int i = 0; i <= METRICS_BOUNDS_MAX; ++i)
        values->bucket[i] += atomic_load_explicit(&histogram->bucket[i], memory_order_relaxed);
}

uint64_t metrics_values_count(const struct metrics_values *values)
{
    uint64_t count = 0;

    for (int i = 0; i <= METRICS_BOUNDS_MAX; ++i)
        count += values->bucket[i];
    return count;
}

const struct metrics_bounds *metrics_series_bounds(enum metrics_series series)
{
    return bounds_of[series];
}

void metrics_sum_series(const struct metrics *metrics, enum metrics_series series,
                        struct metrics_values *ret_values)
{
    *ret_values = (struct metrics_values){.sum = 0};
    for (uint32_t i = 0; i < metrics_slot_count(metrics); ++i)
        if (is_asked(metrics, i, METRICS_NOBODY))
            metrics_values_add(ret_values, &slot_of(metrics, i)->series[series]);
}

void metrics_each_requests(const struct metrics *metrics, metrics_on_requests *on_requests,
                           void *context)
{
    for (uint32_t i = 0; i < metrics_slot_count(metrics); ++i) {
        const struct metrics_slot *slot = slot_of(metrics, i);
        enum metrics_owner owner = metrics_owner_of(metrics, i);
        /* acquire: who sees the count sees the keys */
        uint32_t count = owner == METRICS_NOBODY
                             ? 0
                             : atomic_load_explicit(&slot->request_count, memory_order_acquire);
        for (uint32_t j = 0; j < count; ++j)
            on_requests(context, owner,
                        unpack(atomic_load_explicit(&slot->requests[j].key, memory_order_relaxed)),
                        &slot->requests[j].duration);
    }
}
