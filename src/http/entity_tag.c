#include "http/entity_tag.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip(struct text *rest, size_t count)
{
    rest->base += count;
    rest->len -= count;
}

static void skip_separators(struct text *rest)
{
    while (rest->len > 0 && (is_blank(*rest->base) || *rest->base == ','))
        skip(rest, 1);
}

static void skip_weakness(struct text *tag)
{
    if (tag->len >= 2 && tag->base[0] == 'W' && tag->base[1] == '/')
        skip(tag, 2);
}

/* The next tag with its quotes, without its weakness; false where there is none. */
static bool next_tag(struct text *rest, struct text *ret_tag)
{
    const char *end;

    skip_separators(rest);
    skip_weakness(rest);
    if (rest->len < 2 || rest->base[0] != '"')
        return false;
    end = memchr(rest->base + 1, '"', rest->len - 1);
    if (end == NULL)
        return false;
    *ret_tag = (struct text){.base = rest->base, .len = (size_t)(end + 1 - rest->base)};
    skip(rest, ret_tag->len);
    return true;
}

bool entity_tag_matches(struct text if_none_match, struct text etag)
{
    struct text tag;

    if (if_none_match.base == NULL)
        return false;
    skip_separators(&if_none_match);
    if (if_none_match.len >= 1 && if_none_match.base[0] == '*')
        return true;
    skip_weakness(&etag);
    while (next_tag(&if_none_match, &tag))
        if (text_equal(tag, etag))
            return true;
    return false;
}
