#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/vacancy_local.h"
#include "late_client.h"
#include "service/sale.h"
#include "ticketd/error.h"
#include "ticketd/stock.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define CAPACITY     100

#define SUCCESS_PURCHASE "Purchase successful!"
#define SOLD_OUT         "Insufficient inventory"

/* A sale, and what its last reply said; the message is a copy, since the reply's goes away. */
struct probe {
    struct sale_call call; /* first */
    unsigned replies;
    struct sale_reply reply;
    char message[64];
};

static struct stock stock;
static uint32_t event;
static struct vacancy_local local;
static struct late_client late;

static int set_up(void **state)
{
    (void)state;
    if (stock_create(&stock, &(struct stock_options){.events_max = 1,
                                                     .ring_slots = 256,
                                                     .places = 2,
                                                     .parked_max = 4,
                                                     .keys_max = 16}) != 0 ||
        stock_event_create(&stock,
                           &(struct stock_event){.id = STOCK_DEFAULT_EVENT,
                                                 .available = CAPACITY,
                                                 .capacity = CAPACITY},
                           &event) != 0 ||
        vacancy_local_init(&local, &(struct vacancy_local_options){.stock = &stock,
                                                                   .place = STOCK_PLACE_OF(0),
                                                                   .keeper_bell = -1,
                                                                   .reader_bell = -1,
                                                                   .parked_max = 4}) != 0)
        return -1;
    late_client_init(&late, &local.client, LATE_JUDGED_WHEN_PUMPED);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    late_client_deinit(&late);
    vacancy_local_deinit(&local);
    stock_destroy(&stock);
    return 0;
}

static void on_reply(struct sale_call *call, const struct sale_reply *reply)
{
    struct probe *probe = (struct probe *)call;

    ++probe->replies;
    probe->reply = *reply;
    assert_true(reply->message.len < sizeof(probe->message));
    if (reply->message.len > 0)
        memcpy(probe->message, reply->message.base, reply->message.len);
    probe->message[reply->message.len] = '\0';
    probe->reply.message = (struct text){.base = probe->message, .len = reply->message.len};
}

static struct sale_request ask(int64_t quantity)
{
    return (struct sale_request){.event = TEXT(STOCK_DEFAULT_EVENT), .quantity = quantity};
}

typedef void starter(struct vacancy_client *client, struct sale_call *call,
                     const struct sale_request *request, sale_on_reply *on_reply);

/* One sale on a client that answers at once, or when `late` is pumped. */
static struct probe run(struct vacancy_client *client, starter *start,
                        const struct sale_request *request)
{
    struct probe probe = {0};

    start(client, &probe.call, request, on_reply);
    (void)late_client_pump(&late, 1);
    assert_int_equal(probe.replies, 1);
    return probe;
}

static void expect(const struct probe *probe, int status, bool success, uint32_t remaining,
                   const char *message)
{
    assert_int_equal(probe->replies, 1);
    assert_int_equal(probe->reply.status, status);
    assert_int_equal(probe->reply.success, success);
    if (status == TICKETD_DONE)
        assert_int_equal(probe->reply.remaining, remaining);
    assert_string_equal(probe->message, message);
}

/* Every rule holds over a client that answers inline and over one that answers late. */
static struct vacancy_client *const clients[] = {&local.client, &late.client};

/* A reserve says how many tickets it took, in words and what is left as a number. */
static void test_reserve_message(void **state)
{
    uint32_t left = CAPACITY;

    (void)state;
    for (size_t i = 0; i < COUNT(clients); ++i) {
        struct sale_request request = ask(1);
        struct probe probe = run(clients[i], sale_reserve, &request);
        expect(&probe, TICKETD_DONE, true, left -= 1, "Reserved 1 tickets");
        request = ask(23);
        probe = run(clients[i], sale_reserve, &request);
        expect(&probe, TICKETD_DONE, true, left -= 23, "Reserved 23 tickets");
        assert_int_equal(stock_available(&stock, event), left);
    }
}

/* A purchase says only that it succeeded. */
static void test_purchase_message(void **state)
{
    uint32_t left = CAPACITY;

    (void)state;
    for (size_t i = 0; i < COUNT(clients); ++i) {
        struct sale_request request = ask(7);
        struct probe probe = run(clients[i], sale_purchase, &request);
        expect(&probe, TICKETD_DONE, true, left -= 7, SUCCESS_PURCHASE);
        assert_int_equal(stock_available(&stock, event), left);
    }
}

/* Sold out is an answer and no failure: it tells what is left, and takes nothing. */
static void test_sold_out(void **state)
{
    static starter *const starters[] = {sale_reserve, sale_purchase};

    (void)state;
    for (size_t i = 0; i < COUNT(clients); ++i) {
        for (size_t j = 0; j < COUNT(starters); ++j) {
            struct sale_request request = ask(CAPACITY + 1);
            struct probe probe = run(clients[i], starters[j], &request);
            expect(&probe, TICKETD_DONE, false, CAPACITY, SOLD_OUT);
            request = ask(STOCK_QUANTITY_MAX);
            probe = run(clients[i], starters[j], &request);
            expect(&probe, TICKETD_DONE, false, CAPACITY, SOLD_OUT);
        }
    }
    struct sale_request request = ask(CAPACITY);
    struct probe probe = run(clients[0], sale_reserve, &request);
    expect(&probe, TICKETD_DONE, true, 0, "Reserved 100 tickets");
    request = ask(1);
    probe = run(clients[1], sale_purchase, &request);
    expect(&probe, TICKETD_DONE, false, 0, SOLD_OUT);
}

/* A client that records what it was asked, and answers as it is told. */
struct scripted_client {
    struct vacancy_client client; /* first */
    struct vacancy_result answer;
    unsigned asked;
    struct vacancy_request request;
};

static void scripted_reserve(struct vacancy_client *client, struct vacancy_call *call,
                             const struct vacancy_request *request)
{
    struct scripted_client *scripted = (struct scripted_client *)client;

    ++scripted->asked;
    scripted->request = *request;
    vacancy_complete(call, &scripted->answer);
}

static void scripted_never(struct vacancy_client *client, struct vacancy_call *call,
                           const struct vacancy_request *request)
{
    (void)client;
    (void)call;
    (void)request;
    fail_msg("a sale only reserves");
}

static void scripted_cancel(struct vacancy_client *client, struct vacancy_call *call)
{
    (void)client;
    (void)call;
}

static void scripted_init(struct scripted_client *scripted, struct vacancy_result answer)
{
    static const struct vacancy_client_ops ops = {
        .name = "scripted",
        .reserve = scripted_reserve,
        .available = scripted_never,
        .health = scripted_never,
        .order = scripted_never,
        .restock = scripted_never,
        .cancel = scripted_cancel,
    };

    *scripted = (struct scripted_client){.answer = answer};
    vacancy_client_init(&scripted->client, &ops);
}

/* A quantity out of bounds never reaches the client, however it would wrap into 32 bits. */
static void test_invalid_quantities(void **state)
{
    static const int64_t wrong[] = {
        0,
        -1,
        -2,
        (int64_t)STOCK_QUANTITY_MAX + 1,
        UINT32_MAX,
        (int64_t)UINT32_MAX + 1,
        (int64_t)UINT32_MAX + 2,
        -(int64_t)UINT32_MAX,
        INT32_MIN,
        INT64_MAX,
        INT64_MIN,
        INT64_MIN + 1,
    };
    static starter *const starters[] = {sale_reserve, sale_purchase};
    struct scripted_client scripted;

    (void)state;
    scripted_init(&scripted, (struct vacancy_result){.status = TICKETD_DONE});
    for (size_t i = 0; i < COUNT(wrong); ++i) {
        for (size_t j = 0; j < COUNT(starters); ++j) {
            struct sale_request request = ask(wrong[i]);
            struct probe probe = run(&scripted.client, starters[j], &request);
            expect(&probe, TICKETD_INVALID, false, 0, "");
            assert_null(probe.call.vacancy.pending);
        }
    }
    assert_int_equal(scripted.asked, 0);
}

/* The bounds themselves are valid, and arrive as they were asked for with all else. */
static void test_request_is_passed_on(void **state)
{
    static const int64_t good[] = {1, 2, STOCK_QUANTITY_MAX - 1, STOCK_QUANTITY_MAX};
    struct scripted_client scripted;

    (void)state;
    scripted_init(&scripted, (struct vacancy_result){.status = TICKETD_DONE, .remaining = 5});
    for (size_t i = 0; i < COUNT(good); ++i) {
        struct sale_request request = {
            .event = TEXT("concert"),
            .quantity = good[i],
            .key = TEXT("the-key"),
            .request_id = TEXT("the-id"),
            .deadline_ms = UINT64_MAX - i,
        };
        struct probe probe = run(&scripted.client, sale_purchase, &request);
        expect(&probe, TICKETD_DONE, true, 5, SUCCESS_PURCHASE);
        assert_int_equal(scripted.asked, i + 1);
        assert_int_equal(scripted.request.quantity, good[i]);
        assert_true(text_equal(scripted.request.event, request.event));
        assert_true(text_equal(scripted.request.key, request.key));
        assert_true(text_equal(scripted.request.request_id, request.request_id));
        assert_true(scripted.request.deadline_ms == request.deadline_ms);
    }
}

/* A success names its order and says whether an earlier request made it; nothing else does. */
static void test_order_and_replay(void **state)
{
    static starter *const starters[] = {sale_reserve, sale_purchase};
    struct vacancy_result answer = {.replayed = true,
                                    .order = {.event = 3, .sequence = 5, .token = 7}};
    struct scripted_client scripted;
    struct sale_request request = ask(1);

    (void)state;
    for (size_t i = 0; i < COUNT(starters); ++i) {
        for (int status = TICKETD_DONE; status <= TICKETD_OUTCOME_UNKNOWN; ++status) {
            bool sold = status == TICKETD_DONE;
            answer.status = status;
            scripted_init(&scripted, answer);
            struct probe probe = run(&scripted.client, starters[i], &request);
            assert_int_equal(probe.reply.replayed, sold);
            assert_int_equal(probe.reply.order.event, sold ? 3 : 0);
            assert_int_equal(probe.reply.order.sequence, sold ? 5 : 0);
            assert_int_equal(probe.reply.order.token, sold ? 7 : 0);
        }
    }
    answer = (struct vacancy_result){.status = TICKETD_DONE};
    scripted_init(&scripted, answer);
    struct probe probe = run(&scripted.client, sale_reserve, &request);
    assert_false(probe.reply.replayed);
}

/* The longest success message is whole. */
static void test_longest_message(void **state)
{
    struct scripted_client scripted;
    struct sale_request request = ask(STOCK_QUANTITY_MAX);

    (void)state;
    scripted_init(&scripted, (struct vacancy_result){.status = TICKETD_DONE});
    struct probe probe = run(&scripted.client, sale_reserve, &request);
    expect(&probe, TICKETD_DONE, true, 0, "Reserved 2147483647 tickets");
}

/* Each way in which a client can fail is passed on as it is, and is never a success. */
static void test_failures(void **state)
{
    static const int statuses[] = {
        TICKETD_EVENT_UNKNOWN,
        TICKETD_BUSY,
        TICKETD_UNAVAILABLE,
        TICKETD_TIMED_OUT,
        TICKETD_LEDGER_FAULT,
        TICKETD_KEY_REUSED,
        TICKETD_KEY_IN_FLIGHT,
        TICKETD_OUTCOME_UNKNOWN,
        -EIO,
        -ENOMEM,
        INT32_MIN,
    };
    static starter *const starters[] = {sale_reserve, sale_purchase};
    struct scripted_client scripted;

    (void)state;
    for (size_t i = 0; i < COUNT(statuses); ++i) {
        scripted_init(&scripted, (struct vacancy_result){.status = statuses[i], .remaining = 9});
        for (size_t j = 0; j < COUNT(starters); ++j) {
            struct sale_request request = ask(1);
            struct probe probe = run(&scripted.client, starters[j], &request);
            expect(&probe, statuses[i], false, 0, "");
        }
    }
}

/* An unknown event and a deadline that has passed are failures of real clients too. */
static void test_failures_of_real_clients(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(clients); ++i) {
        struct sale_request request = {.event = TEXT("absent"), .quantity = 1};
        struct probe probe = run(clients[i], sale_reserve, &request);
        expect(&probe, TICKETD_EVENT_UNKNOWN, false, 0, "");
        request = ask(1);
        request.deadline_ms = 1;
        probe = run(clients[i], sale_reserve, &request);
        expect(&probe, TICKETD_TIMED_OUT, false, 0, "");
    }
    assert_int_equal(stock_available(&stock, event), CAPACITY);
}

/* A cancelled sale is never replied to, and what was not judged is not sold. */
static void test_cancel(void **state)
{
    struct probe first = {0}, second = {0};
    struct sale_request request = ask(1);

    (void)state;
    sale_reserve(&late.client, &first.call, &request, on_reply);
    sale_purchase(&late.client, &second.call, &request, on_reply);
    sale_cancel(&first.call);
    sale_cancel(&first.call);
    assert_int_equal(late_client_pump(&late, 2), 1);
    assert_int_equal(first.replies, 0);
    expect(&second, TICKETD_DONE, true, CAPACITY - 1, SUCCESS_PURCHASE);
    assert_int_equal(stock_available(&stock, event), CAPACITY - 1);
}

/* Cancelling a zeroed sale, one that was refused and one that has ended does nothing. */
static void test_cancel_ended(void **state)
{
    struct probe probe = {0};
    struct sale_request request = ask(0);

    (void)state;
    sale_cancel(&probe.call);
    sale_reserve(&late.client, &probe.call, &request, on_reply);
    sale_cancel(&probe.call);
    assert_int_equal(probe.replies, 1);
    request = ask(3);
    probe = run(&late.client, sale_reserve, &request);
    sale_cancel(&probe.call);
    assert_int_equal(late_client_pump(&late, 1), 0);
    expect(&probe, TICKETD_DONE, true, CAPACITY - 3, "Reserved 3 tickets");
}

/* Two sales at once keep their own quantities and wordings. */
static void test_two_at_once(void **state)
{
    struct probe first = {0}, second = {0};
    struct sale_request two = ask(2), three = ask(3);

    (void)state;
    sale_reserve(&late.client, &first.call, &two, on_reply);
    sale_reserve(&late.client, &second.call, &three, on_reply);
    assert_int_equal(first.replies + second.replies, 0);
    assert_int_equal(late_client_pump(&late, 2), 2);
    expect(&first, TICKETD_DONE, true, CAPACITY - 2, "Reserved 2 tickets");
    expect(&second, TICKETD_DONE, true, CAPACITY - 5, "Reserved 3 tickets");
}

static struct text expected_message;
static unsigned freed;

static void on_reply_free(struct sale_call *call, const struct sale_reply *reply)
{
    memset(call, 0xff, sizeof(*call));
    free(call);
    ++freed;
    /* the message is still there: it lives while the callback runs */
    assert_true(text_equal(reply->message, expected_message));
}

static void expect_freed(struct vacancy_client *client, const struct sale_request *request,
                         struct text message)
{
    struct sale_call *call = calloc(1, sizeof(*call));
    unsigned before = freed;

    assert_non_null(call);
    expected_message = message;
    sale_reserve(client, call, request, on_reply_free);
    (void)late_client_pump(&late, 1);
    assert_int_equal(freed, before + 1);
}

/* A callback may free its sale, whatever became of it: nothing of it is touched afterwards. */
static void test_callback_frees(void **state)
{
    struct sale_request sold = ask(4), sold_out = ask(CAPACITY + 1), invalid = ask(0);
    struct sale_request unknown = {.event = TEXT("absent"), .quantity = 1};

    (void)state;
    for (size_t i = 0; i < COUNT(clients); ++i) {
        expect_freed(clients[i], &sold, TEXT("Reserved 4 tickets"));
        expect_freed(clients[i], &sold_out, TEXT(SOLD_OUT));
        expect_freed(clients[i], &invalid, TEXT(""));
        expect_freed(clients[i], &unknown, TEXT(""));
    }
    assert_int_equal(stock_available(&stock, event), CAPACITY - 8);
}

static void on_reply_again(struct sale_call *call, const struct sale_reply *reply)
{
    struct sale_request request = ask(10);

    on_reply(call, reply);
    if (((struct probe *)call)->replies < 3)
        sale_purchase(&late.client, call, &request, on_reply_again);
}

/* A callback may start its sale anew, with other words. */
static void test_callback_restarts(void **state)
{
    struct probe probe = {0};
    struct sale_request request = ask(1);

    (void)state;
    sale_reserve(&late.client, &probe.call, &request, on_reply_again);
    while (late_client_pump(&late, 1) > 0)
        continue;
    assert_int_equal(probe.replies, 3);
    assert_string_equal(probe.message, SUCCESS_PURCHASE);
    assert_int_equal(probe.reply.remaining, CAPACITY - 21);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_reserve_message),
        CASE(test_purchase_message),
        CASE(test_sold_out),
        CASE(test_invalid_quantities),
        CASE(test_request_is_passed_on),
        CASE(test_order_and_replay),
        CASE(test_longest_message),
        CASE(test_failures),
        CASE(test_failures_of_real_clients),
        CASE(test_cancel),
        CASE(test_cancel_ended),
        CASE(test_two_at_once),
        CASE(test_callback_frees),
        CASE(test_callback_restarts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
