#include "route/openapi_document.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define COMPONENTS "#/components/"
/* Room for what the tables add. */
#define ADDED_MAX 16384
/* Most components that are referred to. */
#define KEPT_MAX 128
/* Longest name of a section of the components, and of a generated schema. */
#define WORD_MAX 32

/* ---- paths ---- */

/* As OpenAPI spells it. */
static void lower_case(const char *method, char ret_lower[WORD_MAX])
{
    size_t len = strlen(method);

    assert(len < WORD_MAX);
    for (size_t i = 0; i <= len; ++i)
        ret_lower[i] = (char)tolower((unsigned char)method[i]);
}

static bool is_served(const struct router *router, const char *path, const char *method)
{
    for (const struct route *route = route_table; route->path != NULL; ++route)
        if (strcmp(route->path, path) == 0 && strcasecmp(route->method, method) == 0)
            return route_is_offered(router, route);
    return false;
}

static void cut_methods(const struct router *router, struct json_value *path)
{
    for (struct json_value *operation = json_first(path), *next; operation != NULL;
         operation = next) {
        next = json_next(operation);
        if (!is_served(router, json_name(path), json_name(operation)))
            json_remove(path, operation);
    }
}

static void cut_paths(const struct router *router, struct json_value *paths)
{
    for (struct json_value *path = json_first(paths), *next; path != NULL; path = next) {
        next = json_next(path);
        cut_methods(router, path);
        if (json_first(path) == NULL)
            json_remove(paths, path);
    }
}

static void add_summaries(const struct router *router, struct json_value *paths)
{
    for (const struct route *route = route_table; route->path != NULL; ++route) {
        char method[WORD_MAX];
        struct json_value *operation;
        if (!route_is_offered(router, route))
            continue;
        lower_case(route->method, method);
        operation = json_member(json_member(paths, route->path), method);
        assert(operation != NULL && "each route has its operation in openapi.json");
        json_add_string(operation, "summary", route->summary);
    }
}

/* ---- tags ---- */

static bool has_tag(const struct json_value *operation, const char *name)
{
    for (const struct json_value *tag = json_first(json_member(operation, "tags")); tag != NULL;
         tag = json_next(tag))
        if (strcmp(json_text(tag), name) == 0)
            return true;
    return false;
}

static bool is_tag_used(const struct json_value *paths, const char *name)
{
    for (const struct json_value *path = json_first(paths); path != NULL; path = json_next(path))
        for (const struct json_value *operation = json_first(path); operation != NULL;
             operation = json_next(operation))
            if (has_tag(operation, name))
                return true;
    return false;
}

static void cut_tags(struct json_value *tags, const struct json_value *paths)
{
    for (struct json_value *tag = json_first(tags), *next; tag != NULL; tag = next) {
        next = json_next(tag);
        if (!is_tag_used(paths, json_text(json_member(tag, "name"))))
            json_remove(tags, tag);
    }
}

/* ---- problems ---- */

/* The schema of the problems of one status: "Problem503". */
static void add_problem_schema(struct json_value *schemas, const struct problem_kind *kind)
{
    struct json_value *schema, *properties, *codes;
    char name[WORD_MAX];

    (void)snprintf(name, sizeof(name), "Problem%d", kind->status);
    if (json_member(schemas, name) != NULL)
        return;
    schema = json_add_object(schemas, name);
    json_add_string(json_append_object(json_add_array(schema, "allOf")), "$ref",
                    COMPONENTS "schemas/Problem");
    properties = json_add_object(schema, "properties");
    json_add_string(json_add_object(properties, "title"), "const", kind->title);
    json_add_integer(json_add_object(properties, "status"), "const", kind->status);
    codes = json_add_array(json_add_object(properties, "code"), "enum");
    for (int code = 0; code < PROBLEM_COUNT; ++code)
        if (problem_kind((enum problem_code)code)->status == kind->status)
            json_append_string(codes, problem_kind((enum problem_code)code)->code);
}

static void add_problems(struct json_value *schemas)
{
    struct json_value *problem = json_member(json_member(schemas, "Problem"), "properties");
    struct json_value *codes = json_add_array(json_member(problem, "code"), "enum");

    for (int code = 0; code < PROBLEM_COUNT; ++code) {
        json_append_string(codes, problem_kind((enum problem_code)code)->code);
        add_problem_schema(schemas, problem_kind((enum problem_code)code));
    }
}

/* ---- components ---- */

/* What is referred to, directly or not. */
struct kept {
    const struct json_value *components;
    const struct json_value *values[KEPT_MAX];
    uint32_t count;
};

static bool is_kept(const struct kept *kept, const struct json_value *value)
{
    for (uint32_t i = 0; i < kept->count; ++i)
        if (kept->values[i] == value)
            return true;
    return false;
}

/* What a reference refers to: "#/components/SECTION/NAME". */
static const struct json_value *referred(const struct kept *kept, const char *reference)
{
    const char *section_at = reference + strlen(COMPONENTS), *slash = strchr(section_at, '/');
    char section[WORD_MAX];
    const struct json_value *value;

    assert(slash != NULL && (size_t)(slash - section_at) < sizeof(section));
    (void)snprintf(section, sizeof(section), "%.*s", (int)(slash - section_at), section_at);
    value = json_member(json_member(kept->components, section), slash + 1);
    assert(value != NULL && "a reference of openapi.json leads somewhere");
    return value;
}

/* Its depth is that of the document, and no component is walked through twice. */
static void keep_referred(struct kept *kept, const struct json_value *value)
{
    for (const struct json_value *part = json_first(value); part != NULL; part = json_next(part)) {
        const char *name = json_name(part);
        const struct json_value *target;
        if (name == NULL || strcmp(name, "$ref") != 0) {
            keep_referred(kept, part);
            continue;
        }
        target = referred(kept, json_text(part));
        if (is_kept(kept, target))
            continue;
        assert(kept->count < KEPT_MAX);
        kept->values[kept->count++] = target;
        keep_referred(kept, target);
    }
}

static void cut_components(struct json_value *components, const struct json_value *paths)
{
    struct kept kept = {.components = components};

    keep_referred(&kept, paths);
    for (struct json_value *section = json_first(components); section != NULL;
         section = json_next(section))
        for (struct json_value *value = json_first(section), *next; value != NULL; value = next) {
            next = json_next(value);
            if (!is_kept(&kept, value))
                json_remove(section, value);
        }
}

/* ---- the whole ---- */

/* How many requests a batch may have is a setting; the file has the rest. */
static void add_limits(const struct router *router, struct json_value *schemas)
{
    struct json_value *batch = json_member(json_member(schemas, "BatchRequest"), "properties");

    json_add_integer(json_member(batch, "requests"), "maxItems", router->settings->batch_max);
}

static void edit(const struct router *router, struct json_value *document)
{
    struct json_value *paths = json_member(document, "paths");
    struct json_value *components = json_member(document, "components");
    struct json_value *schemas = json_member(components, "schemas");

    json_add_string(json_member(document, "info"), "version", TICKETD_VERSION);
    add_problems(schemas);
    add_limits(router, schemas);
    cut_paths(router, paths);
    add_summaries(router, paths);
    cut_tags(json_member(document, "tags"), paths);
    cut_components(components, paths);
}

static int print(const struct json_value *document, struct text *ret_document)
{
    size_t room = openapi_source_len + ADDED_MAX;
    char *bytes = malloc(room), *fitting;
    int len;

    if (bytes == NULL)
        return -ENOMEM;
    len = json_print(document, bytes, room);
    if (len < 0) {
        assert(len == -ENOMEM && "the room holds what the tables add");
        free(bytes);
        return len;
    }
    fitting = realloc(bytes, (size_t)len);
    *ret_document = (struct text){.base = fitting != NULL ? fitting : bytes, .len = (size_t)len};
    return 0;
}

int openapi_document_make(const struct router *router, struct text *ret_document)
{
    struct json_document document;
    int result = json_parse(&document, (const char *)openapi_source, openapi_source_len);

    if (result < 0)
        return result;
    assert(result == JSON_DONE && "openapi.json is JSON");
    edit(router, json_root(&document));
    result = print(json_root(&document), ret_document);
    json_release(&document);
    return result;
}
