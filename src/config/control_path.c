#include "config/control_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ticketd/error.h"

int control_path_find(const char *setting, const char *ledger, char ret_path[CONTROL_PATH_SIZE])
{
    const char *runtime = getenv("RUNTIME_DIRECTORY");
    char path[CONTROL_PATH_SIZE];
    int len;

    if (setting[0] != '\0')
        len = snprintf(path, sizeof(path), "%s", setting);
    else if (runtime != NULL && runtime[0] != '\0')
        len =
            snprintf(path, sizeof(path), "%.*s/control.sock", (int)strcspn(runtime, ":"), runtime);
    else if (ledger[0] != '\0')
        len = snprintf(path, sizeof(path), "%s.control", ledger);
    else
        return TICKETD_NOT_FOUND;
    if (len < 0 || (size_t)len >= sizeof(path))
        return TICKETD_INVALID;
    memcpy(ret_path, path, (size_t)len + 1);
    return TICKETD_DONE;
}
