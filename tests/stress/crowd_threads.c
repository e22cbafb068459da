#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crowd.h"

struct seller {
    struct selling *selling;
    uint32_t index;
};

static void *run_seller(void *context)
{
    struct seller *seller = context;

    (void)pthread_barrier_wait(&seller->selling->gate);
    selling_sell(seller->selling, seller->index);
    return NULL;
}

static void *run_observer(void *context)
{
    struct selling *selling = context;

    (void)pthread_barrier_wait(&selling->gate);
    selling_observe(selling);
    return NULL;
}

static void *run_keeper(void *context)
{
    struct selling *selling = context;

    (void)pthread_barrier_wait(&selling->gate);
    selling_keep(selling);
    return NULL;
}

void crowd_run(struct selling *selling)
{
    struct seller sellers[SELLING_SELLERS_MAX];
    pthread_t threads[SELLING_SELLERS_MAX], observer, keeper;

    assert_int_equal(pthread_create(&observer, NULL, run_observer, selling), 0);
    assert_int_equal(pthread_create(&keeper, NULL, run_keeper, selling), 0);
    for (uint32_t i = 0; i < selling->options.sellers; ++i) {
        sellers[i] = (struct seller){.selling = selling, .index = i};
        assert_int_equal(pthread_create(&threads[i], NULL, run_seller, &sellers[i]), 0);
    }
    for (uint32_t i = 0; i < selling->options.sellers; ++i)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    atomic_store(&selling->stop, true);
    atomic_store(&selling->all_sold, true);
    assert_int_equal(pthread_join(observer, NULL), 0);
    assert_int_equal(pthread_join(keeper, NULL), 0);
}
