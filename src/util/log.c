#include "util/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/escape.h"
#include "util/log_sink.h"
#include "util/utf8.h"

#define CUT_MARK "…[cut]"
/* What follows a message. */
#define TEXT_TAIL "\n"
#define JSON_TAIL "\"}\n"

enum {
    CUT_SIZE = sizeof(CUT_MARK) - 1,
    /* most bytes that one escaped part of a line may take */
    ROLE_SIZE = 64,
    REQUEST_ID_SIZE = 768,
    REMOTE_SIZE = 160,
    METHOD_SIZE = 64,
    PATH_SIZE = 2048,
    USER_AGENT_SIZE = 512,
    TRACEPARENT_SIZE = 64,
    /* numbers, field names, time, level */
    FIXED_SIZE = 400,
};

static_assert(ROLE_SIZE + REQUEST_ID_SIZE + REMOTE_SIZE + METHOD_SIZE + PATH_SIZE +
                      USER_AGENT_SIZE + TRACEPARENT_SIZE + FIXED_SIZE <=
                  LOG_LINE_SIZE,
              "an access line must fit");

struct line {
    size_t len;
    char bytes[LOG_LINE_SIZE];
};

/* The log's state: global, because every layer logs. */
static struct {
    bool ready;
    bool json;
    int level;
    int index;
    pid_t pid;
    struct log_sink sink;
    char role[ROLE_SIZE];
    /* role and index as the current format shows them: `worker 2`, `"role":"worker","index":2,…` */
    char who[2 * ROLE_SIZE];
    size_t who_len;
    /* the second that `stamp` shows, up to its milliseconds, and the zone's offset */
    time_t stamp_second;
    char stamp[24];
    char offset[8];
    _Atomic uint64_t own_drops;
    _Atomic uint64_t *drops;
    /* dropped by this process since it last said so */
    uint64_t unreported;
} state = {
    .level = LOG_LEVEL_INFO,
    .index = -1,
    .role = "ticketd",
    .stamp_second = -1,
    .drops = &state.own_drops,
};

static const char *const level_names[] = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};

/* ---- parts of a line ---- */

static void put(struct line *line, const char *text, size_t len)
{
    assert(len <= sizeof(line->bytes) - line->len);
    memcpy(line->bytes + line->len, text, len);
    line->len += len;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static void put_unsigned(struct line *line, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(line, digits + at, sizeof(digits) - at);
}

/* Escapes into at most `size` bytes, mark included when it had to be cut. */
static void put_escaped(struct line *line, size_t size, const char *text, size_t len,
                        const char *also)
{
    char *at = line->bytes + line->len;
    size_t room = size - CUT_SIZE;
    size_t taken = 0;

    assert(size >= CUT_SIZE && size <= sizeof(line->bytes) - line->len);
    line->len += state.json ? escape_json(at, room, text, len, &taken)
                            : escape_text(at, room, text, len, also, &taken);
    if (taken < len)
        put(line, CUT_MARK, CUT_SIZE);
}

static void put_field(struct line *line, const char *name, size_t size, const char *text,
                      size_t len)
{
    put_text(line, name);
    put_escaped(line, size, text, len, "");
    put(line, "\"", 1);
}

/* ---- time, level, role, request ---- */

static void set_stamp(time_t second)
{
    struct tm local = {0};
    char zone[8] = "+0000";

    localtime_r(&second, &local);
    if (strftime(state.stamp, sizeof(state.stamp), "%Y-%m-%dT%H:%M:%S", &local) == 0)
        state.stamp[0] = '\0';
    if (strftime(zone, sizeof(zone), "%z", &local) != 5)
        memcpy(zone, "+0000", sizeof("+0000"));
    (void)snprintf(state.offset, sizeof(state.offset), "%.3s:%.2s", zone, zone + 3);
    state.stamp_second = second;
}

static void put_time(struct line *line)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != state.stamp_second)
        set_stamp(now.tv_sec);

    unsigned ms = (unsigned)(now.tv_nsec / 1000000);
    const char fraction[] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                             (char)('0' + ms % 10)};
    put_text(line, state.stamp);
    put(line, fraction, sizeof(fraction));
    put_text(line, state.offset);
}

static void put_head(struct line *line, enum log_level level, const char *request_id, size_t len)
{
    put_text(line, state.json ? "{\"time\":\"" : "");
    put_time(line);
    put_text(line, state.json ? "\",\"level\":\"" : " ");
    put_text(line, level_names[level]);
    put_text(line, state.json ? "\"," : " ");
    put(line, state.who, state.who_len);
    if (len == 0)
        return;
    put_text(line, state.json ? ",\"request_id\":\"" : " [");
    put_escaped(line, REQUEST_ID_SIZE, request_id, len, "] ");
    put_text(line, state.json ? "\"" : "]");
}

static void set_who(void)
{
    char role[ROLE_SIZE];
    char index[24] = "";
    size_t taken = 0;
    size_t len = strlen(state.role);
    int role_len;
    int who_len;

    if (state.json) {
        role_len = (int)escape_json(role, sizeof(role), state.role, len, &taken);
        if (state.index >= 0)
            (void)snprintf(index, sizeof(index), ",\"index\":%d", state.index);
        who_len = snprintf(state.who, sizeof(state.who), "\"role\":\"%.*s\"%s,\"pid\":%d", role_len,
                           role, index, (int)state.pid);
    } else {
        role_len = (int)escape_text(role, sizeof(role), state.role, len, ":[", &taken);
        if (state.index >= 0)
            (void)snprintf(index, sizeof(index), " %d", state.index);
        who_len = snprintf(state.who, sizeof(state.who), "%.*s%s", role_len, role, index);
    }
    assert(who_len >= 0 && (size_t)who_len < sizeof(state.who));
    state.who_len = (size_t)who_len;
}

/* ---- writing ---- */

static void count_drop(void)
{
    state.unreported++;
    /* Relaxed: a number for people, it orders nothing. */
    atomic_fetch_add_explicit(state.drops, 1, memory_order_relaxed);
}

static void __attribute__((format(printf, 3, 0)))
put_message(struct line *line, size_t size, const char *format, va_list arguments)
{
    char message[LOG_LINE_SIZE];
    int wanted = vsnprintf(message, sizeof(message), format, arguments);
    if (wanted < 0)
        wanted = snprintf(message, sizeof(message), "(unprintable message)");

    /* A message that is longer than this buffer is longer than the room in the line, too: escaping
     * shortens nothing.  So it is put_escaped that cuts it, at a character, and marks it. */
    assert(size < sizeof(message));
    size_t len = (size_t)wanted < sizeof(message) ? (size_t)wanted : sizeof(message) - 1;
    put_escaped(line, size, message, len, "");
}

static void __attribute__((format(printf, 5, 0)))
format_line(struct line *line, enum log_level level, const char *request_id, size_t len,
            const char *format, va_list arguments)
{
    const char *tail = state.json ? JSON_TAIL : TEXT_TAIL;

    line->len = 0;
    put_head(line, level, request_id, len);
    put_text(line, state.json ? ",\"message\":\"" : ": ");
    put_message(line, sizeof(line->bytes) - line->len - strlen(tail), format, arguments);
    put_text(line, tail);
}

static bool __attribute__((format(printf, 1, 2))) write_report(const char *format, ...)
{
    struct line line;
    va_list arguments;

    va_start(arguments, format);
    format_line(&line, LOG_LEVEL_WARNING, NULL, 0, format, arguments);
    va_end(arguments);
    return log_sink_write(&state.sink, line.bytes, line.len);
}

static void write_line(const struct line *line)
{
    if (state.unreported > 0) {
        if (!write_report("%" PRIu64 " log lines were dropped", state.unreported)) {
            count_drop();
            return;
        }
        state.unreported = 0;
    }
    if (!log_sink_write(&state.sink, line->bytes, line->len))
        count_drop();
}

static bool is_wanted(enum log_level level)
{
    assert(level >= LOG_LEVEL_DEBUG && level <= LOG_LEVEL_CRITICAL);
    if (!state.ready)
        log_init(&(struct log_options){.level = state.level, .json = state.json});
    return (int)level >= state.level;
}

/* ---- the interface ---- */

void log_init(const struct log_options *options)
{
    assert(options->level >= LOG_LEVEL_DEBUG && options->level <= LOG_LEVEL_CRITICAL);
    int saved_errno = errno;

    /* Without the locale everything but ASCII is escaped: nothing is lost. */
    (void)utf8_init();
    tzset();
    state.level = options->level;
    state.json = options->json;
    state.pid = getpid();
    state.stamp_second = -1;
    set_who();
    log_sink_open(&state.sink);
    state.ready = true;
    errno = saved_errno;
}

void log_set_role(const char *role, int index)
{
    (void)snprintf(state.role, sizeof(state.role), "%s", role);
    state.index = index;
    state.pid = getpid();
    set_who();
}

void log_count_drops_in(_Atomic uint64_t *counter)
{
    uint64_t so_far = atomic_exchange_explicit(&state.own_drops, 0, memory_order_relaxed);
    state.drops = counter ? counter : &state.own_drops;
    atomic_fetch_add_explicit(state.drops, so_far, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(state.drops, memory_order_relaxed);
}

static void __attribute__((format(printf, 4, 0)))
write_arguments(enum log_level level, const char *request_id, size_t len, const char *format,
                va_list arguments)
{
    int saved_errno = errno;
    if (is_wanted(level)) {
        struct line line;
        errno = saved_errno; /* for %m */
        format_line(&line, level, request_id, len, format, arguments);
        write_line(&line);
    }
    errno = saved_errno;
}

void log_write(enum log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_arguments(level, NULL, 0, format, arguments);
    va_end(arguments);
}

void log_request(enum log_level level, const char *request_id, size_t len, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_arguments(level, request_id, len, format, arguments);
    va_end(arguments);
}

static void put_access_json(struct line *line, const struct log_access *access, const char *remote)
{
    put_text(line, ",\"event\":\"access\"");
    put_field(line, ",\"remote\":\"", REMOTE_SIZE, remote, strlen(remote));
    put_field(line, ",\"method\":\"", METHOD_SIZE, access->method, access->method_len);
    put_field(line, ",\"path\":\"", PATH_SIZE, access->path, access->path_len);
    put_text(line, ",\"status\":");
    put_unsigned(line, (uint64_t)access->status);
    put_text(line, ",\"bytes\":");
    put_unsigned(line, access->bytes);
    put_text(line, ",\"duration_us\":");
    put_unsigned(line, access->duration_us);
    if (access->user_agent_len > 0)
        put_field(line, ",\"user_agent\":\"", USER_AGENT_SIZE, access->user_agent,
                  access->user_agent_len);
    if (access->traceparent_len > 0)
        put_field(line, ",\"traceparent\":\"", TRACEPARENT_SIZE, access->traceparent,
                  access->traceparent_len);
    put_text(line, "}\n");
}

static void put_access_text(struct line *line, const struct log_access *access, const char *remote)
{
    put_text(line, ": ");
    put_escaped(line, REMOTE_SIZE, remote, strlen(remote), " ");
    put_text(line, " \"");
    put_escaped(line, METHOD_SIZE, access->method, access->method_len, "\" ");
    put_text(line, " ");
    put_escaped(line, PATH_SIZE, access->path, access->path_len, "\" ");
    put_text(line, "\" ");
    put_unsigned(line, (uint64_t)access->status);
    put_text(line, " ");
    put_unsigned(line, access->bytes);
    put_text(line, " bytes ");
    put_unsigned(line, access->duration_us);
    put_text(line, " us");
    if (access->user_agent_len > 0) {
        put_text(line, " \"");
        put_escaped(line, USER_AGENT_SIZE, access->user_agent, access->user_agent_len, "\"");
        put_text(line, "\"");
    }
    if (access->traceparent_len > 0) {
        put_text(line, " trace ");
        put_escaped(line, TRACEPARENT_SIZE, access->traceparent, access->traceparent_len, " ");
    }
    put_text(line, "\n");
}

void log_access(const struct log_access *access)
{
    int saved_errno = errno;
    assert(access->status >= 0);
    if (is_wanted(LOG_LEVEL_INFO)) {
        struct line line;
        const char *remote = access->remote ? access->remote : "-";
        line.len = 0;
        put_head(&line, LOG_LEVEL_INFO, access->request_id, access->request_id_len);
        if (state.json)
            put_access_json(&line, access, remote);
        else
            put_access_text(&line, access, remote);
        write_line(&line);
    }
    errno = saved_errno;
}
