#include "util/token.h"

#include <assert.h>
#include <sys/random.h>

uint64_t token_next(struct token_source *source)
{
    uint64_t token;

    do {
        if (source->left == 0) {
            ssize_t len = getrandom(source->tokens, sizeof(source->tokens), 0);
            assert(len == sizeof(source->tokens) && "the kernel gives 256 bytes in one piece");
            source->left = TOKENS_AT_A_TIME;
        }
        token = source->tokens[--source->left];
        source->tokens[source->left] = 0;
    } while (token == 0);
    return token;
}
