#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/json.h"
#include "util/log.h"
#include "util/utf8.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum {
    CAPTURE_SIZE = 256 * 1024,
    /* a child that blocks is ended by SIGALRM after so many seconds */
    CHILD_SECONDS = 10,
};

/* Inside a child, where cmocka's assertions cannot report: leaves the line number as status. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            _exit(__LINE__ % 255 + 1);                                                             \
    } while (0)

/* Runs `body` in a child whose descriptor 2 is `fd` (−1: closed) and expects it to return. */
static void run_child(void (*body)(void *), void *context, int fd)
{
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(CHILD_SECONDS);
        if (fd >= 0)
            dup2(fd, STDERR_FILENO);
        else
            close(STDERR_FILENO);
        body(context);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("child ended with status 0x%x (check in line %d mod 255)", status,
                 WEXITSTATUS(status) - 1);
}

/* What `body` logged, NUL-terminated; the caller frees it. */
static char *capture(void (*body)(void *), void *context)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    run_child(body, context, fd);
    char *text = calloc(1, CAPTURE_SIZE);
    assert_non_null(text);
    assert_true(pread(fd, text, CAPTURE_SIZE - 1, 0) >= 0);
    close(fd);
    return text;
}

static void expect_match(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, text, 0, NULL, 0) != 0)
        fail_msg("%s does not match %s", text, pattern);
    regfree(&regex);
}

/* One line, newline at its end and nowhere else, not too long, valid UTF-8, all printable. */
static void expect_one_clean_line(const char *text)
{
    size_t len = strlen(text);
    assert_true(len > 0 && len <= LOG_LINE_SIZE);
    assert_ptr_equal(strchr(text, '\n'), text + len - 1);
    for (size_t at = 0; at < len - 1;) {
        uint32_t character = 0;
        size_t used = utf8_decode(text + at, len - at, &character);
        assert_true(used > 0);
        assert_true(utf8_printable(character));
        at += used;
    }
}

/* The line as a JSON document; the caller releases it. */
static struct json_document expect_json_line(const char *text)
{
    struct json_document document;
    expect_one_clean_line(text);
    if (json_parse(&document, text, strlen(text)) != 0)
        fail_msg("%s: %s", document.reason, text);
    return document;
}

static void expect_member(const struct json_document *document, const char *name,
                          const char *expected)
{
    const char *value = NULL;
    assert_int_equal(json_get_string(document, name, &value), 0);
    assert_string_equal(value, expected);
}

#define TIME "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}[+-][0-9]{2}:[0-9]{2}"

static void log_before_init(void *context)
{
    (void)context;
    log_debug("not shown");
    log_info("hello %d", 5);
}

/* The log works before it is set up: text, INFO, role ticketd. */
static void test_defaults_before_init(void **state)
{
    (void)state;
    char *text = capture(log_before_init, NULL);
    expect_match(text, "^" TIME " INFO ticketd: hello 5\n$");
    free(text);
}

static void log_as_master_and_worker(void *context)
{
    (void)context;
    setenv("TZ", "TEST-5:45", 1);
    log_init(&(struct log_options){.level = LOG_LEVEL_DEBUG});
    log_set_role("master", -1);
    log_critical("first");
    log_set_role("worker", 2);
    log_request(LOG_LEVEL_DEBUG, "abcXYZ", 3, "second");
}

/* Text lines look as documented, with and without index and request id, in the local zone. */
static void test_text_shape(void **state)
{
    (void)state;
    char *text = capture(log_as_master_and_worker, NULL);
    expect_match(text,
                 "^" TIME " CRITICAL master: first\n" TIME " DEBUG worker 2 \\[abc\\]: second\n$");
    expect_match(text, "[+]05:45 CRITICAL");
    free(text);
}

static void log_json_with_everything(void *context)
{
    (void)context;
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO, .json = true});
    log_set_role("worker", 2);
    log_request(LOG_LEVEL_WARNING, "id-1", 4, "say \"%s\"", "hi");
}

static void log_json_with_little(void *context)
{
    (void)context;
    log_set_role("master", -1);
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO, .json = true});
    log_error("x");
}

/* JSON lines have the documented members, and leave out what is absent. */
static void test_json_shape(void **state)
{
    (void)state;
    int64_t number = -1;
    const char *absent = NULL;
    char *text = capture(log_json_with_everything, NULL);
    struct json_document document = expect_json_line(text);
    expect_match(text, "^[{]\"time\":\"" TIME "\",\"level\":\"WARNING\",\"role\":\"worker\",");
    expect_member(&document, "request_id", "id-1");
    expect_member(&document, "message", "say \"hi\"");
    assert_int_equal(json_get_integer(&document, "index", 2, 2, &number), 0);
    assert_int_equal(json_get_integer(&document, "pid", 2, INT32_MAX, &number), 0);
    assert_true(number != getpid());
    json_release(&document);
    free(text);

    text = capture(log_json_with_little, NULL);
    document = expect_json_line(text);
    expect_member(&document, "role", "master");
    assert_int_equal(json_get_integer(&document, "index", 0, 9, &number), JSON_MISSING);
    assert_int_equal(json_get_string(&document, "request_id", &absent), JSON_MISSING);
    json_release(&document);
    free(text);
}

/* ---- forging ---- */

struct forging_case {
    const char *message;
    /* how text shows it */
    const char *escaped;
    /* how a reader of the JSON sees it; NULL: as it was */
    const char *decoded;
};

static const struct forging_case forgings[] = {
    {"plain caf\xc3\xa9 \xf0\x9f\x98\x80", "plain caf\xc3\xa9 \xf0\x9f\x98\x80", NULL},
    {"x\n2026-11-22T11:43:57.123+00:00 INFO master: all is well",
     "x\\n2026-11-22T11:43:57.123+00:00 INFO master: all is well", NULL},
    {"x\r\n", "x\\r\\n", NULL},
    {"a\tb\x0b\x0c", "a\\tb\\x0b\\x0c", NULL},
    {"\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07", NULL},
    {"del\x7f", "del\\x7f", NULL},
    {"literal \\n and \\x1b", "literal \\\\n and \\\\x1b", NULL},
    {"x\",\"level\":\"DEBUG\"}", "x\",\"level\":\"DEBUG\"}", NULL},
    {"x\\", "x\\\\", NULL},
    {"csi \xc2\x9b"
     "2J nel \xc2\x85",
     "csi \\u009b2J nel \\u0085", NULL},
    {"ls \xe2\x80\xa8 ps \xe2\x80\xa9", "ls \\u2028 ps \\u2029", NULL},
    {"bidi \xe2\x80\xae\xe2\x81\xa6", "bidi \\u202e\\u2066", NULL},
    {"tag \xf3\xbf\xbf\xbf", "tag \\U000fffff", NULL},
    {"bad \xff\xc3", "bad \\xff\\xc3", "bad \xef\xbf\xbd\xef\xbf\xbd"},
    {"raw c1 \x9b", "raw c1 \\x9b", "raw c1 \xef\xbf\xbd"},
    {"overlong \xc0\x8a", "overlong \\xc0\\x8a", "overlong \xef\xbf\xbd\xef\xbf\xbd"},
    {"surrogate \xed\xa0\x80", "surrogate \\xed\\xa0\\x80",
     "surrogate \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"%s%n", "%s%n", NULL},
    {"", "", NULL},
};

static void log_text_message(void *context)
{
    log_info("%s", (const char *)context);
}

static void log_json_message(void *context)
{
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO, .json = true});
    log_info("%s", (const char *)context);
}

/* Nothing in a message starts a line of its own or reaches the terminal as a command. */
static void test_text_cannot_be_forged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(forgings); i++) {
        char *text = capture(log_text_message, (void *)(uintptr_t)forgings[i].message);
        expect_one_clean_line(text);
        const char *message = strstr(text, "ticketd: ");
        assert_non_null(message);
        text[strlen(text) - 1] = '\0';
        assert_string_equal(message + strlen("ticketd: "), forgings[i].escaped);
        free(text);
    }
}

/* Nothing in a message breaks the JSON, and a reader gets back what was meant. */
static void test_json_cannot_be_forged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(forgings); i++) {
        const struct forging_case *forging = &forgings[i];
        char *text = capture(log_json_message, (void *)(uintptr_t)forging->message);
        struct json_document document = expect_json_line(text);
        expect_member(&document, "level", "INFO");
        expect_member(&document, "message", forging->decoded ? forging->decoded : forging->message);
        json_release(&document);
        free(text);
    }
}

static const char hostile_id[] = "a]: x\" \n\\";

static const struct log_access hostile_access = {
    .remote = "2001:db8::1",
    .method = "GE\"T",
    .method_len = 4,
    .path = "/a b\" 200 \r\n\x1b\xff\\",
    .path_len = 15,
    .request_id = hostile_id,
    .request_id_len = sizeof(hostile_id) - 1,
    .user_agent = "k6 \" 1",
    .user_agent_len = 6,
    .traceparent = "00-\" \n",
    .traceparent_len = 6,
    .status = 404,
    .bytes = 18446744073709551615u,
    .duration_us = 0,
};

static void log_one_access(void *context)
{
    log_access(context);
}

static void log_one_access_json(void *context)
{
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO, .json = true});
    log_access(context);
}

/* In an access line a client can end neither its field nor the line. */
static void test_access_text_cannot_be_forged(void **state)
{
    (void)state;
    char *text = capture(log_one_access, (void *)(uintptr_t)&hostile_access);
    expect_one_clean_line(text);
    expect_match(text, "^" TIME " INFO ticketd ");
    const char *rest = strstr(text, " [");
    assert_non_null(rest);
    assert_string_equal(rest,
                        " [a\\x5d:\\x20x\"\\x20\\n\\\\]: 2001:db8::1 "
                        "\"GE\\x22T /a\\x20b\\x22\\x20200\\x20\\r\\n\\x1b\\xff\\\\\" 404 "
                        "18446744073709551615 bytes 0 us \"k6 \\x22 1\" trace 00-\"\\x20\\n\n");
    free(text);
}

/* The JSON form of an access line has one member for each part, and hostile ones stay inside. */
static void test_access_json_cannot_be_forged(void **state)
{
    (void)state;
    int64_t number = -1;
    char *text = capture(log_one_access_json, (void *)(uintptr_t)&hostile_access);
    struct json_document document = expect_json_line(text);
    expect_member(&document, "event", "access");
    expect_member(&document, "request_id", hostile_id);
    expect_member(&document, "method", "GE\"T");
    expect_member(&document, "path", "/a b\" 200 \r\n\x1b\xef\xbf\xbd\\");
    expect_member(&document, "remote", "2001:db8::1");
    expect_member(&document, "user_agent", "k6 \" 1");
    expect_member(&document, "traceparent", "00-\" \n");
    assert_int_equal(json_get_integer(&document, "status", 404, 404, &number), 0);
    assert_int_equal(json_get_integer(&document, "duration_us", 0, 0, &number), 0);
    assert_non_null(strstr(text, "\"bytes\":18446744073709551615,"));
    json_release(&document);
    free(text);
}

/* ---- truncation ---- */

struct long_message {
    bool json;
    /* ASCII in front, to move the cut through the characters */
    int offset;
    const char *unit;
    size_t units;
};

static char *repeated(const char *unit, size_t units)
{
    char *text = malloc(strlen(unit) * units + 1);
    if (!text)
        return NULL;
    char *at = text;
    for (size_t i = 0; i < units; i++)
        at = stpcpy(at, unit);
    *at = '\0';
    return text;
}

static void log_long_message(void *context)
{
    const struct long_message *message = context;
    char *text = repeated(message->unit, message->units);
    CHECK(text);
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO, .json = message->json});
    log_request(LOG_LEVEL_INFO, text, message->offset % 2 ? strlen(text) : 4, "%.*s%s",
                message->offset, "0123456789abcdef", text);
    free(text);
}

static void expect_cut(const struct long_message *message)
{
    char *text = capture(log_long_message, (void *)(uintptr_t)message);
    expect_one_clean_line(text);
    assert_non_null(strstr(text, "…[cut]"));
    if (message->json) {
        struct json_document document = expect_json_line(text);
        json_release(&document);
    } else {
        size_t tail = strlen("…[cut]\n");
        assert_string_equal(text + strlen(text) - tail, "…[cut]\n");
    }
    free(text);
}

/* A line too long for one write is cut at a character, marked, and still well-formed. */
static void test_long_lines_are_cut(void **state)
{
    (void)state;
    static const char *const units[] = {"a",
                                        "\"",
                                        "\\",
                                        "\n",
                                        "\x01",
                                        "\xff",
                                        "\xc3\xa9",
                                        "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80",
                                        "\xf3\xbf\xbf\xbf"};
    for (size_t i = 0; i < COUNT(units); i++) {
        for (int offset = 0; offset < 13; offset++) {
            struct long_message message = {.offset = offset, .unit = units[i], .units = 8192};
            expect_cut(&message);
            message.json = true;
            expect_cut(&message);
        }
    }
}

/* The longest message that fits is not cut, and one byte more is: up to the last byte of a line. */
static void test_lines_use_their_whole_length(void **state)
{
    (void)state;
    struct long_message message = {.unit = "a", .units = 3900};
    char *text = capture(log_long_message, &message);
    assert_null(strstr(text, "[cut]"));
    free(text);
    message.units = LOG_LINE_SIZE;
    text = capture(log_long_message, &message);
    assert_int_equal(strlen(text), LOG_LINE_SIZE);
    free(text);
}

static void log_huge_access(void *context)
{
    bool json = *(bool *)context;
    char *text = repeated("\x01", 70000);
    CHECK(text);
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO, .json = json});
    log_set_role(text, INT32_MIN);
    log_set_role(text, INT32_MAX);
    log_access(&(struct log_access){.remote = text,
                                    .method = text,
                                    .method_len = 70000,
                                    .path = text,
                                    .path_len = 70000,
                                    .request_id = text,
                                    .request_id_len = 70000,
                                    .user_agent = text,
                                    .user_agent_len = 70000,
                                    .traceparent = text,
                                    .traceparent_len = 70000,
                                    .status = INT32_MAX,
                                    .bytes = UINT64_MAX,
                                    .duration_us = UINT64_MAX});
    free(text);
}

/* An access line whose every part is as long as a client can make it still fits. */
static void test_huge_access_lines_fit(void **state)
{
    (void)state;
    bool json = false;
    char *text = capture(log_huge_access, &json);
    expect_one_clean_line(text);
    free(text);
    json = true;
    text = capture(log_huge_access, &json);
    struct json_document document = expect_json_line(text);
    json_release(&document);
    free(text);
}

/* ---- levels, errno ---- */

static void log_at_each_level(void *context)
{
    log_init(&(struct log_options){.level = *(int *)context});
    errno = ENOENT;
    log_debug("0 %m");
    log_info("1 %m");
    log_warning("2 %m");
    log_error("3 %m");
    log_critical("4 %m");
    log_access(&(struct log_access){.status = 200});
    CHECK(errno == ENOENT);
}

/* Lines below the level are left out, access lines count as INFO, and errno is untouched. */
static void test_levels(void **state)
{
    (void)state;
    for (int level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_CRITICAL; level++) {
        char *text = capture(log_at_each_level, &level);
        for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_CRITICAL; i++) {
            char message[64];
            (void)snprintf(message, sizeof(message), ": %d No such file or directory\n", i);
            assert_int_equal(strstr(text, message) != NULL, i >= level);
        }
        assert_int_equal(strstr(text, "200 0 bytes") != NULL, level <= LOG_LEVEL_INFO);
        free(text);
    }
}

/* ---- a log that does not flow ---- */

static void expect_number_dropped(const char *text, uint64_t drops)
{
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "%llu log lines were dropped\n",
                   (unsigned long long)drops);
    const char *report = strstr(text, "WARNING ticketd: ");
    CHECK(report);
    CHECK(strncmp(report + strlen("WARNING ticketd: "), expected, strlen(expected)) == 0);
}

static void set_nonblocking(int fd)
{
    CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

/* Reads all that is there into `text` (of CAPTURE_SIZE), NUL-terminated. */
static void drain(int fd, char *text)
{
    size_t len = 0;
    ssize_t got;
    set_nonblocking(fd);
    while ((got = read(fd, text + len, CAPTURE_SIZE - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
}

/* Fills descriptor 2 until lines drop, drains `reader`, and expects the report before more. */
static void block_and_recover(int reader)
{
    static char text[CAPTURE_SIZE];
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO});
    errno = ENOENT;
    for (int i = 0; i < 20000; i++)
        log_info("line %d of many that nobody reads", i);
    CHECK(errno == ENOENT);
    uint64_t drops = log_dropped();
    CHECK(drops > 0 && drops < 20000);
    CHECK((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0);
    drain(reader, text);
    CHECK(strstr(text, "line 0 of many"));
    CHECK(!strstr(text, "dropped"));
    CHECK(text[strlen(text) - 1] == '\n');

    log_info("flows again");
    log_info("and again");
    drain(reader, text);
    expect_number_dropped(text, drops);
    CHECK(strstr(text, ": flows again\n"));
    CHECK(strstr(text, ": and again\n"));
    CHECK(!strstr(strstr(text, "dropped") + 1, "dropped"));
    CHECK(log_dropped() == drops);
}

static void block_and_recover_at(void *context)
{
    block_and_recover(*(int *)context);
}

/* A pipe that nobody reads never blocks; the lines lost are counted and reported afterwards. */
static void test_blocked_pipe_drops_and_reports(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    run_child(block_and_recover_at, &ends[0], ends[1]);
    close(ends[0]);
    close(ends[1]);
}

/* The same for a stream socket, which is what a service manager connects. */
static void test_blocked_socket_drops_and_reports(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    run_child(block_and_recover_at, &ends[0], ends[1]);
    close(ends[0]);
    close(ends[1]);
}

static void fill_terminal(void *context)
{
    (void)context;
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO});
    for (int i = 0; i < 5000; i++)
        log_info("line %d of many that nobody reads", i);
    CHECK(log_dropped() > 0);
}

/* A terminal that does not scroll on never blocks. */
static void test_stopped_terminal_drops(void **state)
{
    (void)state;
    int controller = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (controller < 0)
        skip();
    assert_int_equal(grantpt(controller), 0);
    assert_int_equal(unlockpt(controller), 0);
    int terminal = open(ptsname(controller), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0)
        skip();
    run_child(fill_terminal, NULL, terminal);
    close(terminal);
    close(controller);
}

/* Makes descriptor 2 a pipe of this process's own; returns its reading end. */
static int pipe_to_self(void)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    CHECK(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    close(ends[1]);
    return ends[0];
}

static void log_to_nobody(void *context)
{
    (void)context;
    close(pipe_to_self());
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO});
    log_info("into the void");
    log_info("again");
    CHECK(log_dropped() == 2);
}

static void log_until_reader_leaves(void *context)
{
    (void)context;
    int reader = pipe_to_self();
    log_info("while it reads");
    CHECK(log_dropped() == 0);
    close(reader);
    log_info("into the void");
    log_info("again");
    CHECK(log_dropped() == 2);
}

/* A reader that is gone costs lines, not the process: no SIGPIPE, whenever it left. */
static void test_reader_that_left_does_not_kill(void **state)
{
    (void)state;
    run_child(log_until_reader_leaves, NULL, STDERR_FILENO);
    run_child(log_to_nobody, NULL, STDERR_FILENO);
}

static void log_without_stderr(void *context)
{
    (void)context;
    log_info("nobody hears this");
    log_init(&(struct log_options){.level = LOG_LEVEL_DEBUG, .json = true});
    log_error("nor this");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd > STDERR_FILENO);
    CHECK(fcntl(STDERR_FILENO, F_GETFD) == FD_CLOEXEC);
}

/* Without a descriptor 2 nothing crashes, and no later socket becomes descriptor 2. */
static void test_closed_stderr_is_harmless(void **state)
{
    (void)state;
    run_child(log_without_stderr, NULL, -1);
}

static void change_stderr(void *context)
{
    static char text[CAPTURE_SIZE];
    log_info("to the first");
    int reader = pipe_to_self();
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO});
    int before = dup(reader);
    for (int i = 0; i < 100; i++)
        log_init(&(struct log_options){.level = LOG_LEVEL_INFO});
    CHECK(dup(reader) == before + 1);
    log_info("to the second");
    drain(reader, text);
    CHECK(strstr(text, "to the second") && !strstr(text, "to the first"));
    CHECK(dup2(*(int *)context, STDERR_FILENO) == STDERR_FILENO);
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO});
    log_info("to the third");
}

/* A new log_init follows a changed descriptor 2, and many of them leak no descriptor. */
static void test_init_again_follows_stderr(void **state)
{
    (void)state;
    char text[4096] = "";
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    run_child(change_stderr, &ends[1], ends[1]);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "to the first"));
    assert_null(strstr(text, "to the second"));
    assert_non_null(strstr(text, "to the third"));
    close(ends[0]);
    close(ends[1]);
}

/* ---- processes that share a pipe ---- */

enum { WRITERS = 4, LINES = 3000 };

static void write_sequence(int index, _Atomic uint64_t *counter)
{
    static char filler[LOG_LINE_SIZE];
    memset(filler, 'a' + index, sizeof(filler));
    log_set_role("worker", index);
    log_count_drops_in(counter);
    for (int i = 0; i < LINES; i++) {
        uint64_t before = log_dropped();
        log_info("%d %.*s.", i, (i * 37 + index * 1009) % (LOG_LINE_SIZE - 200), filler);
        /* let the reader catch up, or hardly any line would arrive */
        if (log_dropped() != before)
            usleep(100);
    }
}

static int take_number(const char **at)
{
    char *end = NULL;
    long number = strtol(*at, &end, 10);
    assert_ptr_not_equal(end, *at);
    *at = end;
    return (int)number;
}

static void expect_whole_line(const char *line, unsigned long *lines)
{
    static const char role[] = " worker ";
    const char *at = strstr(line, role);
    assert_non_null(at);
    at += sizeof(role) - 1;
    int index = take_number(&at);
    assert_true(index >= 0 && index < WRITERS);
    assert_int_equal(*at++, ':');
    int number = take_number(&at);
    if (strcmp(at, " log lines were dropped") == 0)
        return;
    size_t letters = (size_t)((number * 37 + index * 1009) % (LOG_LINE_SIZE - 200));
    const char letter[] = {(char)('a' + index), '\0'};
    assert_int_equal(strspn(++at, letter), letters);
    assert_string_equal(at + letters, ".");
    lines[index]++;
}

static void start_writers(int reader, int writer, _Atomic uint64_t *counter)
{
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO});
    for (int i = 0; i < WRITERS; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(CHILD_SECONDS);
            close(reader);
            dup2(writer, STDERR_FILENO);
            log_init(&(struct log_options){.level = LOG_LEVEL_INFO});
            write_sequence(i, counter);
            _exit(0);
        }
    }
}

/* Lines of processes that share a pipe never mix, however long; each is written or counted. */
static void test_shared_pipe_keeps_lines_whole(void **state)
{
    (void)state;
    int ends[2];
    char *line = NULL;
    size_t line_size = 0;
    unsigned long lines[WRITERS] = {0};
    _Atomic uint64_t *counter =
        mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(counter, MAP_FAILED);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    start_writers(ends[0], ends[1], counter);
    close(ends[1]);

    FILE *reader = fdopen(ends[0], "r");
    assert_non_null(reader);
    ssize_t len;
    while ((len = getline(&line, &line_size, reader)) > 0) {
        assert_true(len <= LOG_LINE_SIZE && line[len - 1] == '\n');
        line[len - 1] = '\0';
        expect_whole_line(line, lines);
    }
    uint64_t written = 0;
    for (int i = 0; i < WRITERS; i++) {
        int status = -1;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
        written += lines[i];
    }
    assert_true(written > 0);
    assert_int_equal(atomic_load(counter) + written, WRITERS * LINES);
    free(line);
    (void)fclose(reader);
    munmap((void *)counter, sizeof(*counter));
}

static void count_in_both(void *context)
{
    (void)context;
    _Atomic uint64_t shared = 5;
    close(pipe_to_self());
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO});
    log_info("lost");
    CHECK(log_dropped() == 1);
    log_count_drops_in(&shared);
    CHECK(log_dropped() == 6);
    log_info("lost");
    CHECK(log_dropped() == 7 && shared == 7);
    log_count_drops_in(NULL);
    CHECK(log_dropped() == 0);
}

/* What was counted before the shared counter came is carried over to it, once. */
static void test_drop_counter_moves_once(void **state)
{
    (void)state;
    run_child(count_in_both, NULL, STDERR_FILENO);
}

static void print_on_stderr(void *context)
{
    (void)context;
    log_init(&(struct log_options){.level = LOG_LEVEL_DEBUG});
    log_adopt_stderr();
    log_adopt_stderr();
    errno = EAGAIN;
    (void)fprintf(stderr, "[WARN] harmless %d\n", 1);
    CHECK(errno == EAGAIN);
    (void)fputs("in ", stderr);
    (void)fputs("pieces\n\nforged\033: x\nno ", stderr);
    log_info("between");
    (void)fputs("end\n", stderr);
    for (int i = 0; i < 1500; i++)
        (void)fputc('x', stderr);
    (void)fputc('\n', stderr);
}

/* What libraries print on stderr comes as lines of the log, whole and in order, empty ones left out
 * and long ones in parts. */
static void test_stderr_is_adopted(void **state)
{
    (void)state;
    char *text = capture(print_on_stderr, NULL);
    expect_match(text, "^" TIME " DEBUG ticketd: stderr: \\[WARN\\] harmless 1\n" TIME
                       " ERROR ticketd: stderr: in pieces\n" TIME
                       " ERROR ticketd: stderr: forged[^\033]*: x\n" TIME
                       " INFO ticketd: between\n" TIME " ERROR ticketd: stderr: no end\n" TIME
                       " ERROR ticketd: stderr: x{255}x{255}x{255}x{255}xxxx\n" TIME
                       " ERROR ticketd: stderr: x{238}x{238}\n$");
    free(text);
}

static void leave(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

static void fail_an_assertion(void *context)
{
    (void)context;
    struct sigaction at_abort = {.sa_handler = leave};
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO});
    log_adopt_stderr();
    sigaction(SIGABRT, &at_abort, NULL);
    assert(context != NULL && "a reason");
}

/* The last words of a process that fails an assertion are not lost. */
static void test_assertion_is_logged(void **state)
{
    (void)state;
    char *text = capture(fail_an_assertion, NULL);
    expect_match(text, "^" TIME " ERROR ticketd: stderr: .*a reason.*\n$");
    free(text);
}

static int start(void **state)
{
    (void)state;
    return json_init();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_before_init),
        cmocka_unit_test(test_text_shape),
        cmocka_unit_test(test_json_shape),
        cmocka_unit_test(test_text_cannot_be_forged),
        cmocka_unit_test(test_json_cannot_be_forged),
        cmocka_unit_test(test_access_text_cannot_be_forged),
        cmocka_unit_test(test_access_json_cannot_be_forged),
        cmocka_unit_test(test_long_lines_are_cut),
        cmocka_unit_test(test_lines_use_their_whole_length),
        cmocka_unit_test(test_huge_access_lines_fit),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_blocked_pipe_drops_and_reports),
        cmocka_unit_test(test_blocked_socket_drops_and_reports),
        cmocka_unit_test(test_stopped_terminal_drops),
        cmocka_unit_test(test_reader_that_left_does_not_kill),
        cmocka_unit_test(test_closed_stderr_is_harmless),
        cmocka_unit_test(test_init_again_follows_stderr),
        cmocka_unit_test(test_shared_pipe_keeps_lines_whole),
        cmocka_unit_test(test_drop_counter_moves_once),
        cmocka_unit_test(test_stderr_is_adopted),
        cmocka_unit_test(test_assertion_is_logged),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
