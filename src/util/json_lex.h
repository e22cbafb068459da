/* The tokens of JSON, checked strictly; the arrangement of the tokens is cJSON's part.  For
 * util/json only; holds no state, never allocates. */
#ifndef TICKETD_UTIL_JSON_LEX_H
#define TICKETD_UTIL_JSON_LEX_H

#include <stddef.h>

/* Checks every token of `len` bytes with a NUL behind them: white space, strings, numbers,
 * literals, depth, count.  Returns NULL, or a short static reason for refusing.  Overwrites the
 * tail of numbers too long for cJSON with spaces; what remains is still as much out of bounds. */
const char *json_lex(char *text, size_t len);

/* In a text that passed json_lex: where the first number token at or after `at` begins (`at` not
 * inside a string or number), or NULL. */
const char *json_lex_next_number(const char *at);

/* The length of the number token at `at`. */
size_t json_lex_number_len(const char *at);

#endif
