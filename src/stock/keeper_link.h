/* What the keeper, the reader, the workers and the master tell each other through the segment:
 * states, bells, outcomes, look-ups, restocks.  Never blocks and makes no system call: whoever is
 * told to ring does so on an eventfd that it inherited.
 *
 * Sleeping.  A side that has nothing to do says that it sleeps, fences, looks once more, and
 * sleeps.  The other side does its work, fences, and looks whether somebody sleeps; whoever clears
 * the flag rings.  So no wake-up is lost, and nobody makes a system call for one that is awake. */
#ifndef TICKETD_STOCK_KEEPER_LINK_H
#define TICKETD_STOCK_KEEPER_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "stock/journal.h"
#include "stock/segment.h"
#include "ticketd/stock.h"

enum keeper_state {
    KEEPER_ABSENT = 0, /* not started yet, or dead */
    KEEPER_LOADING,
    KEEPER_RUNNING,
    KEEPER_FAULT, /* the ledger cannot be written; it goes on trying */
};

/* How an entry ended. */
enum keeper_outcome {
    KEEPER_SOLD = 1,
    KEEPER_DUPLICATE,  /* the key had sold already; the outcome tells of that sale */
    KEEPER_KEY_REUSED, /* likewise, another quantity */
    KEEPER_RESTOCKED,
    KEEPER_REFUSED, /* a restock beyond bounds */
};

/* So long in the ledger's hands, and the keeper counts as not ready. */
#define KEEPER_STALL_MS 5000

/* --- any process --- */

static inline enum keeper_state keeper_state(const struct stock *stock)
{
    /* acquire: who sees it running sees what it loaded */
    return (enum keeper_state)atomic_load_explicit(&stock->segment->keeper.state,
                                                   memory_order_acquire);
}

static inline void keeper_set_state(struct stock *stock, enum keeper_state state)
{
    atomic_store_explicit(&stock->segment->keeper.state, (uint32_t)state, memory_order_release);
}

/* Whether sales can become durable now: it runs, and its ledger has not stood still too long. */
bool keeper_is_ready(const struct stock *stock, uint64_t now_ms);

/* Clears the flag: true when the caller must ring.  Call after the work is visible. */
static inline bool keeper_link_wake(_Atomic uint32_t *asleep)
{
    /* Full fence: either the sleeper's last look sees the work, or this sees its flag. */
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(asleep, memory_order_relaxed) != 0 &&
           atomic_exchange_explicit(asleep, 0, memory_order_relaxed) != 0;
}

/* The other half: the caller looks once more after it, and then sleeps or calls _awake. */
static inline void keeper_link_sleep(_Atomic uint32_t *asleep)
{
    atomic_store_explicit(asleep, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

static inline void keeper_link_awake(_Atomic uint32_t *asleep)
{
    atomic_store_explicit(asleep, 0, memory_order_relaxed);
}

/* Whether the keeper waits for a slot to be stamped, and then which. */
bool keeper_stalled(const struct stock *stock, uint32_t *ret_event, uint32_t *ret_sequence);

/* --- a worker --- */

/* Before the first entry or restock of a turn of the worker's loop: the keeper, if it is awake,
 * waits for the end of the turn, so that all of the turn's entries go into one batch.  Also for the
 * keeper, before it rings a worker of whose turn it expects some. */
void keeper_link_owe_bell(struct stock *stock, uint32_t place);

/* Whether it is owed: promised by this worker, or expected by the keeper that has rung it. */
bool keeper_link_owes_bell(const struct stock *stock, uint32_t place);

/* After the last one: whether the keeper's bell must be rung. */
bool keeper_link_wants_bell(struct stock *stock, uint32_t place);
/* Likewise, for who has put in nothing itself. */
bool keeper_link_wants_another_bell(struct stock *stock);

/* Takes the next outcomes for this place, at most `most`; returns how many. */
uint32_t keeper_link_outcomes(struct stock *stock, uint32_t place,
                              struct segment_outcome *ret_outcomes, uint32_t most);

/* Before the worker sleeps: false when an outcome or order has come meanwhile. */
bool keeper_link_worker_sleeps(struct stock *stock, uint32_t place, bool wants_published);
void keeper_link_worker_awake(struct stock *stock, uint32_t place);

/* Puts a look-up into the reader's queue: 0, or TICKETD_BUSY.  *ret_ring: the reader's bell must be
 * rung. */
int keeper_link_look_up(struct stock *stock, uint32_t place, const struct segment_lookup *lookup,
                        bool *ret_ring);

/* Answers have been taken out: whether the reader, which leaves look-ups where they are while their
 * answers have no room, must be rung. */
bool keeper_link_wants_reader(struct stock *stock, uint32_t place);

/* The next answer of the reader, or false. */
bool keeper_link_order(struct stock *stock, uint32_t place, struct segment_order *ret_order);

/* Asks for a restock: 0, or TICKETD_BUSY (one of this worker's is under way). */
int keeper_link_ask_restock(struct stock *stock, uint32_t place, uint32_t event, uint32_t quantity,
                            uint32_t cookie, uint64_t token);

/* Takes the restock of that token back: 0, or TICKETD_INVALID when the keeper has taken it; then
 * another one may be under way in its stead, which stays. */
int keeper_link_take_back_restock(struct stock *stock, uint32_t place, uint64_t token);

/* --- the keeper --- */

struct keeper_restock {
    uint32_t event;
    uint32_t quantity;
    uint64_t token;
    bool refused; /* by a predecessor, which may not have told */
    struct journal_waiter waiter;
};

/* The next place in which a restock waits, from *place on; false when there is none.  It stays
 * taken until keeper_link_end_restock. */
bool keeper_link_restock(struct stock *stock, uint32_t *place, struct keeper_restock *ret_restock);
void keeper_link_end_restock(struct stock *stock, uint32_t place);
/* From now on it will not be done, also by no successor. */
void keeper_link_refuse_restock(struct stock *stock, uint32_t place);
/* The restock of that token is in the ledger: ends it wherever it still waits, so that a keeper
 * that took over from one that died does not do it again. */
void keeper_link_restock_is_done(struct stock *stock, uint64_t token);
/* Whether a worker is sure to look at the sleeping keeper's flag soon.  As with keeper_link_sleep:
 * asked after the keeper has said that it sleeps, so that no bell is lost. */
bool keeper_link_bell_is_owed(const struct stock *stock);
/* Waits for none of these any more: whoever owes one has stopped, or is gone.  One that is owed
 * nevertheless is rung all the same. */
void keeper_link_forget_bells(struct stock *stock);

/* Whether one was asked for since the last call of _asked. */
bool keeper_link_restock_waits(const struct stock *stock);
bool keeper_link_restock_asked(struct stock *stock);

/* Sends an outcome to its waiter, if that one still lives.  false: its queue is full, which its
 * bound on parked sales rules out. */
bool keeper_link_complete(struct stock *stock, const struct journal_waiter *waiter,
                          const struct segment_outcome *outcome);

/* Calls on_sent for every outcome that waits unread in a living place's queue. */
void keeper_link_each_sent(const struct stock *stock,
                           void (*on_sent)(void *context, const struct segment_outcome *outcome),
                           void *context);

/* Whether that worker sleeps and waits for what was just published or completed; clears its flag,
 * so that the caller must ring.  One full fence (atomic_thread_fence) comes between the work and
 * the first of these calls: see keeper_link_wake. */
bool keeper_link_wake_worker(struct stock *stock, uint32_t place, bool completed);

/* Whether the reader waits for what was just published; clears its flag, so that the caller must
 * ring.  After the fence, too. */
bool keeper_link_wake_reader(struct stock *stock);

/* From now until _end_io it is in the ledger's hands. */
static inline void keeper_link_begin_io(_Atomic uint64_t *since_ms, uint64_t now_ms)
{
    atomic_store_explicit(since_ms, now_ms, memory_order_relaxed);
}
static inline void keeper_link_end_io(_Atomic uint64_t *since_ms)
{
    atomic_store_explicit(since_ms, 0, memory_order_relaxed);
}

/* The slot of that sequence is taken and has not been stamped for too long; UINT32_MAX: none is. */
void keeper_link_stalled(struct stock *stock, uint32_t event, uint64_t sequence);

/* --- the reader --- */

/* Why the reader sleeps. */
enum reader_sleep {
    READER_AWAKE = 0,
    READER_SLEEPS,          /* it has no look-up */
    READER_WAITS_FOR_ENTRY, /* its look-up is of an entry that is not in the ledger yet */
};

/* The next look-up of a place whose answer has room; it stays in the queue until
 * keeper_link_answer. */
bool keeper_link_lookup(const struct stock *stock, uint32_t place,
                        struct segment_lookup *ret_lookup);
/* Sends the answer and takes the look-up out. */
void keeper_link_answer(struct stock *stock, uint32_t place, const struct segment_order *order);

#endif
