#include "util/traceparent.h"

#define TRACE_AT  3
#define PARENT_AT 36
#define FLAGS_AT  53

/* Whether [from, to) are lower-case hexadecimal digits. */
static bool is_hex(const char *base, size_t from, size_t to)
{
    for (size_t i = from; i < to; ++i)
        if (!((base[i] >= '0' && base[i] <= '9') || (base[i] >= 'a' && base[i] <= 'f')))
            return false;
    return true;
}

static bool is_zero(const char *base, size_t from, size_t to)
{
    for (size_t i = from; i < to; ++i)
        if (base[i] != '0')
            return false;
    return true;
}

bool traceparent_is_sane(struct text value)
{
    const char *base = value.base;

    return value.len == TRACEPARENT_LEN && memcmp(base, "00-", TRACE_AT) == 0 &&
           is_hex(base, TRACE_AT, PARENT_AT - 1) && base[PARENT_AT - 1] == '-' &&
           is_hex(base, PARENT_AT, FLAGS_AT - 1) && base[FLAGS_AT - 1] == '-' &&
           is_hex(base, FLAGS_AT, TRACEPARENT_LEN) && !is_zero(base, TRACE_AT, PARENT_AT - 1) &&
           !is_zero(base, PARENT_AT, FLAGS_AT - 1);
}
