/* The settings of one ticketd tree: plain data made from settings.def, and where each value came
 * from.
 *
 * The master loads and reloads them; every child inherits its copy by fork and only reads it.
 * Nothing here looks up a name, opens a socket, logs, exits or keeps state between calls.
 * settings_load reads one file and blocks on nothing else. */
#ifndef TICKETD_CONFIG_SETTINGS_H
#define TICKETD_CONFIG_SETTINGS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* room for one error line, its NUL included */
    SETTINGS_ERROR_MAX = 512,
    /* most items of one LIST or ADDRESSES setting */
    SETTINGS_LIST_ITEMS_MAX = 32,
};

/* SETTING_MONOLITH_PORT and so on: the row's place in the table */
enum setting_id {
#define SETTING(field, name, type, fallback, unit, min, max, reload, help) SETTING_##name,
#include "settings.def"
    SETTING_COUNT
};

enum setting_type {
    SETTING_TYPE_INT,
    SETTING_TYPE_SECONDS,
    SETTING_TYPE_BOOL,
    SETTING_TYPE_CHOICE,
    SETTING_TYPE_STRING,
    SETTING_TYPE_TOKEN,
    SETTING_TYPE_LIST,
    SETTING_TYPE_ADDRESSES,
    SETTING_TYPE_URL,
};

enum setting_class { SETTING_CLASS_LIVE, SETTING_CLASS_RESTART };

/* Weaker sources first. */
enum setting_source {
    SETTING_SOURCE_DEFAULT,
    SETTING_SOURCE_FILE,
    SETTING_SOURCE_ENVIRONMENT,
    SETTING_SOURCE_COMMAND_LINE,
};

/* The stored numbers of DEPLOYMENT_MODE, SERVICES and DASHBOARD.  LOG_LEVEL is 0 (DEBUG) to 4
 * (CRITICAL). */
enum deployment_mode { DEPLOYMENT_MODE_MONOLITH, DEPLOYMENT_MODE_MICROSERVICES };
enum services { SERVICES_ALL, SERVICES_VACANCY, SERVICES_TICKET };
enum dashboard { DASHBOARD_AUTO, DASHBOARD_ON, DASHBOARD_OFF };

#define SETTINGS_FIELD_INT(field, max)       int64_t field
#define SETTINGS_FIELD_SECONDS(field, max)   int64_t field
#define SETTINGS_FIELD_BOOL(field, max)      bool field
#define SETTINGS_FIELD_CHOICE(field, max)    int field
#define SETTINGS_FIELD_STRING(field, max)    char field[(max) + 1]
#define SETTINGS_FIELD_TOKEN(field, max)     char field[(max) + 1]
#define SETTINGS_FIELD_LIST(field, max)      char field[(max) + 1]
#define SETTINGS_FIELD_ADDRESSES(field, max) char field[(max) + 1]
#define SETTINGS_FIELD_URL(field, max)       char field[(max) + 1]

/* No pointers: a copy is a whole copy, in this process or across fork. */
struct settings {
#define SETTING(field, name, type, fallback, unit, min, max, reload, help)                         \
    SETTINGS_FIELD_##type(field, max);
#include "settings.def"
    /* enum setting_source of each row */
    unsigned char source[SETTING_COUNT];
    /* the configuration file that was read; empty if none was */
    char config_path[PATH_MAX];
};

/* One row of the table, for parsers and documents. */
struct setting {
    const char *name;
    enum setting_type type;
    const char *fallback;
    /* the unit, or the names of a CHOICE separated by '|' */
    const char *unit;
    /* bounds as stored: SECONDS in milliseconds, text in bytes */
    int64_t min;
    int64_t max;
    enum setting_class reload;
    const char *help;
    /* where the value is in struct settings */
    size_t offset;
    size_t size;
};

struct settings_override {
    enum setting_id id;
    const char *value;
};

/* What settings_load reads; everything stays the caller's and is not kept. */
struct settings_input {
    /* --config; NULL means ./.env, which may be absent */
    const char *config_path;
    /* NAME=VALUE, ended by NULL, as environ; NULL means none.  A variable that is set but empty
     * counts as unset, so that `VAR= ticketd` and an empty line of a unit file mean the default. */
    char *const *environment;
    /* from the command line; of two for one row the last wins */
    const struct settings_override *overrides;
    size_t override_count;
};

/* Reads all sources: command line over environment over file over default.  Every value that is
 * given is checked, also one that a stronger source replaces: it would come alive later.
 * 0; TICKETD_INVALID with one line in `error`; or -errno of a file that cannot be read, with one
 * line in `error` that names the file.  *ret_settings changes only on 0. */
int settings_load(struct settings *ret_settings, const struct settings_input *input,
                  char error[SETTINGS_ERROR_MAX]);

/* Takes the LIVE rows of `fresh` into `current`.  A RESTART row that differs keeps its old value
 * and is told to on_ignored (which may be NULL).  Cannot fail; neither is kept. */
void settings_reload(struct settings *current, const struct settings *fresh,
                     void (*on_ignored)(void *ctx, const char *name), void *ctx);

/* True where ENVIRONMENT=development: RELOAD acts only there. */
bool settings_in_development(const struct settings *settings);

/* The next item of a stored LIST or ADDRESSES value.  Begin with *cursor at the value; on true the
 * item is ret_size bytes at *ret_item, inside the value and not NUL-terminated; false is the end.
 * An ADDRESSES item is decoded by endpoint_parse_address. */
bool settings_list_next(const char **cursor, const char **ret_item, size_t *ret_size);

/* The row of `id`, which lives as long as the program. */
const struct setting *settings_row(enum setting_id id);

/* The row called `name` (exact, upper case), or NULL; its id, if found, in *ret_id. */
const struct setting *settings_find(const char *name, enum setting_id *ret_id);

/* The name that `name` was probably meant to be, or NULL if none is close. */
const char *settings_nearest_name(const char *name);

#endif
