/* The reader of .env files: NAME=VALUE lines, nothing expanded, nothing executed.
 *
 *   # comment              blank lines and comments, also after a value (after a blank)
 *   NAME=VALUE             blanks around NAME and VALUE are dropped; "export " before it may stand
 *   NAME='VALUE'           taken as it is
 *   NAME="VALUE"           \n \t \" \\ are escapes; any other backslash is an error
 *
 * Lines end with LF or CRLF; a value ends with its line; a UTF-8 byte order mark is skipped.
 * Any process may call these.  They never touch the environment and know no setting's name.
 * env_file_read blocks on the file. */
#ifndef TICKETD_CONFIG_ENV_FILE_H
#define TICKETD_CONFIG_ENV_FILE_H

#include <stddef.h>

enum {
    /* largest file, in bytes */
    ENV_FILE_SIZE_MAX = 65536,
    /* longest line, in bytes without its end */
    ENV_FILE_LINE_MAX = 4096,
};

struct env_file_problem {
    /* counted from 1; 0 if it is about the whole file */
    size_t line;
    /* a constant string */
    const char *what;
};

/* Called for each assignment in order; name and value live until it returns.  Anything but 0 ends
 * the reading and is what env_file_read returns. */
typedef int (*env_file_on_entry)(void *ctx, size_t line, const char *name, const char *value);

/* Reads the file.  0; what on_entry returned; TICKETD_INVALID with *ret_problem; or -errno. */
int env_file_read(const char *path, env_file_on_entry on_entry, void *ctx,
                  struct env_file_problem *ret_problem);

/* The same for text in memory, which is changed on the way: `text` has room for size + 1 bytes. */
int env_file_parse(char *text, size_t size, env_file_on_entry on_entry, void *ctx,
                   struct env_file_problem *ret_problem);

#endif
