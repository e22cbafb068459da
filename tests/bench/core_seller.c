#include "core_seller.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "stock/keeper_link.h"
#include "stock/keys.h"
#include "ticketd/error.h"

/* Sales of a turn, after which a worker rings: as many as one gathers (VACANCY_LOCAL_GATHER_MAX).
 */
#define TURN_MAX 256
/* How often a seller that waits for nothing but room looks for it, and how long one sleeps at most
 * that waits for outcomes. */
#define LOOK_NS       50000
#define SLEEP_MAX_MS  20
#define OUTCOMES_MAX  256
#define PARKED_MAX(s) ((s)->segment->outcome_slots / 2)

static struct stock *stock_of(const struct seller *seller)
{
    return &seller->stage->heritage.stock;
}

static uint32_t place_of(const struct seller *seller)
{
    return STOCK_PLACE_OF(seller->options.index);
}

void seller_init(struct seller *seller, struct stage *stage, const struct seller_options *options)
{
    *seller = (struct seller){
        .stage = stage,
        .options = *options,
        .tally = &stage->shared->sellers[options->index],
        .random = options->index + 1,
    };
}

/* S. Vigna's splitmix64: quick, and of different numbers no two results are the same. */
static uint64_t mix(uint64_t number)
{
    number += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

/* Spread like the hash of a client's key, and without the cost of one, which is the worker's. */
static struct ledger_key key_of(const struct seller *seller)
{
    uint64_t half[2] = {mix(seller->tally->entries), mix(~seller->tally->entries)};
    struct ledger_key key;

    memcpy(&key, half, sizeof(key));
    key.bytes[0] |= 1; /* so it is not transient (ticketd/key.h) */
    key.bytes[15] = (uint8_t)seller->options.index;
    return key;
}

static uint32_t next_event(struct seller *seller)
{
    seller->random = mix(seller->random);
    return seller->options.first_event + ((uint32_t)seller->random & seller->options.event_mask);
}

uint32_t seller_sell(struct seller *seller, uint32_t most)
{
    struct stock *stock = stock_of(seller);
    uint32_t count = 0;

    for (; count < most; ++count) {
        struct stock_sale sale = {
            .quantity = 1,
            .waits = seller->options.waits,
            .token = token_next(&seller->tokens),
        };
        struct stock_entry entry;
        uint32_t event = next_event(seller);

        if (sale.waits && seller->parked == PARKED_MAX(stock))
            break;
        if (seller->options.keyed) {
            sale.key = key_of(seller);
            if (keys_are_full(stock, &sale.key)) {
                atomic_store_explicit(&seller->stage->shared->full, 1, memory_order_relaxed);
                break;
            }
        }
        if (stock_sell(stock, place_of(seller), event, &sale, &entry) != TICKETD_DONE) {
            seller->full_event = event;
            break;
        }
        ++seller->tally->entries;
        seller->parked += sale.waits;
    }
    return count;
}

static bool take_outcomes(struct seller *seller)
{
    struct segment_outcome outcomes[OUTCOMES_MAX];
    bool any = false;
    uint32_t count;

    while ((count = keeper_link_outcomes(stock_of(seller), place_of(seller), outcomes,
                                         OUTCOMES_MAX)) > 0) {
        for (uint32_t i = 0; i < count; ++i)
            if (outcomes[i].outcome != KEEPER_SOLD)
                seller->tally->wrong = true;
        seller->parked -= count;
        any = true;
    }
    return any;
}

/* One turn of a worker's loop: how many it sold. */
static uint32_t turn(struct seller *seller)
{
    struct stock *stock = stock_of(seller);
    uint32_t count;
    bool ring;

    if (seller->options.waits)
        keeper_link_owe_bell(stock, place_of(seller));
    count = seller_sell(seller, TURN_MAX);
    ring = seller->options.waits ? keeper_link_wants_bell(stock, place_of(seller))
                                 : keeper_link_wants_another_bell(stock);
    if (ring)
        (void)eventfd_write(seller->stage->heritage.keeper_bell, 1);
    return count;
}

static void sleep_for_outcomes(struct seller *seller)
{
    struct pollfd bell = {.fd = seller->stage->bells[seller->options.index], .events = POLLIN};
    eventfd_t rung;

    if (keeper_link_worker_sleeps(stock_of(seller), place_of(seller), false) &&
        poll(&bell, 1, SLEEP_MAX_MS) > 0)
        (void)eventfd_read(bell.fd, &rung);
    keeper_link_worker_awake(stock_of(seller), place_of(seller));
}

/* Until half of the journal is free again: so sellers that found it full go on together. */
static void sleep_for_room(struct seller *seller)
{
    uint32_t half = stock_of(seller)->segment->ring_slots / 2;

    while (stock_lag(stock_of(seller), seller->full_event) > half &&
           stage_phase(seller->stage) < STAGE_OVER)
        stage_pause_ns(LOOK_NS);
}

/* Nothing could be sold and no outcome has come. */
static void wait_for_either(struct seller *seller)
{
    struct stage_idle since = stage_idle_begin();

    if (seller->options.waits)
        sleep_for_outcomes(seller);
    else
        sleep_for_room(seller);
    stage_idle_end(seller->tally, &since);
}

int seller_run(struct stage *stage, void *context)
{
    struct seller seller;
    enum stage_phase phase;

    seller_init(&seller, stage, context);
    (void)turn(&seller);
    stage_is_ready(stage);
    while ((phase = stage_phase(stage)) < STAGE_OVER && !seller.tally->wrong) {
        bool sold, told;
        stage_tally_follow(seller.tally, phase);
        sold = turn(&seller) > 0;
        told = take_outcomes(&seller);
        if (!sold && !told)
            wait_for_either(&seller);
    }
    stage_tally_follow(seller.tally, STAGE_OVER);
    return seller.tally->wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
