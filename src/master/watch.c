#include "master/watch.h"

#include <bsd/string.h>
#include <errno.h>
#include <libgen.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WATCH_EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ATTRIB)

static void look(const char *path, struct stat *ret_seen)
{
    if (stat(path, ret_seen) == -1)
        *ret_seen = (struct stat){0};
}

static int add(struct watch *watch, struct watch_file *file, const char *path)
{
    char folder[PATH_MAX];

    (void)strlcpy(file->path, path, sizeof(file->path));
    (void)strlcpy(folder, path, sizeof(folder));
    look(path, &file->seen);
    return inotify_add_watch(watch->fd, dirname(folder), WATCH_EVENTS) == -1 ? -errno : 0;
}

int watch_open(struct watch *watch, const char *binary, const char *config)
{
    int result;

    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd == -1)
        return -errno;
    result = add(watch, &watch->files[0], binary);
    if (result == 0)
        result = add(watch, &watch->files[1], config);
    if (result != 0)
        watch_close(watch);
    return result;
}

void watch_clear(struct watch *watch)
{
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

    while (read(watch->fd, events, sizeof(events)) > 0)
        continue;
}

static bool differs(const struct stat *a, const struct stat *b)
{
    return a->st_dev != b->st_dev || a->st_ino != b->st_ino || a->st_size != b->st_size ||
           a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

bool watch_changed(struct watch *watch)
{
    bool changed = false;

    for (int i = 0; i < WATCH_FILES; ++i) {
        struct stat now;
        look(watch->files[i].path, &now);
        if (now.st_ino == 0 || !differs(&now, &watch->files[i].seen))
            continue;
        watch->files[i].seen = now;
        changed = true;
    }
    return changed;
}

void watch_close(struct watch *watch)
{
    if (watch->fd != -1)
        close(watch->fd);
    watch->fd = -1;
}
