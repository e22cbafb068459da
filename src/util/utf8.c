#include "util/utf8.h"

#include <errno.h>
#include <locale.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

enum {
    CHARACTER_MAX = 0x10ffff,
    VALID_CHUNK = 256,
};

/* Opened once a process and kept: trying again on each call would reach for the file system. */
static locale_t utf8_locale;
static int utf8_locale_error = -EAGAIN;

int utf8_init(void)
{
    if (utf8_locale_error == -EAGAIN) {
        utf8_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
        utf8_locale_error = utf8_locale ? 0 : errno ? -errno : -ENOENT;
    }
    return utf8_locale_error;
}

size_t utf8_decode(const char *bytes, size_t len, uint32_t *ret_character)
{
    if (len == 0)
        return 0;
    if ((unsigned char)bytes[0] < 0x80) {
        *ret_character = (unsigned char)bytes[0];
        return 1;
    }
    if (utf8_init() < 0)
        return 0;

    mbstate_t state = {0};
    wchar_t wide = 0;
    locale_t before = uselocale(utf8_locale);
    size_t used = mbrtowc(&wide, bytes, len, &state);
    uselocale(before);
    /* glibc also decodes the five- and six-byte forms of old: Unicode ends at U+10FFFF. */
    if (used == (size_t)-1 || used == (size_t)-2 || (uint32_t)wide > CHARACTER_MAX)
        return 0;
    *ret_character = (uint32_t)wide;
    return used;
}

static bool valid_in_locale(const char *text)
{
    wchar_t wide[VALID_CHUNK];
    mbstate_t state = {0};

    while (text) {
        size_t count = mbsrtowcs(wide, &text, VALID_CHUNK, &state);
        if (count == (size_t)-1)
            return false;
        for (size_t i = 0; i < count; i++) {
            if ((uint32_t)wide[i] > CHARACTER_MAX)
                return false;
        }
    }
    return true;
}

bool utf8_valid(const char *text)
{
    while (*text && (unsigned char)*text < 0x80)
        text++;
    if (!*text)
        return true;
    if (utf8_init() < 0)
        return false;

    locale_t before = uselocale(utf8_locale);
    bool valid = valid_in_locale(text);
    uselocale(before);
    return valid;
}

/* The directional formatting characters of Unicode's bidirectional algorithm (UAX #9): printable
 * to the C library, but they reorder what a reader of the log sees. */
static bool reorders_text(uint32_t character)
{
    return character == 0x061c || character == 0x200e || character == 0x200f ||
           (character >= 0x202a && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

bool utf8_printable(uint32_t character)
{
    if (character < 0x80)
        return character >= 0x20 && character != 0x7f;
    if (utf8_init() < 0 || reorders_text(character))
        return false;
    return iswprint_l((wint_t)character, utf8_locale) != 0;
}
