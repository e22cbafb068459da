/* ticketctl top: what the server tells is decoded, and shown within the terminal's size. */
#include "../../crash/cmocka_first.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/top_frame.h"
#include "ticketd/error.h"
#include "util/json.h"

static const char selling[] =
    "{\"time\":1795653319.123,\"interval\":1,\"service\":\"shop\",\"version\":\"1.2\","
    "\"role\":\"monolith\",\"uptime\":7200,"
    "\"ready\":true,\"stock\":{\"available\":1234567,\"capacity\":2000000,\"sold\":765433},"
    "\"events\":[{\"event\":\"a\",\"available\":1,\"sold\":2,\"rate\":{\"sales\":3,\"tickets\":4.5}"
    "},"
    "{\"event\":\"b\",\"available\":5,\"sold\":6}],"
    "\"keeper\":{\"state\":\"running\",\"lag\":12,\"batch\":3.5,\"sync\":{\"p50\":0.00015,\"p99\":"
    "0.002}},"
    "\"total\":{\"sales\":400000},"
    "\"rate\":{\"requests\":2000.5,\"sales\":1000,\"tickets\":1000,\"sold_out\":0,\"replays\":0.4,"
    "\"refused\":0,\"errors\":0},"
    "\"latency\":{\"sales\":{\"p50\":0.000213,\"p90\":0.0015,\"p99\":0.0123,\"max\":0.02},"
    "\"all\":{\"p99\":1.5}},"
    "\"workers\":[{\"pool\":\"monolith\",\"starting\":0,\"serving\":2,\"draining\":1,\"died\":3}],"
    "\"connections\":214,\"streams\":1,\"parked\":0}";

static const char hop[] =
    "{\"time\":1,\"service\":\"shop\",\"version\":\"1.2\",\"role\":\"ticket\",\"uptime\":1,"
    "\"total\":{\"sales\":0},\"workers\":[],\"connections\":0,\"streams\":0,\"parked\":0,"
    "\"hop\":{\"breaker\":\"open\",\"queue\":3,\"busy\":1,\"idle\":0}}";

static struct top top;
static struct top_history history;
static char *text;

static int set_up(void **state)
{
    (void)state;
    history = (struct top_history){.count = 0};
    return json_init();
}

static int tear_down(void **state)
{
    (void)state;
    free(text);
    text = NULL;
    return 0;
}

static void decode(const char *json)
{
    assert_int_equal(top_decode(&top, json, strlen(json)), 0);
}

/* The frame, in `text`. */
static void print(struct top_frame frame)
{
    size_t size = 0;
    FILE *out;

    free(text);
    text = NULL;
    out = open_memstream(&text, &size);
    assert_non_null(out);
    frame.top = &top;
    frame.history = &history;
    top_print_frame(out, &frame);
    assert_int_equal(fclose(out), 0);
}

static void expect(const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

/* Every figure that was told is there; one that was not is none, and not 0. */
static void test_decodes(void **state)
{
    (void)state;
    decode(selling);
    assert_true(top.has_rates && top.has_stock && !top.has_hop);
    assert_true(top.available == 1234567 && top.rate.requests == 2000.5 && top.sales.p99 == 0.0123);
    assert_int_equal(top.event_count, 2);
    assert_true(top.events[0].tickets == 4.5 && isnan(top.events[1].tickets));
    assert_int_equal(top.pool_count, 1);
    assert_string_equal(top.pools[0].name, "monolith");
    assert_true(isnan(top.rate.retries) && isnan(top.sync.p90));
    decode(hop);
    assert_true(!top.has_rates && !top.has_stock && top.has_hop);
    assert_string_equal(top.breaker, "open");
}

/* What is none changes nothing. */
static void test_refuses(void **state)
{
    static const char *const wrong[] = {"",
                                        "{}",
                                        "[]",
                                        "{\"time\":1}",
                                        "{\"time\":1,\"role\":\"\"}",
                                        "{\"time\":\"1\",\"role\":\"x\"}",
                                        "{\"time\":1"};

    (void)state;
    decode(selling);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); ++i)
        assert_int_equal(top_decode(&top, wrong[i], strlen(wrong[i])), TICKETD_INVALID);
    assert_string_equal(top.service, "shop");
}

/* More pools and events than there is room for are left out. */
static void test_crowd(void **state)
{
    char json[8192] = "{\"time\":1,\"role\":\"x\",\"workers\":[";

    (void)state;
    for (int i = 0; i < TOP_POOLS + 2; ++i)
        (void)strcat(json, i == 0 ? "{}" : ",{}");
    (void)strcat(json, "],\"events\":[");
    for (int i = 0; i < TOP_EVENTS + 2; ++i)
        (void)strcat(json, i == 0 ? "{}" : ",{}");
    (void)strcat(json, "]}");
    decode(json);
    assert_int_equal(top.pool_count, TOP_POOLS);
    assert_int_equal(top.event_count, TOP_EVENTS);
}

/* Figures as people read them. */
static void test_figures(void **state)
{
    char figure[TOP_TEXT];

    (void)state;
    assert_string_equal(top_count(figure, 0), "0");
    assert_string_equal(top_count(figure, 999), "999");
    assert_string_equal(top_count(figure, 1234567), "1,234,567");
    assert_string_equal(top_count(figure, NAN), "-");
    assert_string_equal(top_rate(figure, 0.44), "0.4");
    assert_string_equal(top_rate(figure, 99.96), "100");
    assert_string_equal(top_seconds(figure, 0.000213, true), "213 µs");
    assert_string_equal(top_seconds(figure, 0.0000213, false), "21.3 us");
    assert_string_equal(top_seconds(figure, 0.0123, true), "12.3 ms");
    assert_string_equal(top_seconds(figure, 2, true), "2.00 s");
    assert_string_equal(top_seconds(figure, NAN, true), "-");
}

/* The frame tells of stock, sales, latency, keeper and processes; a server that is gone first of
 * all. */
static void test_frame(void **state)
{
    (void)state;
    decode(selling);
    top_remember(&history, &top);
    print((struct top_frame){.width = 100, .height = 30, .utf8 = true});
    expect("1,234,567 available of 2,000,000");
    expect("lasts 21 min");
    expect("38 % sold");
    expect("█");
    expect("p50 213 µs   p90 1.50 ms   p99 12.3 ms   max < 20.0 ms   all p99 1.50 s");
    expect("running   12 behind   3.5 a batch   sync p50 150 µs   p99 2.00 ms");
    expect("EVENT");
    assert_null(strstr(text, "trying again"));
    assert_null(strchr(text, '\033'));
    print((struct top_frame){.width = 100, .height = 30, .lost = "it is gone"});
    expect("trying again: it is gone");
    for (size_t i = 0; text[i] != '\0'; ++i)
        assert_true((unsigned char)text[i] < 0x80);
    decode(hop);
    print((struct top_frame){.width = 100, .height = 30});
    expect("none in this pool");
    expect("breaker open   3 waiting");
}

/* In a terminal of any size no line is longer and none is too many, and the last one does not
 * scroll. */
static void test_sizes(void **state)
{
    (void)state;
    decode(selling);
    top_remember(&history, &top);
    for (unsigned width = 1; width < 130; width += 3) {
        for (unsigned height = 1; height < 30; height += 4) {
            unsigned lines = 1, columns = 0;

            print(
                (struct top_frame){.width = width, .height = height, .utf8 = true, .styled = true});
            for (const char *at = text; *at != '\0'; ++at) {
                if (*at == '\033')
                    at += strcspn(at, "mK"); /* takes no room */
                else if (*at == '\n')
                    columns = 0, ++lines;
                else if (*at != '\r' && ((unsigned char)*at & 0xC0) != 0x80)
                    assert_true(++columns <= width);
            }
            assert_true(lines <= height);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_decodes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crowd, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_figures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("top", tests, NULL, NULL);
}
