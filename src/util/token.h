/* Random 64-bit tokens from the kernel's generator, fetched many at a time: getrandom(2) for each
 * would cost more than the rest of a sale.  For any process, one source a thread, made after fork
 * (a copied source would repeat the other's tokens). */
#ifndef TICKETD_UTIL_TOKEN_H
#define TICKETD_UTIL_TOKEN_H

#include <stdint.h>

/* What getrandom(2) promises to give in one piece, and never less, is 256 bytes. */
#define TOKENS_AT_A_TIME 32

struct token_source {
    uint64_t tokens[TOKENS_AT_A_TIME];
    uint32_t left; /* zeroed: none, the first use fetches */
};

/* Unpredictable, and never 0. */
uint64_t token_next(struct token_source *source);

#endif
