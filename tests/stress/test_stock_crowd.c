/* Many sell the tickets of one event at once.  Compiled twice: with processes, as in production,
 * and with threads, which the thread sanitizer can see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crowd.h"

#define SELLERS 8

static uint32_t rounds(uint32_t usual)
{
    return getenv("TICKETD_TEST_LONG") == NULL ? usual : usual * 20;
}

static void run(const struct selling_options *options)
{
    struct selling *selling = selling_new(options);

    crowd_run(selling);
    selling_finish(selling, 0);
    selling_check(selling, NULL, 0);
    selling_free(selling);
}

/* Each single ticket is sold once, under one number, and one look sees all of them: no remainder is
 * told twice. */
static void test_single_tickets(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < rounds(20); ++i)
        run(&(struct selling_options){
            .mix = SELLING_SINGLES, .sellers = SELLERS, .capacity = 20000, .seed = i});
}

/* The last few tickets, over which all sellers meet at once, go to as many sellers. */
static void test_last_tickets(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < rounds(100); ++i)
        run(&(struct selling_options){
            .mix = SELLING_SINGLES, .sellers = SELLERS, .capacity = 1 + i % 7, .seed = i});
}

/* With more than one ticket a sale, what is sold is still the capacity, to the last ticket. */
static void test_quantities(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < rounds(20); ++i)
        run(&(struct selling_options){
            .mix = SELLING_QUANTITIES, .sellers = SELLERS, .capacity = 100000 + i, .seed = i});
}

/* Tickets of withdrawn sales come back, each once, are sold again, and in the end all are sold. */
static void test_returns(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < rounds(10); ++i)
        run(&(struct selling_options){.mix = SELLING_RETURNS,
                                      .sellers = SELLERS,
                                      .capacity = 500 + i * 50,
                                      .churn = 50000,
                                      .seed = i});
}

/* All of that holds while the word's sequence goes through 2^32; the ledger's does not wrap. */
static void test_wrap(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < rounds(5); ++i) {
        run(&(struct selling_options){.mix = SELLING_SINGLES,
                                      .sellers = SELLERS,
                                      .capacity = 10000,
                                      .first = (UINT64_C(3) << 32) - 5000,
                                      .seed = i});
        run(&(struct selling_options){.mix = SELLING_RETURNS,
                                      .sellers = SELLERS,
                                      .capacity = 1000,
                                      .first = (UINT64_C(1) << 32) - 10000,
                                      .churn = 20000,
                                      .seed = i});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_tickets), cmocka_unit_test(test_last_tickets),
        cmocka_unit_test(test_quantities),     cmocka_unit_test(test_returns),
        cmocka_unit_test(test_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
