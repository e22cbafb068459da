#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "crowd.h"

/* The indexes of the one that observes, and of the one that keeps. */
#define OBSERVER UINT32_MAX
#define KEEPER   (UINT32_MAX - 1)

static pid_t start(struct selling *selling, uint32_t seller)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child > 0)
        return child;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        _exit(1);
    (void)pthread_barrier_wait(&selling->gate);
    if (seller == OBSERVER)
        selling_observe(selling);
    else if (seller == KEEPER)
        selling_keep(selling);
    else
        selling_sell(selling, seller);
    _exit(0);
}

static void expect_end(pid_t child)
{
    int status = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

void crowd_run(struct selling *selling)
{
    pid_t observer = start(selling, OBSERVER), keeper = start(selling, KEEPER);
    pid_t sellers[SELLING_SELLERS_MAX];

    for (uint32_t i = 0; i < selling->options.sellers; ++i)
        sellers[i] = start(selling, i);
    for (uint32_t i = 0; i < selling->options.sellers; ++i)
        expect_end(sellers[i]);
    atomic_store(&selling->stop, true);
    atomic_store(&selling->all_sold, true);
    expect_end(observer);
    expect_end(keeper);
}
