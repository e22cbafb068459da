/* http/quantity.h: what is scanned is what the reader of JSON reads, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/quantity.h"
#include "ticketd/stock.h"
#include "util/json.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static int group_set_up(void **state)
{
    (void)state;
    return json_init();
}

/* The quantity as the reader of JSON has it; 0 for what it refuses. */
static int64_t read_quantity(const char *text, size_t len)
{
    struct json_document document;
    int64_t quantity = 0;

    if (json_parse(&document, text, len) != JSON_DONE)
        return 0;
    if (json_get_integer(&document, "qty", 1, STOCK_QUANTITY_MAX, &quantity) != JSON_DONE)
        quantity = 0;
    json_release(&document);
    return quantity;
}

/* The scanned quantity, 0 for what is left to the reader of JSON; they agree.  The text ends where
 * its memory ends, so that a sanitizer sees who reads on. */
static int64_t scan(const char *text, size_t len)
{
    char *copy = malloc(len == 0 ? 1 : len);
    int64_t quantity = 0;

    assert_non_null(copy);
    memcpy(copy, text, len);
    if (!quantity_scan((struct text){.base = copy, .len = len}, &quantity))
        quantity = 0;
    else if (read_quantity(copy, len) != quantity)
        fail_msg("%lld is scanned of %.*s", (long long)quantity, (int)len, copy);
    free(copy);
    return quantity;
}

/* What clients send is scanned: JavaScript's and Python's way, every blank, the greatest number. */
static void test_scanned(void **state)
{
    static const struct {
        const char *text;
        int64_t quantity;
    } cases[] = {
        {"{\"qty\":1}", 1},
        {"{\"qty\": 10}", 10},
        {"{\"qty\":2147483647}", INT32_MAX},
        {" \t\r\n{ \t\r\n\"qty\" \t\r\n: \t\r\n7 \t\r\n} \t\r\n", 7},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); ++i)
        assert_int_equal(scan(cases[i].text, strlen(cases[i].text)), cases[i].quantity);
}

/* All else is left alone: another member, another type, a number that is none or too great. */
static void test_left_alone(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "{\"qty\"}",
        "{\"qty\":}",
        "{\"qty\":0}",
        "{\"qty\":01}",
        "{\"qty\":-1}",
        "{\"qty\":+1}",
        "{\"qty\":1.0}",
        "{\"qty\":1e0}",
        "{\"qty\":1,}",
        "{\"qty\":\"1\"}",
        "{\"qty\":2147483648}",
        "{\"qty\":18446744073709551617}",
        "{\"qty\":1}}",
        "{\"qty\":1} x",
        "{\"Qty\":1}",
        "{\"qty\":1,\"qty\":1}",
        "{\"qty\":1,\"x\":2}",
        "[{\"qty\":1}]",
        "{\"q\\u0074y\":1}",
        "\xef\xbb\xbf{\"qty\":1}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); ++i)
        if (scan(texts[i], strlen(texts[i])) != 0)
            fail_msg("scanned: %s", texts[i]);
    assert_int_equal(scan("{\"qty\":1}\0", sizeof("{\"qty\":1}\0") - 1), 0);
}

/* Of every byte put into, out of, or in the place of another in a good text. */
static void test_neighbours(void **state)
{
    static const char good[] = " { \"qty\" : 120 } ";
    const size_t len = sizeof(good) - 1;
    char text[sizeof(good) + 1];
    size_t scanned = 0;

    (void)state;
    for (size_t at = 0; at < len; ++at) {
        memcpy(text, good, at);
        memcpy(text + at, good + at + 1, len - at - 1);
        scanned += scan(text, len - 1) != 0;
        memcpy(text + at + 1, good + at, len - at);
        for (int byte = 0; byte < 256; ++byte) {
            text[at] = (char)byte;
            scanned += scan(text, len + 1) != 0;
        }
        memcpy(text, good, len);
        for (int byte = 0; byte < 256; ++byte) {
            text[at] = (char)byte;
            scanned += scan(text, len) != 0;
        }
    }
    assert_true(scanned > 50 && scanned < 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scanned),
        cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_neighbours),
    };

    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
