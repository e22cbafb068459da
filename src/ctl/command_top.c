/* ticketctl top: what happens just now, as the running server tells it once a second.  On a
 * terminal a page that is drawn anew; else one line a second. */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/control.h"
#include "ctl/screen.h"
#include "ctl/top_frame.h"
#include "ctl/transport.h"

enum {
    /* how long to wait before the server is asked again */
    TRY_MS = 1000,
};

struct watch {
    struct ctl *ctl;
    struct transport_listener listener;
    struct screen screen;
    bool interactive; /* the screen opens with the first event */
    bool utf8;
    bool ends;      /* by a key, a signal or --once */
    bool shown;     /* something, ever */
    int failure;    /* of top_decode: 0 if there was none */
    uint64_t heard; /* events */
    struct top top;
    struct top_history history;
    const char *lost;
};

static void print_frame(const struct watch *watch, FILE *out)
{
    struct top_frame frame = {
        .top = &watch->top,
        .history = &watch->history,
        .lost = watch->lost,
        .utf8 = watch->utf8,
        .styled = watch->screen.open,
    };

    screen_size(&frame.width, &frame.height);
    if (!frame.styled)
        frame.height = UINT32_MAX;
    top_print_frame(out, &frame);
}

static void draw(const struct watch *watch)
{
    size_t len = 0;
    char *text = NULL;
    FILE *out;

    if (!watch->screen.open || !watch->shown)
        return;
    out = open_memstream(&text, &len);
    if (out == NULL)
        return; /* the next one may have memory */
    print_frame(watch, out);
    if (fclose(out) == 0)
        screen_show(text, len);
    free(text);
}

/* What was told, as the command line wants it. */
static void show(struct watch *watch, const char *data, size_t len)
{
    if (watch->screen.open) {
        draw(watch);
        return;
    }
    if (watch->ctl->json)
        (void)printf("%.*s\n", (int)len, data);
    else if (watch->ctl->once)
        print_frame(watch, stdout);
    else
        top_print_line(stdout, &watch->top);
    if (fflush(stdout) != 0)
        watch->ends = true; /* output_end says why */
}

static bool on_event(void *context, const char *data, size_t len)
{
    struct watch *watch = context;
    int result = top_decode(&watch->top, data, len);

    if (result != 0) {
        watch->failure = result;
        return false;
    }
    if (watch->interactive && !watch->screen.open) {
        screen_open(&watch->screen);
        watch->listener.fds[1] = watch->screen.reads_keys ? STDIN_FILENO : -1;
    }
    watch->lost = NULL;
    ++watch->heard;
    /* where everybody reads on, a look that had none before it has too little to tell */
    if (!watch->top.has_rates && !watch->screen.open)
        return true;
    if (watch->top.has_rates)
        top_remember(&watch->history, &watch->top);
    watch->shown = true;
    show(watch, data, len);
    watch->ends = watch->ends || watch->ctl->once;
    return !watch->ends;
}

/* A signal, or a key. */
static bool on_ready(void *context)
{
    struct watch *watch = context;
    struct signalfd_siginfo info;
    char key = screen_key(&watch->screen);

    if (key == 'q' || key == 'Q')
        watch->ends = true;
    while (read(watch->listener.fds[0], &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGWINCH)
            draw(watch);
        else
            watch->ends = true;
    }
    return !watch->ends;
}

/* Waits for a while, or until somebody ends it. */
static void pause_between(struct watch *watch)
{
    struct pollfd fds[2] = {{.fd = watch->listener.fds[0], .events = POLLIN},
                            {.fd = watch->listener.fds[1], .events = POLLIN}};

    if (poll(fds, 2, TRY_MS) > 0)
        (void)on_ready(watch);
}

/* Signals come by a descriptor, so that none interrupts a terminal half drawn. */
static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGWINCH);
    if (sigprocmask(SIG_BLOCK, &set, NULL) == -1)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Says that the server is gone; on a terminal in the page. */
static void tell_loss(struct watch *watch, const struct control_error *error)
{
    bool news = watch->lost == NULL;

    watch->lost = error->line;
    if (watch->screen.open)
        draw(watch);
    else if (news)
        (void)fprintf(stderr, "ticketctl: trying again: %s\n", error->line);
}

/* What ended the listening for good.  The screen must be closed: it would take the words with it.
 */
static int end_with(const struct watch *watch, int answer, const struct control_error *error)
{
    if (watch->ends)
        return CTL_OK;
    if (watch->failure < 0)
        return ctl_fail(EX_OSERR, "out of memory");
    if (watch->failure > 0)
        return ctl_fail(EX_PROTOCOL, "what the server at %s tells was not understood",
                        watch->ctl->socket_path);
    return control_failed(answer, error);
}

/* Until it ends, over restarts of the server: a stream that has ended is asked for anew at once,
 * and what is said of the loss is why that failed. */
static int follow(struct watch *watch)
{
    struct control_error error;
    int answer;

    for (;;) {
        uint64_t before = watch->heard;

        answer = control_listen(watch->ctl, &watch->listener, &error);
        if (watch->ends || watch->failure != 0 || watch->heard == 0)
            break;
        if (watch->heard != before)
            continue;
        tell_loss(watch, &error);
        pause_between(watch);
        if (watch->ends)
            break;
    }
    screen_close(&watch->screen);
    return end_with(watch, answer, &error);
}

int command_top(struct ctl *ctl)
{
    static struct watch watch; /* zeroed; too large for a stack */
    int status;

    watch.ctl = ctl;
    watch.utf8 = setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    watch.listener = (struct transport_listener){
        .context = &watch,
        .on_event = on_event,
        .fds = {open_signals(), -1},
        .on_ready = on_ready,
    };
    if (watch.listener.fds[0] == -1)
        return ctl_fail(EX_OSERR, "cannot watch for signals: %s", strerror(errno));
    watch.interactive = isatty(STDOUT_FILENO) == 1 && !ctl->json && !ctl->once;
    status = follow(&watch);
    (void)close(watch.listener.fds[0]);
    return status;
}
