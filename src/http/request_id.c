#include "http/request_id.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static void write_hex(char *dst, uint64_t value)
{
    for (int i = 15; i >= 0; --i, value >>= 4)
        dst[i] = "0123456789abcdef"[value & 15];
}

int request_id_source_init(struct request_id_source *source)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        return -errno;
    write_hex(source->prefix, seed);
    source->next = 0;
    return 0;
}

void request_id_make(struct request_id_source *source, char ret_id[REQUEST_ID_MADE_LEN])
{
    memcpy(ret_id, source->prefix, sizeof(source->prefix));
    write_hex(ret_id + sizeof(source->prefix), source->next++);
}

bool request_id_is_sane(struct text id)
{
    return id.len > 0 && id.len <= REQUEST_ID_MAX && text_is_visible(id);
}
