#include "config/option_row.h"

#include "util/wrap.h"

void option_row_print(FILE *out, const struct option_row *row, size_t width)
{
    (void)fputs("  ", out);
    if (row->letter != 0)
        (void)fprintf(out, "-%c, ", row->letter);
    (void)fprintf(out, "--%s%s%s\n", row->name, row->value != NULL ? " " : "",
                  row->value != NULL ? row->value : "");
    wrap_print(out, "      ", width, row->help);
}

/* Bars are delimiters, and so words of their own. */
static void print_mdoc_value(FILE *out, const char *value)
{
    (void)fputs(*value >= 'a' && *value <= 'z' ? " Cm " : " Ar ", out);
    for (; *value != '\0'; value++)
        (void)fprintf(out, *value == '|' ? " | " : "%c", *value);
}

void option_row_print_mdoc(FILE *out, const struct option_row *row)
{
    (void)fputs(".It ", out);
    if (row->letter != 0)
        (void)fprintf(out, "Fl %c , ", row->letter);
    (void)fprintf(out, "Fl -%s", row->name);
    if (row->value != NULL)
        print_mdoc_value(out, row->value);
    (void)fputc('\n', out);
    wrap_print_roff(out, row->help);
}
