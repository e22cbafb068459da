/* Completions for bash.  They need nothing but bash itself; bash-completion loads them by their
 * names when the first argument is asked for. */
#include <string.h>

#include "ctl/command_line.h"
#include "documents/completion.h"
#include "documents/documents.h"

static void print_names(FILE *out, const struct completion_option *option, const char *between)
{
    if (option->letter != 0)
        (void)fprintf(out, "-%c%s", option->letter, between);
    (void)fprintf(out, "--%s", option->name);
}

/* The options whose value is of a kind from `first` to `last`, as a pattern of case; false if there
 * is none. */
static bool print_pattern(FILE *out, const char *indent, const struct completion_option *options,
                          size_t count, enum completion_value first, enum completion_value last)
{
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        if (options[i].value < first || options[i].value > last)
            continue;
        (void)fputs(any ? " | " : indent, out);
        print_names(out, &options[i], " | ");
        any = true;
    }
    return any;
}

/* The function's beginning: bash has cut --option=value into three words. */
static void print_head(FILE *out, const char *program)
{
    (void)fprintf(
        out,
        "# bash completion of %s, written from its tables by ticketd-documents\n"
        "\n"
        "_%s()\n"
        "{\n"
        "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
        "    local options='' commands='' values=''\n"
        "\n"
        "    COMPREPLY=()\n"
        "    if [[ $current == '=' ]]; then\n"
        "        current=\n"
        "    elif [[ $before == '=' ]]; then\n"
        "        before=${COMP_WORDS[COMP_CWORD - 2]}\n"
        "    fi\n",
        program, program);
}

/* The value of the option before the cursor, if it takes one. */
static void print_values(FILE *out, const struct completion_option *options, size_t count)
{
    (void)fputs("    case $before in\n", out);
    if (print_pattern(out, "    ", options, count, COMPLETION_PATH, COMPLETION_PATH))
        (void)fputs(")\n"
                    "        compopt -o filenames 2>/dev/null\n"
                    "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
                    "        return\n"
                    "        ;;\n",
                    out);
    for (size_t i = 0; i < count; i++) {
        if (options[i].value != COMPLETION_WORDS)
            continue;
        (void)fputs("    ", out);
        print_names(out, &options[i], " | ");
        (void)fputs(") values='", out);
        completion_print_words(out, options[i].words);
        (void)fputs("' ;;\n", out);
    }
    if (print_pattern(out, "    ", options, count, COMPLETION_OTHER, COMPLETION_OTHER))
        (void)fputs(") return ;;\n", out);
    (void)fputs("    esac\n", out);
}

/* Of what there is: the option's values, else options where a dash says so or nothing else can
 * stand, else commands. */
static void print_tail(FILE *out, const char *program)
{
    (void)fprintf(out,
                  "    if [[ -z $values ]]; then\n"
                  "        if [[ $current == -* || -z $commands ]]; then\n"
                  "            values=$options\n"
                  "        else\n"
                  "            values=$commands\n"
                  "        fi\n"
                  "    fi\n"
                  "    mapfile -t COMPREPLY < <(compgen -W \"$values\" -- \"$current\")\n"
                  "}\n"
                  "complete -F _%s %s\n",
                  program, program);
}

void bash_ticketd(FILE *out)
{
    struct completion_option options[COMPLETION_OPTIONS_MAX];
    size_t count = completion_ticketd(options);

    print_head(out, "ticketd");
    print_values(out, options, count);
    (void)fputs("    options='", out);
    for (size_t i = 0; i < count; i++) {
        (void)fputs(i > 0 ? " " : "", out);
        print_names(out, &options[i], " ");
    }
    (void)fputs("'\n", out);
    print_tail(out, "ticketd");
}

/* Finds the command before the cursor; what takes a value is passed over with it. */
static void print_find_command(FILE *out, const struct completion_option *options, size_t count)
{
    size_t command_count;
    const struct ctl_command *commands = ctl_line_commands(&command_count);

    (void)fputs("    local command='' i\n"
                "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                "        case ${COMP_WORDS[i]} in\n",
                out);
    if (print_pattern(out, "        ", options, count, COMPLETION_PATH, COMPLETION_OTHER))
        (void)fputs(")\n"
                    "            [[ ${COMP_WORDS[i + 1]} != '=' ]] || ((i++))\n"
                    "            ((i++))\n"
                    "            continue\n"
                    "            ;;\n",
                    out);
    (void)fputs("        esac\n"
                "        case \"$command${command:+ }${COMP_WORDS[i]}\" in\n"
                "        ",
                out);
    for (size_t i = 0; i < command_count; i++)
        (void)fprintf(out, "%s'%s'", i > 0 ? " | " : "", commands[i].name);
    (void)fputs(") command+=\"${command:+ }${COMP_WORDS[i]}\" ;;\n"
                "        esac\n"
                "    done\n",
                out);
}

/* The next words of commands that begin with `command` and, if that is not empty, a blank. */
static void print_next_words(FILE *out, const char *command)
{
    size_t count, len = strlen(command);
    const struct ctl_command *commands = ctl_line_commands(&count);
    const char *between = "";

    for (size_t i = 0; i < count; i++) {
        const char *next = commands[i].name + len;

        if (strncmp(commands[i].name, command, len) != 0)
            continue;
        if (len > 0 && *next++ != ' ')
            continue;
        if (strchr(next, ' ') != NULL)
            continue;
        (void)fprintf(out, "%s%s", between, next);
        between = " ";
    }
}

static void print_case(FILE *out, const struct ctl_command *command,
                       const struct completion_option *options, size_t count)
{
    (void)fprintf(out, "    '%s')\n        options='", command != NULL ? command->name : "");
    for (size_t i = 0; i < count; i++) {
        if (command != NULL ? !ctl_line_takes(command, i) : !ctl_line_is_common(i))
            continue;
        print_names(out, &options[i], " ");
        (void)fputc(' ', out);
    }
    (void)fputs("'\n        commands='", out);
    print_next_words(out, command != NULL ? command->name : "");
    (void)fputs("'\n        ;;\n", out);
}

void bash_ticketctl(FILE *out)
{
    struct completion_option options[COMPLETION_OPTIONS_MAX];
    size_t count = completion_ticketctl(options), command_count;
    const struct ctl_command *commands = ctl_line_commands(&command_count);

    print_head(out, "ticketctl");
    print_values(out, options, count);
    print_find_command(out, options, count);
    (void)fputs("    case $command in\n", out);
    print_case(out, NULL, options, count);
    for (size_t i = 0; i < command_count; i++)
        print_case(out, &commands[i], options, count);
    (void)fputs("    esac\n", out);
    print_tail(out, "ticketctl");
}
