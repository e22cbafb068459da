/* A file made of given bytes, for readers that want a path.  Memory only: nothing to clean up. */
#ifndef TICKETD_TESTS_CONFIG_TEXT_FILE_H
#define TICKETD_TESTS_CONFIG_TEXT_FILE_H

#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmocka_first.h"

struct text_file {
    int fd;
    char path[32];
};

static inline struct text_file text_file_make(const char *text, size_t size)
{
    struct text_file file = {.fd = memfd_create("settings", MFD_CLOEXEC)};

    assert_true(file.fd >= 0);
    assert_int_equal(write(file.fd, text, size), size);
    (void)snprintf(file.path, sizeof(file.path), "/proc/self/fd/%d", file.fd);
    return file;
}

static inline void text_file_close(struct text_file *file)
{
    assert_int_equal(close(file->fd), 0);
}

#endif
