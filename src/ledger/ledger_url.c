#include "ledger/ledger_url.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ticketd/error.h"
#include "util/escape.h"

enum {
    FOLDER_MODE = 0750,
    /* SQLite and the lock put a suffix behind the path. */
    LOCATION_MAX = PATH_MAX - 1 - (int)sizeof("-journal"),
    /* Of a value in a message: what is allowed must fit after it. */
    SHOWN_MAX = 200,
};

static const char sqlite_scheme[] = "sqlite:";
static const char memory_url[] = "memory:";
static const char default_folder[] = "var";
static const char default_name[] = "ledger.db";

static int refuse(const char *url, const char *why, char *error, size_t error_size)
{
    char shown[SHOWN_MAX];
    size_t taken, len = strlen(url);
    size_t written = escape_text(shown, sizeof(shown), url, len, "\"", &taken);

    (void)snprintf(error, error_size, "LEDGER_URL: \"%.*s%s\" %s", (int)written, shown,
                   taken < len ? "..." : "", why);
    return TICKETD_INVALID;
}

/* Joins folder and name; false if that is too long. */
static bool join(char ret_path[PATH_MAX], const char *folder, size_t folder_len, const char *name)
{
    bool slash = folder_len > 0 && folder[folder_len - 1] == '/';
    int len =
        snprintf(ret_path, PATH_MAX, "%.*s%s%s", (int)folder_len, folder, slash ? "" : "/", name);

    return len > 0 && len <= LOCATION_MAX;
}

/* The path of a ledger that was given none. */
static bool default_path(char ret_path[PATH_MAX])
{
    const char *folders = getenv("STATE_DIRECTORY");
    size_t len = folders ? strcspn(folders, ":") : 0;

    if (len > 0)
        return len < PATH_MAX && join(ret_path, folders, len, default_name);
    return join(ret_path, default_folder, sizeof(default_folder) - 1, default_name);
}

int ledger_place_find(const char *url, struct ledger_place *ret_place, char *error,
                      size_t error_size)
{
    struct ledger_place place = {.ops = &ledger_sqlite_ops, .durable = true};
    char chosen[PATH_MAX], working[PATH_MAX] = "";
    const char *path = url + sizeof(sqlite_scheme) - 1;
    bool fits;

    if (strcmp(url, memory_url) == 0) {
        *ret_place = (struct ledger_place){.ops = &ledger_memory_ops};
        return 0;
    }
    if (strncmp(url, sqlite_scheme, sizeof(sqlite_scheme) - 1) != 0)
        return refuse(url, "is not allowed: sqlite:PATH, sqlite: or memory:", error, error_size);
    fits =
        *path ? snprintf(chosen, sizeof(chosen), "%s", path) <= LOCATION_MAX : default_path(chosen);
    if (fits && chosen[0] != '/' && !getcwd(working, sizeof(working))) {
        int r = -errno;

        (void)snprintf(error, error_size, "LEDGER_URL: cannot tell the working directory: %s",
                       strerror(-r));
        return r;
    }
    if (fits && working[0])
        fits = join(place.location, working, strlen(working), chosen);
    else if (fits)
        memcpy(place.location, chosen, strlen(chosen) + 1);
    if (!fits)
        return refuse(url, "is too long: sqlite:PATH with a path that the system can open", error,
                      error_size);
    *ret_place = place;
    return 0;
}

/* A new folder's name is durable only when its parent is: the ledger's own syncs end at it. */
static int sync_parent(const char *folder)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(folder, '/');
    int fd, r = 0;

    (void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - folder) + 1, folder);
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        r = -errno;
    if (fd >= 0)
        (void)close(fd);
    return r;
}

int ledger_place_prepare(const struct ledger_place *place, char *error, size_t error_size)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(place->location, '/');
    int r = 0;

    if (!slash || slash == place->location)
        return 0;
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - place->location), place->location);
    if (mkdir(folder, FOLDER_MODE) == 0) {
        r = sync_parent(folder);
        if (r != 0)
            (void)rmdir(folder); /* the next start must not take it for durable */
    } else if (errno != EEXIST) {
        r = -errno;
    }
    if (r != 0)
        (void)snprintf(error, error_size, "cannot make the ledger's folder %s: %s", folder,
                       strerror(-r));
    return r;
}
