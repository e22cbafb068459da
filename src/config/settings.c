#include "settings.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bsd/string.h>

#include "config/env_file.h"
#include "config/setting_value.h"
#include "ticketd/error.h"

/* Seconds are written as seconds in the table and kept as milliseconds. */
#define SCALE_INT       1
#define SCALE_SECONDS   1000
#define SCALE_BOOL      1
#define SCALE_CHOICE    1
#define SCALE_STRING    1
#define SCALE_TOKEN     1
#define SCALE_LIST      1
#define SCALE_ADDRESSES 1
#define SCALE_URL       1

static const struct setting table[SETTING_COUNT] = {
#define SETTING(field_, name_, type_, fallback_, unit_, min_, max_, reload_, help_)                \
    [SETTING_##name_] = {                                                                          \
        .name = #name_,                                                                            \
        .type = SETTING_TYPE_##type_,                                                              \
        .fallback = fallback_,                                                                     \
        .unit = unit_,                                                                             \
        .min = (int64_t)((min_)*SCALE_##type_ + 0.5),                                              \
        .max = (int64_t)((max_)*SCALE_##type_ + 0.5),                                              \
        .reload = SETTING_CLASS_##reload_,                                                         \
        .help = help_,                                                                             \
        .offset = offsetof(struct settings, field_),                                               \
        .size = sizeof(((struct settings *)0)->field_),                                            \
    },
#include "settings.def"
};

/* The first may not exceed the second; both are numbers of one unit and LIVE, so that a reload
 * cannot part them. */
static const struct {
    enum setting_id lesser;
    enum setting_id greater;
} at_most[] = {
    {SETTING_HTTP_KEEPALIVE_CONNECTIONS, SETTING_HTTP_MAX_CONNECTIONS},
    {SETTING_DRAIN_IDLE_TIMEOUT, SETTING_SHUTDOWN_TIMEOUT},
};

/* One settings_load in progress. */
struct loading {
    struct settings *draft;
    const char *path;
    /* the line that set each row, 0 if none did */
    size_t lines[SETTING_COUNT];
    char *error;
};

/* A part of a value as the error line shows it: one line, not too long. */
enum { SHOWN_MAX = 80 };

static void show(const char *text, size_t size, char shown[SHOWN_MAX + 4])
{
    size_t shown_size = size > SHOWN_MAX ? SHOWN_MAX : size;

    for (size_t i = 0; i < shown_size; i++)
        shown[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
    strlcpy(shown + shown_size, size > SHOWN_MAX ? "..." : "", 4);
}

const struct setting *settings_row(enum setting_id id)
{
    assert((unsigned)id < SETTING_COUNT);
    return &table[id];
}

const struct setting *settings_find(const char *name, enum setting_id *ret_id)
{
    for (size_t id = 0; id < SETTING_COUNT; id++)
        if (strcmp(table[id].name, name) == 0) {
            *ret_id = (enum setting_id)id;
            return &table[id];
        }
    return NULL;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Levenshtein's distance: how many letters to insert, delete or replace. */
static size_t name_distance(const char *a, const char *b)
{
    enum { NAME_MAX_COMPARED = 64 };
    size_t row[NAME_MAX_COMPARED + 1];
    size_t a_size = strnlen(a, NAME_MAX_COMPARED);
    size_t b_size = strnlen(b, NAME_MAX_COMPARED);

    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t above = row[j];

            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_size];
}

const char *settings_nearest_name(const char *name)
{
    const char *nearest = NULL;
    /* a third of the letters may be wrong: more would be a guess */
    size_t nearest_distance = strlen(name) / 3 + 1;

    for (size_t id = 0; id < SETTING_COUNT; id++) {
        size_t distance = name_distance(name, table[id].name);

        if (distance < nearest_distance) {
            nearest = table[id].name;
            nearest_distance = distance;
        }
    }
    return nearest;
}

/* "./.env line 3", "environment", … */
static void describe_source(const struct loading *loading, enum setting_id id, char *text,
                            size_t size)
{
    static const char *const names[] = {
        [SETTING_SOURCE_DEFAULT] = "default",
        [SETTING_SOURCE_ENVIRONMENT] = "environment",
        [SETTING_SOURCE_COMMAND_LINE] = "command line",
    };
    unsigned char source = loading->draft->source[id];

    if (source == SETTING_SOURCE_FILE)
        (void)snprintf(text, size, "%.100s line %zu", loading->path, loading->lines[id]);
    else
        strlcpy(text, names[source], size);
}

/* Sets one row; what is wrong goes to loading->error. */
static int set(struct loading *loading, enum setting_id id, const char *value,
               enum setting_source source)
{
    const struct setting *row = &table[id];
    char allowed[SETTING_VALUE_ALLOWED_MAX];
    char shown[SHOWN_MAX + 4];
    char from[128];
    const char *wrong;
    size_t wrong_size;
    int r = setting_value_parse(row, value, loading->draft, &wrong, &wrong_size);

    loading->draft->source[id] = (unsigned char)source;
    if (r == TICKETD_DONE)
        return r;
    setting_value_allowed(row, allowed);
    show(wrong, wrong_size, shown);
    describe_source(loading, id, from, sizeof(from));
    (void)snprintf(loading->error, SETTINGS_ERROR_MAX, "%s: \"%s\" (from %s) is not allowed: %s",
                   row->name, shown, from, allowed);
    return r;
}

static void set_defaults(struct loading *loading)
{
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        int r = set(loading, (enum setting_id)id, table[id].fallback, SETTING_SOURCE_DEFAULT);

        /* the table breaks its own bounds, or a row has no room in the buffers of the text forms */
        assert(r == TICKETD_DONE && table[id].size <= SETTING_VALUE_TEXT_MAX);
        (void)r;
    }
}

static int refuse_unknown(const struct loading *loading, size_t line, const char *name)
{
    const char *nearest = settings_nearest_name(name);
    char shown[SHOWN_MAX + 4];

    show(name, strlen(name), shown);
    (void)snprintf(loading->error, SETTINGS_ERROR_MAX, "%.100s line %zu: %s is not a setting%s%s%s",
                   loading->path, line, shown, nearest != NULL ? "; did you mean " : "",
                   nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
    return TICKETD_INVALID;
}

static int on_file_entry(void *ctx, size_t line, const char *name, const char *value)
{
    struct loading *loading = ctx;
    enum setting_id id;

    if (settings_find(name, &id) == NULL)
        return refuse_unknown(loading, line, name);
    if (loading->lines[id] != 0) {
        (void)snprintf(loading->error, SETTINGS_ERROR_MAX,
                       "%.100s line %zu: %s is already set in line %zu", loading->path, line, name,
                       loading->lines[id]);
        return TICKETD_INVALID;
    }
    loading->lines[id] = line;
    return set(loading, id, value, SETTING_SOURCE_FILE);
}

static int set_from_file(struct loading *loading, bool optional)
{
    struct env_file_problem problem = {0};
    int r = env_file_read(loading->path, on_file_entry, loading, &problem);

    if (r == -ENOENT && optional)
        return 0;
    if (r < 0)
        (void)snprintf(loading->error, SETTINGS_ERROR_MAX, "cannot read %.300s: %s", loading->path,
                       strerror(-r));
    else if (problem.line != 0)
        (void)snprintf(loading->error, SETTINGS_ERROR_MAX, "%.300s line %zu: %s", loading->path,
                       problem.line, problem.what);
    else if (problem.what != NULL)
        (void)snprintf(loading->error, SETTINGS_ERROR_MAX, "%.300s: %s", loading->path,
                       problem.what);
    else if (r == 0)
        strlcpy(loading->draft->config_path, loading->path, sizeof(loading->draft->config_path));
    return r;
}

/* The value of `name` in an environ-like array, or NULL if it is unset or empty. */
static const char *environment_get(char *const *environment, const char *name)
{
    size_t size = strlen(name);

    for (; environment != NULL && *environment != NULL; environment++)
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=')
            return (*environment)[size + 1] != '\0' ? *environment + size + 1 : NULL;
    return NULL;
}

static int set_from_environment(struct loading *loading, char *const *environment)
{
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        const char *value = environment_get(environment, table[id].name);
        int r = 0;

        if (value != NULL)
            r = set(loading, (enum setting_id)id, value, SETTING_SOURCE_ENVIRONMENT);
        if (r != 0)
            return r;
    }
    return 0;
}

static int64_t *number_of(struct settings *settings, enum setting_id id)
{
    assert(table[id].size == sizeof(int64_t));
    return (int64_t *)((char *)settings + table[id].offset);
}

/* A default that a given value contradicts yields to it; two given values that do are an error. */
static int check_pairs(struct loading *loading)
{
    for (size_t i = 0; i < sizeof(at_most) / sizeof(at_most[0]); i++) {
        enum setting_id lesser = at_most[i].lesser;
        enum setting_id greater = at_most[i].greater;
        int64_t *value = number_of(loading->draft, lesser);
        int64_t bound = *number_of(loading->draft, greater);
        char texts[2][SETTING_VALUE_TEXT_MAX];
        char froms[2][128];

        assert(table[lesser].type == table[greater].type);
        if (*value <= bound)
            continue;
        if (loading->draft->source[lesser] == SETTING_SOURCE_DEFAULT) {
            *value = bound;
            continue;
        }
        setting_value_format(&table[lesser], loading->draft, texts[0]);
        setting_value_format(&table[greater], loading->draft, texts[1]);
        describe_source(loading, lesser, froms[0], sizeof(froms[0]));
        describe_source(loading, greater, froms[1], sizeof(froms[1]));
        (void)snprintf(
            loading->error, SETTINGS_ERROR_MAX,
            "%s: \"%.32s\" (from %s) is not allowed: at most %s, which is %.32s (from %s)",
            table[lesser].name, texts[0], froms[0], table[greater].name, texts[1], froms[1]);
        return TICKETD_INVALID;
    }
    return 0;
}

int settings_load(struct settings *ret_settings, const struct settings_input *input,
                  char error[SETTINGS_ERROR_MAX])
{
    /* memset, not an initialiser: padding too, so that equal settings are equal bytes */
    struct settings draft;
    struct loading loading = {
        .draft = &draft,
        .path = input->config_path != NULL ? input->config_path : "./.env",
        .error = error,
    };
    int r;

    memset(&draft, 0, sizeof(draft));
    set_defaults(&loading);
    r = set_from_file(&loading, input->config_path == NULL);
    if (r == 0)
        r = set_from_environment(&loading, input->environment);
    for (size_t i = 0; r == 0 && i < input->override_count; i++)
        r = set(&loading, input->overrides[i].id, input->overrides[i].value,
                SETTING_SOURCE_COMMAND_LINE);
    if (r == 0)
        r = check_pairs(&loading);
    if (r == 0)
        memcpy(ret_settings, &draft, sizeof(draft));
    return r;
}

void settings_reload(struct settings *current, const struct settings *fresh,
                     void (*on_ignored)(void *ctx, const char *name), void *ctx)
{
    for (size_t id = 0; id < SETTING_COUNT; id++) {
        const struct setting *row = &table[id];
        char *old = (char *)current + row->offset;
        const char *new = (const char *)fresh + row->offset;

        /* values are written whole, so equal values are equal bytes */
        if (row->reload == SETTING_CLASS_LIVE || memcmp(old, new, row->size) == 0) {
            memcpy(old, new, row->size);
            current->source[id] = fresh->source[id];
        } else if (on_ignored != NULL) {
            on_ignored(ctx, row->name);
        }
    }
    memcpy(current->config_path, fresh->config_path, sizeof(current->config_path));
}

bool settings_in_development(const struct settings *settings)
{
    return strcmp(settings->environment, "development") == 0;
}

bool settings_list_next(const char **cursor, const char **ret_item, size_t *ret_size)
{
    const char *item = *cursor;
    size_t size = strcspn(item, ",");

    if (size == 0)
        return false;
    *cursor = item + size + (item[size] == ',');
    *ret_item = item;
    *ret_size = size;
    return true;
}
