#include "fault_vfs.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

enum {
    SECTOR = 512,
    /* Generous: a test that reaches it is wrong. */
    OPERATIONS_MAX = 1 << 16,
};

enum operation_kind {
    OPERATION_WRITE,
    OPERATION_TRUNCATE,
    OPERATION_SYNC,        /* all before it of this file is on disk, but what was lost */
    OPERATION_FAILED_SYNC, /* all before it of this file that is not on disk is lost */
    OPERATION_REMOVE,
};

struct operation {
    enum operation_kind kind;
    enum fault_file file;
    sqlite3_int64 offset; /* or the new size */
    int size;
    unsigned char *bytes;
};

struct fault_handle {
    sqlite3_file base; /* first: SQLite's view of it */
    sqlite3_file *real;
    bool watched;
    enum fault_file file;
    unsigned life; /* after how many deaths it was opened */
};

static const char *const suffixes[FAULT_FILES] = {"", "-wal", "-journal"};

static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    bool installed;
    struct operation *operations;
    size_t count;
    struct fault_plan plan;
    bool planned;
    unsigned counts[FAULT_KINDS];
    unsigned failed;
    unsigned life;
    bool dead;
    bool blind; /* nothing is recorded, nothing fails */
} disk;

static struct fault_handle *handle_of(sqlite3_file *file)
{
    return (struct fault_handle *)file;
}

static bool is_dead(const struct fault_handle *handle)
{
    return disk.dead || handle->life != disk.life;
}

static void record(enum operation_kind kind, enum fault_file file, sqlite3_int64 offset,
                   const void *bytes, int size)
{
    struct operation *operation;

    if (disk.blind)
        return;
    assert(disk.count < OPERATIONS_MAX);
    if (!disk.operations)
        disk.operations = calloc(OPERATIONS_MAX, sizeof(*disk.operations));
    assert(disk.operations);
    operation = &disk.operations[disk.count++];
    *operation = (struct operation){.kind = kind, .file = file, .offset = offset, .size = size};
    if (size > 0) {
        operation->bytes = malloc((size_t)size);
        assert(operation->bytes);
        memcpy(operation->bytes, bytes, (size_t)size);
    }
}

static bool fails(enum fault_kind kind)
{
    unsigned number;

    if (disk.blind)
        return false;
    number = ++disk.counts[kind];
    if (!disk.planned || disk.plan.kind != kind || number < disk.plan.at ||
        number - disk.plan.at >= disk.plan.length)
        return false;
    disk.failed++;
    return true;
}

static int fault_close(sqlite3_file *file)
{
    struct fault_handle *handle = handle_of(file);

    return handle->real->pMethods ? handle->real->pMethods->xClose(handle->real) : SQLITE_OK;
}

static int fault_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 offset)
{
    sqlite3_file *real = handle_of(file)->real;

    return real->pMethods->xRead(real, bytes, size, offset);
}

static int write_real(struct fault_handle *handle, const void *bytes, int size,
                      sqlite3_int64 offset)
{
    int rc = handle->real->pMethods->xWrite(handle->real, bytes, size, offset);

    if (rc == SQLITE_OK && handle->watched)
        record(OPERATION_WRITE, handle->file, offset, bytes, size);
    return rc;
}

static int fault_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    struct fault_handle *handle = handle_of(file);

    if (is_dead(handle))
        return SQLITE_IOERR_WRITE;
    if (handle->watched && fails(FAULT_WRITE)) {
        if (disk.plan.torn)
            (void)write_real(handle, bytes, size / 2, offset);
        return disk.plan.rc;
    }
    return write_real(handle, bytes, size, offset);
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct fault_handle *handle = handle_of(file);
    int rc;

    if (is_dead(handle))
        return SQLITE_IOERR_TRUNCATE;
    if (handle->watched && fails(FAULT_WRITE))
        return disk.plan.rc;
    rc = handle->real->pMethods->xTruncate(handle->real, size);
    if (rc == SQLITE_OK && handle->watched)
        record(OPERATION_TRUNCATE, handle->file, size, NULL, 0);
    return rc;
}

/* The real sync is left out: no test cuts this machine's power. */
static int fault_sync(sqlite3_file *file, int flags)
{
    struct fault_handle *handle = handle_of(file);

    (void)flags;
    if (is_dead(handle))
        return SQLITE_IOERR_FSYNC;
    if (!handle->watched)
        return SQLITE_OK;
    if (fails(FAULT_SYNC)) {
        record(OPERATION_FAILED_SYNC, handle->file, 0, NULL, 0);
        return disk.plan.rc;
    }
    record(OPERATION_SYNC, handle->file, 0, NULL, 0);
    return SQLITE_OK;
}

static int fault_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    sqlite3_file *real = handle_of(file)->real;

    return real->pMethods->xFileSize(real, ret_size);
}

static int fault_lock(sqlite3_file *file, int level)
{
    sqlite3_file *real = handle_of(file)->real;

    return real->pMethods->xLock(real, level);
}

static int fault_unlock(sqlite3_file *file, int level)
{
    sqlite3_file *real = handle_of(file)->real;

    return real->pMethods->xUnlock(real, level);
}

static int fault_check_lock(sqlite3_file *file, int *ret_reserved)
{
    sqlite3_file *real = handle_of(file)->real;

    return real->pMethods->xCheckReservedLock(real, ret_reserved);
}

static int fault_control(sqlite3_file *file, int operation, void *argument)
{
    sqlite3_file *real = handle_of(file)->real;

    return real->pMethods->xFileControl(real, operation, argument);
}

static int fault_sector_size(sqlite3_file *file)
{
    sqlite3_file *real = handle_of(file)->real;

    return real->pMethods->xSectorSize(real);
}

static int fault_characteristics(sqlite3_file *file)
{
    sqlite3_file *real = handle_of(file)->real;

    return real->pMethods->xDeviceCharacteristics(real);
}

static int fault_shm_map(sqlite3_file *file, int page, int size, int extend,
                         void volatile **ret_memory)
{
    sqlite3_file *real = handle_of(file)->real;

    return real->pMethods->xShmMap(real, page, size, extend, ret_memory);
}

static int fault_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    sqlite3_file *real = handle_of(file)->real;

    return real->pMethods->xShmLock(real, offset, count, flags);
}

static void fault_shm_barrier(sqlite3_file *file)
{
    sqlite3_file *real = handle_of(file)->real;

    real->pMethods->xShmBarrier(real);
}

static int fault_shm_unmap(sqlite3_file *file, int remove)
{
    struct fault_handle *handle = handle_of(file);

    return handle->real->pMethods->xShmUnmap(handle->real, remove && !is_dead(handle));
}

static const struct sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector_size,
    .xDeviceCharacteristics = fault_characteristics,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                      int *ret_flags)
{
    struct fault_handle *handle = handle_of(file);
    int rc;

    (void)vfs;
    memset(handle, 0, sizeof(*handle));
    handle->real = (sqlite3_file *)(handle + 1);
    handle->watched =
        (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    handle->file = flags & SQLITE_OPEN_WAL            ? FAULT_LOG
                   : flags & SQLITE_OPEN_MAIN_JOURNAL ? FAULT_JOURNAL
                                                      : FAULT_DATABASE;
    handle->life = disk.life;
    rc = disk.real->xOpen(disk.real, name, handle->real, flags, ret_flags);
    handle->base.pMethods = handle->real->pMethods ? &methods : NULL;
    return rc;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static int fault_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    int rc;

    (void)vfs;
    if (disk.dead)
        return SQLITE_IOERR_DELETE;
    rc = disk.real->xDelete(disk.real, name, 0);
    for (enum fault_file file = FAULT_LOG; rc == SQLITE_OK && file < FAULT_FILES; file++) {
        if (ends_with(name, suffixes[file])) {
            record(OPERATION_REMOVE, file, 0, NULL, 0);
            if (sync_folder)
                record(OPERATION_SYNC, file, 0, NULL, 0);
        }
    }
    return rc;
}

void fault_install(void)
{
    assert(!disk.installed);
    disk.real = sqlite3_vfs_find(NULL);
    disk.vfs = *disk.real;
    disk.vfs.zName = "fault";
    disk.vfs.pNext = NULL;
    disk.vfs.szOsFile = (int)sizeof(struct fault_handle) + disk.real->szOsFile;
    disk.vfs.xOpen = fault_open;
    disk.vfs.xDelete = fault_delete;
    disk.installed = true;
    (void)sqlite3_vfs_register(&disk.vfs, 1);
}

void fault_uninstall(void)
{
    (void)sqlite3_vfs_unregister(&disk.vfs);
    (void)sqlite3_vfs_register(disk.real, 1);
    disk.installed = false;
    fault_forget();
    free(disk.operations);
    disk.operations = NULL;
}

void fault_forget(void)
{
    for (size_t i = 0; i < disk.count; i++)
        free(disk.operations[i].bytes);
    disk.count = 0;
    fault_clear();
}

void fault_set(const struct fault_plan *plan)
{
    fault_clear();
    disk.plan = *plan;
    disk.planned = true;
    disk.failed = 0;
}

void fault_clear(void)
{
    disk.planned = false;
    memset(disk.counts, 0, sizeof(disk.counts));
}

unsigned fault_failed(void)
{
    return disk.failed;
}

void fault_watch(bool watch)
{
    disk.blind = !watch;
}

void fault_kill(void)
{
    disk.dead = true;
}

void fault_revive(void)
{
    disk.dead = false;
    disk.life++;
}

size_t fault_moment(void)
{
    return disk.count;
}

struct image {
    unsigned char *bytes;
    size_t size, room;
    size_t pending[OPERATIONS_MAX]; /* operations that no sync has covered yet */
    size_t pending_count;
    bool stale; /* the file was removed, and that was lost: what came later went elsewhere */
};

/* splitmix64 of three numbers: the same image for the same seed. */
static uint64_t choice(uint64_t seed, uint64_t operation, uint64_t sector)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15U + operation * 0xbf58476d1ce4e5b9U + sector;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    return x ^ x >> 31;
}

enum fate {
    FATE_KEPT,
    FATE_TORN,
    FATE_DROPPED,
};

static enum fate fate_of(uint64_t seed, size_t number)
{
    if (seed <= 1)
        return seed == 0 ? FATE_KEPT : FATE_DROPPED;
    /* Some crashes come early, some late: how likely a write is there is the image's own. */
    uint64_t kept_of_8 = choice(seed, UINT64_MAX, 0) % 9;
    uint64_t drawn = choice(seed, number, 0);

    if (drawn % 8 == 0)
        return FATE_TORN;
    return drawn / 8 % 8 < kept_of_8 ? FATE_KEPT : FATE_DROPPED;
}

static void set_size(struct image *image, size_t size)
{
    if (size > image->room) {
        image->room = size * 2;
        image->bytes = realloc(image->bytes, image->room);
        assert(image->bytes);
    }
    /* What is beyond the end reads as zeros when the file grows again. */
    if (size > image->size)
        memset(image->bytes + image->size, 0, size - image->size);
    image->size = size;
}

static void put(struct image *image, size_t offset, const unsigned char *bytes, size_t size)
{
    if (offset + size > image->size)
        set_size(image, offset + size);
    memcpy(image->bytes + offset, bytes, size);
}

/* Sectors are counted from the file's start: a write that is torn is torn at their edges. */
static void put_torn(struct image *image, const struct operation *write, uint64_t seed,
                     size_t number)
{
    size_t offset = (size_t)write->offset, end = offset + (size_t)write->size;

    while (offset < end) {
        size_t next = (offset / SECTOR + 1) * SECTOR;
        size_t size = (next < end ? next : end) - offset;

        if (choice(seed, number, offset / SECTOR + 1) % 2)
            put(image, offset, write->bytes + (offset - (size_t)write->offset), size);
        offset += size;
    }
}

static void apply(struct image *image, size_t number, enum fate fate, uint64_t seed)
{
    const struct operation *operation = &disk.operations[number];

    if (image->stale)
        return;
    switch (operation->kind) {
    case OPERATION_WRITE:
        if (fate == FATE_KEPT)
            put(image, (size_t)operation->offset, operation->bytes, (size_t)operation->size);
        else if (fate == FATE_TORN)
            put_torn(image, operation, seed, number);
        break;
    case OPERATION_TRUNCATE:
        if (fate != FATE_DROPPED)
            set_size(image, (size_t)operation->offset);
        break;
    case OPERATION_REMOVE:
        if (fate != FATE_DROPPED)
            set_size(image, 0);
        else
            image->stale = true;
        break;
    case OPERATION_SYNC:
    case OPERATION_FAILED_SYNC:
        break;
    }
}

/* With `durable`, the first `count` of what was pending are on disk; else chance decides about
 * each, once and for all. */
static void settle(struct image *image, size_t count, bool durable, uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        size_t number = image->pending[i];

        apply(image, number, durable ? FATE_KEPT : fate_of(seed, number), seed);
    }
    image->pending_count -= count;
    memmove(image->pending, image->pending + count, image->pending_count * sizeof(size_t));
}

/* A removal is the folder's business: SQLite syncs that with the first sync of a new log, the
 * ledger when it opens, and a journaling file system with every sync. */
static void settle_removals(struct image *images)
{
    for (enum fault_file file = 0; file < FAULT_FILES; file++) {
        size_t count = images[file].pending_count;

        while (count > 0 &&
               disk.operations[images[file].pending[count - 1]].kind != OPERATION_REMOVE)
            count--;
        settle(&images[file], count, true, 0);
    }
}

static void write_file(const struct image *image, const char *path, const char *suffix)
{
    char name[PATH_MAX];
    FILE *file;

    (void)snprintf(name, sizeof(name), "%s%s", path, suffix);
    (void)unlink(name);
    if (image->size == 0)
        return;
    file = fopen(name, "wb");
    assert(file);
    if (fwrite(image->bytes, 1, image->size, file) != image->size || fclose(file) != 0)
        abort();
}

void fault_image(size_t moment, uint64_t seed, const char *path)
{
    struct image *images = calloc(FAULT_FILES, sizeof(*images));
    char index[PATH_MAX];

    assert(images && moment <= disk.count);
    for (size_t number = 0; number < moment; number++) {
        const struct operation *operation = &disk.operations[number];
        struct image *image = &images[operation->file];

        if (operation->kind == OPERATION_SYNC) {
            settle(image, image->pending_count, true, seed);
            settle_removals(images);
        } else if (operation->kind == OPERATION_FAILED_SYNC) {
            settle(image, image->pending_count, false, seed);
        } else {
            image->pending[image->pending_count++] = number;
        }
    }
    for (enum fault_file file = 0; file < FAULT_FILES; file++) {
        settle(&images[file], images[file].pending_count, false, seed);
        write_file(&images[file], path, suffixes[file]);
        free(images[file].bytes);
    }
    (void)snprintf(index, sizeof(index), "%s-shm", path);
    (void)unlink(index);
    free(images);
}
