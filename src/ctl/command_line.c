#include "ctl/command_line.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/commands.h"
#include "ticketd/error.h"
#include "util/time_text.h"
#include "util/wrap.h"

/* In the order in which help lists them. */
enum option_id {
    OPTION_LIMIT,
    OPTION_SINCE,
    OPTION_ALL,
    OPTION_WAIT,
    OPTION_ONCE,
    OPTION_JSON,
    OPTION_TIMEOUT,
    OPTION_CONFIG,
    OPTION_LEDGER_URL,
    OPTION_CONTROL_SOCKET,
    OPTION_VERSION,
    OPTION_HELP,
    OPTION_COUNT
};

#define BIT(id) (1U << (id))

/* What every command takes. */
#define COMMON                                                                                     \
    (BIT(OPTION_HELP) | BIT(OPTION_VERSION) | BIT(OPTION_JSON) | BIT(OPTION_CONFIG) |              \
     BIT(OPTION_LEDGER_URL) | BIT(OPTION_CONTROL_SOCKET) | BIT(OPTION_TIMEOUT))

/* clang-format off */
static const struct option_row options[OPTION_COUNT] = {
    [OPTION_LIMIT]          = {"limit",          0,   "N",    "At most N orders (20; up to 100000)."},
    [OPTION_SINCE]          = {"since",          0,   "TIME", "Only from TIME on: 2026-02-03, 2026-02-03T04:05:06Z (UTC), or 90s, 15m, 2h, 7d ago."},
    [OPTION_ALL]            = {"all",            0,   NULL,   "All orders, event by event, the oldest first."},
    [OPTION_WAIT]           = {"wait",           0,   NULL,   "Wait until the reload has ended."},
    [OPTION_ONCE]           = {"once",           0,   NULL,   "Show it once, and stop."},
    [OPTION_JSON]           = {"json",           0,   NULL,   "Write JSON, one object a line."},
    [OPTION_TIMEOUT]        = {"timeout",        0,   "S",    "Wait at most S seconds for the server (5; for the end of a reload 60)."},
    [OPTION_CONFIG]         = {"config",         'c', "FILE", "Read settings from FILE; without it from ./.env, if that exists."},
    [OPTION_LEDGER_URL]     = {"ledger-url",     0,   "URL",  "The ledger, as ticketd's setting LEDGER_URL."},
    [OPTION_CONTROL_SOCKET] = {"control-socket", 0,   "PATH", "The server's socket, as ticketd's setting CONTROL_SOCKET."},
    [OPTION_VERSION]        = {"version",        'V', NULL,   "Write the version and stop."},
    [OPTION_HELP]           = {"help",           'h', NULL,   "Write help, of the command if one is named, and stop."},
};

static const struct ctl_command commands[] = {
    {"audit", "", 0, 0, COMMON,
     "Count every balance again from the ledger's entries and compare it with the ledger's own totals "
     "and with the running server's stock; print what differs. Exit status 0: all agree; 1: something "
     "differs.",
     command_audit, true},
    {"orders", "[EVENT | ORDER]", 0, 1, COMMON | BIT(OPTION_LIMIT) | BIT(OPTION_SINCE) | BIT(OPTION_ALL),
     "Show sales, the newest first, or the one order of that id.",
     command_orders, true},
    {"stock", "[EVENT]", 0, 1, COMMON,
     "Show each event's tickets: put in, available, sold, owed (taken and on their way back); its next "
     "entry's sequence, and how many entries the ledger is behind.",
     command_stock, true},
    {"stock add", "EVENT N", 2, 2, COMMON,
     "Add N tickets to an event: through the server if one runs, else in the ledger.",
     command_stock_add, true},
    {"top", "", 0, 0, COMMON | BIT(OPTION_ONCE),
     "Show what happens just now, once a second: stock, sales, latency, what was refused, keeper, "
     "processes. On a terminal a page, which q ends; else one line a second. It goes on when the server "
     "comes back after a restart.",
     command_top, false},
    {"status", "", 0, 0, COMMON,
     "Show the running server: its master, workers, clients, stock, keeper and reloads.",
     command_status, false},
    {"reload", "", 0, 0, COMMON | BIT(OPTION_WAIT),
     "Have the running server read its configuration again. With --wait exit status 0: done; 1: refused.",
     command_reload, false},
};
/* clang-format on */

enum {
    COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]),
    WORDS_MAX = 5, /* two of a command, two arguments, and one too many */
    HELP_WIDTH = 78,
    SECONDS_MAX = 3600,
};

struct parsing {
    struct ctl_line *line;
    const char *words[WORDS_MAX];
    unsigned word_count;
    unsigned given; /* a bit for each option */
    char *error;
};

static int refuse(struct parsing *parsing, const char *what, const char *value, const char *why)
{
    (void)snprintf(parsing->error, CTL_LINE_ERROR_MAX, "%.40s%s%.80s%s %s", what,
                   value != NULL ? ": \"" : "", value != NULL ? value : "",
                   value != NULL ? "\"" : "", why);
    return TICKETD_INVALID;
}

/* A decimal number at the start of `text` that is not below 0; *ret_end is what follows it. */
static bool read_number(const char *text, double *ret_number, const char **ret_end)
{
    size_t len;
    char *end;

    assert(text != NULL && "an option that takes a value has got one");
    len = strspn(text, "0123456789.");
    if (len == 0)
        return false; /* strtod would take blanks, signs and words */
    *ret_number = strtod(text, &end);
    *ret_end = end;
    return end == text + len;
}

static int set_timeout(struct parsing *parsing, const char *value)
{
    const char *end;
    double seconds;

    if (!read_number(value, &seconds, &end) || *end != '\0' || seconds < 0.001 ||
        seconds > (double)SECONDS_MAX)
        return refuse(parsing, "--timeout", value, "is not allowed: seconds from 0.001 to 3600");
    parsing->line->ctl.timeout_ms = (unsigned)(seconds * 1000);
    parsing->line->ctl.has_timeout = true;
    return TICKETD_DONE;
}

static int set_limit(struct parsing *parsing, const char *value)
{
    const char *end;
    double number;

    if (!read_number(value, &number, &end) || *end != '\0' || strchr(value, '.') != NULL ||
        number < 1 || number > (double)CTL_ORDERS_MAX)
        return refuse(parsing, "--limit", value,
                      "is not allowed: a whole number from 1 to 100000; --all has no limit");
    parsing->line->ctl.limit = (uint32_t)number;
    return TICKETD_DONE;
}

/* A moment, or how long ago it was. */
static int set_since(struct parsing *parsing, const char *value)
{
    static const struct {
        char letter;
        double seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    struct ctl *ctl = &parsing->line->ctl;
    const char *end;
    double number;

    ctl->has_since = true;
    if (time_text_parse(value, &ctl->since_us) == TICKETD_DONE)
        return TICKETD_DONE;
    if (read_number(value, &number, &end) && *end != '\0' && end[1] == '\0' && number < 1e9) {
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); ++i) {
            if (units[i].letter != *end)
                continue;
            ctl->since_us =
                (int64_t)time(NULL) * 1000000 - (int64_t)(number * units[i].seconds * 1e6);
            return TICKETD_DONE;
        }
    }
    return refuse(parsing, "--since", value,
                  "is not allowed: 2026-02-03, 2026-02-03T04:05:06Z, 90s, 15m, 2h or 7d");
}

static void add_override(struct parsing *parsing, enum setting_id id, const char *value)
{
    struct ctl_line *line = parsing->line;
    size_t i = 0;

    while (i < line->override_count && line->overrides[i].id != id)
        ++i;
    if (i == line->override_count)
        ++line->override_count;
    line->overrides[i] = (struct settings_override){.id = id, .value = value};
}

static int take_option(struct parsing *parsing, enum option_id id, const char *value)
{
    struct ctl_line *line = parsing->line;

    parsing->given |= BIT(id);
    switch (id) {
    case OPTION_HELP:
        line->help = true;
        return TICKETD_DONE;
    case OPTION_VERSION:
        line->version = true;
        return TICKETD_DONE;
    case OPTION_JSON:
        line->ctl.json = true;
        return TICKETD_DONE;
    case OPTION_ALL:
        line->ctl.all = true;
        return TICKETD_DONE;
    case OPTION_WAIT:
        line->ctl.wait = true;
        return TICKETD_DONE;
    case OPTION_ONCE:
        line->ctl.once = true;
        return TICKETD_DONE;
    case OPTION_CONFIG:
        line->config_path = value;
        return TICKETD_DONE;
    case OPTION_LEDGER_URL:
        add_override(parsing, SETTING_LEDGER_URL, value);
        return TICKETD_DONE;
    case OPTION_CONTROL_SOCKET:
        add_override(parsing, SETTING_CONTROL_SOCKET, value);
        return TICKETD_DONE;
    case OPTION_TIMEOUT:
        return set_timeout(parsing, value);
    case OPTION_LIMIT:
        return set_limit(parsing, value);
    default:
        return set_since(parsing, value);
    }
}

/* The option that an argument names, whole; OPTION_COUNT: none. */
static enum option_id find_option(const char *argument, size_t len)
{
    for (int id = 0; id < OPTION_COUNT; ++id) {
        if (len == 2 && argument[1] == options[id].letter && options[id].letter != 0)
            return (enum option_id)id;
        if (len > 2 && argument[1] == '-' && strlen(options[id].name) == len - 2 &&
            memcmp(options[id].name, argument + 2, len - 2) == 0)
            return (enum option_id)id;
    }
    return OPTION_COUNT;
}

/* Takes the option at argv[*at], and moves on to its value if that is an argument of its own. */
static int read_option(struct parsing *parsing, int argc, char *const *argv, int *at)
{
    const char *argument = argv[*at];
    const char *value = strncmp(argument, "--", 2) == 0 ? strchr(argument, '=') : NULL;
    size_t len = value != NULL ? (size_t)(value - argument) : strlen(argument);
    enum option_id id = find_option(argument, len);

    if (id == OPTION_COUNT)
        return refuse(parsing, argument, NULL, "is not an option; --help lists them");
    if (options[id].value == NULL)
        return value != NULL ? refuse(parsing, argument, NULL, "takes no value")
                             : take_option(parsing, id, NULL);
    if (value != NULL)
        return take_option(parsing, id, value + 1);
    if (++*at >= argc)
        return refuse(parsing, argument, NULL, "needs a value");
    return take_option(parsing, id, argv[*at]);
}

/* How many of the words name the command: 0, 1 or 2. */
static unsigned matches(const struct ctl_command *command, const struct parsing *parsing)
{
    const char *blank = strchr(command->name, ' ');
    size_t first = blank != NULL ? (size_t)(blank - command->name) : strlen(command->name);

    if (strlen(parsing->words[0]) != first || strncmp(parsing->words[0], command->name, first) != 0)
        return 0;
    if (blank == NULL)
        return 1;
    return parsing->word_count > 1 && strcmp(parsing->words[1], blank + 1) == 0 ? 2 : 0;
}

/* The command that the words begin with: of two the one with more words. */
static int find_command(struct parsing *parsing)
{
    struct ctl_line *line = parsing->line;
    unsigned named = 0, arguments;

    if (parsing->word_count == 0)
        return TICKETD_DONE;
    for (size_t i = 0; i < COMMAND_COUNT; ++i) {
        unsigned words = matches(&commands[i], parsing);

        if (words > named) {
            named = words;
            line->command = &commands[i];
        }
    }
    if (line->command == NULL)
        return refuse(parsing, "there is no command", parsing->words[0], "; --help lists them");
    if (line->help || line->version)
        return TICKETD_DONE;
    arguments = parsing->word_count - named;
    if (arguments < line->command->least || arguments > line->command->most) {
        (void)snprintf(parsing->error, CTL_LINE_ERROR_MAX, "usage: ticketctl [OPTION]... %s%s%s",
                       line->command->name, *line->command->arguments != '\0' ? " " : "",
                       line->command->arguments);
        return TICKETD_INVALID;
    }
    for (unsigned i = 0; i < arguments; ++i)
        line->ctl.arguments[i] = parsing->words[named + i];
    return TICKETD_DONE;
}

static int check_options(struct parsing *parsing)
{
    const struct ctl_line *line = parsing->line;
    char option[32];

    for (int id = 0; line->command != NULL && id < OPTION_COUNT; ++id) {
        if ((parsing->given & ~line->command->options & BIT(id)) == 0)
            continue;
        (void)snprintf(option, sizeof(option), "--%s", options[id].name);
        return refuse(parsing, option, NULL, "is not for this command");
    }
    if ((parsing->given & BIT(OPTION_ALL)) != 0 && (parsing->given & BIT(OPTION_LIMIT)) != 0)
        return refuse(parsing, "--all", NULL, "and --limit exclude each other");
    return TICKETD_DONE;
}

int ctl_line_parse(struct ctl_line *ret_line, int argc, char *const *argv,
                   char error[CTL_LINE_ERROR_MAX])
{
    struct ctl_line line = {.ctl = {.limit = CTL_ORDERS_DEFAULT}};
    struct parsing parsing = {.line = &line, .error = error};
    bool only_words = false;
    int result = TICKETD_DONE;

    for (int i = 1; result == TICKETD_DONE && i < argc; ++i) {
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0')
            result = read_option(&parsing, argc, argv, &i);
        else if (parsing.word_count < WORDS_MAX)
            parsing.words[parsing.word_count++] = argv[i];
    }
    if (result == TICKETD_DONE)
        result = find_command(&parsing);
    if (result == TICKETD_DONE)
        result = check_options(&parsing);
    if (result == TICKETD_DONE)
        *ret_line = line;
    return result;
}

const struct ctl_command *ctl_line_commands(size_t *ret_count)
{
    *ret_count = COMMAND_COUNT;
    return commands;
}

const struct option_row *ctl_line_options(size_t *ret_count)
{
    *ret_count = OPTION_COUNT;
    return options;
}

bool ctl_line_is_common(size_t option)
{
    return (COMMON & BIT(option)) != 0;
}

bool ctl_line_takes(const struct ctl_command *command, size_t option)
{
    return (command->options & BIT(option)) != 0;
}

static void print_options(FILE *out, unsigned shown)
{
    for (int id = 0; id < OPTION_COUNT; ++id)
        if ((shown & BIT(id)) != 0)
            option_row_print(out, &options[id], HELP_WIDTH);
}

/* `prefix`: before its name; `indent`: before each line of its help. */
static void print_command(FILE *out, const struct ctl_command *command, const char *prefix,
                          const char *indent)
{
    (void)fprintf(out, "%s%s%s%s\n", prefix, command->name, *command->arguments != '\0' ? " " : "",
                  command->arguments);
    wrap_print(out, indent, HELP_WIDTH, command->help);
}

void ctl_line_help(FILE *out, const struct ctl_command *command)
{
    if (command != NULL) {
        print_command(out, command, "Usage: ticketctl [OPTION]... ", "    ");
        (void)fputc('\n', out);
        print_options(out, command->options);
        return;
    }
    (void)fputs("Usage: ticketctl [OPTION]... COMMAND [ARGUMENT]...\n"
                "Looks after a ticketd: its ledger, and the server itself if one runs.\n\n",
                out);
    for (size_t i = 0; i < COMMAND_COUNT; ++i)
        print_command(out, &commands[i], "  ", "      ");
    (void)fputc('\n', out);
    print_options(out, COMMON);
    (void)fputs("\nLedger and socket are found as ticketd finds them: by LEDGER_URL and "
                "CONTROL_SOCKET\non the command line, in the environment or in the file, and by "
                "the working directory.\n",
                out);
}
