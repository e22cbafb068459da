/* Making the segment, and looking at it. */
#include "ticketd/stock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "stock/keys.h"
#include "stock/segment.h"
#include "ticketd/error.h"

/* Not one request may find its cell full because a predecessor's outcomes still lie there. */
#define OUTCOME_SLOTS(parked_max) (2 * (parked_max))
#define WORD_BITS                 64

static uint32_t power_of_two(uint32_t at_least)
{
    uint32_t power = 1;

    while (power < at_least)
        power *= 2;
    return power;
}

/* Puts a part of `size` bytes behind the ones before it; returns where it begins. */
static uint64_t put(uint64_t *end, uint64_t size)
{
    uint64_t at = (*end + SEGMENT_PAGE - 1) / SEGMENT_PAGE * SEGMENT_PAGE;

    *end = at + size;
    return at;
}

static struct segment_header plan(const struct stock_options *options)
{
    struct segment_header plan = {
        .magic = SEGMENT_MAGIC,
        .layout = SEGMENT_LAYOUT,
        .events_max = options->events_max,
        .ring_slots = power_of_two(options->ring_slots),
        .place_count = options->places,
        .outcome_slots = OUTCOME_SLOTS(power_of_two(options->parked_max)),
    };
    uint64_t end = sizeof(plan);
    uint64_t places = options->places;
    /* on their way: what living workers may park, and what dead ones have left in a journal */
    uint64_t spare = places * power_of_two(options->parked_max) + plan.ring_slots;

    plan.events_at = put(&end, options->events_max * sizeof(struct segment_event));
    plan.places_at = put(&end, places * sizeof(struct segment_place));
    plan.slots_at =
        put(&end, (uint64_t)options->events_max * plan.ring_slots * sizeof(struct segment_slot));
    plan.outcomes_at = put(&end, places * plan.outcome_slots * sizeof(struct segment_outcome));
    plan.lookups_at = put(&end, places * SEGMENT_LOOKUPS * sizeof(struct segment_lookup));
    plan.orders_at = put(&end, places * SEGMENT_LOOKUPS * sizeof(struct segment_order));
    for (int kind = 0; kind < SEGMENT_KEY_KINDS; ++kind) {
        struct segment_keys *keys = &plan.keys[kind];
        keys_plan(keys, options->keys_max, spare);
        keys->buckets_at = put(&end, keys_buckets_size(keys));
        keys->slots_at = put(&end, keys_slots_size(keys));
    }
    plan.size_bytes = end;
    return plan;
}

static void open_places(struct stock *stock)
{
    for (uint32_t i = 0; i < stock->segment->place_count; ++i)
        /* relaxed, here and below: no other process exists yet; fork publishes all of it */
        atomic_store_explicit(&segment_place(stock, i)->intent, SEGMENT_NO_INTENT,
                              memory_order_relaxed);
    atomic_store_explicit(&stock->segment->keeper.stalled, UINT64_MAX, memory_order_relaxed);
}

int stock_create(struct stock *ret_stock, const struct stock_options *options)
{
    struct segment_header header = plan(options);
    int fd = memfd_create("ticketd-stock", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct segment_header *segment = MAP_FAILED;
    int error;

    if (fd == -1)
        return -errno;
    /* The size is sealed: nobody can cut the file short under a reader, which would be SIGBUS. */
    if (ftruncate(fd, (off_t)header.size_bytes) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        segment = mmap(NULL, header.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                       fd, 0);
    error = errno;
    close(fd);
    if (segment == MAP_FAILED)
        return -error;
    memcpy(segment, &header, sizeof(header));
    ret_stock->segment = segment;
    if (getrandom(&segment->instance, sizeof(segment->instance), 0) != sizeof(segment->instance))
        return -errno;
    open_places(ret_stock);
    return keys_open(ret_stock);
}

void stock_destroy(struct stock *stock)
{
    if (stock->segment == NULL)
        return;
    munmap(stock->segment, stock->segment->size_bytes);
    stock->segment = NULL;
}

static bool is_slug(const char *id, size_t len)
{
    return len > 0 && len <= STOCK_EVENT_ID_MAX &&
           strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

/* Stamps begin one lap behind: what a slot would hold from the lap before the first one. */
static void open_ring(struct stock *stock, uint32_t event, uint32_t first)
{
    uint32_t size = stock->segment->ring_slots;

    for (uint32_t i = 0; i < size; ++i)
        atomic_store_explicit(&segment_slot(stock, event, first + i)->state,
                              (uint64_t)(first + i + 1 - size) << (WORD_BITS / 2) | SEGMENT_TAKEN,
                              memory_order_relaxed);
}

int stock_event_create(struct stock *stock, const struct stock_event *event, uint32_t *ret_event)
{
    struct segment_header *segment = stock->segment;
    size_t len = strlen(event->id);
    uint32_t sequence = (uint32_t)event->sequence, found;
    struct segment_event *made;

    if (!is_slug(event->id, len) || event->available > STOCK_QUANTITY_MAX ||
        stock_event_find(stock, event->id, len, &found) == 0)
        return TICKETD_INVALID;
    if (segment->event_count == segment->events_max)
        return TICKETD_BUSY;

    ++segment->event_count;
    made = segment_event(stock, segment->event_count - 1);
    memcpy(made->id, event->id, len + 1);
    made->id_len = (uint32_t)len;
    atomic_store_explicit(&made->capacity, event->capacity, memory_order_relaxed);
    atomic_store_explicit(&made->durable, event->sequence, memory_order_relaxed);
    atomic_store_explicit(&made->published, segment_word(sequence, event->available),
                          memory_order_relaxed);
    atomic_store_explicit(&made->word, segment_word(sequence, event->available),
                          memory_order_relaxed);
    open_ring(stock, segment->event_count - 1, sequence);
    *ret_event = segment->event_count - 1;
    return 0;
}

int stock_event_find(const struct stock *stock, const char *id, size_t id_len, uint32_t *ret_event)
{
    for (uint32_t i = 0; i < stock->segment->event_count; ++i) {
        const struct segment_event *event = segment_event(stock, i);
        if (event->id_len == id_len && memcmp(event->id, id, id_len) == 0) {
            *ret_event = i;
            return 0;
        }
    }
    return TICKETD_EVENT_UNKNOWN;
}

uint32_t stock_event_count(const struct stock *stock)
{
    return stock->segment->event_count;
}

const char *stock_event_id(const struct stock *stock, uint32_t event)
{
    return segment_event(stock, event)->id;
}

uint64_t stock_instance(const struct stock *stock)
{
    return stock->segment->instance;
}

struct stock_entry stock_look(const struct stock *stock, uint32_t event)
{
    const struct segment_event *own = segment_event(stock, event);
    /* durable first: read after the word, it could be beyond it; it only tells the high half, for
     * which any recent value does.  acquire: as in stock_available */
    uint64_t durable = stock_durable(stock, event);
    uint64_t word = atomic_load_explicit(&own->word, memory_order_acquire);

    return (struct stock_entry){.sequence = segment_sequence(durable, segment_high(word)),
                                .available = segment_low(word)};
}

uint32_t stock_available(const struct stock *stock, uint32_t event)
{
    /* acquire: a caller that learns of a sale here also sees what was published before that sale */
    return segment_low(
        atomic_load_explicit(&segment_event(stock, event)->word, memory_order_acquire));
}

uint64_t stock_durable(const struct stock *stock, uint32_t event)
{
    /* acquire: who sees it also sees the keys that were put into the index before */
    return atomic_load_explicit(&segment_event(stock, event)->durable, memory_order_acquire);
}

uint32_t stock_lag(const struct stock *stock, uint32_t event)
{
    /* durable first: read after the word, it could be beyond it */
    uint32_t durable = (uint32_t)stock_durable(stock, event);

    return segment_high(
               atomic_load_explicit(&segment_event(stock, event)->word, memory_order_acquire)) -
           durable;
}

struct stock_view stock_view(const struct stock *stock, uint32_t event)
{
    const struct segment_event *own = segment_event(stock, event);
    struct stock_view view = {.id = own->id};
    uint64_t published, word;

    /* The keeper stores published, then durable: a pair that fits is of one publication.  It can
     * fail to fit only while the keeper is between the two, or was killed there. */
    for (unsigned tries = 0; tries < STOCK_SWAP_TRIES_MAX; ++tries) {
        published = atomic_load_explicit(&own->published, memory_order_acquire);
        view.published_sequence = atomic_load_explicit(&own->durable, memory_order_acquire);
        if (segment_high(published) == (uint32_t)view.published_sequence)
            break;
    }
    view.published_available = segment_low(published);
    view.published_sequence = segment_sequence(view.published_sequence, segment_high(published));
    view.capacity = atomic_load_explicit(&own->capacity, memory_order_relaxed);
    word = atomic_load_explicit(&own->word, memory_order_acquire);
    view.available = segment_low(word);
    view.sequence = segment_sequence(view.published_sequence, segment_high(word));
    return view;
}
