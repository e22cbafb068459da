/* ticketd-documents: prints one part of the documents, or, asked for none, names all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "config/settings_print.h"
#include "documents/documents.h"

static void settings_env(FILE *out)
{
    (void)settings_print_reference_env(out);
}

static void settings_markdown(FILE *out)
{
    (void)settings_print_reference_markdown(out);
}

static void settings_mdoc(FILE *out)
{
    (void)settings_print_reference_mdoc(out);
}

static const struct {
    const char *name;
    void (*print)(FILE *out);
} parts[] = {
    {"settings-env", settings_env},
    {"settings-markdown", settings_markdown},
    {"settings-mdoc", settings_mdoc},
    {"ticketd-options", manual_ticketd_options},
    {"ticketd-exits", manual_ticketd_exits},
    {"ticketd-exits-markdown", readme_exits},
    {"ticketctl-synopsis", manual_ticketctl_synopsis},
    {"ticketctl-commands", manual_ticketctl_commands},
    {"ticketctl-options", manual_ticketctl_options},
    {"ticketctl-exits", manual_ticketctl_exits},
    {"problems", manual_problems},
    {"problems-markdown", readme_problems},
    {"metrics", manual_metrics},
    {"metrics-markdown", readme_metrics},
    {"metrics-list", metrics_list},
    {"bash-ticketd", bash_ticketd},
    {"bash-ticketctl", bash_ticketctl},
    {"zsh-ticketd", zsh_ticketd},
    {"zsh-ticketctl", zsh_ticketctl},
    {"fish-ticketd", fish_ticketd},
    {"fish-ticketctl", fish_ticketctl},
};
enum { PART_COUNT = sizeof(parts) / sizeof(parts[0]) };

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < PART_COUNT; i++) {
        if (strcmp(argv[1], parts[i].name) != 0)
            continue;
        parts[i].print(stdout);
        if (fflush(stdout) == 0 && !ferror(stdout))
            return EXIT_SUCCESS;
        perror("ticketd-documents: standard output");
        return EX_IOERR;
    }
    (void)fputs("usage: ticketd-documents PART, of:\n", stderr);
    for (size_t i = 0; i < PART_COUNT; i++)
        (void)fprintf(stderr, "  %s\n", parts[i].name);
    return EX_USAGE;
}
