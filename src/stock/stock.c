#include "ticketd/stock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stock/segment.h"
#include "ticketd/error.h"

static uint64_t word_make(uint32_t sequence, uint32_t available)
{
    return (uint64_t)sequence << 32 | available;
}

static uint32_t word_sequence(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static uint32_t word_available(uint64_t word)
{
    return (uint32_t)word;
}

static struct segment_event *event_at(const struct stock *stock, uint32_t event)
{
    assert(event < stock->segment->event_count);
    return (struct segment_event *)((char *)stock->segment + SEGMENT_EVENTS_OFFSET) + event;
}

int stock_create(struct stock *ret_stock, uint32_t events_max)
{
    size_t size = SEGMENT_EVENTS_OFFSET + (size_t)events_max * sizeof(struct segment_event);
    int fd = memfd_create("ticketd-stock", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct segment_header *segment = MAP_FAILED;
    int error;

    if (fd == -1)
        return -errno;
    /* The size is sealed: nobody can cut the file short under a reader, which would be SIGBUS. */
    if (ftruncate(fd, (off_t)size) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        segment = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    error = errno;
    close(fd);
    if (segment == MAP_FAILED)
        return -error;

    memcpy(segment->magic, SEGMENT_MAGIC, sizeof(segment->magic));
    segment->layout = SEGMENT_LAYOUT;
    segment->events_max = events_max;
    segment->size_bytes = size;
    ret_stock->segment = segment;
    return 0;
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

int stock_event_create(struct stock *stock, const char *id, uint32_t available, uint32_t sequence,
                       uint32_t *ret_event)
{
    struct segment_header *segment = stock->segment;
    size_t len = strlen(id);
    struct segment_event *event;
    uint32_t found;

    if (!is_slug(id, len) || available > STOCK_QUANTITY_MAX ||
        stock_event_find(stock, id, len, &found) == 0)
        return TICKETD_INVALID;
    if (segment->event_count == segment->events_max)
        return TICKETD_BUSY;

    ++segment->event_count;
    event = event_at(stock, segment->event_count - 1);
    memcpy(event->id, id, len + 1);
    event->id_len = (uint32_t)len;
    event->capacity = available;
    /* relaxed: no other process exists yet; fork publishes everything written before it */
    atomic_store_explicit(&event->word, word_make(sequence, available), memory_order_relaxed);
    *ret_event = segment->event_count - 1;
    return 0;
}

int stock_event_find(const struct stock *stock, const char *id, size_t id_len, uint32_t *ret_event)
{
    for (uint32_t i = 0; i < stock->segment->event_count; ++i) {
        const struct segment_event *event = event_at(stock, i);
        if (event->id_len == id_len && memcmp(event->id, id, id_len) == 0) {
            *ret_event = i;
            return 0;
        }
    }
    return TICKETD_EVENT_UNKNOWN;
}

/* One entry through the swap: `delta` is added to what is available.
 *
 * Loads are acquire, so that whoever sees a word also sees what its writer did before that swap.
 * The winning swap is release too, so that whoever sees the new word also sees all that the winner
 * did before it (the journal's intent will stand on that).  A losing swap only needs the fresh
 * value, which acquire makes as good as a first load.  That the tickets are not sold twice needs no
 * order at all: a swap is atomic, and it fails unless the word is the one that was judged. */
static int swap_entry(struct segment_event *event, int64_t delta, struct stock_entry *ret_entry)
{
    uint64_t word = atomic_load_explicit(&event->word, memory_order_acquire);

    for (unsigned tries = 0; tries < STOCK_SWAP_TRIES_MAX; ++tries) {
        int64_t available = (int64_t)word_available(word) + delta;
        if (available < 0) {
            ret_entry->sequence = word_sequence(word);
            ret_entry->available = word_available(word);
            return TICKETD_SOLD_OUT;
        }
        if (available > event->capacity)
            return TICKETD_INVALID;
        if (atomic_compare_exchange_weak_explicit(
                &event->word, &word, word_make(word_sequence(word) + 1, (uint32_t)available),
                memory_order_acq_rel, memory_order_acquire)) {
            ret_entry->sequence = word_sequence(word);
            ret_entry->available = (uint32_t)available;
            return TICKETD_DONE;
        }
    }
    return TICKETD_BUSY;
}

int stock_sell(struct stock *stock, uint32_t event, uint32_t quantity,
               struct stock_entry *ret_entry)
{
    assert(quantity > 0 && quantity <= STOCK_QUANTITY_MAX);
    return swap_entry(event_at(stock, event), -(int64_t)quantity, ret_entry);
}

int stock_give_back(struct stock *stock, uint32_t event, uint32_t quantity,
                    struct stock_entry *ret_entry)
{
    assert(quantity > 0 && quantity <= STOCK_QUANTITY_MAX);
    return swap_entry(event_at(stock, event), quantity, ret_entry);
}

uint32_t stock_available(const struct stock *stock, uint32_t event)
{
    return stock_peek(stock, event).available;
}

struct stock_entry stock_peek(const struct stock *stock, uint32_t event)
{
    /* acquire: a caller that learns of a sale here also sees what was published before that sale */
    uint64_t word = atomic_load_explicit(&event_at(stock, event)->word, memory_order_acquire);

    return (struct stock_entry){.sequence = word_sequence(word), .available = word_available(word)};
}

uint32_t stock_capacity(const struct stock *stock, uint32_t event)
{
    return event_at(stock, event)->capacity;
}
