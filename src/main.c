/* ticketd: arguments → configuration → the master. */
#include <bsd/stdlib.h>
#include <bsd/unistd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config/command_line.h"
#include "config/settings.h"
#include "config/settings_print.h"
#include "master/master.h"

/* What setproctitle moves away, kept for a restart in place. */
static char **copy_arguments(int argc, char **argv)
{
    char **copy = calloc((size_t)argc + 1, sizeof(*copy));

    for (int i = 0; copy != NULL && i < argc; ++i) {
        if ((copy[i] = strdup(argv[i])) != NULL)
            continue;
        while (i > 0)
            free(copy[--i]);
        free(copy);
        return NULL;
    }
    return copy;
}

static int refuse(const char *why)
{
    (void)fprintf(stderr, "ticketd: %s\n", why);
    return EX_CONFIG;
}

/* The exit status after printing to stdout. */
static int told(int result)
{
    if (result == 0)
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "ticketd: cannot write the answer: %s\n", strerror(-result));
    return EX_IOERR;
}

static int with_settings(const struct command_line *line, char *const *arguments)
{
    struct settings_input input = {
        .config_path = line->config_path,
        .environment = environ,
        .overrides = line->overrides,
        .override_count = line->override_count,
    };
    char error[SETTINGS_ERROR_MAX];
    struct settings settings;

    if (settings_load(&settings, &input, error) != 0)
        return refuse(error);
    if (line->action == COMMAND_LINE_PRINT_CONFIG) {
        return told(settings_print_config(stdout, &settings));
    }
    if (!master_can_run(&settings, error))
        return refuse(error);
    if (line->action == COMMAND_LINE_CHECK_CONFIG)
        return EXIT_SUCCESS;
    return master_run(
        &(struct master_options){.settings = &settings, .input = &input, .arguments = arguments});
}

int main(int argc, char **argv)
{
    static char **arguments; /* kept for as long as the process lives */

    char error[COMMAND_LINE_ERROR_MAX];
    struct command_line line;

    arguments = copy_arguments(argc, argv);
    if (arguments == NULL) {
        (void)fputs("ticketd: out of memory\n", stderr);
        return EX_OSERR;
    }
    setprogname("ticketd");
    setproctitle_init(argc, argv, environ);
    if (command_line_parse(&line, argc, arguments, error) != 0) {
        (void)fprintf(stderr, "ticketd: %s\n", error);
        return EX_USAGE;
    }
    switch (line.action) {
    case COMMAND_LINE_HELP:
        return told(settings_print_help(stdout));
    case COMMAND_LINE_VERSION:
        (void)printf("ticketd %s\n", TICKETD_VERSION);
        return EXIT_SUCCESS;
    case COMMAND_LINE_REFERENCE_ENV:
        return told(settings_print_reference_env(stdout));
    case COMMAND_LINE_REFERENCE_MARKDOWN:
        return told(settings_print_reference_markdown(stdout));
    case COMMAND_LINE_REFERENCE_MDOC:
        return told(settings_print_reference_mdoc(stdout));
    default:
        return with_settings(&line, arguments);
    }
}
