#include "http/idempotency_key.h"

#define EMPTY     "Idempotency-Key is empty"
#define TOO_LONG  "Idempotency-Key is longer than 255 characters"
#define INVISIBLE "Idempotency-Key may hold visible ASCII characters only, and no space"
#define NO_END    "the closing quote of Idempotency-Key is missing"
#define ESCAPE    "in a quoted Idempotency-Key a backslash comes only before a quote or a backslash"
#define PARAMETER "Idempotency-Key takes no parameters"
#define AFTER     "nothing may follow the closing quote of Idempotency-Key"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_visible(char c)
{
    return c >= '!' && c <= '~';
}

static struct text trim(struct text value)
{
    while (value.len > 0 && is_blank(value.base[value.len - 1]))
        --value.len;
    while (value.len > 0 && is_blank(*value.base)) {
        ++value.base;
        --value.len;
    }
    return value;
}

static const char *judge_bare(struct text value)
{
    if (value.len > IDEMPOTENCY_KEY_MAX)
        return TOO_LONG;
    return text_is_visible(value) ? NULL : INVISIBLE;
}

/* What follows the closing quote, if anything does. */
static const char *judge_rest(struct text value, size_t after)
{
    if (after == value.len)
        return NULL;
    return value.base[after] == ';' ? PARAMETER : AFTER;
}

static const char *decode_quoted(struct text value, char room[IDEMPOTENCY_KEY_MAX], size_t *ret_len)
{
    size_t len = 0, at = 1;
    const char *fault;

    for (; at < value.len && value.base[at] != '"'; ++at) {
        if (value.base[at] == '\\' &&
            (++at == value.len || (value.base[at] != '"' && value.base[at] != '\\')))
            return at == value.len ? NO_END : ESCAPE;
        if (!is_visible(value.base[at]))
            return INVISIBLE;
        if (len == IDEMPOTENCY_KEY_MAX)
            return TOO_LONG;
        room[len++] = value.base[at];
    }
    if (at == value.len)
        return NO_END;
    fault = judge_rest(value, at + 1);
    if (fault == NULL && len == 0)
        return EMPTY;
    *ret_len = len;
    return fault;
}

const char *idempotency_key_decode(struct text value, char room[IDEMPOTENCY_KEY_MAX],
                                   struct text *ret_key)
{
    struct text key = trim(value);
    const char *fault;

    if (key.len == 0)
        return EMPTY;
    if (*key.base == '"') {
        fault = decode_quoted(key, room, &key.len);
        key.base = room;
    } else {
        fault = judge_bare(key);
    }
    if (fault == NULL)
        *ret_key = key;
    return fault;
}
