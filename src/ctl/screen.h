/* The terminal as a page that is drawn anew: the alternate screen, without a cursor and without
 * echo, until it is closed.  ticketctl's process, one thread. */
#ifndef TICKETD_CTL_SCREEN_H
#define TICKETD_CTL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct screen {
    struct termios before; /* of standard input, if it is a terminal */
    bool reads_keys;
    bool open;
};

/* Standard output must be a terminal.  screen_close puts everything back; it accepts one that is
 * not open, and is the caller's to call however it ends. */
void screen_open(struct screen *screen);
void screen_close(struct screen *screen);

/* Columns and lines of the terminal now; 80 and 24 where it does not say. */
void screen_size(unsigned *ret_width, unsigned *ret_height);

/* Puts `text`, of which each line ends with a newline and clears what stood behind it, in place of
 * what is shown, at one stroke. */
void screen_show(const char *text, size_t len);

/* A key that was pressed, or 0. */
char screen_key(const struct screen *screen);

#endif
