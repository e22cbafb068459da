/* UTF-8, decoded by the C library.  For every process; single-threaded use; holds nothing but the
 * handle of the C.UTF-8 locale.  Never changes the process's own locale and never prints. */
#ifndef TICKETD_UTIL_UTF8_H
#define TICKETD_UTIL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens the C.UTF-8 locale; may be called again.  0, or -ENOENT and the like when the machine has
 * no such locale: then every byte from 0x80 up counts as invalid. */
int utf8_init(void);

/* Decodes the first character of `len` bytes.  Returns its length in bytes (1 to 4) and sets
 * *ret_character, or 0 when the bytes do not begin with a whole valid character (or len is 0). */
size_t utf8_decode(const char *bytes, size_t len, uint32_t *ret_character);

/* Whether a NUL-terminated text is valid UTF-8 from end to end.  Does not block or allocate. */
bool utf8_valid(const char *text);

/* Whether a log may show the character as it is: not a control character of any kind, a line or
 * paragraph separator, a direction override, or a code point without a character. */
bool utf8_printable(uint32_t character);

#endif
