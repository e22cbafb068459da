#include "config/setting_value.h"

#include <stdio.h>
#include <string.h>

#include "cmocka_first.h"
#include "ticketd/error.h"

/* Rows of our own, so that the table's bounds may change without these tests. */
static const struct setting string_row = {
    .name = "TEXT",
    .type = SETTING_TYPE_STRING,
    .min = 0,
    .max = 5,
    .offset = offsetof(struct settings, host),
    .size = sizeof(((struct settings *)0)->host),
};

static int parse(const struct setting *row, const char *text, struct settings *settings)
{
    const char *wrong;
    size_t wrong_size;

    return setting_value_parse(row, text, settings, &wrong, &wrong_size);
}

static void check(const struct setting *row, const char *text, const char *expected)
{
    char formatted[SETTING_VALUE_TEXT_MAX];
    struct settings settings;

    memset(&settings, 0, sizeof(settings));
    if (parse(row, text, &settings) != TICKETD_DONE)
        fail_msg("%s refused: %s", row->name, text);
    setting_value_format(row, &settings, formatted);
    assert_string_equal(formatted, expected);
}

static void check_refused(const struct setting *row, const char *const *texts, size_t count)
{
    struct settings settings;
    struct settings before;

    memset(&settings, 0x5a, sizeof(settings));
    memset(&before, 0x5a, sizeof(before));
    for (size_t i = 0; i < count; i++)
        if (parse(row, texts[i], &settings) != TICKETD_INVALID)
            fail_msg("%s accepted: %s", row->name, texts[i]);
    assert_memory_equal(&settings, &before, sizeof(settings));
}

#define CHECK_REFUSED(row, ...)                                                                    \
    do {                                                                                           \
        static const char *const texts[] = {__VA_ARGS__};                                          \
        check_refused(row, texts, sizeof(texts) / sizeof(texts[0]));                               \
    } while (0)

/* A whole number passes at its bounds and nowhere outside, in decimal digits only. */
static void test_int(void **state)
{
    const struct setting *row = settings_row(SETTING_MONOLITH_PORT);

    (void)state;
    check(row, "0", "0");
    check(row, "65535", "65535");
    check(row, "0080", "80");
    check(settings_row(SETTING_INITIAL_STOCK), "2147483647", "2147483647");
    CHECK_REFUSED(row, "", "-1", "-0", "+1", " 1", "1 ", "1.0", "0x10", "1e3", "abc", "65536",
                  "99999999999999999999");
    CHECK_REFUSED(settings_row(SETTING_HTTP_MAX_CONNECTIONS), "0", "10001");
}

/* Seconds become exact milliseconds, within their bounds. */
static void test_seconds(void **state)
{
    const struct setting *row = settings_row(SETTING_VACANCY_TIMEOUT);
    struct settings settings;

    (void)state;
    check(row, "2", "2.0");
    check(row, "2.0", "2.0");
    check(row, "0.01", "0.01");
    check(row, "60", "60.0");
    check(row, "60.000", "60.0");
    check(row, "1.234", "1.234");
    check(row, "10.050", "10.05");
    assert_int_equal(parse(row, "1.001", &settings), TICKETD_DONE);
    assert_int_equal(settings.vacancy_timeout_ms, 1001);
    check(settings_row(SETTING_DRAIN_IDLE_TIMEOUT), "0", "0.0");
    CHECK_REFUSED(row, "", "0", "0.009", "60.001", "61", "-1", "+1", ".5", "5.", "1.2345", "1,5",
                  "1e1", "2s", " 2", "2 ", "inf", "nan", "1.2.3", "0.-5", "99999999999999999999",
                  "1.99999999999999999999");
}

/* Every spelling of true and false in any case, and nothing else. */
static void test_bool(void **state)
{
    const struct setting *row = settings_row(SETTING_JSON_LOGS);

    (void)state;
    check(row, "true", "true");
    check(row, "1", "true");
    check(row, "Yes", "true");
    check(row, "ON", "true");
    check(row, "False", "false");
    check(row, "0", "false");
    check(row, "no", "false");
    check(row, "oFF", "false");
    CHECK_REFUSED(row, "", "2", "t", "tru", "truee", " true", "enabled");
}

/* A choice is stored as its place in the list, which the enum repeats. */
static void test_choice(void **state)
{
    const struct setting *mode = settings_row(SETTING_DEPLOYMENT_MODE);
    const struct setting *level = settings_row(SETTING_LOG_LEVEL);
    struct settings settings;

    (void)state;
    assert_int_equal(parse(mode, "Monolith", &settings), TICKETD_DONE);
    assert_int_equal(settings.deployment_mode, DEPLOYMENT_MODE_MONOLITH);
    assert_int_equal(parse(mode, "microservices", &settings), TICKETD_DONE);
    assert_int_equal(settings.deployment_mode, DEPLOYMENT_MODE_MICROSERVICES);
    assert_int_equal(parse(level, "debug", &settings), TICKETD_DONE);
    assert_int_equal(settings.log_level, 0);
    assert_int_equal(parse(level, "CRITICAL", &settings), TICKETD_DONE);
    assert_int_equal(settings.log_level, 4);
    check(level, "warning", "WARNING");
    CHECK_REFUSED(level, "", "WARN", "INFOO", "INFO|WARNING", "|", "3", " INFO");
}

/* Free text: bounded in bytes, empty where min is 0, no control characters. */
static void test_string(void **state)
{
    struct setting at_least_one = string_row;

    (void)state;
    at_least_one.min = 1;
    check(&string_row, "", "");
    check(&string_row, "a #\"'", "a #\"'");
    check(&string_row, "\xc3\xa9\xc3\xa9.", "\xc3\xa9\xc3\xa9.");
    CHECK_REFUSED(&string_row, "abcdef", "a\nb", "\t", "\x7f");
    CHECK_REFUSED(&at_least_one, "");
}

/* A token holds letters that are safe in titles, file names and metrics. */
static void test_token(void **state)
{
    const struct setting *row = settings_row(SETTING_ENVIRONMENT);

    (void)state;
    check(row, "a", "a");
    check(row, "Prod_1.eu-west", "Prod_1.eu-west");
    check(row, "12345678901234567890123456789012", "12345678901234567890123456789012");
    CHECK_REFUSED(row, "", "123456789012345678901234567890123", "a b", "a/b", "a\n", "\xc3\xa9");
}

/* Addresses are stored without blanks, in their order. */
static void test_addresses(void **state)
{
    const struct setting *row = settings_row(SETTING_HOST);

    (void)state;
    check(row, "127.0.0.1 ,\t[::1], localhost,unix:/run/a b.sock",
          "127.0.0.1,[::1],localhost,unix:/run/a b.sock");
    CHECK_REFUSED(row, "", " ", ",", "a,", ",a", "a,,b", "a, ,b", "*", "a b", "a,A", "::1,b,::1");
}

/* Origins are stored in the form that browsers send; * stands alone; the list may be empty. */
static void test_origins(void **state)
{
    const struct setting *row = settings_row(SETTING_CORS_ALLOW_ORIGINS);

    (void)state;
    check(row, "", "");
    check(row, " * ", "*");
    check(row, "https://A.example:443 , http://b.example:8080",
          "https://a.example,http://b.example:8080");
    CHECK_REFUSED(row, " ", ",", "https://a.example,", "*,https://a.example", "https://a.example,*",
                  "*,*", "https://a.example/", "http://a.example,HTTP://A.example:80");
}

/* The list takes as many items as promised, and not one more. */
static void test_list_limit(void **state)
{
    const struct setting *row = settings_row(SETTING_HOST);
    char text[SETTINGS_LIST_ITEMS_MAX * 8] = "";
    struct settings settings;

    (void)state;
    for (int i = 0; i < SETTINGS_LIST_ITEMS_MAX; i++)
        (void)snprintf(text + strlen(text), 8, "%sh%d", i > 0 ? "," : "", i);
    assert_int_equal(parse(row, text, &settings), TICKETD_DONE);
    strcat(text, ",more");
    assert_int_equal(parse(row, text, &settings), TICKETD_INVALID);
}

/* A text fills its field to the last byte before the NUL, and a longer one is refused. */
static void test_text_limit(void **state)
{
    const struct setting *row = settings_row(SETTING_VACANCY_URL);
    char text[1100] = "http://h/";
    struct settings settings;

    (void)state;
    memset(text + 9, 'a', 1023 - 9);
    assert_int_equal(parse(row, text, &settings), TICKETD_DONE);
    assert_string_equal(settings.vacancy_url, text);
    text[1023] = 'a';
    assert_int_equal(parse(row, text, &settings), TICKETD_INVALID);
    /* canonical form is what is stored, so it is what must fit */
    memset(text, 'a', sizeof(text) - 1);
    assert_int_equal(parse(settings_row(SETTING_HOST), text, &settings), TICKETD_INVALID);
}

/* Of a list the wrong item is shown, not the whole list. */
static void test_wrong_item(void **state)
{
    struct settings settings;
    const char *wrong;
    size_t size;

    (void)state;
    assert_int_equal(
        setting_value_parse(settings_row(SETTING_HOST), "a, b c ,d", &settings, &wrong, &size),
        TICKETD_INVALID);
    assert_int_equal(size, 3);
    assert_memory_equal(wrong, "b c", 3);
}

/* No byte of a longer value stays behind a shorter one: a reload compares whole fields. */
static void test_equal_values_equal_bytes(void **state)
{
    const struct setting *row = settings_row(SETTING_SERVICE_NAME);
    struct settings once;
    struct settings twice;

    (void)state;
    assert_int_equal(parse(row, "a-long-name", &twice), TICKETD_DONE);
    assert_int_equal(parse(row, "b", &twice), TICKETD_DONE);
    assert_int_equal(parse(row, "b", &once), TICKETD_DONE);
    assert_memory_equal(once.service_name, twice.service_name, sizeof(once.service_name));
}

static void check_allowed(const struct setting *row, const char *expected)
{
    char allowed[SETTING_VALUE_ALLOWED_MAX];

    setting_value_allowed(row, allowed);
    assert_string_equal(allowed, expected);
}

/* What is allowed is told for every type in whole sentences' parts. */
static void test_allowed(void **state)
{
    (void)state;
    check_allowed(settings_row(SETTING_MONOLITH_PORT), "a whole number from 0 to 65535");
    check_allowed(settings_row(SETTING_VACANCY_TIMEOUT),
                  "seconds from 0.01 to 60.0, with at most three decimals");
    check_allowed(settings_row(SETTING_JSON_LOGS), "true or false, 1 or 0, yes or no, on or off");
    check_allowed(settings_row(SETTING_DEPLOYMENT_MODE), "one of monolith, microservices");
    check_allowed(settings_row(SETTING_ENVIRONMENT), "1 to 32 letters, digits, '.', '_' or '-'");
    check_allowed(&string_row, "text of at most 5 bytes without control characters");
    check_allowed(settings_row(SETTING_VACANCY_URL),
                  "http://host[:port][/base] or unix:/PATH (at most 107 bytes)");
    check_allowed(settings_row(SETTING_HOST),
                  "up to 32 different host names, IPv4 or IPv6 addresses or unix:/PATH (at most "
                  "107 bytes), separated by commas");
    check_allowed(settings_row(SETTING_CORS_ALLOW_ORIGINS),
                  "* or up to 32 different origins such as https://shop.example:8443, separated "
                  "by commas");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_int),        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_bool),       cmocka_unit_test(test_choice),
        cmocka_unit_test(test_string),     cmocka_unit_test(test_token),
        cmocka_unit_test(test_addresses),  cmocka_unit_test(test_origins),
        cmocka_unit_test(test_list_limit), cmocka_unit_test(test_text_limit),
        cmocka_unit_test(test_wrong_item), cmocka_unit_test(test_equal_values_equal_bytes),
        cmocka_unit_test(test_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
