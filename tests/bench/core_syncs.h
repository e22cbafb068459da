/* Counts the syncs that this process and those it forks ask the kernel for, SQLite's among them:
 * the program has an fsync and an fdatasync of its own before the C library's. */
#ifndef TICKETD_TESTS_BENCH_CORE_SYNCS_H
#define TICKETD_TESTS_BENCH_CORE_SYNCS_H

#include <stdint.h>

/* In memory that they share; for the life of the process. */
void syncs_count_in(_Atomic uint64_t *counter);

#endif
