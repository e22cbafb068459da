/* How sellers run at once: as processes (crowd_processes.c) or as threads (crowd_threads.c). */
#ifndef TICKETD_TESTS_STRESS_CROWD_H
#define TICKETD_TESTS_STRESS_CROWD_H

#include "selling.h"

/* Runs every seller, one observer and the keeper until the sellers have ended. */
void crowd_run(struct selling *selling);

#endif
