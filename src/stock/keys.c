#include "stock/keys.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "ticketd/error.h"

/* A chain of so many keys is not met by chance at this load; it bounds a torn one. */
#define CHAIN_MAX 256
/* How often a look-up begins anew when keys were replaced under it. */
#define FIND_TRIES_MAX 64
/* So that ages of keys from before this boot fit too. */
#define CLOCK_START_S (UINT32_C(1) << 31)
#define EVENT_SHIFT   48
#define BUCKETS_MIN   10

/* The index in which a key belongs. */
static struct segment_keys *keys_of(const struct stock *stock, const struct ledger_key *key)
{
    return &stock->segment->keys[ledger_key_is_transient(key) ? SEGMENT_KEYS_TRANSIENT
                                                              : SEGMENT_KEYS_OF_CLIENTS];
}

static struct segment_key *slot_at(const struct stock *stock, const struct segment_keys *keys,
                                   uint32_t index)
{
    return (struct segment_key *)((char *)stock->segment + keys->slots_at) + index;
}

void keys_plan(struct segment_keys *ret_keys, uint64_t keys_max, uint64_t spare)
{
    *ret_keys = (struct segment_keys){.keys_max = keys_max, .bucket_bits = BUCKETS_MIN};
    ret_keys->slot_count = (uint32_t)(keys_max + spare);
    /* between one and two keys a bucket when it is full */
    while (ret_keys->bucket_bits < 31 && (UINT64_C(2) << ret_keys->bucket_bits) <= keys_max)
        ++ret_keys->bucket_bits;
}

uint64_t keys_buckets_size(const struct segment_keys *keys)
{
    return (UINT64_C(1) << keys->bucket_bits) * sizeof(_Atomic uint32_t);
}

uint64_t keys_slots_size(const struct segment_keys *keys)
{
    return (uint64_t)keys->slot_count * sizeof(struct segment_key);
}

int keys_open(struct stock *stock)
{
    uint64_t seeds[SEGMENT_KEY_KINDS][2];

    if (getrandom(seeds, sizeof(seeds), 0) != sizeof(seeds))
        return -errno;
    for (int kind = 0; kind < SEGMENT_KEY_KINDS; ++kind) {
        /* odd: a multiplication loses no bit */
        stock->segment->keys[kind].seed[0] = seeds[kind][0] | 1;
        stock->segment->keys[kind].seed[1] = seeds[kind][1] | 1;
    }
    return 0;
}

/* Now, on the index's clock. */
static uint32_t now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_BOOTTIME, &now); /* cannot fail for this clock */
    return CLOCK_START_S + (uint32_t)now.tv_sec;
}

/* Every access to a slot is relaxed: the bucket's release, and the fences around `tail`, order
 * what must be ordered. */
static uint64_t get(const struct segment_key *slot, enum segment_key_word word)
{
    return atomic_load_explicit(&slot->word[word], memory_order_relaxed);
}

static void set(struct segment_key *slot, enum segment_key_word word, uint64_t value)
{
    atomic_store_explicit(&slot->word[word], value, memory_order_relaxed);
}

static uint32_t next_of(const struct segment_key *slot)
{
    return segment_low(get(slot, SEGMENT_KEY_LINK));
}

/* Multiply-shift over both halves (M. Dietzfelbinger et al., "A reliable randomized algorithm for
 * the closest-pair problem", 1997); the key is a hash already, only its bucket must not be chosen.
 */
static _Atomic uint32_t *bucket_of(const struct stock *stock, const struct segment_keys *keys,
                                   uint64_t low, uint64_t high, uint32_t event)
{
    uint64_t mixed = (low ^ event) * keys->seed[0] + high * keys->seed[1];

    mixed = (mixed ^ mixed >> 32) * keys->seed[0];
    return (_Atomic uint32_t *)((char *)stock->segment + keys->buckets_at) +
           (mixed >> (64 - keys->bucket_bits));
}

static _Atomic uint32_t *bucket_of_slot(const struct stock *stock, const struct segment_keys *keys,
                                        const struct segment_key *slot)
{
    return bucket_of(stock, keys, get(slot, SEGMENT_KEY_LOW), get(slot, SEGMENT_KEY_HIGH),
                     (uint32_t)(get(slot, SEGMENT_KEY_WHERE) >> EVENT_SHIFT));
}

static void fill(struct segment_key *slot, const struct key_sale *sale)
{
    uint64_t key[2];

    memcpy(key, sale->key.bytes, sizeof(key));
    set(slot, SEGMENT_KEY_LOW, key[0]);
    set(slot, SEGMENT_KEY_HIGH, key[1]);
    set(slot, SEGMENT_KEY_TOKEN, sale->token);
    set(slot, SEGMENT_KEY_WHERE, (uint64_t)sale->event << EVENT_SHIFT | sale->sequence);
    set(slot, SEGMENT_KEY_SALE, segment_word(sale->quantity, sale->available));
}

int keys_put(struct stock *stock, const struct key_sale *sale, uint32_t age_s)
{
    struct segment_keys *keys = keys_of(stock, &sale->key);
    /* relaxed: only this process writes both */
    uint64_t head = atomic_load_explicit(&keys->head, memory_order_relaxed);
    uint32_t index = (uint32_t)(head % keys->slot_count);
    struct segment_key *slot = slot_at(stock, keys, index);
    _Atomic uint32_t *bucket;

    if (head - atomic_load_explicit(&keys->tail, memory_order_relaxed) >= keys->slot_count)
        return TICKETD_BUSY;
    /* With the reader's fence: who sees any of the words below sees `tail` past the slot's last
     * key. */
    atomic_thread_fence(memory_order_release);
    fill(slot, sale);
    bucket = bucket_of_slot(stock, keys, slot);
    set(slot, SEGMENT_KEY_LINK,
        segment_word(now_s() - age_s, atomic_load_explicit(bucket, memory_order_relaxed)));
    /* release: who finds the key sees all of it */
    atomic_store_explicit(bucket, index + 1, memory_order_release);
    atomic_store_explicit(&keys->head, head + 1, memory_order_release);
    return TICKETD_DONE;
}

static void recover(struct stock *stock, struct segment_keys *keys)
{
    uint64_t head = atomic_load_explicit(&keys->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&keys->tail, memory_order_relaxed);
    uint32_t index = (uint32_t)(head % keys->slot_count);

    /* Linked and not counted: its bucket names it first. */
    if (head - tail < keys->slot_count &&
        atomic_load_explicit(bucket_of_slot(stock, keys, slot_at(stock, keys, index)),
                             memory_order_relaxed) == index + 1)
        atomic_store_explicit(&keys->head, head + 1, memory_order_release);
}

void keys_recover(struct stock *stock)
{
    for (int kind = 0; kind < SEGMENT_KEY_KINDS; ++kind)
        recover(stock, &stock->segment->keys[kind]);
}

/* Takes the oldest key of all out of its bucket, whose last one it is. */
static void unlink_oldest(struct stock *stock, const struct segment_keys *keys, uint32_t index)
{
    _Atomic uint32_t *bucket = bucket_of_slot(stock, keys, slot_at(stock, keys, index));
    uint32_t at = atomic_load_explicit(bucket, memory_order_relaxed);
    struct segment_key *slot;

    if (at == index + 1) {
        atomic_store_explicit(bucket, 0, memory_order_relaxed);
        return;
    }
    while (at != 0 && next_of(slot_at(stock, keys, at - 1)) != index + 1)
        at = next_of(slot_at(stock, keys, at - 1));
    if (at == 0)
        return; /* a predecessor was killed when it had unlinked it and not counted that */
    slot = slot_at(stock, keys, at - 1);
    set(slot, SEGMENT_KEY_LINK, segment_word(segment_high(get(slot, SEGMENT_KEY_LINK)), 0));
}

/* Forgets the oldest key, which there is. */
static void forget_oldest(struct stock *stock, struct segment_keys *keys)
{
    uint64_t tail = atomic_load_explicit(&keys->tail, memory_order_relaxed);

    unlink_oldest(stock, keys, (uint32_t)(tail % keys->slot_count));
    /* release: who begins a walk at this tail does not come upon the key by its bucket */
    atomic_store_explicit(&keys->tail, tail + 1, memory_order_release);
}

static uint64_t count(const struct segment_keys *keys)
{
    uint64_t tail = atomic_load_explicit(&keys->tail, memory_order_relaxed);

    return atomic_load_explicit(&keys->head, memory_order_relaxed) - tail;
}

static uint32_t forget(struct stock *stock, struct segment_keys *keys, uint32_t ttl_s,
                       uint32_t most)
{
    uint32_t now = now_s(), forgotten = 0;

    while (forgotten < most && count(keys) > 0) {
        uint64_t tail = atomic_load_explicit(&keys->tail, memory_order_relaxed);
        const struct segment_key *oldest =
            slot_at(stock, keys, (uint32_t)(tail % keys->slot_count));
        if (now - segment_high(get(oldest, SEGMENT_KEY_LINK)) <= ttl_s)
            break;
        forget_oldest(stock, keys);
        ++forgotten;
    }
    return forgotten;
}

uint32_t keys_forget(struct stock *stock, uint32_t ttl_s, uint32_t most)
{
    struct segment_keys *keys = stock->segment->keys;

    return forget(stock, &keys[SEGMENT_KEYS_OF_CLIENTS], ttl_s, most) +
           forget(stock, &keys[SEGMENT_KEYS_TRANSIENT], KEY_TRANSIENT_TTL_S, most);
}

void keys_forget_oldest(struct stock *stock, enum segment_key_kind kind)
{
    struct segment_keys *keys = &stock->segment->keys[kind];

    if (count(keys) > 0)
        forget_oldest(stock, keys);
}

/* The number of the key in slot `index` since the index began, if it is one that was remembered
 * when `tail` was read. */
static uint64_t number_of(const struct segment_keys *keys, uint32_t index, uint64_t tail)
{
    return tail + (index + keys->slot_count - tail % keys->slot_count) % keys->slot_count;
}

/* One walk through the bucket's chain. */
static int walk(const struct stock *stock, const struct segment_keys *keys, uint32_t event,
                const uint64_t key[2], struct key_sale *ret_sale)
{
    uint64_t tail = atomic_load_explicit(&keys->tail, memory_order_acquire);
    /* acquire: pairs with keys_put */
    uint32_t at =
        atomic_load_explicit(bucket_of(stock, keys, key[0], key[1], event), memory_order_acquire);

    for (unsigned steps = 0; at != 0 && steps < CHAIN_MAX; ++steps) {
        uint64_t copy[SEGMENT_KEY_WORDS];
        for (int i = 0; i < SEGMENT_KEY_WORDS; ++i)
            copy[i] = get(slot_at(stock, keys, at - 1), (enum segment_key_word)i);
        /* With the fence in keys_put: the copy is of one key unless `tail` has passed it. */
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&keys->tail, memory_order_relaxed) > number_of(keys, at - 1, tail))
            return TICKETD_BUSY;
        if (copy[SEGMENT_KEY_LOW] == key[0] && copy[SEGMENT_KEY_HIGH] == key[1] &&
            copy[SEGMENT_KEY_WHERE] >> EVENT_SHIFT == event) {
            ret_sale->event = event;
            ret_sale->sequence = copy[SEGMENT_KEY_WHERE] & ((UINT64_C(1) << EVENT_SHIFT) - 1);
            ret_sale->token = copy[SEGMENT_KEY_TOKEN];
            ret_sale->quantity = segment_high(copy[SEGMENT_KEY_SALE]);
            ret_sale->available = segment_low(copy[SEGMENT_KEY_SALE]);
            return TICKETD_DONE;
        }
        at = segment_low(copy[SEGMENT_KEY_LINK]);
    }
    return at == 0 ? TICKETD_NOT_FOUND : TICKETD_BUSY;
}

int keys_find(const struct stock *stock, uint32_t event, const struct ledger_key *key,
              struct key_sale *ret_sale)
{
    uint64_t wanted[2];
    int answer = TICKETD_BUSY;

    memcpy(wanted, key->bytes, sizeof(wanted));
    for (unsigned tries = 0; answer == TICKETD_BUSY && tries < FIND_TRIES_MAX; ++tries)
        answer = walk(stock, keys_of(stock, key), event, wanted, ret_sale);
    if (answer == TICKETD_DONE)
        ret_sale->key = *key;
    return answer;
}

uint64_t keys_count(const struct stock *stock, enum segment_key_kind kind)
{
    return count(&stock->segment->keys[kind]);
}

bool keys_are_full(const struct stock *stock, const struct ledger_key *key)
{
    const struct segment_keys *keys = keys_of(stock, key);

    return count(keys) >= keys->keys_max;
}
