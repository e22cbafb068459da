#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "stock/journal.h"
#include "ticketd/error.h"
#include "ticketd/ledger.h"
#include "ticketd/stock.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Events that the stock of each case has room for. */
#define ROOM 4
/* Whoever sells here. */
#define SELLER STOCK_PLACE_OF(0)

static const struct stock_options options = {
    .events_max = ROOM, .ring_slots = 256, .places = 2, .parked_max = 4, .keys_max = 16};
static const struct journal_waiter nobody = {.place = STOCK_PLACE_KEEPER};

/* What an output holds that must stay untouched. */
#define UNTOUCHED 0xABCDEF01U

static struct stock stock;

static int set_up(void **state)
{
    (void)state;
    return stock_create(&stock, &options);
}

static int tear_down(void **state)
{
    (void)state;
    stock_destroy(&stock);
    return 0;
}

static int create(struct stock *in, const char *id, uint32_t available, uint64_t sequence,
                  uint32_t *ret_event)
{
    return stock_event_create(
        in,
        &(struct stock_event){
            .id = id, .available = available, .capacity = available, .sequence = sequence},
        ret_event);
}

static uint32_t make(const char *id, uint32_t available, uint64_t sequence)
{
    uint32_t event = UNTOUCHED;

    assert_int_equal(create(&stock, id, available, sequence, &event), TICKETD_DONE);
    return event;
}

/* Every way to look at an event tells the same. */
static void expect_state(uint32_t event, uint64_t sequence, uint32_t available)
{
    struct stock_view now = stock_view(&stock, event);

    assert_int_equal(now.sequence, sequence);
    assert_int_equal(now.available, available);
    assert_int_equal(stock_available(&stock, event), available);
    assert_int_equal(stock_look(&stock, event).sequence, sequence);
    assert_int_equal(stock_look(&stock, event).available, available);
    assert_int_equal(journal_end(&stock, event), sequence);
    assert_int_equal(stock_durable(&stock, event) + stock_lag(&stock, event), sequence);
}

static int sell_in(struct stock *in, uint32_t event, uint32_t quantity,
                   struct stock_entry *ret_entry)
{
    return stock_sell(in, SELLER, event, &(struct stock_sale){.quantity = quantity}, ret_entry);
}

static int give(uint32_t event, uint32_t quantity, uint64_t *ret_sequence)
{
    return journal_give(&stock, event, LEDGER_RETURN, quantity, 0, &nobody, ret_sequence);
}

/* Sells, and expects the entry that the state before it leads to. */
static void expect_sold(uint32_t event, uint32_t quantity)
{
    struct stock_view before = stock_view(&stock, event);
    struct stock_entry entry;

    assert_int_equal(sell_in(&stock, event, quantity, &entry), TICKETD_DONE);
    assert_int_equal(entry.sequence, before.sequence);
    assert_int_equal(entry.available, before.available - quantity);
    expect_state(event, before.sequence + 1, before.available - quantity);
}

static void expect_given_back(uint32_t event, uint32_t quantity)
{
    struct stock_view before = stock_view(&stock, event);
    uint64_t sequence = UNTOUCHED;

    assert_int_equal(give(event, quantity, &sequence), TICKETD_DONE);
    assert_int_equal(sequence, before.sequence);
    expect_state(event, before.sequence + 1, before.available + quantity);
}

static void expect_sold_out(uint32_t event, uint32_t quantity)
{
    struct stock_view before = stock_view(&stock, event);
    struct stock_entry entry = {.sequence = UNTOUCHED};

    assert_int_equal(sell_in(&stock, event, quantity, &entry), TICKETD_SOLD_OUT);
    assert_int_equal(entry.available, before.available);
    assert_int_equal(entry.sequence, before.sequence);
    expect_state(event, before.sequence, before.available);
}

static void expect_too_many_back(uint32_t event, uint32_t quantity)
{
    struct stock_view before = stock_view(&stock, event);
    uint64_t sequence = UNTOUCHED;

    assert_int_equal(give(event, quantity, &sequence), TICKETD_INVALID);
    assert_int_equal(sequence, UNTOUCHED);
    expect_state(event, before.sequence, before.available);
}

/* A new event has all its tickets and begins with the sequence that it was given. */
static void test_new_event(void **state)
{
    (void)state;
    uint32_t fresh = make("fresh", 100, 0);
    uint32_t restored = make("restored", 7, 123456);
    expect_state(fresh, 0, 100);
    expect_state(restored, 123456, 7);
    assert_int_equal(stock_view(&stock, fresh).capacity, 100);
    assert_int_equal(stock_view(&stock, restored).capacity, 7);
}

/* The last ticket is sold, and after it none. */
static void test_last_ticket(void **state)
{
    (void)state;
    uint32_t event = make("default", 3, 0);
    expect_sold(event, 1);
    expect_sold(event, 1);
    expect_sold(event, 1);
    expect_sold_out(event, 1);
    expect_state(event, 3, 0);
    assert_int_equal(stock_view(&stock, event).capacity, 3);
}

/* All that is left can be sold at once, one more than that cannot. */
static void test_exactly_the_rest(void **state)
{
    (void)state;
    uint32_t event = make("default", 10, 0);
    expect_sold(event, 4);
    expect_sold_out(event, 7);
    expect_sold(event, 6);
    expect_sold_out(event, 1);
}

/* Sold out tells how many are left, and those can still be sold. */
static void test_sold_out_tells_the_remainder(void **state)
{
    (void)state;
    uint32_t event = make("default", 5, 41);
    expect_sold_out(event, 6);
    expect_sold_out(event, STOCK_QUANTITY_MAX);
    expect_state(event, 41, 5);
    expect_sold(event, 5);
}

/* An event without tickets is sold out from its first moment. */
static void test_event_without_tickets(void **state)
{
    (void)state;
    uint32_t event = make("default", 0, 9);
    expect_sold_out(event, 1);
    expect_sold_out(event, STOCK_QUANTITY_MAX);
    expect_state(event, 9, 0);
}

/* The greatest quantity is sold, refused and given back without a carry or a sign going wrong. */
static void test_greatest_quantity(void **state)
{
    (void)state;
    uint32_t event = make("default", STOCK_QUANTITY_MAX, 0);
    expect_too_many_back(event, 1);
    expect_too_many_back(event, STOCK_QUANTITY_MAX);
    expect_sold(event, STOCK_QUANTITY_MAX);
    expect_sold_out(event, 1);
    expect_sold_out(event, STOCK_QUANTITY_MAX);
    expect_given_back(event, STOCK_QUANTITY_MAX);
    expect_sold(event, 1);
    expect_sold_out(event, STOCK_QUANTITY_MAX);
    expect_too_many_back(event, 2);
    expect_given_back(event, 1);
    expect_state(event, 4, STOCK_QUANTITY_MAX);
}

/* What came back can be sold again, each time under a number of its own. */
static void test_sell_what_came_back(void **state)
{
    (void)state;
    uint32_t event = make("default", 1, 0);
    for (uint32_t i = 0; i < 100; ++i) {
        expect_sold(event, 1);
        expect_sold_out(event, 1);
        expect_given_back(event, 1);
    }
    expect_state(event, 200, 1);
    assert_int_equal(stock_view(&stock, event).capacity, 1);
}

/* The word's sequence goes from 2^32 − 1 to 0: the ledger's goes on, and the tickets do not notice.
 */
static void test_sequence_wraps(void **state)
{
    static const uint64_t expected[] = {0xFFFFFFFE, 0xFFFFFFFF, 0x100000000, 0x100000001,
                                        0x100000002};
    struct stock_entry entry;

    (void)state;
    uint32_t event = make("default", COUNT(expected), 0xFFFFFFFE);
    for (uint32_t i = 0; i < COUNT(expected); ++i) {
        assert_int_equal(sell_in(&stock, event, 1, &entry), TICKETD_DONE);
        assert_int_equal(entry.sequence, expected[i]);
        assert_int_equal(entry.available, COUNT(expected) - 1 - i);
    }
    expect_sold_out(event, 1);
    expect_state(event, 0x100000003, 0);
}

/* The same with the most tickets that an event can have, sold and given back across the wrap. */
static void test_sequence_wraps_at_greatest_available(void **state)
{
    (void)state;
    uint32_t event = make("default", STOCK_QUANTITY_MAX, 0xFFFFFFFF);
    expect_sold(event, 1);
    expect_state(event, 0x100000000, STOCK_QUANTITY_MAX - 1);
    uint32_t other = make("other", STOCK_QUANTITY_MAX, 0xFFFFFFFE);
    expect_sold(other, 1);
    expect_given_back(other, 1);
    expect_state(other, 0x100000000, STOCK_QUANTITY_MAX);
    expect_too_many_back(other, 1);
}

/* What happens to one event leaves its neighbours alone. */
static void test_events_are_independent(void **state)
{
    (void)state;
    uint32_t first = make("first", 10, 0);
    uint32_t second = make("second", STOCK_QUANTITY_MAX, 0xFFFFFFFF);
    uint32_t third = make("third", 30, 5);
    expect_sold(second, 1);
    expect_sold(second, STOCK_QUANTITY_MAX - 1);
    expect_sold_out(second, 1);
    expect_state(first, 0, 10);
    expect_state(third, 5, 30);
    expect_sold(first, 10);
    expect_sold(third, 1);
    expect_given_back(second, 2);
    expect_state(first, 1, 0);
    expect_state(second, 0x100000002, 2);
    expect_state(third, 6, 29);
    assert_int_equal(stock_view(&stock, first).capacity, 10);
    assert_int_equal(stock_view(&stock, second).capacity, STOCK_QUANTITY_MAX);
    assert_int_equal(stock_view(&stock, third).capacity, 30);
}

/* An id is 1 … 47 characters of [a-z0-9-]. */
static void test_slugs(void **state)
{
    static const char *const good[] = {"a", "0", "a-b-0", "z9-"};
    static const char *const wrong[] = {
        "",      " ",        "A",   "a b",      "a_b", "a.b", "a/b",
        "a\xff", "\xc3\xa9", "a\n", "default ", "`",   "{",   ":",
    };
    uint32_t event = UNTOUCHED;

    (void)state;
    for (size_t i = 0; i < COUNT(good); ++i)
        if (create(&stock, good[i], 1, 0, &event) != TICKETD_DONE)
            fail_msg("refused: %s", good[i]);
    stock_destroy(&stock);
    assert_int_equal(stock_create(&stock, &options), 0);
    event = UNTOUCHED;
    for (size_t i = 0; i < COUNT(wrong); ++i)
        if (create(&stock, wrong[i], 1, 0, &event) != TICKETD_INVALID)
            fail_msg("accepted: %s", wrong[i]);
    for (int c = 1; c < 256; ++c) {
        char id[] = {'a', (char)c, '\0'};
        bool slug = strchr("abcdefghijklmnopqrstuvwxyz0123456789-", c) != NULL;
        if (!slug && create(&stock, id, 1, 0, &event) != TICKETD_INVALID)
            fail_msg("accepted byte 0x%02x", (unsigned)c);
    }
    assert_int_equal(event, UNTOUCHED);
}

/* The longest id is kept whole, one character more is refused. */
static void test_longest_id(void **state)
{
    char id[STOCK_EVENT_ID_MAX + 2];
    uint32_t event, found = UNTOUCHED;

    (void)state;
    memset(id, 'a', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    assert_int_equal(create(&stock, id, 1, 0, &event), TICKETD_INVALID);
    id[STOCK_EVENT_ID_MAX] = '\0';
    event = make(id, 3, 0);
    uint32_t next = make("b", 4, 0);
    assert_int_equal(stock_event_find(&stock, id, STOCK_EVENT_ID_MAX, &found), TICKETD_DONE);
    assert_int_equal(found, event);
    expect_state(event, 0, 3);
    expect_state(next, 0, 4);
}

/* More tickets than a client's 32-bit integer can hold are refused. */
static void test_too_many_tickets(void **state)
{
    uint32_t event = UNTOUCHED;

    (void)state;
    assert_int_equal(create(&stock, "a", (uint32_t)STOCK_QUANTITY_MAX + 1, 0, &event),
                     TICKETD_INVALID);
    assert_int_equal(create(&stock, "a", UINT32_MAX, 0, &event), TICKETD_INVALID);
    assert_int_equal(event, UNTOUCHED);
    assert_int_equal(stock_event_find(&stock, "a", 1, &event), TICKETD_EVENT_UNKNOWN);
    assert_int_equal(create(&stock, "a", STOCK_QUANTITY_MAX, 0, &event), TICKETD_DONE);
}

/* An id exists once, and the one that is there keeps its tickets. */
static void test_duplicate_id(void **state)
{
    uint32_t event = make("default", 5, 0), again = UNTOUCHED;

    (void)state;
    expect_sold(event, 2);
    assert_int_equal(create(&stock, "default", 9, 9, &again), TICKETD_INVALID);
    assert_int_equal(again, UNTOUCHED);
    expect_state(event, 1, 3);
    assert_int_equal(stock_view(&stock, event).capacity, 5);
}

/* EVENTS_MAX events fit; one more is refused and the others go on. */
static void test_room_for_events(void **state)
{
    uint32_t events[ROOM], event = UNTOUCHED;
    char id[8];

    (void)state;
    for (uint32_t i = 0; i < ROOM; ++i) {
        assert_true(snprintf(id, sizeof(id), "e%u", i) > 0);
        events[i] = make(id, i + 1, i);
        for (uint32_t j = 0; j < i; ++j)
            assert_int_not_equal(events[i], events[j]);
    }
    assert_int_equal(create(&stock, "more", 1, 0, &event), TICKETD_BUSY);
    assert_int_equal(create(&stock, "e0", 1, 0, &event), TICKETD_INVALID);
    assert_int_equal(stock_event_find(&stock, "more", 4, &event), TICKETD_EVENT_UNKNOWN);
    assert_int_equal(event, UNTOUCHED);
    for (uint32_t i = 0; i < ROOM; ++i) {
        expect_state(events[i], i, i + 1);
        expect_sold(events[i], i + 1);
    }
}

/* A stock may have room for nothing, and says so. */
static void test_no_room_at_all(void **state)
{
    struct stock empty;
    struct stock_options none = options;
    uint32_t event = UNTOUCHED;

    (void)state;
    none.events_max = 0;
    assert_int_equal(stock_create(&empty, &none), 0);
    assert_int_equal(create(&empty, "a", 1, 0, &event), TICKETD_BUSY);
    assert_int_equal(stock_event_find(&empty, "a", 1, &event), TICKETD_EVENT_UNKNOWN);
    assert_int_equal(event, UNTOUCHED);
    stock_destroy(&empty);
}

/* An event is found by exactly its id: no prefix, no longer text, no other case. */
static void test_find(void **state)
{
    static const char *const wrong[] = {"", "d", "defaul", "defaults", "Default", "default2", "x"};
    uint32_t first = make("default", 1, 0), second = make("default-2", 1, 0);
    uint32_t found = UNTOUCHED;
    char longer[] = "default-2 and what follows";

    (void)state;
    for (size_t i = 0; i < COUNT(wrong); ++i)
        if (stock_event_find(&stock, wrong[i], strlen(wrong[i]), &found) != TICKETD_EVENT_UNKNOWN)
            fail_msg("found: %s", wrong[i]);
    assert_int_equal(stock_event_find(&stock, NULL, 0, &found), TICKETD_EVENT_UNKNOWN);
    assert_int_equal(stock_event_find(&stock, "default\0", 8, &found), TICKETD_EVENT_UNKNOWN);
    assert_int_equal(stock_event_find(&stock, longer, sizeof(longer), &found),
                     TICKETD_EVENT_UNKNOWN);
    assert_int_equal(found, UNTOUCHED);
    assert_int_equal(stock_event_find(&stock, longer, 7, &found), TICKETD_DONE);
    assert_int_equal(found, first);
    assert_int_equal(stock_event_find(&stock, longer, 9, &found), TICKETD_DONE);
    assert_int_equal(found, second);
}

/* A stock is destroyed once, however often it is asked; a zeroed handle is none. */
static void test_destroy_twice(void **state)
{
    struct stock zeroed = {.segment = NULL};

    (void)state;
    stock_destroy(&zeroed);
    stock_destroy(&stock);
    assert_null(stock.segment);
    stock_destroy(&stock);
}

/* Two stocks in one process share nothing. */
static void test_stocks_are_independent(void **state)
{
    uint32_t event = make("default", 5, 0), there = UNTOUCHED;
    struct stock other;
    struct stock_entry entry;

    (void)state;
    assert_int_equal(stock_create(&other, &options), 0);
    assert_int_equal(stock_event_find(&other, "default", 7, &there), TICKETD_EVENT_UNKNOWN);
    assert_int_equal(create(&other, "default", 8, 0, &there), TICKETD_DONE);
    assert_int_equal(sell_in(&other, there, 8, &entry), TICKETD_DONE);
    expect_state(event, 0, 5);
    stock_destroy(&other);
    expect_sold(event, 5);
}

static int status_of_child(void (*body)(uint32_t event), uint32_t event)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        body(event);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void sell_three(uint32_t event)
{
    struct stock_entry entry;

    if (sell_in(&stock, event, 3, &entry) != TICKETD_DONE || entry.available != 6)
        _exit(1);
    stock_destroy(&stock);
}

/* What a child sells is gone for its parent too, and a child that unmaps harms nobody. */
static void test_shared_over_fork(void **state)
{
    (void)state;
    uint32_t event = make("default", 10, 0);
    expect_sold(event, 1);
    assert_int_equal(status_of_child(sell_three, event), 0);
    expect_state(event, 2, 6);
    expect_sold(event, 6);
}

/* A child that may die loudly: no core, no message. */
static void be_quiet(void)
{
    struct rlimit none = {0};

    if (setrlimit(RLIMIT_CORE, &none) != 0 || freopen("/dev/null", "w", stderr) == NULL)
        _exit(1);
    (void)signal(SIGABRT, SIG_DFL); /* cmocka catches it */
}

static void sell_none(uint32_t event)
{
    struct stock_entry entry;

    be_quiet();
    (void)sell_in(&stock, event, 0, &entry);
}

static void sell_beyond(uint32_t event)
{
    struct stock_entry entry;

    be_quiet();
    (void)sell_in(&stock, event, (uint32_t)STOCK_QUANTITY_MAX + 1, &entry);
}

static void give_back_none(uint32_t event)
{
    uint64_t sequence;

    be_quiet();
    (void)give(event, 0, &sequence);
}

static void give_back_beyond(uint32_t event)
{
    uint64_t sequence;

    be_quiet();
    (void)give(event, UINT32_MAX, &sequence);
}

static void sell_of_no_event(uint32_t event)
{
    struct stock_entry entry;

    be_quiet();
    (void)sell_in(&stock, event + 1, 1, &entry);
}

/* What no caller may ask for ends the process before it can change the stock. */
static void test_broken_callers_die(void **state)
{
    static void (*const bodies[])(uint32_t) = {
        sell_none, sell_beyond, give_back_none, give_back_beyond, sell_of_no_event,
    };

    (void)state;
    uint32_t event = make("default", 10, 0);
    expect_sold(event, 5);
    for (size_t i = 0; i < COUNT(bodies); ++i) {
        int status = status_of_child(bodies[i], event);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("child %zu ended with status 0x%x", i, (unsigned)status);
    }
    expect_state(event, 1, 5);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_new_event),
        CASE(test_last_ticket),
        CASE(test_exactly_the_rest),
        CASE(test_sold_out_tells_the_remainder),
        CASE(test_event_without_tickets),
        CASE(test_greatest_quantity),
        CASE(test_sell_what_came_back),
        CASE(test_sequence_wraps),
        CASE(test_sequence_wraps_at_greatest_available),
        CASE(test_events_are_independent),
        CASE(test_slugs),
        CASE(test_longest_id),
        CASE(test_too_many_tickets),
        CASE(test_duplicate_id),
        CASE(test_room_for_events),
        CASE(test_no_room_at_all),
        CASE(test_find),
        CASE(test_destroy_twice),
        CASE(test_stocks_are_independent),
        CASE(test_shared_over_fork),
        CASE(test_broken_callers_die),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
