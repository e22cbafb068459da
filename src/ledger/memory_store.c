/* The store for LEDGER_URL=memory:, all of it in one memfd that ends with the tree.
 *
 * The descriptor is what `lock` returns; master and children inherit it, so that the ledger
 * outlives a keeper.  Who may write is the tree's own rule (one keeper): nobody else can open it.
 * Keys and steps of the clock are not kept: they matter to a next start, and there is none. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/memory_layout.h"
#include "ledger/tail.h"
#include "ticketd/ledger.h"

struct ledger {
    /* Fixed after open. */
    int fd; /* the tree's, borrowed */
    bool writer;

    /* This process's mapping; moves when it grows. */
    unsigned char *base;
    size_t size;

    struct ledger_tails tails; /* writer only */
    char error[TAIL_WHY_MAX + 32];
};

__attribute__((format(printf, 3, 4))) static int finding(struct ledger *ledger, int answer,
                                                         const char *format, ...)
{
    int len = snprintf(ledger->error, sizeof(ledger->error), "the ledger in memory ");
    va_list args;

    va_start(args, format);
    (void)vsnprintf(ledger->error + len, sizeof(ledger->error) - (size_t)len, format, args);
    va_end(args);
    return answer;
}

static size_t size_of(uint32_t events)
{
    return MEMORY_PAGE + events * sizeof(struct memory_event);
}

static struct memory_header *header_of(const struct ledger *ledger)
{
    return (struct memory_header *)ledger->base;
}

static struct memory_event *event_of(const struct ledger *ledger, uint32_t event)
{
    return (struct memory_event *)(ledger->base + size_of(event));
}

static struct memory_record *record_of(struct memory_event *event, uint64_t sequence)
{
    return &event->ring[sequence & (MEMORY_ENTRIES_MAX - 1)];
}

/* Maps the header and so many events, as far as they are not mapped yet. */
static int map(struct ledger *ledger, uint32_t events)
{
    int protection = PROT_READ | (ledger->writer ? PROT_WRITE : 0);
    size_t size = size_of(events);
    void *base;

    if (size <= ledger->size)
        return 0;
    base = ledger->base ? mremap(ledger->base, ledger->size, size, MREMAP_MAYMOVE)
                        : mmap(NULL, size, protection, MAP_SHARED, ledger->fd, 0);
    if (base == MAP_FAILED)
        return finding(ledger, -errno, "cannot be mapped: %s", strerror(errno));
    ledger->base = base;
    ledger->size = size;
    return 0;
}

/* How many events there are, all of them mapped. */
static int see_events(struct ledger *ledger, uint32_t *ret_count)
{
    /* Acquire: whoever sees the count sees the events. */
    uint32_t count = atomic_load_explicit(&header_of(ledger)->event_count, memory_order_acquire);
    int r = map(ledger, count);

    if (r == 0)
        *ret_count = count;
    return r;
}

static void read_totals(const struct memory_event *event, struct ledger_totals *ret_totals)
{
    uint64_t generation;

    /* Repeated only if the writer ended an append while 48 bytes were copied. */
    do {
        const struct memory_totals *totals;

        generation = atomic_load_explicit(&event->generation, memory_order_acquire);
        totals = &event->totals[generation % 2];
        ret_totals->entries = atomic_load_explicit(&totals->entries, memory_order_relaxed);
        ret_totals->capacity = atomic_load_explicit(&totals->capacity, memory_order_relaxed);
        ret_totals->available = atomic_load_explicit(&totals->available, memory_order_relaxed);
        ret_totals->sold = atomic_load_explicit(&totals->sold, memory_order_relaxed);
        ret_totals->owed = atomic_load_explicit(&totals->owed, memory_order_relaxed);
        ret_totals->time_us = atomic_load_explicit(&totals->time_us, memory_order_relaxed);
        /* What was copied before what says whether it held. */
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load_explicit(&event->generation, memory_order_relaxed) != generation);
}

/* Makes the draft the event's totals: step 3 and 4 of the layout. */
static void publish(struct memory_event *event, const struct ledger_totals *draft)
{
    uint64_t generation = atomic_load_explicit(&event->generation, memory_order_relaxed) + 1;
    struct memory_totals *totals = &event->totals[generation % 2];

    atomic_store_explicit(&totals->entries, draft->entries, memory_order_relaxed);
    atomic_store_explicit(&totals->capacity, draft->capacity, memory_order_relaxed);
    atomic_store_explicit(&totals->available, draft->available, memory_order_relaxed);
    atomic_store_explicit(&totals->sold, draft->sold, memory_order_relaxed);
    atomic_store_explicit(&totals->owed, draft->owed, memory_order_relaxed);
    atomic_store_explicit(&totals->time_us, draft->time_us, memory_order_relaxed);
    /* Release: whoever sees the generation sees the records and the totals. */
    atomic_store_explicit(&event->generation, generation, memory_order_release);
}

static void write_record(struct memory_record *record, const struct ledger_entry *entry)
{
    uint64_t reference = entry->kind == LEDGER_SALE        ? entry->token
                         : entry->kind == LEDGER_DUPLICATE ? entry->origin
                                                           : 0;

    atomic_store_explicit(&record->amounts,
                          (uint64_t)(uint32_t)entry->quantity << 32 | entry->available,
                          memory_order_relaxed);
    atomic_store_explicit(&record->time_us, entry->time_us, memory_order_relaxed);
    atomic_store_explicit(&record->reference, reference, memory_order_relaxed);
    atomic_store_explicit(&record->kind, entry->kind, memory_order_relaxed);
}

/* An entry before the totals' end: 0, or LEDGER_NOT_FOUND for one that is gone. */
static int read_record(struct memory_event *event, struct ledger_entry *entry)
{
    const struct memory_record *record = record_of(event, entry->sequence);
    uint64_t amounts = atomic_load_explicit(&record->amounts, memory_order_relaxed);
    uint64_t reference = atomic_load_explicit(&record->reference, memory_order_relaxed);

    entry->time_us = atomic_load_explicit(&record->time_us, memory_order_relaxed);
    entry->kind = (uint8_t)atomic_load_explicit(&record->kind, memory_order_relaxed);
    entry->quantity = (int32_t)(amounts >> 32);
    entry->available = (uint32_t)amounts;
    if (entry->kind == LEDGER_SALE)
        entry->token = reference;
    else
        entry->origin = reference;
    /* The record before what says whether it was being overwritten. */
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&event->claimed, memory_order_relaxed) >
                   entry->sequence + MEMORY_ENTRIES_MAX
               ? LEDGER_NOT_FOUND
               : 0;
}

/* A drafted batch, entries of all its events in one order: the four steps of the layout. */
static void write_batch(struct ledger *ledger, const struct ledger_entry *entries, size_t count)
{
    const struct ledger_tails *tails = &ledger->tails;

    for (uint32_t i = 0; i < tails->touched_count; i++) {
        struct memory_event *event = event_of(ledger, tails->touched[i]);
        uint64_t end = tails->of[tails->touched[i]].draft.entries;

        if (atomic_load_explicit(&event->claimed, memory_order_relaxed) < end)
            atomic_store_explicit(&event->claimed, end, memory_order_relaxed);
    }
    /* No record is overwritten before its claim is seen, no totals before the generation that left
     * them. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < count; i++)
        write_record(record_of(event_of(ledger, entries[i].event), entries[i].sequence),
                     &entries[i]);
    for (uint32_t i = 0; i < tails->touched_count; i++)
        publish(event_of(ledger, tails->touched[i]), &tails->of[tails->touched[i]].draft);
}

static int append(struct ledger *ledger, const struct ledger_entry *entries, size_t count)
{
    char why[TAIL_WHY_MAX];
    int r = tails_draft(&ledger->tails, entries, count, why);

    if (r == 0)
        write_batch(ledger, entries, count);
    tails_end(&ledger->tails, r == 0);
    return r == 0 ? 0 : finding(ledger, r, "%s", why);
}

/* Makes room for the event; what a writer that was killed here left in it goes. */
static int prepare_event(struct ledger *ledger, uint32_t event, const char *id)
{
    struct memory_event *place;
    int r;

    for (uint32_t i = 0; i < event; i++)
        if (strcmp(event_of(ledger, i)->id, id) == 0)
            return finding(ledger, -EEXIST, "has the event %s already", id);
    if (ftruncate(ledger->fd, (off_t)size_of(event + 1)) != 0)
        return finding(ledger, -errno, "cannot grow: %s", strerror(errno));
    r = map(ledger, event + 1);
    if (r != 0)
        return r;
    place = event_of(ledger, event);
    memset(place, 0, offsetof(struct memory_event, ring));
    memcpy(place->id, id, strlen(id));
    return 0;
}

static int create_event(struct ledger *ledger, const char *id, uint32_t available, int64_t time_us)
{
    struct ledger_entry first;
    char why[TAIL_WHY_MAX];
    int r = tails_draft_event(&ledger->tails, id, available, time_us, &first, why);

    if (r != 0)
        return finding(ledger, r, "%s", why);
    r = prepare_event(ledger, first.event, id);
    if (r == 0) {
        write_batch(ledger, &first, 1);
        /* Release: see see_events. */
        atomic_store_explicit(&header_of(ledger)->event_count, first.event + 1,
                              memory_order_release);
    }
    tails_end_event(&ledger->tails, r == 0);
    return r;
}

static int find(struct ledger *ledger, uint32_t event, uint64_t sequence,
                struct ledger_entry *ret_entry)
{
    struct ledger_entry entry = {.event = event, .sequence = sequence};
    struct ledger_totals totals;
    uint32_t events = 0;
    int r = see_events(ledger, &events);

    if (r != 0)
        return r;
    if (event >= events)
        return LEDGER_NOT_FOUND;
    read_totals(event_of(ledger, event), &totals);
    if (sequence >= totals.entries)
        return LEDGER_NOT_FOUND;
    r = read_record(event_of(ledger, event), &entry);
    if (r == 0)
        *ret_entry = entry;
    return r;
}

static int each_event(struct ledger *ledger,
                      int (*on_event)(void *context, const struct ledger_event *event),
                      void *context)
{
    uint32_t count = 0;
    int r = see_events(ledger, &count);

    for (uint32_t i = 0; r == 0 && i < count; i++) {
        struct ledger_event event = {.event = i};
        struct ledger_totals totals;

        read_totals(event_of(ledger, i), &totals);
        memcpy(event.id, event_of(ledger, i)->id, sizeof(event.id));
        event.next_sequence = totals.entries;
        event.available = (uint32_t)totals.available;
        event.capacity = (uint64_t)totals.capacity;
        event.owed = (uint64_t)totals.owed;
        event.time_us = totals.time_us;
        r = on_event(context, &event);
    }
    return r;
}

static int each_entry(struct ledger *ledger, uint32_t event, uint64_t from, uint64_t to,
                      int (*on_entry)(void *context, const struct ledger_entry *entry),
                      void *context)
{
    struct ledger_totals totals;
    uint32_t events = 0;
    int r = see_events(ledger, &events);

    if (r != 0 || event >= events)
        return r;
    read_totals(event_of(ledger, event), &totals);
    if (to > totals.entries)
        to = totals.entries;
    if (totals.entries > MEMORY_ENTRIES_MAX && from < totals.entries - MEMORY_ENTRIES_MAX)
        from = totals.entries - MEMORY_ENTRIES_MAX;
    for (uint64_t sequence = from; r == 0 && sequence < to; sequence++) {
        struct ledger_entry entry = {.event = event, .sequence = sequence};

        /* The writer goes on meanwhile: what it has taken is skipped. */
        if (read_record(event_of(ledger, event), &entry) == 0)
            r = on_entry(context, &entry);
    }
    return r;
}

static int each_key(struct ledger *ledger, int64_t since_us,
                    int (*on_sale)(void *context, const struct ledger_keyed_sale *sale),
                    void *context)
{
    (void)ledger;
    (void)since_us;
    (void)on_sale;
    (void)context;
    return 0;
}

static int note_clock_step(struct ledger *ledger, int64_t time_us, int64_t step_us)
{
    (void)ledger;
    (void)time_us;
    (void)step_us;
    return 0;
}

static int each_clock_step(struct ledger *ledger,
                           int (*on_step)(void *context, int64_t time_us, int64_t step_us),
                           void *context)
{
    (void)ledger;
    (void)on_step;
    (void)context;
    return 0;
}

static int tidy(struct ledger *ledger)
{
    (void)ledger;
    return 0;
}

static const char *last_error(struct ledger *ledger)
{
    return ledger->error;
}

static int lock(int *ret_hold_fd, const char *location, unsigned wait_ms, char *error,
                size_t error_size)
{
    static const struct memory_header header = {.magic = MEMORY_MAGIC};
    int fd = memfd_create("ticketd-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    (void)location;
    (void)wait_ms;
    /* Sealed against shrinking: a mapped byte can never fault. */
    if (fd < 0 || ftruncate(fd, (off_t)size_of(0)) != 0 ||
        pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        int r = errno ? -errno : -EIO;

        (void)snprintf(error, error_size, "cannot make the ledger in memory: %s", strerror(-r));
        if (fd >= 0)
            (void)close(fd);
        return r;
    }
    *ret_hold_fd = fd;
    return 0;
}

static void close_ledger(struct ledger *ledger)
{
    if (!ledger)
        return;
    if (ledger->base)
        (void)munmap(ledger->base, ledger->size);
    tails_free(&ledger->tails);
    free(ledger);
}

static int load_tails(struct ledger *ledger)
{
    uint32_t count = 0;
    int r = see_events(ledger, &count);

    for (uint32_t event = 0; r == 0 && event < count; event++) {
        r = tails_grow(&ledger->tails);
        if (r == 0)
            read_totals(event_of(ledger, event), &ledger->tails.of[event].durable);
        else
            (void)finding(ledger, r, "cannot be loaded: %s", strerror(-r));
    }
    return r;
}

/* Only what `lock` made is a ledger; a descriptor of anything else is a mistake of the caller's. */
static int attach(struct ledger *ledger)
{
    struct stat status;
    int r;

    if (fstat(ledger->fd, &status) != 0 || status.st_size < (off_t)size_of(0))
        return finding(ledger, -EBADF, "ends with its ticketd, and is open only there");
    r = map(ledger, 0);
    if (r == 0 && header_of(ledger)->magic != MEMORY_MAGIC)
        r = finding(ledger, -EBADF, "is not what is held");
    return r == 0 && ledger->writer ? load_tails(ledger) : r;
}

static int open_as(struct ledger **ret_ledger, bool writer, int hold_fd, char *error,
                   size_t error_size)
{
    struct ledger *ledger = calloc(1, sizeof(*ledger));
    int r;

    if (!ledger) {
        (void)snprintf(error, error_size, "no memory for the ledger");
        return -ENOMEM;
    }
    ledger->fd = hold_fd;
    ledger->writer = writer;
    r = attach(ledger);
    if (r != 0) {
        (void)snprintf(error, error_size, "%s", ledger->error);
        close_ledger(ledger);
        return r;
    }
    *ret_ledger = ledger;
    return 0;
}

static int open_writer(struct ledger **ret_ledger, const char *location, int hold_fd, char *error,
                       size_t error_size)
{
    (void)location;
    return open_as(ret_ledger, true, hold_fd, error, error_size);
}

static int open_reader(struct ledger **ret_ledger, const char *location, int hold_fd, char *error,
                       size_t error_size)
{
    (void)location;
    return open_as(ret_ledger, false, hold_fd, error, error_size);
}

const struct ledger_ops ledger_memory_ops = {
    .name = "memory",
    .lock = lock,
    .open = open_writer,
    .open_reader = open_reader,
    .close = close_ledger,
    .create_event = create_event,
    .each_event = each_event,
    .each_key = each_key,
    .each_entry = each_entry,
    .append = append,
    .note_clock_step = note_clock_step,
    .each_clock_step = each_clock_step,
    .tidy = tidy,
    .find = find,
    .error = last_error,
};
