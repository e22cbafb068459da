#include "http/problem.h"

#include <assert.h>
#include <string.h>

#include "util/json.h"

static const struct problem_kind kinds[PROBLEM_COUNT] = {
#define PROBLEM(code, status, title, meaning) [PROBLEM_##code] = {#code, status, title},
#include "http/problem.def"
#undef PROBLEM
};

const struct problem_kind *problem_kind(enum problem_code code)
{
    assert((unsigned)code < PROBLEM_COUNT);
    return &kinds[code];
}

size_t problem_print(char *buffer, enum problem_code code, const char *detail, const char *pointer)
{
    const struct problem_kind *kind = problem_kind(code);
    struct json_value *document = json_object_new();
    int len;

    assert(strlen(detail) <= PROBLEM_DETAIL_MAX);
    json_add_string(document, "type", "about:blank");
    json_add_string(document, "title", kind->title);
    json_add_integer(document, "status", kind->status);
    json_add_string(document, "detail", detail);
    json_add_string(document, "code", kind->code);
    if (pointer != NULL) {
        struct json_value *errors = json_add_array(document, "errors");
        struct json_value *error = json_append_object(errors);
        json_add_string(error, "detail", detail);
        json_add_string(error, "pointer", pointer);
    }
    len = json_print(document, buffer, PROBLEM_BODY_MAX);
    assert(len > 0 && "PROBLEM_BODY_MAX holds every document of ours");
    json_free(document);
    return (size_t)len;
}
