#include "assets/assets.h"

#include <assert.h>

static const struct asset *find(const struct asset *assets, uint32_t count, struct text name)
{
    for (uint32_t i = 0; i < count; ++i)
        if (text_equal(assets[i].name, name))
            return &assets[i];
    return NULL;
}

const struct asset *asset_file(struct text name)
{
    return find(asset_table.files, asset_table.file_count, name);
}

const struct asset *asset_page(struct text name)
{
    const struct asset *page = find(asset_table.pages, asset_table.page_count, name);

    assert(page != NULL && "every page is in the manifest");
    return page;
}
