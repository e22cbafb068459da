#include "setting_value.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "config/endpoint.h"
#include "ticketd/error.h"

#define DIGITS "0123456789"
#define BLANKS " \t"

/* The wrong part of a value, for the error line. */
struct culprit {
    const char *text;
    size_t size;
};

static void *field_of(const struct setting *row, struct settings *settings)
{
    return (char *)settings + row->offset;
}

static const void *const_field_of(const struct setting *row, const struct settings *settings)
{
    return (const char *)settings + row->offset;
}

static int parse_int(const struct setting *row, const char *text, int64_t *ret_value)
{
    const char *problem;
    int64_t value;

    /* strtonum alone would take blanks and signs */
    if (text[strspn(text, DIGITS)] != '\0')
        return TICKETD_INVALID;
    value = strtonum(text, row->min, row->max, &problem);
    if (problem != NULL)
        return TICKETD_INVALID;
    *ret_value = value;
    return TICKETD_DONE;
}

/* Moves the point three digits to the right and reads a whole number of milliseconds, so no
 * rounding and no locale can interfere. */
static int parse_seconds(const struct setting *row, const char *text, int64_t *ret_ms)
{
    char digits[32];
    size_t whole = strspn(text, DIGITS);
    size_t fraction = 0;

    if (whole == 0 || whole > 16)
        return TICKETD_INVALID;
    if (text[whole] == '.') {
        fraction = strspn(text + whole + 1, DIGITS);
        if (fraction == 0 || fraction > 3 || text[whole + 1 + fraction] != '\0')
            return TICKETD_INVALID;
    } else if (text[whole] != '\0') {
        return TICKETD_INVALID;
    }
    memcpy(digits, text, whole);
    memset(digits + whole, '0', 3);
    if (fraction > 0)
        memcpy(digits + whole, text + whole + 1, fraction);
    digits[whole + 3] = '\0';
    return parse_int(row, digits, ret_ms);
}

static int parse_bool(const char *text, bool *ret_value)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"0", "1"}, {"no", "yes"}, {"off", "on"}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        for (size_t value = 0; value < 2; value++)
            if (strcasecmp(text, words[i][value]) == 0) {
                *ret_value = value == 1;
                return TICKETD_DONE;
            }
    return TICKETD_INVALID;
}

static int parse_choice(const struct setting *row, const char *text, int *ret_index)
{
    const char *choice = row->unit;

    for (int index = 0;; index++) {
        size_t size = strcspn(choice, "|");

        if (strlen(text) == size && strncasecmp(text, choice, size) == 0) {
            *ret_index = index;
            return TICKETD_DONE;
        }
        if (choice[size] == '\0')
            return TICKETD_INVALID;
        choice += size + 1;
    }
}

/* All of a field is written, so that equal values are equal bytes. */
static int store_text(const struct setting *row, const char *text, char *field)
{
    size_t size = strlen(text);

    if (size < (size_t)row->min || size > (size_t)row->max)
        return TICKETD_INVALID;
    memset(field, 0, row->size);
    memcpy(field, text, size);
    return TICKETD_DONE;
}

static int parse_string(const struct setting *row, const char *text, char *field)
{
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return TICKETD_INVALID;
    return store_text(row, text, field);
}

static int parse_token(const struct setting *row, const char *text, char *field)
{
    static const char allowed[] = DIGITS "._-"
                                         "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    if (text[strspn(text, allowed)] != '\0')
        return TICKETD_INVALID;
    return store_text(row, text, field);
}

static int parse_url(const struct setting *row, const char *text, char *field)
{
    struct endpoint endpoint;

    if (*text != '\0' && endpoint_parse_url(text, &endpoint) != TICKETD_DONE)
        return TICKETD_INVALID;
    return store_text(row, text, field);
}

/* Writes one item in its stored form to `item`. */
static int parse_item(const struct setting *row, const char *text, size_t size, char *item)
{
    struct endpoint endpoint;

    if (size >= SETTING_VALUE_TEXT_MAX)
        return TICKETD_INVALID;
    if (row->type == SETTING_TYPE_LIST) {
        if (size == 1 && *text == '*') {
            strlcpy(item, "*", SETTING_VALUE_TEXT_MAX);
            return TICKETD_DONE;
        }
        return endpoint_canonical_origin(text, size, item);
    }
    if (endpoint_parse_address(text, size, &endpoint) != TICKETD_DONE)
        return TICKETD_INVALID;
    memcpy(item, text, size);
    item[size] = '\0';
    return TICKETD_DONE;
}

static bool list_holds(const char *list, const char *wanted)
{
    const char *item;
    size_t size;

    while (settings_list_next(&list, &item, &size))
        if (strlen(wanted) == size && strncasecmp(item, wanted, size) == 0)
            return true;
    return false;
}

/* Stores the items without blanks.  Refused: an empty item, one given twice, "*" beside others. */
static int parse_list(const struct setting *row, const char *text, char *field,
                      struct culprit *wrong)
{
    char list[SETTING_VALUE_TEXT_MAX] = "";
    char item[SETTING_VALUE_TEXT_MAX];
    size_t count = 0;

    if (*text == '\0')
        return store_text(row, text, field);
    for (const char *at = text;; at++) {
        at += strspn(at, BLANKS);
        wrong->text = at;
        wrong->size = strcspn(at, ",");
        at += wrong->size;
        while (wrong->size > 0 && strchr(BLANKS, wrong->text[wrong->size - 1]) != NULL)
            wrong->size--;
        if (parse_item(row, wrong->text, wrong->size, item) != TICKETD_DONE ||
            list_holds(list, item) || list_holds(list, "*") ||
            (count > 0 && strcmp(item, "*") == 0) || ++count > SETTINGS_LIST_ITEMS_MAX)
            return TICKETD_INVALID;
        if (count > 1)
            strlcat(list, ",", sizeof(list));
        if (strlcat(list, item, sizeof(list)) >= sizeof(list))
            return TICKETD_INVALID;
        if (*at == '\0')
            break;
    }
    wrong->text = text;
    wrong->size = strlen(text);
    return store_text(row, list, field);
}

static int parse(const struct setting *row, const char *text, void *field, struct culprit *wrong)
{
    switch (row->type) {
    case SETTING_TYPE_INT:
        return parse_int(row, text, field);
    case SETTING_TYPE_SECONDS:
        return parse_seconds(row, text, field);
    case SETTING_TYPE_BOOL:
        return parse_bool(text, field);
    case SETTING_TYPE_CHOICE:
        return parse_choice(row, text, field);
    case SETTING_TYPE_STRING:
        return parse_string(row, text, field);
    case SETTING_TYPE_TOKEN:
        return parse_token(row, text, field);
    case SETTING_TYPE_LIST:
    case SETTING_TYPE_ADDRESSES:
        return parse_list(row, text, field, wrong);
    case SETTING_TYPE_URL:
        return parse_url(row, text, field);
    }
    assert(false && "a type of the table that nothing parses");
    return TICKETD_INVALID;
}

int setting_value_parse(const struct setting *row, const char *text, struct settings *settings,
                        const char **ret_wrong, size_t *ret_wrong_size)
{
    struct culprit wrong = {.text = text, .size = strlen(text)};
    int r = parse(row, text, field_of(row, settings), &wrong);

    if (r != TICKETD_DONE) {
        *ret_wrong = wrong.text;
        *ret_wrong_size = wrong.size;
    }
    return r;
}

/* At least one decimal, so that the reader sees that decimals are possible: 2.0, 0.01. */
static void format_seconds(int64_t ms, char *text, size_t size)
{
    int length = snprintf(text, size, "%" PRId64 ".%03" PRId64, ms / 1000, ms % 1000);

    assert(length > 0 && (size_t)length < size);
    for (int last = length - 1; text[last] == '0' && text[last - 1] != '.'; last--)
        text[last] = '\0';
}

static void format_choice(const struct setting *row, int index, char *text, size_t size)
{
    const char *choice = row->unit;

    while (index-- > 0)
        choice += strcspn(choice, "|") + 1;
    (void)snprintf(text, size, "%.*s", (int)strcspn(choice, "|"), choice);
}

void setting_value_format(const struct setting *row, const struct settings *settings,
                          char ret_text[SETTING_VALUE_TEXT_MAX])
{
    const void *field = const_field_of(row, settings);

    switch (row->type) {
    case SETTING_TYPE_INT:
        (void)snprintf(ret_text, SETTING_VALUE_TEXT_MAX, "%" PRId64, *(const int64_t *)field);
        return;
    case SETTING_TYPE_SECONDS:
        format_seconds(*(const int64_t *)field, ret_text, SETTING_VALUE_TEXT_MAX);
        return;
    case SETTING_TYPE_BOOL:
        strlcpy(ret_text, *(const bool *)field ? "true" : "false", SETTING_VALUE_TEXT_MAX);
        return;
    case SETTING_TYPE_CHOICE:
        format_choice(row, *(const int *)field, ret_text, SETTING_VALUE_TEXT_MAX);
        return;
    case SETTING_TYPE_STRING:
    case SETTING_TYPE_TOKEN:
    case SETTING_TYPE_LIST:
    case SETTING_TYPE_ADDRESSES:
    case SETTING_TYPE_URL:
        strlcpy(ret_text, field, SETTING_VALUE_TEXT_MAX);
        return;
    }
    assert(false && "a type of the table that nothing formats");
}

/* "1 to 64", or "at most 64" where nothing is allowed too */
static void format_length(const struct setting *row, char *text, size_t size)
{
    if (row->min == 0)
        (void)snprintf(text, size, "at most %" PRId64, row->max);
    else
        (void)snprintf(text, size, "%" PRId64 " to %" PRId64, row->min, row->max);
}

static void allowed_choices(const struct setting *row, char *text, size_t size)
{
    strlcpy(text, "one of ", size);
    for (const char *choice = row->unit; *choice != '\0'; choice++) {
        char letter[2] = {*choice, '\0'};

        strlcat(text, *choice == '|' ? ", " : letter, size);
    }
}

static void allowed_seconds(const struct setting *row, char *text, size_t size)
{
    char min[32];
    char max[32];

    format_seconds(row->min, min, sizeof(min));
    format_seconds(row->max, max, sizeof(max));
    (void)snprintf(text, size, "seconds from %s to %s, with at most three decimals", min, max);
}

void setting_value_allowed(const struct setting *row, char ret_text[SETTING_VALUE_ALLOWED_MAX])
{
    const size_t size = SETTING_VALUE_ALLOWED_MAX;
    char length[48];

    format_length(row, length, sizeof(length));
    switch (row->type) {
    case SETTING_TYPE_INT:
        (void)snprintf(ret_text, size, "a whole number from %" PRId64 " to %" PRId64, row->min,
                       row->max);
        return;
    case SETTING_TYPE_SECONDS:
        allowed_seconds(row, ret_text, size);
        return;
    case SETTING_TYPE_BOOL:
        strlcpy(ret_text, "true or false, 1 or 0, yes or no, on or off", size);
        return;
    case SETTING_TYPE_CHOICE:
        allowed_choices(row, ret_text, size);
        return;
    case SETTING_TYPE_STRING:
        (void)snprintf(ret_text, size, "text of %s bytes without control characters", length);
        return;
    case SETTING_TYPE_TOKEN:
        (void)snprintf(ret_text, size, "%s letters, digits, '.', '_' or '-'", length);
        return;
    case SETTING_TYPE_LIST:
        (void)snprintf(ret_text, size,
                       "* or up to %d different origins such as https://shop.example:8443, "
                       "separated by commas",
                       SETTINGS_LIST_ITEMS_MAX);
        return;
    case SETTING_TYPE_ADDRESSES:
        (void)snprintf(ret_text, size,
                       "up to %d different host names, IPv4 or IPv6 addresses or "
                       "unix:/PATH (at most %d bytes), separated by commas",
                       SETTINGS_LIST_ITEMS_MAX, ENDPOINT_PATH_MAX);
        return;
    case SETTING_TYPE_URL:
        (void)snprintf(ret_text, size, "http://host[:port][/base] or unix:/PATH (at most %d bytes)",
                       ENDPOINT_PATH_MAX);
        return;
    }
    assert(false && "a type of the table that nothing explains");
}
