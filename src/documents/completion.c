#include "documents/completion.h"

#include <assert.h>
#include <string.h>

#include "ctl/command_line.h"

static void from_row(const struct option_row *row, struct completion_option *ret_option)
{
    assert(strlen(row->name) < sizeof(ret_option->name));
    *ret_option = (struct completion_option){
        .letter = row->letter,
        .value = COMPLETION_OTHER,
        .words = row->value,
        .help = row->help,
    };
    strcpy(ret_option->name, row->name);
    if (row->value == NULL)
        ret_option->value = COMPLETION_NONE;
    else if (strcmp(row->value, "FILE") == 0 || strcmp(row->value, "PATH") == 0)
        ret_option->value = COMPLETION_PATH;
    else if (strchr(row->value, '|') != NULL)
        ret_option->value = COMPLETION_WORDS;
}

static void from_setting(enum setting_id id, struct completion_option *ret_option)
{
    const struct setting *row = settings_row(id);

    *ret_option = (struct completion_option){.value = COMPLETION_OTHER, .help = row->help};
    command_line_option(id, ret_option->name);
    if (id == SETTING_CONTROL_SOCKET) {
        ret_option->value = COMPLETION_PATH;
    } else if (row->type == SETTING_TYPE_CHOICE || row->type == SETTING_TYPE_BOOL) {
        ret_option->value = COMPLETION_WORDS;
        ret_option->words = row->type == SETTING_TYPE_BOOL ? "true|false" : row->unit;
    }
}

size_t completion_ticketd(struct completion_option ret_options[COMPLETION_OPTIONS_MAX])
{
    size_t own_count;
    const struct option_row *own = command_line_own_options(&own_count);

    assert(own_count + SETTING_COUNT <= COMPLETION_OPTIONS_MAX);
    for (size_t i = 0; i < own_count; i++)
        from_row(&own[i], &ret_options[i]);
    for (size_t id = 0; id < SETTING_COUNT; id++)
        from_setting((enum setting_id)id, &ret_options[own_count + id]);
    return own_count + SETTING_COUNT;
}

size_t completion_ticketctl(struct completion_option ret_options[COMPLETION_OPTIONS_MAX])
{
    size_t count;
    const struct option_row *rows = ctl_line_options(&count);

    assert(count <= COMPLETION_OPTIONS_MAX);
    for (size_t i = 0; i < count; i++)
        from_row(&rows[i], &ret_options[i]);
    return count;
}

bool completion_has_second_word(const char *command)
{
    size_t count, len = strlen(command);
    const struct ctl_command *commands = ctl_line_commands(&count);

    for (size_t i = 0; i < count; i++)
        if (strncmp(commands[i].name, command, len) == 0 && commands[i].name[len] == ' ')
            return true;
    return false;
}

void completion_print_words(FILE *out, const char *words)
{
    for (; *words != '\0'; words++)
        (void)fputc(*words == '|' ? ' ' : *words, out);
}

void completion_print_brief(FILE *out, const char *help, const char *escaped)
{
    const char *end = strstr(help, ". ");
    size_t size = end != NULL ? (size_t)(end - help) : strlen(help);

    if (size > 0 && help[size - 1] == '.')
        size--;
    for (size_t i = 0; i < size; i++) {
        if (strchr(escaped, help[i]) != NULL)
            (void)fputc('\\', out);
        (void)fputc(help[i], out);
    }
}
