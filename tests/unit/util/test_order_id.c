#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ticketd/error.h"
#include "ticketd/order_id.h"

static void check(uint32_t event, uint64_t sequence, uint64_t token, const char *expected)
{
    struct order_id id = {.event = event, .sequence = sequence, .token = token}, back;
    char text[ORDER_ID_LEN + 1];

    order_id_format(&id, text);
    assert_string_equal(text, expected);
    assert_int_equal(order_id_parse(text, strlen(text), &back), TICKETD_DONE);
    assert_int_equal(back.event, event);
    assert_int_equal(back.sequence, sequence);
    assert_int_equal(back.token, token);
}

/* Every part has its place in the text and comes back from it. */
static void test_parts(void **state)
{
    (void)state;
    check(0, 0, 0, "00000000-0000-8000-8000-000000000000");
    check(1, 0, 0, "00010000-0000-8000-8000-000000000000");
    check(0, 1, 0, "00000000-0000-8004-8000-000000000000");
    check(0, 1024, 0, "00000000-0001-8000-8000-000000000000");
    check(0, 0, 1, "00000000-0000-8000-8000-000000000001");
    check(0, 0, UINT64_C(1) << 62, "00000000-0000-8001-8000-000000000000");
    check(0x1234, 0x3a5a5a5a5a5, 0x0123456789abcdef, "1234e969-6969-8694-8123-456789abcdef");
    check(ORDER_ID_EVENT_MAX, ORDER_ID_SEQUENCE_MAX, UINT64_MAX,
          "ffffffff-ffff-8fff-bfff-ffffffffffff");
}

/* Each single bit survives the way through the text, whatever its neighbours are. */
static void test_round_trip(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 122; bit++) {
        for (unsigned inverted = 0; inverted < 2; inverted++) {
            struct order_id id = {0}, back;
            char text[ORDER_ID_LEN + 1];

            if (bit < 16)
                id.event = UINT32_C(1) << bit;
            else if (bit < 58)
                id.sequence = UINT64_C(1) << (bit - 16);
            else
                id.token = UINT64_C(1) << (bit - 58);
            if (inverted) {
                id.event ^= ORDER_ID_EVENT_MAX;
                id.sequence ^= ORDER_ID_SEQUENCE_MAX;
                id.token = ~id.token;
            }
            order_id_format(&id, text);
            assert_int_equal(order_id_parse(text, ORDER_ID_LEN, &back), TICKETD_DONE);
            assert_int_equal(back.event, id.event);
            assert_int_equal(back.sequence, id.sequence);
            assert_int_equal(back.token, id.token);
        }
    }
}

/* Either case is read; what is no UUID of version 8, or not whole, is refused. */
static void test_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "00000000-0000-8000-8000-00000000000",
        "00000000-0000-8000-8000-0000000000000",
        "00000000-0000-4000-8000-000000000000",
        "00000000-0000-8000-0000-000000000000",
        "00000000-0000-8000-c000-000000000000",
        "0000000000000-8000-8000-000000000000",
        "00000000-0000-8000-8000-00000000000g",
        "00000000-0000-8000-8000-0000-0000000",
        "{0000000-0000-8000-8000-00000000000}",
    };
    struct order_id id = {.event = 7};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (order_id_parse(wrong[i], strlen(wrong[i]), &id) != TICKETD_INVALID)
            fail_msg("accepted: %s", wrong[i]);
    assert_int_equal(id.event, 7);
    assert_int_equal(order_id_parse("0000000A-0000-8000-8000-00000000000b", ORDER_ID_LEN, &id),
                     TICKETD_DONE);
    assert_int_equal(id.token, 0xb);
}

/* In each place only a digit counts, in either case, and between the groups only a dash. */
static void test_characters(void **state)
{
    static const char text[] = "00010000-0000-8000-8000-000000000000";

    (void)state;
    for (size_t at = 0; at < ORDER_ID_LEN; ++at) {
        bool is_dash = text[at] == '-', is_fixed = at == 14 || at == 19;
        for (int character = 0; character < 256; ++character) {
            char changed[sizeof(text)];
            struct order_id id;
            bool fits = is_dash ? character == '-'
                        : is_fixed
                            ? character == text[at] || (at == 19 && strchr("9aAbB", character))
                            : isxdigit(character) != 0;
            memcpy(changed, text, sizeof(text));
            changed[at] = (char)character;
            if ((order_id_parse(changed, ORDER_ID_LEN, &id) == TICKETD_DONE) !=
                (fits && character != 0))
                fail_msg("character %d in place %zu", character, at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
