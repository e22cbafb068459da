/* Completions for fish: one line an option. */
#include <string.h>

#include "ctl/command_line.h"
#include "documents/completion.h"
#include "documents/documents.h"

/* `condition`: when it is proposed; empty: always. */
static void print_line(FILE *out, const char *program, const char *condition)
{
    (void)fprintf(out, "complete -c %s", program);
    if (*condition != '\0')
        (void)fprintf(out, " -n '%s'", condition);
}

static void print_help(FILE *out, const char *help)
{
    (void)fputs(" -d '", out);
    completion_print_brief(out, help, "'\\");
    (void)fputs("'\n", out);
}

static void print_option(FILE *out, const char *program, const char *condition,
                         const struct completion_option *option)
{
    print_line(out, program, condition);
    if (option->letter != 0)
        (void)fprintf(out, " -s %c", option->letter);
    (void)fprintf(out, " -l %s", option->name);
    if (option->value == COMPLETION_PATH)
        (void)fputs(" -r -F", out);
    else if (option->value != COMPLETION_NONE)
        (void)fputs(" -x", out);
    if (option->value == COMPLETION_WORDS) {
        (void)fputs(" -a '", out);
        completion_print_words(out, option->words);
        (void)fputc('\'', out);
    }
    print_help(out, option->help);
}

static void print_head(FILE *out, const char *program)
{
    (void)fprintf(out, "# Written from its tables by ticketd-documents.\ncomplete -c %s -f\n",
                  program);
}

void fish_ticketd(FILE *out)
{
    struct completion_option options[COMPLETION_OPTIONS_MAX];
    size_t count = completion_ticketd(options);

    print_head(out, "ticketd");
    for (size_t i = 0; i < count; i++)
        print_option(out, "ticketd", "", &options[i]);
}

static void print_command(FILE *out, const struct ctl_command *command)
{
    const char *blank = strchr(command->name, ' ');
    char condition[128] = "__fish_use_subcommand";

    if (blank != NULL)
        (void)snprintf(condition, sizeof(condition),
                       "__fish_seen_subcommand_from %.*s; and not __fish_seen_subcommand_from %s",
                       (int)(blank - command->name), command->name, blank + 1);
    print_line(out, "ticketctl", condition);
    (void)fprintf(out, " -a %s", blank != NULL ? blank + 1 : command->name);
    print_help(out, command->help);
}

void fish_ticketctl(FILE *out)
{
    struct completion_option options[COMPLETION_OPTIONS_MAX];
    size_t count = completion_ticketctl(options), command_count;
    const struct ctl_command *commands = ctl_line_commands(&command_count);

    print_head(out, "ticketctl");
    for (size_t i = 0; i < command_count; i++)
        print_command(out, &commands[i]);
    for (size_t i = 0; i < count; i++) {
        if (ctl_line_is_common(i)) {
            print_option(out, "ticketctl", "", &options[i]);
            continue;
        }
        for (size_t j = 0; j < command_count; j++) {
            char condition[128];

            if (!ctl_line_takes(&commands[j], i) || strchr(commands[j].name, ' ') != NULL)
                continue;
            (void)snprintf(condition, sizeof(condition), "__fish_seen_subcommand_from %s",
                           commands[j].name);
            print_option(out, "ticketctl", condition, &options[i]);
        }
    }
}
