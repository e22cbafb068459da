/* A folder for one test's files, in memory where the machine offers that. */
#ifndef TICKETD_TESTS_CRASH_SCRATCH_H
#define TICKETD_TESTS_CRASH_SCRATCH_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_first.h"

struct scratch {
    char folder[64];
    char ledger[96]; /* where the test's ledger goes */
};

static inline void scratch_make(struct scratch *scratch)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    (void)snprintf(scratch->folder, sizeof(scratch->folder), "%s/ticketd-test-XXXXXX", base);
    assert_non_null(mkdtemp(scratch->folder));
    (void)snprintf(scratch->ledger, sizeof(scratch->ledger), "%s/ledger.db", scratch->folder);
}

/* Removes what is in the folder, which has no folders in it. */
static inline void scratch_clear(const struct scratch *scratch)
{
    DIR *folder = opendir(scratch->folder);
    struct dirent *entry;

    assert_non_null(folder);
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    (void)closedir(folder);
}

static inline void scratch_remove(const struct scratch *scratch)
{
    scratch_clear(scratch);
    assert_int_equal(rmdir(scratch->folder), 0);
}

#endif
