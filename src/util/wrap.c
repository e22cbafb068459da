#include "util/wrap.h"

#include <string.h>

enum { ROFF_WIDTH = 78 };

/* How much of the text goes on a line of that width: up to a blank; a word that is wider than a
 * line stays whole. */
static size_t line_size(const char *text, size_t width)
{
    size_t size = strlen(text);

    if (size <= width)
        return size;
    for (size = width; size > 0 && text[size] != ' ';)
        size--;
    return size > 0 ? size : strcspn(text, " ");
}

void wrap_print(FILE *out, const char *prefix, size_t width, const char *text)
{
    while (*text != '\0') {
        size_t size = line_size(text, width - strlen(prefix));

        (void)fprintf(out, "%s%.*s\n", prefix, (int)size, text);
        text += size;
        text += strspn(text, " ");
    }
}

static void print_roff_line(FILE *out, const char *text, size_t size)
{
    if (*text == '.' || *text == '\'')
        (void)fputs("\\&", out);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '-' && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '-'))
            (void)fputc('\\', out);
        (void)fputc(text[i], out);
        if (text[i] == '\\')
            (void)fputc('e', out);
    }
    (void)fputc('\n', out);
}

void wrap_print_roff(FILE *out, const char *text)
{
    while (*text != '\0') {
        const char *end = strstr(text, ". ");
        size_t size = line_size(text, ROFF_WIDTH);

        if (end != NULL && (size_t)(end - text) < size)
            size = (size_t)(end - text) + 1;
        print_roff_line(out, text, size);
        text += size;
        text += strspn(text, " ");
    }
}
