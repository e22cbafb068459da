#include "util/escape.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/utf8.h"

/* The longest escape is a surrogate pair, \uXXXX\uXXXX, and the end of the C string. */
enum { ESCAPE_SIZE = 13 };

struct escape_style {
    bool json;
    /* what to escape beyond the control characters; a backslash where there is no more */
    char also[ESCAPE_ALSO_MAX];
};

static size_t short_escape(char *out, char letter)
{
    out[0] = '\\';
    out[1] = letter;
    return 2;
}

static size_t hex_escape(char *out, char letter, int digits, unsigned value)
{
    return (size_t)snprintf(out, ESCAPE_SIZE, "\\%c%0*x", letter, digits, value);
}

static size_t escape_ascii(const struct escape_style *style, char *out, unsigned char c)
{
    if (c == '\n')
        return short_escape(out, 'n');
    if (c == '\r')
        return short_escape(out, 'r');
    if (c == '\t')
        return short_escape(out, 't');
    if (c == '\\' || (style->json && c == '"'))
        return short_escape(out, (char)c);
    return style->json ? hex_escape(out, 'u', 4, c) : hex_escape(out, 'x', 2, c);
}

static size_t escape_wide(const struct escape_style *style, char *out, uint32_t character)
{
    if (character <= 0xffff)
        return hex_escape(out, 'u', 4, character);
    if (!style->json)
        return hex_escape(out, 'U', 8, character);
    uint32_t pair = character - 0x10000;
    return (size_t)snprintf(out, ESCAPE_SIZE, "\\u%04x\\u%04x", 0xd800 | (pair >> 10),
                            0xdc00 | (pair & 0x3ff));
}

/* Escapes one character that is not plain ASCII; *ret_used is its length in the source. */
static size_t escape_character(const struct escape_style *style, char *out, const char *src,
                               size_t len, size_t *ret_used)
{
    unsigned char first = (unsigned char)src[0];
    if (first < 0x80) {
        *ret_used = 1;
        return escape_ascii(style, out, first);
    }

    uint32_t character = 0;
    size_t used = utf8_decode(src, len, &character);
    if (used == 0) {
        *ret_used = 1;
        return style->json ? hex_escape(out, 'u', 4, 0xfffd) : hex_escape(out, 'x', 2, first);
    }
    *ret_used = used;
    if (!utf8_printable(character))
        return escape_wide(style, out, character);
    memcpy(out, src, used);
    return used;
}

static bool is_plain(const struct escape_style *style, char c)
{
    return c >= 0x20 && c < 0x7f && c != '\\' && c != style->also[0] && c != style->also[1];
}

static size_t escape_bytes(const struct escape_style *style, char *dst, size_t size,
                           const char *src, size_t len, size_t *ret_taken)
{
    size_t written = 0;
    size_t taken = 0;

    while (taken < len) {
        if (is_plain(style, src[taken])) {
            if (written == size)
                break;
            dst[written++] = src[taken++];
            continue;
        }
        char out[ESCAPE_SIZE];
        size_t used = 0;
        size_t out_len = escape_character(style, out, src + taken, len - taken, &used);
        if (out_len > size - written)
            break;
        memcpy(dst + written, out, out_len);
        written += out_len;
        taken += used;
    }
    *ret_taken = taken;
    return written;
}

size_t escape_text(char *dst, size_t size, const char *src, size_t len, const char *also,
                   size_t *ret_taken)
{
    struct escape_style style = {.json = false, .also = {'\\', '\\'}};
    assert(strlen(also) <= ESCAPE_ALSO_MAX);
    memcpy(style.also, also, strlen(also));
    return escape_bytes(&style, dst, size, src, len, ret_taken);
}

size_t escape_json(char *dst, size_t size, const char *src, size_t len, size_t *ret_taken)
{
    static const struct escape_style style = {.json = true, .also = {'"', '"'}};
    return escape_bytes(&style, dst, size, src, len, ret_taken);
}
