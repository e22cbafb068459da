/* What the stepped processes act on: a stock of one event, a real ledger, a keeper, and the workers
 * that the test itself plays.  The test's process plays the master too.
 *
 * Sequences go round the small ring many times, so what a crash leaves lies among old entries.
 * Faults fail the cmocka test that is running. */
#ifndef TICKETD_TESTS_STEP_WORLD_H
#define TICKETD_TESTS_STEP_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "../crash/scratch.h"
#include "client/vacancy_local.h"
#include "keeper/keeper.h"
#include "stepper.h"
#include "ticketd/stock.h"

#define WORLD_CAPACITY 100000
/* Places of workers: WORLD_PLACE(0) … */
#define WORLD_WORKERS      5
#define WORLD_PLACE(index) STOCK_PLACE_OF(index)
/* Keys whose sales are counted at a time. */
#define WORLD_KEYS 2
/* Rounds after which a test makes a new world: the ledger stays small, and the key index unfilled.
 */
#define WORLD_ROUNDS 300

/* What one call was told. */
struct answer {
    struct vacancy_call call; /* first: the callback is given this */
    unsigned times;
    struct vacancy_result result; /* the last one */
};

/* What the ledger's entries say, counted one by one. */
struct tally {
    uint64_t entries;
    int64_t capacity;
    int64_t sold;
    int64_t owed;
    int64_t available;
    unsigned key_sales[WORLD_KEYS];
    uint64_t key_sequence[WORLD_KEYS]; /* of the key's last sale */
};

struct world {
    struct scratch scratch;
    struct stock stock;
    int hold; /* the right to the ledger */
    int bell;
    uint32_t event;
    int64_t capacity; /* that there should be */
    unsigned rounds;
    struct keeper *keeper;
    bool keeper_is_open;
    struct ledger_key keys[WORLD_KEYS]; /* that are counted */
    struct tally tally;
    char key_text[WORLD_KEYS][32];
    unsigned char *seen; /* the segment's bytes at the last look of world_step_changes */
};

/* For cmocka: *state is a struct world. */
int world_set_up(void **state);
int world_tear_down(void **state);
#define world_test(name, world)                                                                    \
    cmocka_unit_test_prestate_setup_teardown(name, world_set_up, world_tear_down, world)

/* Begins a round: new keys, and a new world when the old one has had its rounds.  The keeper is
 * open, nothing is under way. */
void world_begin_round(struct world *world);

/* The test's own keeper; no other one may live meanwhile, and no handle crosses fork. */
void world_keeper_open(struct world *world);
void world_keeper_close(struct world *world);
struct keeper_options world_keeper_options(struct world *world);

/* A worker in a place, in the process that calls. */
void world_worker_open(struct world *world, struct vacancy_local *worker, uint32_t place);
/* It ends with calls that it was not told of, and is reaped. */
void world_worker_end(struct world *world, struct vacancy_local *worker);
/* Asks for tickets; `key` is the number of one of the round's keys, or -1. */
void world_buy(struct world *world, struct vacancy_local *worker, uint32_t quantity, int key,
               struct answer *answer);
/* Asks for more tickets; the world's capacity grows when that is done, which it must be. */
void world_restock(struct world *world, struct vacancy_local *worker, uint32_t quantity,
                   struct answer *answer);

/* A worker that is going to be stepped through a sale. */
struct world_seller {
    struct world *world;
    uint32_t place;
    uint32_t quantity;
    int key;
};

/* Forks it, and stops it where it begins to sell.  It goes on to the keeper's bell. */
void world_start_seller(const struct world_seller *seller, struct stepper *ret_stepper);

/* Kills who has the place. */
void world_kill(struct world *world, struct stepper *stepper, uint32_t place);
/* Repairs every place whose owner is dead, and gives it to a new one.  false: one has to wait. */
bool world_repair(struct world *world);

/* The keeper's turns until it is idle.  false: it waits for an entry that is not stamped. */
bool world_turn(struct world *world);
/* The same, which must end idle; then the ledger and the stock are looked through: every entry
 * follows from the one before, no ticket is lost, sold twice or owed. */
void world_settle(struct world *world);

/* What must hold after a crash that has been repaired: world_settle, a sale from another place, and
 * a retry of the round's key `key` sells it exactly once in all, or finds that it has sold. */
void world_check(struct world *world, int key, uint32_t quantity);

/* Takes a stepped process on until it has changed the segment `count` times.  Who is killed between
 * two changes leaves the same bytes as one killed right after the first of them, so nothing that a
 * survivor could tell is left out, but for what a call into a library does in the kernel.
 * false: the end came before. */
bool world_step_changes(struct world *world, struct stepper *stepper, unsigned count);

/* The same, but with TICKETD_TEST_LONG `count` single instructions. */
bool world_stride(struct world *world, struct stepper *stepper, unsigned count);

#endif
