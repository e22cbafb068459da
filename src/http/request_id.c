#include "http/request_id.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "util/append.h"

int request_id_source_init(struct request_id_source *source)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        return -errno;
    (void)append_hex_u64(source->prefix, seed);
    source->next = 0;
    return 0;
}

void request_id_make(struct request_id_source *source, char ret_id[REQUEST_ID_MADE_LEN])
{
    memcpy(ret_id, source->prefix, sizeof(source->prefix));
    (void)append_hex_u64(ret_id + sizeof(source->prefix), source->next++);
}

bool request_id_is_sane(struct text id)
{
    return id.len > 0 && id.len <= REQUEST_ID_MAX && text_is_visible(id);
}
