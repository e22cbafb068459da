#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "config/command_line.h"
#include "ctl/command_line.h"
#include "documents/documents.h"
#include "metrics/metrics.h"
#include "util/wrap.h"

static const struct exit_row ticketd_exits[] = {
#define EXIT_STATUS(status, meaning) {status, meaning},
#include "config/exit_status.def"
};
enum { TICKETD_EXIT_COUNT = sizeof(ticketd_exits) / sizeof(ticketd_exits[0]) };

static const struct exit_row ticketctl_exits[] = {
#define EXIT_STATUS(status, meaning) {status, meaning},
#include "ctl/exit_status.def"
};
enum { TICKETCTL_EXIT_COUNT = sizeof(ticketctl_exits) / sizeof(ticketctl_exits[0]) };

static const struct {
    int status;
    const char *code;
    const char *meaning;
} problems[] = {
#define PROBLEM(code, status, title, meaning) {status, #code, meaning},
#include "http/problem.def"
#undef PROBLEM
};
enum { PROBLEMS_COUNT = sizeof(problems) / sizeof(problems[0]) };

static void print_exits(FILE *out, const struct exit_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, ".It %d\n", rows[i].status);
        wrap_print_roff(out, rows[i].meaning);
    }
}

void manual_ticketd_exits(FILE *out)
{
    print_exits(out, ticketd_exits, TICKETD_EXIT_COUNT);
}

void manual_ticketctl_exits(FILE *out)
{
    print_exits(out, ticketctl_exits, TICKETCTL_EXIT_COUNT);
}

void readme_exits(FILE *out)
{
    (void)fputs("| exit status | meaning |\n|---|---|\n", out);
    for (size_t i = 0; i < TICKETD_EXIT_COUNT; i++)
        (void)fprintf(out, "| %d | %s |\n", ticketd_exits[i].status, ticketd_exits[i].meaning);
}

void manual_ticketd_options(FILE *out)
{
    size_t count;
    const struct option_row *rows = command_line_own_options(&count);

    for (size_t i = 0; i < count; i++)
        option_row_print_mdoc(out, &rows[i]);
}

/* "[EVENT | ORDER]" as macros that begin with `op` and `ar`. */
static void print_arguments(FILE *out, const char *arguments, const char *op, const char *ar)
{
    size_t len = strlen(arguments);

    if (len == 0)
        return;
    if (*arguments == '[')
        (void)fprintf(out, "%s Ar %.*s", op, (int)len - 2, arguments + 1);
    else
        (void)fprintf(out, "%s %s", ar, arguments);
}

void manual_ticketctl_synopsis(FILE *out)
{
    size_t count;
    const struct ctl_command *commands = ctl_line_commands(&count);

    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, ".Nm\n.Op Ar OPTION ...\n.Cm %s\n", commands[i].name);
        print_arguments(out, commands[i].arguments, ".Op", ".Ar");
        if (*commands[i].arguments != '\0')
            (void)fputc('\n', out);
    }
}

void manual_ticketctl_commands(FILE *out)
{
    size_t count;
    const struct ctl_command *commands = ctl_line_commands(&count);

    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, ".It Cm %s", commands[i].name);
        print_arguments(out, commands[i].arguments, " Op", " Ar");
        (void)fputc('\n', out);
        wrap_print_roff(out, commands[i].help);
    }
}

/* "Only with", and the commands that take it. */
static void print_takers(FILE *out, size_t option)
{
    size_t count, last = 0;
    const struct ctl_command *commands = ctl_line_commands(&count);
    const char *lead = "Only with";

    for (size_t i = 0; i < count; i++)
        if (ctl_line_takes(&commands[i], option))
            last = i;
    for (size_t i = 0; i < count; i++) {
        if (!ctl_line_takes(&commands[i], option))
            continue;
        (void)fprintf(out, "%s\n.Cm %s%s\n", lead, commands[i].name, i == last ? " ." : "");
        lead = "or";
    }
}

void manual_ticketctl_options(FILE *out)
{
    size_t count;
    const struct option_row *rows = ctl_line_options(&count);

    for (size_t i = 0; i < count; i++) {
        option_row_print_mdoc(out, &rows[i]);
        if (!ctl_line_is_common(i))
            print_takers(out, i);
    }
}

static const char *type_of(const struct metric *metric)
{
    static const char *const names[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

    return names[metric->type];
}

/* The labels of a metric, with `between` between them. */
static void print_labels(FILE *out, const struct metric *metric, const char *between)
{
    for (const char *c = metric->labels; *c != '\0'; c++)
        (void)fprintf(out, *c == ',' ? "%s" : "%.1s", *c == ',' ? between : c);
}

void manual_metrics(FILE *out)
{
    for (int id = 0; id < METRIC_COUNT; id++) {
        const struct metric *metric = metric_of((enum metric_id)id);

        (void)fprintf(out, ".It Li %s Pq %s%s", metric->name, type_of(metric),
                      *metric->labels != '\0' ? " by " : "");
        print_labels(out, metric, " , ");
        (void)fputc('\n', out);
        wrap_print_roff(out, metric->help);
    }
}

void readme_metrics(FILE *out)
{
    (void)fputs("| metric | type | labels | meaning |\n|---|---|---|---|\n", out);
    for (int id = 0; id < METRIC_COUNT; id++) {
        const struct metric *metric = metric_of((enum metric_id)id);

        (void)fprintf(out, "| `%s` | %s | ", metric->name, type_of(metric));
        print_labels(out, metric, ", ");
        (void)fprintf(out, " | %s |\n", metric->help);
    }
}

void metrics_list(FILE *out)
{
    for (int id = 0; id < METRIC_COUNT; id++) {
        const struct metric *metric = metric_of((enum metric_id)id);

        (void)fprintf(out, "%s %s %s\n", metric->name, type_of(metric), metric->labels);
    }
}

void manual_problems(FILE *out)
{
    for (size_t i = 0; i < PROBLEMS_COUNT; i++) {
        (void)fprintf(out, ".It %d Li %s\n", problems[i].status, problems[i].code);
        wrap_print_roff(out, problems[i].meaning);
    }
}

void readme_problems(FILE *out)
{
    (void)fputs("| what a client gets | what it means |\n|---|---|\n", out);
    for (size_t i = 0; i < PROBLEMS_COUNT; i++)
        (void)fprintf(out, "| %d `%s` | %s |\n", problems[i].status, problems[i].code,
                      problems[i].meaning);
}
