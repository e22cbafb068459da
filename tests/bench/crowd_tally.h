/* Latencies of the crowd, every one of them kept: percentiles are exact, and a run of a minute at
 * 100,000 a second takes 24 MB.  (HdrHistogram would take less; Debian 12 does not have it in C.)
 */
#ifndef TICKETD_TESTS_BENCH_CROWD_TALLY_H
#define TICKETD_TESTS_BENCH_CROWD_TALLY_H

#include <stddef.h>
#include <stdint.h>

struct crowd_tally {
    uint32_t *us; /* owned */
    size_t count;
    size_t room;
};

/* Takes memory for `room` latencies and touches it, so that none is fetched under load; more are
 * taken as they come.  Ends the process without memory. */
void crowd_tally_init(struct crowd_tally *tally, size_t room);
void crowd_tally_deinit(struct crowd_tally *tally);

void crowd_tally_add(struct crowd_tally *tally, uint64_t ns);

/* Prints " p50_us=… p99_us=… p999_us=… max_us=…": of each the least latency that so many do not
 * exceed; 0 without any.  Sorts what is there. */
void crowd_tally_print(struct crowd_tally *tally);

#endif
