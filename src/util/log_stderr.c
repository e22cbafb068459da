#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/log.h"

/* Bytes of the longest line that is told in one piece. */
#define LINE_SIZE 1024

/* How libh2o begins what it has no other way to say; it says it once a process, and it asks for
 * nothing: a pooled connection was closed by the peer, and the like. */
static const char chatter[] = "[WARN]";

/* The line that is being printed; of the process, as stderr is. */
static struct {
    size_t len;
    char bytes[LINE_SIZE];
} line;

static void tell(void)
{
    bool harmless =
        line.len >= sizeof(chatter) - 1 && memcmp(line.bytes, chatter, sizeof(chatter) - 1) == 0;

    if (line.len > 0)
        log_write(harmless ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, "stderr: %.*s", (int)line.len,
                  line.bytes);
    line.len = 0;
}

static ssize_t on_write(void *cookie, const char *bytes, size_t len)
{
    (void)cookie;
    for (size_t i = 0; i < len; ++i) {
        if (bytes[i] == '\n' || line.len == sizeof(line.bytes))
            tell();
        if (bytes[i] != '\n')
            line.bytes[line.len++] = bytes[i];
    }
    return (ssize_t)len;
}

void log_adopt_stderr(void)
{
    static FILE *adopted;
    int saved_errno = errno;

    if (adopted == NULL) {
        adopted = fopencookie(NULL, "w", (cookie_io_functions_t){.write = on_write});
        if (adopted != NULL)
            (void)setvbuf(adopted, NULL, _IOLBF, BUFSIZ);
    }
    if (adopted != NULL)
        stderr = adopted;
    errno = saved_errno;
}
