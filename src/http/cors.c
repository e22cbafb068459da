#include "http/cors.h"

#include "config/settings.h"

void cors_init(struct cors *cors, const char *origins)
{
    cors->origins = origins;
    cors->any = strcmp(origins, "*") == 0;
}

bool cors_allows(const struct cors *cors, struct text origin)
{
    const char *cursor = cors->origins, *item;
    size_t len;

    if (cors->any)
        return true;
    while (settings_list_next(&cursor, &item, &len))
        if (text_equal(origin, (struct text){.base = item, .len = len}))
            return true;
    return false;
}
