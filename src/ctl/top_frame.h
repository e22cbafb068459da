/* What ticketctl top shows, as lines of text.  Pure. */
#ifndef TICKETD_CTL_TOP_FRAME_H
#define TICKETD_CTL_TOP_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/top.h"

enum {
    TOP_HISTORY = 512, /* a power of two */
    TOP_TEXT = 32,
};

/* The sales of the last seconds, each TOP_HISTORY of them. */
struct top_history {
    double sales[TOP_HISTORY];
    uint32_t count; /* ever */
};

struct top_frame {
    const struct top *top;
    const struct top_history *history;
    const char *lost; /* why what is shown is old; NULL: it is not */
    unsigned width, height;
    bool utf8;   /* beyond ASCII */
    bool styled; /* with escape sequences of a terminal */
};

void top_remember(struct top_history *history, const struct top *top);

/* At most height lines of at most width columns. */
void top_print_frame(FILE *out, const struct top_frame *frame);

/* One line, for who reads many of them: the time, and name=value with a blank between. */
void top_print_line(FILE *out, const struct top *top);

/* Figures as people read them: a count with its thousands apart, a rate, seconds in a fitting unit;
 * "-" for one that was not told.  Each returns `text`. */
const char *top_count(char text[TOP_TEXT], double count);
const char *top_rate(char text[TOP_TEXT], double rate);
const char *top_seconds(char text[TOP_TEXT], double seconds, bool utf8);

#endif
