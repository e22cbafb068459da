/* Fuzzes json_parse and its getters.  cJSON is no oracle, because it accepts more; what we accept
 * must hold the properties below, found without the code under test. */
#include <assert.h>
#include <errno.h>
#include <iconv.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "util/json.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Kept alive, to leave no room in json.c's arena: all else then comes from the heap, where the
 * address sanitizer watches it. */
static struct json_document arena_filler;

static void fill_arena(void)
{
    enum { FILLER_SIZE = 64 * 1024 - 64 };
    char *text = malloc(FILLER_SIZE);
    assert(text);
    memset(text, 'x', FILLER_SIZE);
    text[0] = text[FILLER_SIZE - 1] = '"';
    int r = json_parse(&arena_filler, text, FILLER_SIZE);
    assert(r == 0);
    free(text);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    int r = json_init();
    assert(r == 0);
    fill_arena();
    return 0;
}

/* The C library's converter, not the decoder under test: it refuses surrogates in UTF-8 and, into
 * UTF-16, whatever lies beyond U+10FFFF. */
static void check_utf8(const char *bytes, size_t size)
{
    static iconv_t converter = (iconv_t)-1;
    size_t out_size = 2 * size + 16;
    char *out = malloc(out_size);
    char *out_at = out;
    char *in_at = (char *)(uintptr_t)bytes;

    if (converter == (iconv_t)-1)
        converter = iconv_open("UTF-16LE", "UTF-8");
    assert(out && converter != (iconv_t)-1);
    iconv(converter, NULL, NULL, NULL, NULL);
    size_t r = iconv(converter, &in_at, &size, &out_at, &out_size);
    assert(r != (size_t)-1 && size == 0);
    free(out);
}

static bool is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* No number like 01, 1. or -.5 at this place outside strings; `text` is terminated. */
static void check_number(const char *text, size_t at)
{
    char before = at > 0 ? text[at - 1] : ' ';
    if (before == '-' && at > 1 && strchr("eE", text[at - 2]))
        before = 'e';
    if (text[at] == '0' && is_digit(text[at + 1]))
        assert(before && strchr("0123456789.eE+", before));
    if (text[at] == '.')
        assert(is_digit(before) && is_digit(text[at + 1]));
}

/* No control characters but white space between tokens, brackets in pairs. */
static void check_bytes(const char *bytes, size_t size)
{
    bool in_string = false;
    int depth = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        assert(c >= 0x20 || (!in_string && is_white(bytes[i])));
        assert(c < 0x80 || in_string);
        if (!in_string)
            check_number(bytes, i);
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']'))
            depth--;
        assert(depth >= 0 && depth <= JSON_DEPTH_MAX);
    }
    assert(!in_string && depth == 0);
}

/* Where the value of the only member of {"qty":VALUE} stands, or NULL. */
static const char *sole_quantity(const char *text)
{
    static const char head[] = "{\"qty\":";
    const char *value = text + sizeof(head) - 1;
    if (strncmp(text, head, sizeof(head) - 1) != 0 || strpbrk(value, ",{[\":"))
        return NULL;
    return value;
}

static void check_integer(const struct json_document *document, const char *text)
{
    int64_t number = -77;
    int r = json_get_integer(document, "qty", 1, INT32_MAX, &number);
    if (r == 0)
        assert(number >= 1 && number <= INT32_MAX);
    else
        assert(number == -77);

    const char *value = json_is_object(document) ? sole_quantity(text) : NULL;
    if (!value)
        return;
    int at = 0;
    long long expected = -1;
    bool whole = sscanf(value, " %19lld%n", &expected, &at) == 1 && at > 0 &&
                 (is_white(value[at]) || value[at] == '}');
    bool quantity = whole && expected >= 1 && expected <= INT32_MAX;
    assert((r == 0) == quantity);
    assert(r != 0 || number == expected);
}

static void check_strings(const struct json_document *document, const char *name)
{
    const char *string = NULL;
    bool truth = false;
    if (json_get_string(document, name, &string) == 0)
        check_utf8(string, strlen(string));
    (void)json_get_bool(document, name, &truth);
}

/* The same value, printed by cJSON, is accepted again (it prints an infinite number as null). */
static void check_round_trip(const char *text)
{
    cJSON *tree = cJSON_Parse(text);
    assert(tree);
    char *printed = cJSON_PrintUnformatted(tree);
    assert(printed);
    struct json_document document;
    int r = json_parse(&document, printed, strlen(printed));
    assert(r == 0);
    json_release(&document);
    cJSON_free(printed);
    cJSON_Delete(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_document document;
    char *text = malloc(size + 1);
    assert(text);
    memcpy(text, data, size);
    text[size] = '\0';

    int r = json_parse(&document, (const char *)data, size);
    assert(r == 0 || (r == JSON_MALFORMED && document.reason && !document.root));
    if (r == 0) {
        check_bytes(text, size);
        check_utf8(text, size);
        check_integer(&document, text);
        check_strings(&document, "qty");
        check_strings(&document, "");
        check_round_trip(text);
    }
    json_release(&document);
    free(text);
    return 0;
}
