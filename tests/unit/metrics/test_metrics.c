/* What is counted in shared memory: by whom, for how long, and what its readers see. */
#include "../../crash/cmocka_first.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "metrics/metrics.h"

#define WORKERS 4
#define EVENTS  3
#define ROUNDS  200000

static struct metrics metrics;

static int set_up(void **state)
{
    (void)state;
    if (metrics_create(&metrics, WORKERS, EVENTS) < 0)
        return -1;
    metrics_own(&metrics, 0, 2, METRICS_VACANCY);
    metrics_own(&metrics, 2, 2, METRICS_TICKET);
    metrics_own(&metrics, METRICS_SLOT_KEEPER(&metrics), 1, METRICS_KEEPER);
    metrics_add_event_id(&metrics, "default", 1);
    metrics_add_event_id(&metrics, "other", 7);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    metrics_destroy(&metrics);
    return 0;
}

static struct metrics_recorder *recorder(uint32_t slot)
{
    static struct metrics_recorder recorders[WORKERS];

    metrics_recorder_init(&recorders[slot], &metrics, slot);
    return &recorders[slot];
}

static struct metrics_request_key key_of(uint16_t route, uint16_t status)
{
    return (struct metrics_request_key){
        .route = route, .status = status, .method = METRICS_METHOD_POST};
}

/* All answers, and those of one key. */
struct looked {
    struct metrics_request_key key;
    enum metrics_owner owner;
    uint64_t all;
    uint64_t kinds;
    struct metrics_values of_key;
    uint64_t count; /* of these */
};

static void on_requests(void *context, enum metrics_owner owner, struct metrics_request_key key,
                        const struct metrics_histogram *duration)
{
    struct looked *looked = context;
    struct metrics_values values = {.sum = 0};

    metrics_values_add(&values, duration);
    looked->all += metrics_values_count(&values);
    ++looked->kinds;
    if (owner == looked->owner && key.route == looked->key.route &&
        key.status == looked->key.status && key.method == looked->key.method)
        metrics_values_add(&looked->of_key, duration);
}

static struct looked look(enum metrics_owner owner, struct metrics_request_key key)
{
    struct looked looked = {.key = key, .owner = owner};

    metrics_each_requests(&metrics, on_requests, &looked);
    looked.count = metrics_values_count(&looked.of_key);
    return looked;
}

/* Each cell of each slot is in the sum of its owner and of all, and in no other. */
static void test_sums(void **state)
{
    (void)state;
    for (uint32_t slot = 0; slot < WORKERS; ++slot)
        metrics_add(recorder(slot), METRICS_accepted, 1U << slot);
    metrics_raise_in(&metrics, METRICS_SLOT_KEEPER(&metrics), METRICS_accepted);
    assert_int_equal(metrics_sum(&metrics, METRICS_VACANCY, METRICS_accepted), 3);
    assert_int_equal(metrics_sum(&metrics, METRICS_TICKET, METRICS_accepted), 12);
    assert_int_equal(metrics_sum(&metrics, METRICS_KEEPER, METRICS_accepted), 1);
    assert_int_equal(metrics_sum(&metrics, METRICS_NOBODY, METRICS_accepted), 16);
    assert_int_equal(metrics_sum(&metrics, METRICS_MONOLITH, METRICS_accepted), 0);
    assert_int_equal(metrics_sum(&metrics, METRICS_NOBODY, METRICS_log_dropped), 0);
}

/* Events have cells of their own, up to the last slot and event. */
static void test_events(void **state)
{
    (void)state;
    metrics_add_event(recorder(0), 0, METRICS_EVENT_sales, 2);
    metrics_add_event(recorder(WORKERS - 1), 1, METRICS_EVENT_replays, 3);
    metrics_add_event(recorder(WORKERS - 1), UINT32_MAX, METRICS_EVENT_replays, 9);
    assert_int_equal(metrics_sum_event(&metrics, METRICS_NOBODY, 0, METRICS_EVENT_sales), 2);
    assert_int_equal(metrics_sum_event(&metrics, METRICS_TICKET, 0, METRICS_EVENT_sales), 0);
    assert_int_equal(metrics_sum_event(&metrics, METRICS_TICKET, 1, METRICS_EVENT_replays), 3);
    assert_int_equal(metrics_sum_event(&metrics, METRICS_NOBODY, 1, METRICS_EVENT_sales), 0);
    assert_int_equal(metrics_event_of(&metrics, TEXT("other")), 1);
    assert_int_equal(metrics_event_of(&metrics, TEXT("othe")), UINT32_MAX);
    assert_string_equal(metrics_event_id(&metrics, 1), "other");
}

/* An event for which there is no room is not counted, and harms nobody. */
static void test_too_many_events(void **state)
{
    (void)state;
    metrics_add_event_id(&metrics, "third", 1);
    metrics_add_event_id(&metrics, "fourth", 1);
    assert_int_equal(metrics_event_count(&metrics), EVENTS);
    assert_int_equal(metrics_event_of(&metrics, TEXT("fourth")), UINT32_MAX);
    metrics_orders_write(&metrics, EVENTS, &(struct metrics_orders){.sequence = 5});
}

/* A worker is killed between any two of its counts: they stay in the sum, and who gets its slot
 * goes on counting where it was. */
static void test_dead_and_living(void **state)
{
    int status;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        struct metrics_recorder *own = recorder(1);
        metrics_add(own, METRICS_accepted, 5);
        metrics_request(own, key_of(2, 200), 1000);
        metrics_request(own, key_of(3, 200), 1000);
        (void)kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(look(METRICS_VACANCY, key_of(3, 200)).all, 2);
    metrics_add(recorder(1), METRICS_accepted, 1);
    metrics_request(recorder(1), key_of(3, 200), 2000);
    metrics_request(recorder(0), key_of(3, 200), 4000);
    assert_int_equal(metrics_sum(&metrics, METRICS_VACANCY, METRICS_accepted), 6);
    assert_int_equal(look(METRICS_VACANCY, key_of(3, 200)).of_key.sum, 7000);
    assert_int_equal(look(METRICS_VACANCY, key_of(3, 200)).kinds, 3);
}

/* One that was killed when it had named a new kind of answer, and not counted it yet, leaves
 * nothing that its successor would count under a wrong name. */
static void test_killed_while_naming(void **state)
{
    struct metrics_recorder *first = recorder(0);

    (void)state;
    metrics_request(first, key_of(1, 200), 1);
    /* as if the store of the count had not happened */
    atomic_store(&first->slot->requests[1].key, first->slot->requests[0].key + 1);
    metrics_request(recorder(0), key_of(9, 503), 1);
    assert_int_equal(look(METRICS_VACANCY, key_of(9, 503)).kinds, 2);
    assert_int_equal(look(METRICS_VACANCY, key_of(9, 503)).count, 1);
}

/* Routes, methods and statuses up to the greatest are told apart. */
static void test_keys(void **state)
{
    static const struct metrics_request_key keys[] = {
        {.route = 0, .status = 400, .method = METRICS_METHOD_OTHER},
        {.route = 0, .status = 400, .method = METRICS_METHOD_OPTIONS},
        {.route = 1, .status = 200, .method = METRICS_METHOD_GET},
        {.route = 1, .status = 200, .method = METRICS_METHOD_HEAD},
        {.route = UINT16_MAX, .status = 999, .method = METRICS_METHOD_OPTIONS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); ++i)
        metrics_request(recorder(0), keys[i], 10 + i);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); ++i)
        assert_int_equal(look(METRICS_VACANCY, keys[i]).of_key.sum, 10 + i);
}

/* A slot that is full counts what is new together, and loses nothing; what it knew goes on. */
static void test_overflow(void **state)
{
    struct metrics_recorder *own = recorder(0);
    const struct metrics_request_key rest = {.route = 0};

    (void)state;
    for (uint16_t i = 0; i < METRICS_REQUESTS_MAX + 300; ++i)
        metrics_request(own, key_of(i, 200), 1);
    metrics_request(own, key_of(0, 200), 1);
    assert_int_equal(look(METRICS_VACANCY, rest).kinds, METRICS_REQUESTS_MAX);
    assert_int_equal(look(METRICS_VACANCY, rest).all, METRICS_REQUESTS_MAX + 301);
    assert_int_equal(look(METRICS_VACANCY, rest).count, 301);
    assert_int_equal(look(METRICS_VACANCY, key_of(0, 200)).count, 2);
    /* its successor knows them, too */
    metrics_request(recorder(0), key_of(METRICS_REQUESTS_MAX + 299, 200), 1);
    assert_int_equal(look(METRICS_VACANCY, rest).all, METRICS_REQUESTS_MAX + 302);
    assert_int_equal(look(METRICS_VACANCY, rest).kinds, METRICS_REQUESTS_MAX);
}

/* A value is in the bucket of the first bound that is not below it. */
static void test_buckets(void **state)
{
    struct metrics_values values;

    (void)state;
    for (uint32_t i = 0; i < metrics_bounds_COUNT.count; ++i) {
        metrics_observe(recorder(0), METRICS_SERIES_keeper_batch, metrics_bounds_COUNT.bound[i]);
        metrics_observe(recorder(0), METRICS_SERIES_keeper_batch,
                        metrics_bounds_COUNT.bound[i] + 1);
    }
    metrics_sum_series(&metrics, METRICS_SERIES_keeper_batch, &values);
    assert_int_equal(values.bucket[0], 1);                          /* 1 */
    assert_int_equal(values.bucket[1], 2);                          /* 2 twice */
    assert_int_equal(values.bucket[2], 2);                          /* 3, 4 */
    assert_int_equal(values.bucket[metrics_bounds_COUNT.count], 1); /* 1025 */
    assert_int_equal(metrics_values_count(&values), 2 * metrics_bounds_COUNT.count);
    metrics_request(recorder(0), key_of(1, 200), 50000);
    metrics_request(recorder(0), key_of(1, 200), 50001);
    metrics_request(recorder(0), key_of(1, 200), UINT64_C(10000000001));
    values = look(METRICS_VACANCY, key_of(1, 200)).of_key;
    assert_int_equal(values.bucket[0], 1);
    assert_int_equal(values.bucket[1], 1);
    assert_int_equal(values.bucket[METRICS_BOUNDS_MAX], 1);
}

/* The bounds are those that the exposition writes, each greater than the one before. */
static void test_bounds(void **state)
{
    const struct metrics_bounds *all[] = {&metrics_bounds_TIME, &metrics_bounds_COUNT};

    (void)state;
    for (size_t i = 0; i < 2; ++i)
        for (uint32_t j = 0; j < all[i]->count; ++j) {
            double bound = (double)all[i]->bound[j] / (all[i]->is_time ? 1e9 : 1);
            assert_true(bound == strtod(all[i]->text[j], NULL));
            assert_true(j == 0 || all[i]->bound[j] > all[i]->bound[j - 1]);
        }
}

/* What has no memory counts nothing, and everything about it is 0. */
static void test_nothing(void **state)
{
    struct metrics none = {.head = NULL};
    struct metrics_recorder *nowhere = metrics_recorder_or_none(NULL);
    struct metrics_orders orders = {.sequence = 1};

    (void)state;
    metrics_add(nowhere, METRICS_accepted, 1);
    metrics_add_event(nowhere, 0, METRICS_EVENT_sales, 1);
    metrics_observe(nowhere, METRICS_SERIES_client_batch, 1);
    metrics_request(nowhere, key_of(1, 200), 1);
    metrics_own(&none, 0, 1, METRICS_VACANCY);
    metrics_raise_in(&none, 0, METRICS_starts);
    metrics_orders_write(&none, 0, &orders);
    metrics_orders_read(&none, 0, &orders);
    assert_int_equal(orders.sequence, 0);
    assert_int_equal(metrics_sum(&none, METRICS_NOBODY, METRICS_accepted), 0);
    assert_int_equal(metrics_event_count(&none), 0);
    assert_null(metrics_cell_in(&none, 0, METRICS_accepted));
    metrics_destroy(&none);
}

/* What the keeper counts of an event begins at the event's first sequence, is read as it was
 * written, and is not mixed up with another event's. */
static void test_orders(void **state)
{
    struct metrics_orders orders;

    (void)state;
    metrics_orders_read(&metrics, 1, &orders);
    assert_int_equal(orders.sequence, 7);
    orders.sequence = 8;
    orders.count[METRICS_ORDER_orders] = 1;
    orders.count[METRICS_ORDER_restocks] = 2;
    metrics_orders_write(&metrics, 1, &orders);
    metrics_orders_read(&metrics, 1, &orders);
    assert_int_equal(orders.sequence, 8);
    assert_int_equal(orders.count[METRICS_ORDER_orders], 1);
    assert_int_equal(orders.count[METRICS_ORDER_restocks], 2);
    metrics_orders_read(&metrics, 0, &orders);
    assert_int_equal(orders.sequence, 1);
    assert_int_equal(orders.count[METRICS_ORDER_orders], 0);
}

static void *write_orders(void *context)
{
    struct metrics_orders orders = {.sequence = 0};

    (void)context;
    for (uint64_t i = 1; i <= ROUNDS; ++i) {
        orders.sequence = i;
        for (int j = 0; j < METRICS_ORDER_CELL_COUNT; ++j)
            orders.count[j] = i;
        metrics_orders_write(&metrics, 0, &orders);
    }
    return NULL;
}

/* Who reads while the keeper writes sees all of one instant, and never an older one again. */
static void test_orders_are_of_one_instant(void **state)
{
    struct metrics_orders orders;
    uint64_t last = 0;
    pthread_t writer;

    (void)state;
    assert_int_equal(pthread_create(&writer, NULL, write_orders, NULL), 0);
    do {
        metrics_orders_read(&metrics, 0, &orders);
        for (int j = 0; orders.sequence > 1 && j < METRICS_ORDER_CELL_COUNT; ++j)
            assert_int_equal(orders.count[j], orders.sequence);
        assert_true(orders.sequence >= last || last == 1);
        last = orders.sequence;
    } while (last < ROUNDS);
    assert_int_equal(pthread_join(writer, NULL), 0);
}

/* It is unmapped once, however often it is asked. */
static void test_destroy_twice(void **state)
{
    (void)state;
    metrics_destroy(&metrics);
    assert_null(metrics.head);
    metrics_destroy(&metrics);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_sums),
        CASE(test_events),
        CASE(test_too_many_events),
        CASE(test_dead_and_living),
        CASE(test_killed_while_naming),
        CASE(test_keys),
        CASE(test_overflow),
        CASE(test_buckets),
        CASE(test_bounds),
        CASE(test_nothing),
        CASE(test_orders),
        CASE(test_orders_are_of_one_instant),
        CASE(test_destroy_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
