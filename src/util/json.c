#include "util/json.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "util/escape.h"
#include "util/json_lex.h"
#include "util/utf8.h"

/* Room for what a small document needs; a larger one takes the rest from the heap. */
enum { JSON_ARENA_SIZE = 64 * 1024 };

/* cJSON's hooks carry no context, so the arena they allocate from is the process's one. */
static struct {
    bool installed;
    /* an allocation failed since json_parse looked last */
    bool exhausted;
    size_t used;
    /* allocations not yet freed: when none is left the arena begins anew */
    size_t live;
    alignas(max_align_t) unsigned char bytes[JSON_ARENA_SIZE];
} arena;

static void *json_alloc(size_t size)
{
    const size_t unit = alignof(max_align_t);
    size_t rounded = (size + unit - 1) / unit * unit;

    if (size <= JSON_ARENA_SIZE && rounded <= JSON_ARENA_SIZE - arena.used) {
        void *place = arena.bytes + arena.used;
        arena.used += rounded;
        arena.live++;
        return place;
    }
    void *place = malloc(size);
    if (!place)
        arena.exhausted = true;
    return place;
}

static void json_dealloc(void *place)
{
    uintptr_t address = (uintptr_t)place;
    uintptr_t start = (uintptr_t)arena.bytes;

    if (address < start || address >= start + JSON_ARENA_SIZE) {
        free(place);
        return;
    }
    assert(arena.live > 0);
    if (--arena.live == 0)
        arena.used = 0;
}

int json_init(void)
{
    int r = utf8_init();
    if (r < 0)
        return r;
    cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = json_alloc, .free_fn = json_dealloc});
    arena.installed = true;
    return 0;
}

static cJSON *as_cjson(const struct json_value *value)
{
    return (cJSON *)(uintptr_t)value;
}

static struct json_value *as_value(cJSON *item)
{
    return (struct json_value *)item;
}

/* ---- decoding ---- */

static const char *check_name(const cJSON *object, const cJSON *member)
{
    size_t before = 0;
    for (const cJSON *other = object->child; other != member; other = other->next) {
        if (strcmp(other->string, member->string) == 0)
            return "duplicate member name";
        if (++before == JSON_MEMBERS_MAX)
            return "too many members in an object";
    }
    return NULL;
}

/* cJSON keeps only doubles, which cannot tell 1.0 from 1 and round beyond 2⁵³.  So each number gets
 * the place of its token in the text instead of cJSON's (deprecated) integer: the tree in document
 * order and the number tokens in text order are the same sequence.  Recursion ends at
 * JSON_DEPTH_MAX, which json_lex has checked. */
static const char *check_tree(cJSON *item, const char *text, const char **at)
{
    if (cJSON_IsNumber(item)) {
        const char *token = json_lex_next_number(*at);
        assert(token && token - text <= INT_MAX);
        item->valueint = (int)(token - text);
        *at = token + json_lex_number_len(token);
    }
    for (cJSON *child = item->child; child; child = child->next) {
        const char *reason = cJSON_IsObject(item) ? check_name(item, child) : NULL;
        if (!reason)
            reason = check_tree(child, text, at);
        if (reason)
            return reason;
    }
    return NULL;
}

static const char *check_text(char *text, size_t len)
{
    const char *reason = json_lex(text, len);
    if (!reason && !utf8_valid(text))
        reason = "not UTF-8";
    return reason;
}

/* Fills in the rest of a document that has its text; returns the reason if it cannot. */
static const char *decode(struct json_document *document, size_t len)
{
    const char *reason = check_text(document->text, len);
    if (reason)
        return reason;
    cJSON *root = cJSON_ParseWithLengthOpts(document->text, len + 1, NULL, true);
    if (!root)
        return "not JSON";
    document->root = as_value(root);
    const char *at = document->text;
    return check_tree(root, document->text, &at);
}

int json_parse(struct json_document *ret, const char *bytes, size_t len)
{
    assert(arena.installed);
    *ret = (struct json_document){0};
    if (len > JSON_TEXT_SIZE_MAX) {
        ret->reason = "too long";
        return JSON_MALFORMED;
    }
    arena.exhausted = false;
    ret->text = json_alloc(len + 1);
    if (!ret->text)
        return -ENOMEM;
    if (len > 0) /* without a body `bytes` is NULL */
        memcpy(ret->text, bytes, len);
    ret->text[len] = '\0';

    const char *reason = decode(ret, len);
    if (!reason)
        return 0;
    json_release(ret);
    if (arena.exhausted)
        return -ENOMEM;
    ret->reason = reason;
    return JSON_MALFORMED;
}

void json_release(struct json_document *document)
{
    if (!document)
        return;
    cJSON_Delete(as_cjson(document->root));
    if (document->text)
        json_dealloc(document->text);
    *document = (struct json_document){0};
}

bool json_is_object(const struct json_document *document)
{
    return cJSON_IsObject(as_cjson(document->root));
}

static const cJSON *member(const struct json_document *document, const char *name)
{
    const cJSON *root = as_cjson(document->root);
    return cJSON_IsObject(root) ? cJSON_GetObjectItemCaseSensitive(root, name) : NULL;
}

int json_get_integer(const struct json_document *document, const char *name, int64_t min,
                     int64_t max, int64_t *ret)
{
    const cJSON *item = member(document, name);
    if (!item)
        return JSON_MISSING;
    if (!cJSON_IsNumber(item))
        return JSON_WRONG_TYPE;

    const char *token = document->text + item->valueint;
    char *end;
    int saved_errno = errno;
    errno = 0;
    intmax_t number = strtoimax(token, &end, 10);
    bool out_of_range = errno == ERANGE;
    errno = saved_errno;
    if (end != token + json_lex_number_len(token))
        return JSON_WRONG_TYPE;
    if (out_of_range || number < min || number > max)
        return JSON_OUT_OF_BOUNDS;
    *ret = number;
    return 0;
}

int json_get_string(const struct json_document *document, const char *name, const char **ret)
{
    const cJSON *item = member(document, name);
    if (!item)
        return JSON_MISSING;
    if (!cJSON_IsString(item))
        return JSON_WRONG_TYPE;
    *ret = item->valuestring;
    return 0;
}

int json_get_number(const struct json_document *document, const char *name, double *ret)
{
    const cJSON *item = member(document, name);
    if (!item)
        return JSON_MISSING;
    if (!cJSON_IsNumber(item))
        return JSON_WRONG_TYPE;
    *ret = item->valuedouble;
    return 0;
}

int json_get_bool(const struct json_document *document, const char *name, bool *ret)
{
    const cJSON *item = member(document, name);
    if (!item)
        return JSON_MISSING;
    if (!cJSON_IsBool(item))
        return JSON_WRONG_TYPE;
    *ret = cJSON_IsTrue(item);
    return 0;
}

/* The numbers of a part are read from the text of the whole. */
static struct json_document view_of(const struct json_document *document, const cJSON *part)
{
    return (struct json_document){.root = as_value((cJSON *)(uintptr_t)part),
                                  .text = document->text};
}

int json_get_object(const struct json_document *document, const char *name,
                    struct json_document *ret_view)
{
    const cJSON *item = member(document, name);
    if (!item)
        return JSON_MISSING;
    if (!cJSON_IsObject(item))
        return JSON_WRONG_TYPE;
    *ret_view = view_of(document, item);
    return 0;
}

int json_get_each(const struct json_document *document, const char *name,
                  int (*on_item)(void *context, const struct json_document *item), void *context)
{
    const cJSON *array = member(document, name);
    int r = 0;
    if (!array)
        return JSON_MISSING;
    if (!cJSON_IsArray(array))
        return JSON_WRONG_TYPE;
    for (const cJSON *item = array->child; r == 0 && item; item = item->next) {
        struct json_document view = view_of(document, item);
        r = on_item(context, &view);
    }
    return r;
}

/* ---- editing ---- */

struct json_value *json_root(const struct json_document *document)
{
    return document->root;
}

struct json_value *json_member(const struct json_value *object, const char *name)
{
    const cJSON *item = as_cjson(object);
    return cJSON_IsObject(item) ? as_value(cJSON_GetObjectItemCaseSensitive(item, name)) : NULL;
}

struct json_value *json_first(const struct json_value *container)
{
    return container ? as_value(as_cjson(container)->child) : NULL;
}

struct json_value *json_next(const struct json_value *value)
{
    return value ? as_value(as_cjson(value)->next) : NULL;
}

const char *json_name(const struct json_value *value)
{
    return value ? as_cjson(value)->string : NULL;
}

const char *json_text(const struct json_value *value)
{
    return cJSON_GetStringValue(as_cjson(value));
}

void json_remove(struct json_value *container, struct json_value *value)
{
    if (container && value)
        cJSON_Delete(cJSON_DetachItemViaPointer(as_cjson(container), as_cjson(value)));
}

/* ---- building ---- */

/* cJSON does not print an item of type Invalid: a container that lost a member becomes one. */
static struct json_value *added(struct json_value *container, cJSON *item)
{
    if (!item && container)
        as_cjson(container)->type = cJSON_Invalid;
    return as_value(item);
}

static bool is_complete(const cJSON *item)
{
    if (cJSON_IsInvalid(item))
        return false;
    for (const cJSON *child = item->child; child; child = child->next) {
        if (!is_complete(child))
            return false;
    }
    return true;
}

struct json_value *json_object_new(void)
{
    assert(arena.installed);
    return as_value(cJSON_CreateObject());
}

static cJSON *add_repaired(cJSON *object, const char *name, const char *text)
{
    /* the longest escape of one byte, and the quotes */
    size_t len = strlen(text);
    size_t size = 6 * len + 3;
    char *raw = json_alloc(size);
    if (!raw)
        return NULL;

    size_t taken = 0;
    size_t raw_len = 1 + escape_json(raw + 1, size - 3, text, len, &taken);
    assert(taken == len);
    raw[0] = raw[raw_len] = '"';
    raw[raw_len + 1] = '\0';
    cJSON *item = cJSON_AddRawToObject(object, name, raw);
    json_dealloc(raw);
    return item;
}

void json_add_string(struct json_value *object, const char *name, const char *text)
{
    cJSON *container = as_cjson(object);
    added(object, utf8_valid(text) ? cJSON_AddStringToObject(container, name, text)
                                   : add_repaired(container, name, text));
}

void json_add_integer(struct json_value *object, const char *name, int64_t number)
{
    /* Raw: cJSON's own numbers are doubles and would round. */
    char digits[sizeof("-9223372036854775808")];
    (void)snprintf(digits, sizeof(digits), "%" PRId64, number);
    added(object, cJSON_AddRawToObject(as_cjson(object), name, digits));
}

void json_add_decimal(struct json_value *object, const char *name, int64_t number,
                      unsigned decimals)
{
    char digits[64];
    uint64_t size = number < 0 ? 0 - (uint64_t)number : (uint64_t)number, unit = 1;

    assert(decimals <= 9);
    for (; decimals > 0 && size % 10 == 0; --decimals)
        size /= 10;
    for (unsigned i = 0; i < decimals; ++i)
        unit *= 10;
    if (decimals == 0)
        (void)snprintf(digits, sizeof(digits), "%s%" PRIu64, number < 0 ? "-" : "", size);
    else
        (void)snprintf(digits, sizeof(digits), "%s%" PRIu64 ".%0*" PRIu64, number < 0 ? "-" : "",
                       size / unit, (int)decimals, size % unit);
    added(object, cJSON_AddRawToObject(as_cjson(object), name, digits));
}

void json_add_bool(struct json_value *object, const char *name, bool truth)
{
    added(object, cJSON_AddBoolToObject(as_cjson(object), name, truth));
}

struct json_value *json_add_object(struct json_value *object, const char *name)
{
    return added(object, cJSON_AddObjectToObject(as_cjson(object), name));
}

struct json_value *json_add_array(struct json_value *object, const char *name)
{
    return added(object, cJSON_AddArrayToObject(as_cjson(object), name));
}

/* Takes the item over, also where there is no array. */
static struct json_value *append(struct json_value *array, cJSON *item)
{
    if (item && !cJSON_AddItemToArray(as_cjson(array), item)) {
        cJSON_Delete(item);
        item = NULL;
    }
    return added(array, item);
}

struct json_value *json_append_object(struct json_value *array)
{
    return append(array, cJSON_CreateObject());
}

void json_append_string(struct json_value *array, const char *text)
{
    append(array, cJSON_CreateString(text));
}

int json_print(const struct json_value *value, char *buffer, size_t size)
{
    cJSON *item = as_cjson(value);
    if (!item || !is_complete(item))
        return -ENOMEM;
    if (!cJSON_PrintPreallocated(item, buffer, size > INT_MAX ? INT_MAX : (int)size, false))
        return -ENOSPC;
    return (int)strlen(buffer);
}

void json_free(struct json_value *value)
{
    cJSON_Delete(as_cjson(value));
}
