#include "ctl/screen.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ENTER "\033[?1049h\033[?25l\033[2J" /* the alternate screen; no cursor; empty */
#define LEAVE "\033[?25h\033[?1049l"
#define HOME  "\033[H"
#define BELOW "\033[J" /* clears from here to the end */

void screen_open(struct screen *screen)
{
    struct termios quiet;

    *screen = (struct screen){.open = true};
    if (tcgetattr(STDIN_FILENO, &screen->before) == 0) {
        screen->reads_keys = true;
        quiet = screen->before;
        quiet.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        quiet.c_cc[VMIN] = 0; /* a read without a key returns at once */
        quiet.c_cc[VTIME] = 0;
        quiet.c_cc[VSUSP] = _POSIX_VDISABLE; /* it would be left as it is now */
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet);
    }
    (void)fputs(ENTER, stdout);
    (void)fflush(stdout);
}

void screen_close(struct screen *screen)
{
    if (!screen->open)
        return;
    screen->open = false;
    (void)fputs(LEAVE, stdout);
    (void)fflush(stdout);
    if (screen->reads_keys)
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &screen->before);
}

void screen_size(unsigned *ret_width, unsigned *ret_height)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;

    *ret_width = known ? size.ws_col : 80;
    *ret_height = known ? size.ws_row : 24;
}

void screen_show(const char *text, size_t len)
{
    (void)fputs(HOME, stdout);
    (void)fwrite(text, 1, len, stdout);
    (void)fputs(BELOW, stdout);
    (void)fflush(stdout);
}

char screen_key(const struct screen *screen)
{
    char key;

    return screen->reads_keys && read(STDIN_FILENO, &key, 1) == 1 ? key : '\0';
}
