/* ticketctl, the operator's tool: arguments → settings → one command. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/command_line.h"
#include "ctl/output.h"
#include "util/json.h"

static int run(struct ctl_line *line)
{
    const struct settings_input input = {
        .config_path = line->config_path,
        .environment = environ,
        .overrides = line->overrides,
        .override_count = line->override_count,
    };
    int result = json_init();
    int status;

    if (result < 0)
        return ctl_fail(EX_OSERR, "cannot start: %s", strerror(-result));
    status = ctl_locate(&line->ctl, &input);
    if (status == CTL_OK && line->command->needs_stock)
        status = ctl_need_stock(&line->ctl);
    return status == CTL_OK ? line->command->run(&line->ctl) : status;
}

int main(int argc, char **argv)
{
    char error[CTL_LINE_ERROR_MAX];
    struct ctl_line line;

    if (ctl_line_parse(&line, argc, argv, error) != 0)
        return ctl_fail(EX_USAGE, "%s", error);
    if (line.version) {
        (void)printf("ticketctl %s\n", TICKETD_VERSION);
        return output_end(CTL_OK);
    }
    if (line.help) {
        ctl_line_help(stdout, line.command);
        return output_end(CTL_OK);
    }
    if (line.command == NULL) {
        ctl_line_help(stderr, NULL);
        return EX_USAGE;
    }
    return output_end(run(&line));
}
