/* ticketctl: the operator's tool.  It knows only what it is called so far; its commands come with
 * the ledger. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static void print_help(FILE *out)
{
    (void)fputs("Usage: ticketctl [--help] [--version]\n"
                "\n"
                "Looks after a ticketd.  This version has no commands yet.\n"
                "\n"
                "  -h, --help     this text\n"
                "  -V, --version  the version\n",
                out);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };

    switch (getopt_long(argc, argv, "hV", options, NULL)) {
    case 'h':
        print_help(stdout);
        return EXIT_SUCCESS;
    case 'V':
        (void)printf("ticketctl %s\n", TICKETD_VERSION);
        return EXIT_SUCCESS;
    default:
        print_help(stderr);
        return EX_USAGE;
    }
}
