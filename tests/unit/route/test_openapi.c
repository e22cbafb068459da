#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "route/openapi_document.h"
#include "util/json.h"

static struct settings settings;

static int group_set_up(void **state)
{
    char error[SETTINGS_ERROR_MAX];

    (void)state;
    assert_int_equal(json_init(), 0);
    return settings_load(&settings, &(struct settings_input){.config_path = "/dev/null"}, error);
}

static bool has_route(const char *path, const char *method)
{
    for (const struct route *route = route_table; route->path != NULL; ++route)
        if (strcmp(route->path, path) == 0 && strcasecmp(route->method, method) == 0)
            return true;
    return false;
}

static struct json_value *parse(struct json_document *document, struct text text)
{
    assert_int_equal(json_parse(document, text.base, text.len), JSON_DONE);
    return json_root(document);
}

static size_t count(const struct json_value *container)
{
    size_t members = 0;

    for (const struct json_value *member = json_first(container); member != NULL;
         member = json_next(member))
        ++members;
    return members;
}

/* Nobody describes what is not there: each operation of the file has its route. */
static void test_each_operation_has_a_route(void **state)
{
    struct text source = {.base = (const char *)openapi_source, .len = openapi_source_len};
    struct json_document document;
    const struct json_value *paths = json_member(parse(&document, source), "paths");

    (void)state;
    for (const struct json_value *path = json_first(paths); path != NULL; path = json_next(path))
        for (const struct json_value *operation = json_first(path); operation != NULL;
             operation = json_next(operation)) {
            const char *method = json_name(operation);
            if (!has_route(json_name(path), method))
                fail_msg("%s %s: no route", method, json_name(path));
        }
    json_release(&document);
}

/* Each role's document has its routes with their summaries, and not one path more. */
static void test_each_role_has_its_routes(void **state)
{
    (void)state;
    for (enum role role = ROLE_MONOLITH; role <= ROLE_TICKET; ++role) {
        struct router router = {.settings = &settings, .role = role};
        struct json_document document;
        const struct json_value *paths;
        struct text made;
        size_t operations = 0;

        assert_int_equal(openapi_document_make(&router, &made), 0);
        paths = json_member(parse(&document, made), "paths");
        for (const struct json_value *path = json_first(paths); path != NULL;
             path = json_next(path))
            operations += count(path);
        for (const struct route *route = route_table; route->path != NULL; ++route) {
            const char *method = strcmp(route->method, "GET") == 0 ? "get" : "post";
            const struct json_value *operation =
                json_member(json_member(paths, route->path), method);
            if (!route_is_offered(&router, route)) {
                assert_null(operation);
                continue;
            }
            assert_non_null(operation);
            assert_string_equal(json_text(json_member(operation, "summary")), route->summary);
            --operations;
        }
        assert_int_equal(operations, 0);
        json_release(&document);
        free((char *)(uintptr_t)made.base);
    }
}

/* Every problem has the schema of its status, and what only other roles speak of is not there. */
static void test_components(void **state)
{
    struct router router = {.settings = &settings, .role = ROLE_TICKET};
    struct json_document document;
    const struct json_value *schemas, *codes;
    struct text made;

    (void)state;
    assert_int_equal(openapi_document_make(&router, &made), 0);
    schemas = json_member(json_member(parse(&document, made), "components"), "schemas");
    codes = json_member(
        json_member(json_member(json_member(schemas, "Problem"), "properties"), "code"), "enum");
    assert_int_equal(count(codes), PROBLEM_COUNT);
    codes = json_first(json_member(
        json_member(json_member(json_member(schemas, "Problem405"), "properties"), "code"),
        "enum"));
    assert_string_equal(json_text(codes), "method_not_allowed");
    assert_null(json_next(codes));
    assert_non_null(json_member(schemas, "SaleRequest"));
    assert_null(json_member(schemas, "BatchRequest"));
    json_release(&document);
    free((char *)(uintptr_t)made.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_operation_has_a_route),
        cmocka_unit_test(test_each_role_has_its_routes),
        cmocka_unit_test(test_components),
    };
    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
