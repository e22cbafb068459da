/* The pages for people that ticketd serves, and the files that they are made of: embedded in the
 * binary by the build (meson.build, manifest), read by nobody else.  Fixed; any process. */
#ifndef TICKETD_ASSETS_ASSETS_H
#define TICKETD_ASSETS_ASSETS_H

#include <stdint.h>

#include "ticketd/text.h"

/* All of it is static. */
struct asset {
    struct text name; /* of a file it has a hash of the content, which so never changes */
    struct text type; /* Content-Type */
    struct text bytes;
    struct text gzip; /* the same, compressed */
    struct text etag; /* with its quotes; the compressed form has one of its own */
    struct text gzip_etag;
};

struct asset_table {
    const struct asset *files;
    uint32_t file_count;
    const struct asset *pages;
    uint32_t page_count;
};

/* There are two: the core library has one without what comes from npm, in a member of its own; an
 * executable that is linked with the whole one (`assets_whole` in meson.build) has no need of that
 * member, and so the linker leaves it alone. */
extern const struct asset_table asset_table;

/* The file of that name, with its hash; or NULL. */
const struct asset *asset_file(struct text name);

/* The page of that name, which there must be. */
const struct asset *asset_page(struct text name);

#endif
