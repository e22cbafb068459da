#include "http/path.h"

#include <assert.h>

struct path_pattern path_pattern_of(const char *pattern)
{
    size_t len = strlen(pattern), fixed_len = strcspn(pattern, "{");

    assert(fixed_len == len ||
           (fixed_len > 0 && pattern[fixed_len - 1] == '/' && strcspn(pattern, "}") == len - 1));
    return (struct path_pattern){
        .fixed = {.base = pattern, .len = fixed_len},
        .has_parameter = fixed_len != len,
    };
}

bool path_matches(const struct path_pattern *pattern, struct text path, struct text *ret_parameter)
{
    struct text begin = {.base = path.base, .len = pattern->fixed.len}, rest;

    if (!pattern->has_parameter) {
        if (!text_equal(path, pattern->fixed))
            return false;
        *ret_parameter = (struct text){.base = NULL};
        return true;
    }
    if (path.len <= begin.len || !text_equal(begin, pattern->fixed))
        return false;
    rest = (struct text){.base = path.base + begin.len, .len = path.len - begin.len};
    if (memchr(rest.base, '/', rest.len) != NULL)
        return false;
    *ret_parameter = rest;
    return true;
}
