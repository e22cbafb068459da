/* Judges the raw head of an HTTP/1 request more strictly than libh2o's parser, which lets pass what
 * proxies and servers read differently (request smuggling).  Pure: bytes in, verdict out; any
 * process.  It never allocates and reads each byte once.
 *
 * Source: RFC 9112 sections 2.2, 3.2, 5 and 6; RFC 9110 section 5.6.2 for token characters. */
#ifndef TICKETD_HTTP_FRAMING_H
#define TICKETD_HTTP_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ticketd/text.h"

struct framing_head {
    size_t head_len;   /* including the blank line */
    uint64_t body_len; /* Content-Length; 0 without */
};

/* Judges the head that begins at `bytes`; `len` may reach past it (into the body).
 * Returns NULL with *ret_head when it is sound; else a short static reason fit for a client.
 *
 * Refused: a missing or repeated Host, or one with characters that no authority has; a repeated
 * or non-decimal Content-Length; any Transfer-Encoding; a bare LF; a folded line; an empty header
 * name, or one with a character outside the token set (a space before the colon is one); a version
 * other than HTTP/1.0 and HTTP/1.1; a target that is neither a path nor an http URL (nor the * of
 * OPTIONS). */
const char *framing_check(const char *bytes, size_t len, struct framing_head *ret_head);

/* Splits the header line [line, end), given without its CR LF, into name and value, blanks around
 * the value left out.  NULL, or why it is none: folded, or its name empty or with characters that
 * names do not have. */
const char *framing_split(const char *line, const char *end, struct text *ret_name,
                          struct text *ret_value);

/* Whether a header's name is this one, in any case. */
bool framing_named(struct text name, struct text wanted);

/* The value of a Content-Length: decimal digits and nothing else. */
bool framing_length(struct text value, size_t *ret_length);

#endif
