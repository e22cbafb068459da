#include "http/content_coding.h"

#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct text trimmed(struct text part)
{
    while (part.len > 0 && is_blank(part.base[0])) {
        ++part.base;
        --part.len;
    }
    while (part.len > 0 && is_blank(part.base[part.len - 1]))
        --part.len;
    return part;
}

/* Cuts off what comes before the first `separator`, or all. */
static struct text cut(struct text *rest, char separator)
{
    const char *end = rest->len == 0 ? NULL : memchr(rest->base, separator, rest->len);
    struct text part = {.base = rest->base,
                        .len = end == NULL ? rest->len : (size_t)(end - rest->base)};
    size_t taken = end == NULL ? part.len : part.len + 1;

    if (taken > 0) {
        rest->base += taken;
        rest->len -= taken;
    }
    return trimmed(part);
}

static bool is(struct text part, struct text word)
{
    return part.len == word.len && strncasecmp(part.base, word.base, word.len) == 0;
}

/* A weight of nothing but zeros: "q=0", "q=0.000". */
static bool is_zero_weight(struct text parameter)
{
    if (parameter.len < 3 || !is((struct text){.base = parameter.base, .len = 2}, TEXT("q=")))
        return false;
    for (size_t i = 2; i < parameter.len; ++i)
        if (parameter.base[i] != '0' && parameter.base[i] != '.')
            return false;
    return true;
}

bool content_coding_takes_gzip(struct text accept_encoding)
{
    bool any = false;

    while (accept_encoding.len > 0) {
        struct text parameters = cut(&accept_encoding, ','), coding = cut(&parameters, ';');
        bool wanted = !is_zero_weight(trimmed(parameters));
        if (is(coding, TEXT("gzip")) || is(coding, TEXT("x-gzip")))
            return wanted;
        if (is(coding, TEXT("*")))
            any = wanted;
    }
    return any;
}
