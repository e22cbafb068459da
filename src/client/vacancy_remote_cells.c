#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "client/vacancy_remote_internal.h"

void remote_queue_init(struct remote_queue *queue)
{
    TAILQ_INIT(&queue->cells);
    queue->count = 0;
}

int remote_cells_init(struct vacancy_remote *remote)
{
    remote_queue_init(&remote->free);
    remote_queue_init(&remote->fresh);
    remote_queue_init(&remote->again);
    remote_queue_init(&remote->asks);
    remote_queue_init(&remote->probed);
    for (uint32_t i = 0; i < REMOTE_DELAY_COUNT; ++i)
        remote_queue_init(&remote->delayed[i]);
    remote->cells = calloc(remote->cell_count, sizeof(*remote->cells));
    remote->heap = calloc((size_t)remote->cell_count + 1, sizeof(struct remote_cell *));
    return remote->cells != NULL && remote->heap != NULL ? 0 : -ENOMEM;
}

void remote_cells_deinit(struct vacancy_remote *remote)
{
    free(remote->cells);
    free(remote->heap);
    remote->cells = NULL;
    remote->heap = NULL;
}

void remote_move(struct remote_cell *cell, struct remote_queue *queue)
{
    if (cell->queue != NULL) {
        TAILQ_REMOVE(&cell->queue->cells, cell, in_queue);
        --cell->queue->count;
    }
    TAILQ_INSERT_TAIL(&queue->cells, cell, in_queue);
    ++queue->count;
    cell->queue = queue;
}

/* ---- deadlines: a binary heap, since calls that are tried again come back in any order ---- */

static void put(struct vacancy_remote *remote, uint32_t place, struct remote_cell *cell)
{
    remote->heap[place] = cell;
    cell->heap_place = place;
}

static void rise(struct vacancy_remote *remote, uint32_t place, struct remote_cell *cell)
{
    for (; place > 1 && remote->heap[place / 2]->deadline_ms > cell->deadline_ms; place /= 2)
        put(remote, place, remote->heap[place / 2]);
    put(remote, place, cell);
}

static void sink(struct vacancy_remote *remote, uint32_t place, struct remote_cell *cell)
{
    for (;;) {
        uint32_t child = 2 * place;
        if (child < remote->heap_count &&
            remote->heap[child + 1]->deadline_ms < remote->heap[child]->deadline_ms)
            ++child;
        if (child > remote->heap_count || remote->heap[child]->deadline_ms >= cell->deadline_ms)
            break;
        put(remote, place, remote->heap[child]);
        place = child;
    }
    put(remote, place, cell);
}

void remote_time(struct vacancy_remote *remote, struct remote_cell *cell)
{
    assert(cell->heap_place == 0);
    rise(remote, ++remote->heap_count, cell);
}

void remote_untime(struct vacancy_remote *remote, struct remote_cell *cell)
{
    uint32_t place = cell->heap_place;
    struct remote_cell *last;

    if (place == 0)
        return;
    cell->heap_place = 0;
    last = remote->heap[remote->heap_count--];
    if (last == cell)
        return;
    if (place > 1 && remote->heap[place / 2]->deadline_ms > last->deadline_ms)
        rise(remote, place, last);
    else
        sink(remote, place, last);
}

struct remote_cell *remote_earliest(const struct vacancy_remote *remote)
{
    return remote->heap_count > 0 ? remote->heap[1] : NULL;
}

/* ---- cells ---- */

/* The one that was freed last is still in the caches. */
static struct remote_cell *free_cell(struct vacancy_remote *remote)
{
    struct remote_cell *cell = TAILQ_LAST(&remote->free.cells, remote_cells);

    if (cell == NULL && remote->fresh_cell < remote->cell_count)
        cell = &remote->cells[remote->fresh_cell++];
    return cell;
}

struct remote_cell *remote_take(struct vacancy_remote *remote, struct vacancy_call *call,
                                enum remote_kind kind, uint64_t deadline_ms,
                                struct remote_queue *queue)
{
    struct remote_cell *cell =
        remote->used - remote->travelling < remote->queue_max ? free_cell(remote) : NULL;

    if (cell == NULL)
        return NULL;
    ++remote->used;
    cell->call = call;
    cell->kind = kind;
    cell->deadline_ms = deadline_ms;
    cell->moment_ms = 0;
    cell->number = ++remote->calls;
    cell->attempts = 0;
    cell->broken = cell->made_key = false;
    cell->key_len = cell->request_id_len = cell->traceparent_len = 0;
    cell->quantity = 0;
    remote_move(cell, queue);
    remote_time(remote, cell);
    if (call != NULL)
        call->pending = cell;
    return cell;
}

void remote_release(struct vacancy_remote *remote, struct remote_cell *cell)
{
    assert(cell->queue != NULL && cell->queue != &remote->free);
    remote_untime(remote, cell);
    remote_move(cell, &remote->free);
    cell->call = NULL;
    --remote->used;
}
