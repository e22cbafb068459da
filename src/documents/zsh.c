/* Completions for zsh: what _arguments of its completion system takes. */
#include <stdlib.h>
#include <string.h>

#include "ctl/command_line.h"
#include "documents/completion.h"
#include "documents/documents.h"

/* What would end a description or its quotes. */
#define ESCAPED "[]:\\"

/* A single quote cannot stand between single quotes. */
static void print_help(FILE *out, const char *help)
{
    char *text = NULL;
    size_t size = 0;
    FILE *brief = open_memstream(&text, &size);

    if (brief == NULL)
        return;
    completion_print_brief(brief, help, ESCAPED);
    (void)fclose(brief);
    for (const char *c = text; *c != '\0'; c++)
        (void)fprintf(out, *c == '\'' ? "'\\''" : "%c", *c);
    free(text);
}

/* One specification, in quotes. */
static void print_option(FILE *out, const struct completion_option *option)
{
    bool takes = option->value != COMPLETION_NONE;

    if (option->letter != 0)
        (void)fprintf(out, "'(-%c --%s)'{-%c%s,--%s%s}'[", option->letter, option->name,
                      option->letter, takes ? "+" : "", option->name, takes ? "=" : "");
    else
        (void)fprintf(out, "'--%s%s[", option->name, takes ? "=" : "");
    print_help(out, option->help);
    (void)fputc(']', out);
    if (takes)
        (void)fputs(":value:", out);
    if (option->value == COMPLETION_PATH)
        (void)fputs("_files", out);
    if (option->value == COMPLETION_WORDS) {
        (void)fputc('(', out);
        completion_print_words(out, option->words);
        (void)fputc(')', out);
    }
    (void)fputc('\'', out);
}

static void print_head(FILE *out, const char *program)
{
    (void)fprintf(out, "#compdef %s\n# Written from its tables by ticketd-documents.\n\n", program);
}

void zsh_ticketd(FILE *out)
{
    struct completion_option options[COMPLETION_OPTIONS_MAX];
    size_t count = completion_ticketd(options);

    print_head(out, "ticketd");
    (void)fputs("_arguments -S", out);
    for (size_t i = 0; i < count; i++) {
        (void)fputs(" \\\n    ", out);
        print_option(out, &options[i]);
    }
    (void)fputc('\n', out);
}

/* "word:what it does" in quotes, for each command whose words before the last are `first`. */
static void print_commands(FILE *out, const char *first)
{
    size_t count, len = strlen(first);
    const struct ctl_command *commands = ctl_line_commands(&count);

    for (size_t i = 0; i < count; i++) {
        const char *word = commands[i].name + len;

        if (strncmp(commands[i].name, first, len) != 0 || (len > 0 && *word++ != ' ') ||
            strchr(word, ' ') != NULL)
            continue;
        (void)fprintf(out, "            '%s:", word);
        print_help(out, commands[i].help);
        (void)fputs("'\n", out);
    }
}

static void print_case(FILE *out, const struct ctl_command *command,
                       const struct completion_option *options, size_t count)
{
    bool more = completion_has_second_word(command->name);

    (void)fprintf(out, "    %s)\n", command->name);
    if (more) {
        (void)fputs("        words_after=(\n", out);
        print_commands(out, command->name);
        (void)fputs("        )\n", out);
    }
    (void)fputs("        _arguments -S $common", out);
    for (size_t i = 0; i < count; i++) {
        if (!ctl_line_takes(command, i) || ctl_line_is_common(i))
            continue;
        (void)fputs(" \\\n            ", out);
        print_option(out, &options[i]);
    }
    (void)fprintf(out, " \\\n            '%s'\n        ;;\n",
                  more ? "1: :{_describe command words_after}" : "*: :");
}

void zsh_ticketctl(FILE *out)
{
    struct completion_option options[COMPLETION_OPTIONS_MAX];
    size_t count = completion_ticketctl(options), command_count;
    const struct ctl_command *commands = ctl_line_commands(&command_count);

    print_head(out, "ticketctl");
    (void)fputs("local curcontext=$curcontext state line\n"
                "local -a common words_after\n"
                "typeset -A opt_args\n"
                "\n"
                "common=(\n",
                out);
    for (size_t i = 0; i < count; i++) {
        if (!ctl_line_is_common(i))
            continue;
        (void)fputs("    ", out);
        print_option(out, &options[i]);
        (void)fputc('\n', out);
    }
    (void)fputs(")\n"
                "_arguments -S -C $common '1: :->command' '*:: :->rest'\n"
                "case $state in\n"
                "    command)\n"
                "        words_after=(\n",
                out);
    print_commands(out, "");
    (void)fputs("        )\n"
                "        _describe command words_after\n"
                "        return\n"
                "        ;;\n"
                "    rest) ;;\n"
                "    *) return ;;\n"
                "esac\n"
                "case $words[1] in\n",
                out);
    for (size_t i = 0; i < command_count; i++)
        if (strchr(commands[i].name, ' ') == NULL)
            print_case(out, &commands[i], options, count);
    (void)fputs("esac\n", out);
}
