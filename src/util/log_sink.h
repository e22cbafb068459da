/* Where log lines go: file descriptor 2, written so that it can never block.  For util/log only;
 * every process has its own.  Never changes the flags of the descriptor that it was given, because
 * a shell or another process may share its open file description. */
#ifndef TICKETD_UTIL_LOG_SINK_H
#define TICKETD_UTIL_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum log_sink_kind {
    LOG_SINK_UNOPENED = 0,
    /* a regular file: plain write */
    LOG_SINK_FILE,
    /* a pipe or terminal, opened a second time without blocking; `fd` is our own */
    LOG_SINK_REOPENED,
    /* a socket: send without waiting */
    LOG_SINK_SOCKET,
    /* journald's stream, and beside it the socket that takes fields; `fd` is our own */
    LOG_SINK_JOURNAL,
    /* could not be opened again: asked whether it has room before each write */
    LOG_SINK_POLLED,
};

struct log_sink {
    enum log_sink_kind kind;
    int fd;
    /* what descriptor 2 was when the sink was opened */
    dev_t device;
    ino_t inode;
    /* the last line was written in part: the next one starts with a newline */
    bool torn;
};

/* Where journald takes entries with fields (systemd.io/JOURNAL_NATIVE_PROTOCOL); a test may put a
 * socket of its own here before the sink is opened. */
extern const char *log_sink_journal_path;

/* Looks at descriptor 2 and prepares to write to it; may be called again, and follows a descriptor
 * 2 that has changed.  A closed descriptor 2 is taken by /dev/null, so that no socket can become
 * it.  Ignores SIGPIPE unless the process handles it.  Cannot fail. */
void log_sink_open(struct log_sink *sink);

/* Writes one line (newline included) or nothing; never blocks.  False: the line was dropped. */
bool log_sink_write(struct log_sink *sink, const char *line, size_t len);

/* The same for an entry of the journal, where log_sink_takes_fields: `fields` is any number of
 * NAME=value lines.  Nobody waits for journald either. */
bool log_sink_write_fields(struct log_sink *sink, const char *fields, size_t fields_len,
                           const char *line, size_t len);

/* Whether this process's journal takes fields. */
static inline bool log_sink_takes_fields(const struct log_sink *sink)
{
    return sink->kind == LOG_SINK_JOURNAL;
}

#endif
