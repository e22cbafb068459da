#include "env_file.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ticketd/error.h"

#define BLANKS " \t"
#define LETTER "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
#define DIGITS "0123456789"

static const char line_too_long[] = "a line of more than 4096 bytes";
static const char file_too_large[] = "more than 65536 bytes";
static_assert(ENV_FILE_LINE_MAX == 4096 && ENV_FILE_SIZE_MAX == 65536, "the texts name the limits");

static char *skip_blanks(char *at)
{
    return at + strspn(at, BLANKS);
}

/* Nothing or a comment may follow a closing quote. */
static const char *check_rest(const char *rest)
{
    const char *end = rest + strspn(rest, BLANKS);

    if (*end == '\0' || (*end == '#' && end > rest))
        return NULL;
    return "text after the closing quote";
}

static const char *take_single_quoted(char *at, char **ret_value)
{
    char *end = strchr(at + 1, '\'');

    if (end == NULL)
        return "a quote that is not closed in its line";
    *end = '\0';
    *ret_value = at + 1;
    return check_rest(end + 1);
}

/* Undoes the escapes in place: the value only shrinks. */
static const char *take_double_quoted(char *at, char **ret_value)
{
    static const char escaped[] = "nt\"\\";
    static const char meant[] = "\n\t\"\\";
    char *to = ++at;

    *ret_value = at;
    for (; *at != '"'; at++) {
        if (*at == '\0')
            return "a quote that is not closed in its line";
        if (*at == '\\') {
            const char *escape = *++at != '\0' ? strchr(escaped, *at) : NULL;

            if (escape == NULL)
                return "an unknown escape: known are \\n \\t \\\" \\\\";
            *to++ = meant[escape - escaped];
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
    return check_rest(at + 1);
}

static const char *take_bare(char *at, char *start, char **ret_value)
{
    char *end = at;

    /* a comment begins with '#' after a blank; elsewhere '#' is a part of the value */
    for (char *c = at; *c != '\0' && !(*c == '#' && c > start && strchr(BLANKS, c[-1])); c++)
        if (strchr(BLANKS, *c) == NULL)
            end = c + 1;
    *end = '\0';
    *ret_value = at;
    return NULL;
}

/* One line without its end.  Returns what is wrong with it, or NULL; *ret_name is NULL if the line
 * assigns nothing. */
static const char *parse_line(char *line, char **ret_name, char **ret_value)
{
    static const char export[] = "export";
    char *name = skip_blanks(line);
    char *end;
    char *value;

    *ret_name = NULL;
    for (const char *c = line; *c != '\0'; c++)
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            return "a control character";
    if (*name == '\0' || *name == '#')
        return NULL;
    if (strncmp(name, export, strlen(export)) == 0 && strchr(BLANKS, name[strlen(export)]) &&
        name[strlen(export)] != '\0')
        name = skip_blanks(name + strlen(export));
    end = name + (strchr(DIGITS, *name) == NULL ? strspn(name, LETTER DIGITS) : 0);
    value = skip_blanks(end);
    if (end == name || *value != '=')
        return "not NAME=VALUE, a comment or a blank line";
    *end = '\0';
    *ret_name = name;
    end = value + 1;
    value = skip_blanks(end);
    if (*value == '\'')
        return take_single_quoted(value, ret_value);
    if (*value == '"')
        return take_double_quoted(value, ret_value);
    return take_bare(value, end, ret_value);
}

int env_file_parse(char *text, size_t size, env_file_on_entry on_entry, void *ctx,
                   struct env_file_problem *ret_problem)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    char *end = text + size;
    size_t number = 0;

    *end = '\0';
    if (strncmp(text, byte_order_mark, strlen(byte_order_mark)) == 0)
        text += strlen(byte_order_mark);
    for (char *line = text, *next; line < end; line = next) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t len = (size_t)((newline != NULL ? newline : end) - line);
        const char *what;
        char *name;
        char *value;
        int r;

        next = line + len + 1;
        if (len > 0 && line[len - 1] == '\r')
            len--;
        line[len] = '\0';
        number++;
        if (strlen(line) != len)
            what = "a NUL byte";
        else if (len > ENV_FILE_LINE_MAX)
            what = line_too_long;
        else
            what = parse_line(line, &name, &value);
        if (what != NULL) {
            *ret_problem = (struct env_file_problem){.line = number, .what = what};
            return TICKETD_INVALID;
        }
        if (name == NULL)
            continue;
        r = on_entry(ctx, number, name, value);
        if (r != 0)
            return r;
    }
    return TICKETD_DONE;
}

int env_file_read(const char *path, env_file_on_entry on_entry, void *ctx,
                  struct env_file_problem *ret_problem)
{
    FILE *file = fopen(path, "re");
    char *text;
    size_t size;
    int r = 0;

    if (file == NULL)
        return -errno;
    text = malloc(ENV_FILE_SIZE_MAX + 2);
    if (text == NULL) {
        (void)fclose(file);
        return -ENOMEM;
    }
    errno = 0;
    size = fread(text, 1, ENV_FILE_SIZE_MAX + 1, file);
    if (ferror(file))
        r = errno != 0 ? -errno : -EIO;
    (void)fclose(file);
    if (r == 0 && size > ENV_FILE_SIZE_MAX) {
        *ret_problem = (struct env_file_problem){.what = file_too_large};
        r = TICKETD_INVALID;
    }
    if (r == 0)
        r = env_file_parse(text, size, on_entry, ctx, ret_problem);
    free(text);
    return r;
}
