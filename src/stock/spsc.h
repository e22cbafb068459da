/* The counters of a bounded queue in shared memory from one process to one other (L. Lamport,
 * "Proving the correctness of multiprocess programs", 1977); the cells are the caller's, a power of
 * two of them.  Each side writes only its own counter, so a process killed at any instruction
 * leaves a queue that works: what it had not counted yet was not put in, or is taken out again. */
#ifndef TICKETD_STOCK_SPSC_H
#define TICKETD_STOCK_SPSC_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct spsc {
    alignas(64) _Atomic uint32_t head; /* the sender's: cells ever put in */
    alignas(64) _Atomic uint32_t tail; /* the receiver's: cells ever taken out */
};

/* Sender: the index of the cell to fill, or false when the queue is full. */
static inline bool spsc_to_fill(const struct spsc *queue, uint32_t size, uint32_t *ret_index)
{
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);

    /* acquire: the receiver has read what is about to be overwritten */
    if (head - atomic_load_explicit(&queue->tail, memory_order_acquire) >= size)
        return false;
    *ret_index = head & (size - 1);
    return true;
}

/* Sender: the cell is filled. */
static inline void spsc_filled(struct spsc *queue)
{
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);

    /* release: who sees the count sees the cell */
    atomic_store_explicit(&queue->head, head + 1, memory_order_release);
}

/* Receiver: the index of the cell to read, or false when the queue is empty. */
static inline bool spsc_to_read(const struct spsc *queue, uint32_t size, uint32_t *ret_index)
{
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);

    if (atomic_load_explicit(&queue->head, memory_order_acquire) == tail)
        return false;
    *ret_index = tail & (size - 1);
    return true;
}

/* Receiver: the cell is read. */
static inline void spsc_read(struct spsc *queue)
{
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);

    /* release: the sender may overwrite it only after it has been read */
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
}

/* Receiver: forgets what is in it, for one that takes the place of a dead one. */
static inline void spsc_discard(struct spsc *queue)
{
    atomic_store_explicit(&queue->tail, atomic_load_explicit(&queue->head, memory_order_acquire),
                          memory_order_release);
}

#endif
