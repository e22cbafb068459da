/* Escapes bytes that a client may have chosen, so that they can stand inside a log line or a JSON
 * string.  Safe in every process; holds no state; never allocates and never terminates its output.
 */
#ifndef TICKETD_UTIL_ESCAPE_H
#define TICKETD_UTIL_ESCAPE_H

#include <stddef.h>

enum { ESCAPE_ALSO_MAX = 2 };

/* Both functions write as many whole characters of `src` (`len` bytes, any bytes) as fit into
 * `size` bytes of `dst`, set *ret_taken to the source bytes these stand for (less than `len` when
 * the rest did not fit) and return the bytes written. */

/* For people: a backslash doubled, the rest that is not printable as \n \r \t \xNN \uNNNN
 * \UNNNNNNNN (\xNN is a byte, \u and \U are code points).  The ASCII characters of `also`,
 * at most ESCAPE_ALSO_MAX, are escaped too. */
size_t escape_text(char *dst, size_t size, const char *src, size_t len, const char *also,
                   size_t *ret_taken);

/* For the inside of a JSON string (RFC 8259, without the quotes): a byte that is not part of valid
 * UTF-8 becomes U+FFFD. */
size_t escape_json(char *dst, size_t size, const char *src, size_t len, size_t *ret_taken);

#endif
