#include "scoreboard/scoreboard.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "ticketd/error.h"

/* What the memory begins with. */
struct head {
    struct scoreboard_reloads reloads;
    alignas(SCOREBOARD_CACHE_LINE) _Atomic uint64_t stop_ends_ms;
};

static size_t size_of(uint32_t slot_count)
{
    return sizeof(struct head) + (size_t)slot_count * sizeof(struct scoreboard_slot);
}

int scoreboard_create(struct scoreboard *ret_board, uint32_t slot_count)
{
    struct head *head =
        mmap(NULL, size_of(slot_count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (head == MAP_FAILED)
        return -errno;
    *ret_board = (struct scoreboard){.reloads = &head->reloads,
                                     .stop_ends_ms = &head->stop_ends_ms,
                                     .slots = (struct scoreboard_slot *)(head + 1),
                                     .slot_count = slot_count};
    return 0;
}

void scoreboard_destroy(struct scoreboard *board)
{
    if (board->reloads == NULL)
        return;
    munmap(board->reloads, size_of(board->slot_count));
    *board = (struct scoreboard){.slots = NULL};
}

/* Of a slot whose owner is gone. */
static void clear_gauges(struct scoreboard_slot *slot)
{
    scoreboard_show(&slot->connections, 0);
#define X(name) scoreboard_show(&slot->name, 0);
    SCOREBOARD_GAUGES(X)
#undef X
}

int scoreboard_claim(struct scoreboard *board, uint32_t pool, uint32_t *ret_slot)
{
    for (uint32_t i = 0; i < board->slot_count; ++i) {
        struct scoreboard_slot *slot = &board->slots[i];
        if (scoreboard_state(slot) != SCOREBOARD_FREE)
            continue;
        clear_gauges(slot);
        atomic_store_explicit(&slot->accept_paused, 0, memory_order_relaxed);
        atomic_store_explicit(&slot->heartbeat, 0, memory_order_relaxed);
        atomic_store_explicit(&slot->pool, pool, memory_order_relaxed);
        scoreboard_set_state(slot, SCOREBOARD_STARTING);
        *ret_slot = i;
        return TICKETD_DONE;
    }
    return TICKETD_BUSY;
}

void scoreboard_leave(struct scoreboard *board, uint32_t slot)
{
    assert(slot < board->slot_count);
    clear_gauges(&board->slots[slot]);
    scoreboard_set_state(&board->slots[slot], SCOREBOARD_DRAINING);
}

void scoreboard_release(struct scoreboard *board, uint32_t slot)
{
    assert(slot < board->slot_count);
    clear_gauges(&board->slots[slot]);
    scoreboard_set_state(&board->slots[slot], SCOREBOARD_FREE);
}

struct scoreboard_load scoreboard_pool_load(const struct scoreboard *board, uint32_t pool)
{
    struct scoreboard_load load = {0};

    for (uint32_t i = 0; i < board->slot_count; ++i) {
        const struct scoreboard_slot *slot = &board->slots[i];
        enum scoreboard_state state = scoreboard_state(slot);
        uint32_t connections;

        if (state == SCOREBOARD_FREE ||
            atomic_load_explicit(&slot->pool, memory_order_relaxed) != pool)
            continue;
        connections = atomic_load_explicit(&slot->connections, memory_order_relaxed);
        load.connections += connections;
        if (state == SCOREBOARD_SERVING) {
            load.serving_connections += connections;
            ++load.serving;
        }
    }
    return load;
}
