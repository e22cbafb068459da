/* The process's log: one line an event on descriptor 2.  Every process may call it, from one thread
 * and not from a signal handler; it works before log_init (level INFO, text, role "ticketd").
 *
 *   text   2026-11-22T11:43:57.123+00:00 INFO worker 2 [request-id]: message
 *   JSON   {"time":"…","level":"INFO","role":"worker","index":2,"pid":123,"request_id":"…",
 *           "message":"…"}
 *
 * It never blocks: a line that cannot be written at once is dropped and counted, and when lines go
 * out again one of them says how many were dropped.  It never allocates (but for the locale that
 * log_init opens), never changes errno, never fails, and lets nobody forge a line: whatever is not
 * a printable character is escaped.  A line is at most LOG_LINE_SIZE bytes, so that processes that
 * share a pipe cannot mix theirs; a longer one is cut and says so ("…[cut]"). */
#ifndef TICKETD_UTIL_LOG_H
#define TICKETD_UTIL_LOG_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the longest line, newline included: what POSIX promises to write in one piece. */
#define LOG_LINE_SIZE PIPE_BUF

/* In the order of the setting LOG_LEVEL. */
enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_CRITICAL,
};

struct log_options {
    /* least severe lines that are written: enum log_level */
    int level;
    bool json;
};

/* One answered request.  Strings with a _len need no end; any of them may be NULL with length 0. */
struct log_access {
    /* address of the client, NUL-terminated; NULL when unknown */
    const char *remote;
    const char *method;
    size_t method_len;
    /* as the client sent it */
    const char *path;
    size_t path_len;
    const char *request_id;
    size_t request_id_len;
    const char *user_agent;
    size_t user_agent_len;
    /* W3C Trace Context */
    const char *traceparent;
    size_t traceparent_len;
    /* HTTP status */
    int status;
    /* bytes of the answer's body */
    uint64_t bytes;
    uint64_t duration_us;
};

/* Applies the options and looks anew at descriptor 2; may be called as often as settings change,
 * and must be called after descriptors were closed wholesale (closefrom), before any is opened.
 * Ignores SIGPIPE unless the process handles it. */
void log_init(const struct log_options *options);

/* Says which process this is in each line from now on; copies `role` (a short word).  `index` −1
 * means that there is none.  To be called in each process after fork. */
void log_set_role(const char *role, int index);

/* From now on each line that a library prints on stdio's `stderr` is a line of this log ("stderr:
 * …"), for the life of the process: of level DEBUG what libh2o is known to chatter, of level ERROR
 * anything else, such as the last words of a failed assertion.  What is written to descriptor 2
 * past stdio is not seen.  Without memory nothing changes. */
void log_adopt_stderr(void);

/* Counts dropped lines in *counter (shared memory, or NULL for the process's own again).  What was
 * counted so far is added to it.  It must stay mapped as long as the process logs. */
void log_count_drops_in(_Atomic uint64_t *counter);

/* Lines dropped so far, as counted above. */
uint64_t log_dropped(void);

/* Writes one line if `level` is severe enough. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with the id of the request that it belongs to (`len` bytes; 0: none). */
void log_request(enum log_level level, const char *request_id, size_t len, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Writes one line, of level INFO, about an answered request. */
void log_access(const struct log_access *access);

#define log_debug(...)    log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)     log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...)  log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...)    log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_critical(...) log_write(LOG_LEVEL_CRITICAL, __VA_ARGS__)

#endif
