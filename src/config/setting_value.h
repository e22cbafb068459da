/* One setting's value: from text to its field, and back.
 *
 * Any process may call these.  They work on the structs they are given, block on nothing, and know
 * neither files nor options. */
#ifndef TICKETD_CONFIG_SETTING_VALUE_H
#define TICKETD_CONFIG_SETTING_VALUE_H

#include <stddef.h>

#include "config/settings.h"

enum {
    /* room for any value as text, its NUL included; settings.c asserts that every row fits */
    SETTING_VALUE_TEXT_MAX = 1024,
    /* room for the words that tell what is allowed, the NUL included */
    SETTING_VALUE_ALLOWED_MAX = 192,
};

/* Parses `text` by the row's type and bounds and stores it in the row's field of `settings`.
 * 0; or TICKETD_INVALID with the field untouched and the wrong part of `text` (an item of a list,
 * else all of it) as *ret_wrong and *ret_wrong_size. */
int setting_value_parse(const struct setting *row, const char *text, struct settings *settings,
                        const char **ret_wrong, size_t *ret_wrong_size);

/* Writes the stored value as text that setting_value_parse reads back to the same value. */
void setting_value_format(const struct setting *row, const struct settings *settings,
                          char ret_text[SETTING_VALUE_TEXT_MAX]);

/* Writes what the row allows, such as "a whole number from 0 to 65535". */
void setting_value_allowed(const struct setting *row, char ret_text[SETTING_VALUE_ALLOWED_MAX]);

#endif
