/* The stock: how many tickets of each event can still be sold.
 *
 * It lives in one shared memory segment (layout: src/stock/segment.h) that the master makes before
 * it forks; the master and the children of a tree that owns the stock may call this.
 * Selling and giving back are one compare-and-swap of one 64-bit word each: no call here locks,
 * blocks, allocates or makes a system call, except stock_create and stock_destroy.
 *
 * Process-safe and thread-safe: any number of processes and threads may sell at once.  A process
 * killed between two instructions leaves the word either before or after its swap, never between.
 */
#ifndef TICKETD_STOCK_H
#define TICKETD_STOCK_H

#include <stddef.h>
#include <stdint.h>

/* Longest event id in characters; an id is a slug of [a-z0-9-]. */
#define STOCK_EVENT_ID_MAX 47
/* The event that the original endpoints sell. */
#define STOCK_DEFAULT_EVENT "default"
/* Most tickets of one event: what a JSON client's signed 32-bit integer can hold. */
#define STOCK_QUANTITY_MAX INT32_MAX
/* A swap that loses this often in a row answers TICKETD_BUSY: no loop without a limit. */
#define STOCK_SWAP_TRIES_MAX 10000

struct segment_header;

/* A process's handle; plain data, inherited over fork. */
struct stock {
    struct segment_header *segment;
};

/* One entry in an event's order of sale, as the swap fixed it. */
struct stock_entry {
    uint32_t sequence;  /* its number; wraps, the ledger keeps 64 bits */
    uint32_t available; /* tickets left after it */
};

/* Makes an empty segment with room for events_max events.  Master only, before any fork.
 * 0, or a negated errno. */
int stock_create(struct stock *ret_stock, uint32_t events_max);

/* Unmaps the segment from this process.  Accepts a zeroed or an already destroyed handle. */
void stock_destroy(struct stock *stock);

/* Adds an event.  Master only, before any fork.  `sequence` is the number that its next entry
 * gets: 0 for a new event, anything for one that a ledger brings back.
 * 0, TICKETD_INVALID (not a slug, exists already, more than STOCK_QUANTITY_MAX tickets), or
 * TICKETD_BUSY (no room: EVENTS_MAX). */
int stock_event_create(struct stock *stock, const char *id, uint32_t available, uint32_t sequence,
                       uint32_t *ret_event);

/* Finds an event by its id.  0 or TICKETD_EVENT_UNKNOWN. */
int stock_event_find(const struct stock *stock, const char *id, size_t id_len, uint32_t *ret_event);

/* Takes `quantity` tickets (1 … STOCK_QUANTITY_MAX) of an event that stock_event_find found.
 * 0: taken.  TICKETD_SOLD_OUT: fewer are left, nothing taken; ret_entry->available is how many.
 * TICKETD_BUSY: see STOCK_SWAP_TRIES_MAX; nothing taken, ret_entry untouched. */
int stock_sell(struct stock *stock, uint32_t event, uint32_t quantity,
               struct stock_entry *ret_entry);

/* Gives `quantity` tickets (1 … STOCK_QUANTITY_MAX) back; ret_entry is set only for 0.
 * 0: given back.  TICKETD_INVALID: that would be more than the event's capacity, nothing changed.
 * TICKETD_BUSY: as above. */
int stock_give_back(struct stock *stock, uint32_t event, uint32_t quantity,
                    struct stock_entry *ret_entry);

/* How many tickets can be sold at this instant. */
uint32_t stock_available(const struct stock *stock, uint32_t event);

/* The event's state at this instant: the next entry's sequence and the tickets left, read together.
 */
struct stock_entry stock_peek(const struct stock *stock, uint32_t event);

/* How many tickets the event has ever had: available + sold. */
uint32_t stock_capacity(const struct stock *stock, uint32_t event);

#endif
