/* What ticketctl writes: JSON, one object a line, on standard output; how far a long piece of work
 * has got, on standard error. */
#ifndef TICKETD_CTL_OUTPUT_H
#define TICKETD_CTL_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "util/json.h"

/* Writes the object as a line and frees it.  CTL_OK, or EX_OSERR after a line on standard error. */
int output_json(struct json_value *object);

/* Flushes standard output: `status`, or EX_IOERR after a line on standard error. */
int output_end(int status);

/* Work of a known length; shown only where standard error is a terminal, and not within its first
 * second. */
struct progress {
    const char *what;
    uint64_t total, done;
    uint64_t begun_ms, shown_ms;
    bool shows; /* it may be shown */
    bool shown; /* it has been, and is on the line now */
};

/* `quiet`: never shown, whatever standard error is.  `what` is not copied. */
void progress_begin(struct progress *progress, const char *what, uint64_t total, bool quiet);
/* One more piece is done; cheap. */
void progress_step(struct progress *progress);
/* Takes it off the line: before other output, and at its end. */
void progress_clear(struct progress *progress);

#endif
