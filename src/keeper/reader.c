/* The reader: looks orders up in the ledger for the workers, which never wait for a disk. */
#include <bsd/unistd.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "keeper/keeper_process.h"
#include "keeper/sleeper.h"
#include "stock/keeper_link.h"
#include "ticketd/error.h"
#include "util/clock.h"
#include "util/log.h"

/* An idle reader shows so often that it lives. */
#define IDLE_MS 500
/* How long it waits for an entry that is still in the journal. */
#define ENTRY_WAIT_MS 1000

struct reader {
    const struct heritage *heritage;
    struct stock stock;
    struct ledger *ledger;
    struct sleeper sleeper;
    bool faulty; /* the last look-up failed: one line is enough */
};

static void beat(struct reader *reader)
{
    scoreboard_add(&reader->stock.segment->keeper.reader_heartbeat, 1);
}

/* With `memory:` a buyer may ask before the keeper has been woken for its sale. */
static void wait_for_entry(struct reader *reader, const struct segment_lookup *lookup)
{
    _Atomic uint32_t *asleep = &reader->stock.segment->keeper.reader_asleep;
    uint64_t until_ms = clock_monotonic_ms() + ENTRY_WAIT_MS, now_ms;

    if (lookup->sequence >= journal_end(&reader->stock, lookup->event))
        return;
    while (stock_durable(&reader->stock, lookup->event) <= lookup->sequence &&
           (now_ms = clock_monotonic_ms()) < until_ms) {
        if (keeper_link_wants_another_bell(&reader->stock))
            (void)eventfd_write(reader->heritage->keeper_bell, 1);
        atomic_store_explicit(asleep, READER_WAITS_FOR_ENTRY, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst);
        if (stock_durable(&reader->stock, lookup->event) <= lookup->sequence)
            sleeper_wait(&reader->sleeper, (int)(until_ms - now_ms));
        keeper_link_awake(asleep);
    }
}

static int look_up(struct reader *reader, const struct segment_lookup *lookup,
                   struct ledger_entry *ret_entry)
{
    _Atomic uint64_t *io = &reader->stock.segment->keeper.reader_io_since_ms;
    const struct ledger_ops *ops = reader->heritage->ledger;
    int result;

    keeper_link_begin_io(io, clock_monotonic_ms());
    result = ops->find(reader->ledger, lookup->event, lookup->sequence, ret_entry);
    keeper_link_end_io(io);
    if (result < 0 && !reader->faulty)
        log_error("%s", ops->error(reader->ledger));
    reader->faulty = result < 0;
    return result;
}

static void answer(struct reader *reader, uint32_t place, const struct segment_lookup *lookup)
{
    struct segment_order order = {.sequence = lookup->sequence,
                                  .token = lookup->token,
                                  .event = lookup->event,
                                  .cookie = lookup->cookie,
                                  .status = TICKETD_NOT_FOUND};
    struct ledger_entry entry;
    int result;

    wait_for_entry(reader, lookup);
    result = look_up(reader, lookup, &entry);
    if (result < 0) {
        order.status = TICKETD_UNAVAILABLE;
    } else if (result == 0 && entry.kind == LEDGER_SALE && entry.token == lookup->token) {
        order.status = TICKETD_DONE;
        order.quantity = (uint32_t)entry.quantity;
        order.time_us = entry.time_us;
    }
    keeper_link_answer(&reader->stock, place, &order);
    atomic_thread_fence(memory_order_seq_cst);
    if (keeper_link_wake_worker(&reader->stock, place, true))
        (void)eventfd_write(reader->heritage->bells[place - STOCK_PLACE_OF(0)], 1);
}

/* Answers at most one look-up of each place.  true when there was any. */
static bool answer_all(struct reader *reader)
{
    uint32_t place_count = reader->stock.segment->place_count;
    bool any = false;

    for (uint32_t place = STOCK_PLACE_OF(0); place < place_count; ++place) {
        struct segment_lookup lookup;
        if (!keeper_link_lookup(&reader->stock, place, &lookup))
            continue;
        answer(reader, place, &lookup);
        beat(reader); /* each may wait for its entry; a round of many is not a hang */
        any = true;
    }
    return any;
}

static void serve(struct reader *reader)
{
    _Atomic uint32_t *asleep = &reader->stock.segment->keeper.reader_asleep;

    while (!reader->sleeper.told_to_end) {
        beat(reader);
        if (answer_all(reader))
            continue;
        keeper_link_sleep(asleep);
        if (!answer_all(reader))
            sleeper_wait(&reader->sleeper, IDLE_MS);
        keeper_link_awake(asleep);
    }
}

int reader_run(const struct heritage *heritage)
{
    struct reader reader = {.heritage = heritage, .stock = heritage->stock};
    char error[SETTINGS_ERROR_MAX];
    int result;

    if (!heritage_bind(heritage))
        return EXIT_FAILURE;
    setproctitle("reader");
    log_set_role("reader", -1);
    log_count_drops_in(metrics_cell_in(&heritage->metrics, METRICS_SLOT_READER(&heritage->metrics),
                                       METRICS_log_dropped));
    result = sleeper_init(&reader.sleeper, heritage->reader_bell);
    if (result < 0) {
        errno = -result;
        log_critical("cannot start: %m");
        return EXIT_FAILURE;
    }
    keeper_link_begin_io(&reader.stock.segment->keeper.reader_io_since_ms, clock_monotonic_ms());
    result = heritage->ledger->open_reader(&reader.ledger, heritage->ledger_location,
                                           heritage->ledger_hold, error, sizeof(error));
    beat(&reader); /* the master watches nobody who has never shown one */
    keeper_link_end_io(&reader.stock.segment->keeper.reader_io_since_ms);
    if (result != 0) {
        log_critical("cannot start: %s", error);
        return EXIT_FAILURE;
    }
    serve(&reader);
    heritage->ledger->close(reader.ledger);
    return EXIT_SUCCESS;
}
