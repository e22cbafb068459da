#include "ctl/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "util/clock.h"

enum {
    LINE_MAX_BYTES = 4096,
    /* Before it is shown first, and between two looks. */
    QUIET_MS = 1000,
    SHOW_EVERY_MS = 200,
    /* The clock is read once for so many pieces. */
    PIECES_A_LOOK = 1024,
};

int output_json(struct json_value *object)
{
    char line[LINE_MAX_BYTES];
    int len = json_print(object, line, sizeof(line));

    json_free(object);
    if (len < 0)
        return ctl_fail(EX_OSERR, "cannot write JSON: %s", strerror(-len));
    (void)puts(line); /* output_end looks at what became of it */
    return CTL_OK;
}

int output_end(int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return ctl_fail(EX_IOERR, "cannot write the answer: %s", strerror(errno != 0 ? errno : EIO));
}

void progress_begin(struct progress *progress, const char *what, uint64_t total, bool quiet)
{
    *progress = (struct progress){
        .what = what,
        .total = total,
        .begun_ms = clock_monotonic_ms(),
        .shows = !quiet && isatty(STDERR_FILENO) == 1,
    };
}

static void show(struct progress *progress)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t passed_ms = now_ms - progress->begun_ms;
    uint64_t percent = progress->total > 0 ? progress->done * 100 / progress->total : 100;

    if (passed_ms < QUIET_MS || now_ms - progress->shown_ms < SHOW_EVERY_MS)
        return;
    progress->shown_ms = now_ms;
    progress->shown = true;
    (void)fprintf(stderr, "\r\033[K%s: %" PRIu64 "%%, %" PRIu64 " entries, %" PRIu64 " a second",
                  progress->what, percent < 100 ? percent : 100, progress->done,
                  progress->done * 1000 / passed_ms);
}

void progress_step(struct progress *progress)
{
    if (++progress->done % PIECES_A_LOOK == 0 && progress->shows)
        show(progress);
}

void progress_clear(struct progress *progress)
{
    if (progress->shown)
        (void)fputs("\r\033[K", stderr);
    progress->shown = false;
}
