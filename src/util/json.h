/* JSON, in and out, with cJSON kept inside json.c.  For any process, from one thread; never does
 * input or output and never blocks.  Decoding accepts what RFC 8259 allows and no more: cJSON alone
 * takes much that is not JSON. */
#ifndef TICKETD_UTIL_JSON_H
#define TICKETD_UTIL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits of a document; beyond any of them it is malformed. */
enum {
    JSON_TEXT_SIZE_MAX = 4 * 1024 * 1024,
    JSON_DEPTH_MAX = 64,
    /* member names and values together */
    JSON_TOKENS_MAX = 32768,
    /* members of one object: names are compared with one another */
    JSON_MEMBERS_MAX = 64,
};

enum json_answer {
    JSON_DONE = 0,
    /* not JSON, a duplicate member name, or over a limit: json_document.reason says which */
    JSON_MALFORMED = 1,
    /* the document is not an object, or the object has no such member */
    JSON_MISSING,
    /* the member has another type; for integers: no number without fraction and exponent */
    JSON_WRONG_TYPE,
    /* an integer beyond min or max */
    JSON_OUT_OF_BOUNDS,
};

struct json_value;

/* A decoded document; owned and placed by the caller. */
struct json_document {
    /* NULL: nothing decoded */
    struct json_value *root;
    /* the terminated copy of the text that the numbers are read from */
    char *text;
    /* why json_parse answered JSON_MALFORMED: static text, for people; else NULL */
    const char *reason;
};

/* Once a process, before anything below (the state survives fork): installs the allocator that
 * keeps a small document off the heap.  0, or -errno when the machine has no C.UTF-8 locale. */
int json_init(void);

/* Decodes `len` bytes, which need no end and are not kept.  0: *ret must be given to json_release.
 * JSON_MALFORMED: *ret holds only the reason (json_release is harmless).  -ENOMEM. */
int json_parse(struct json_document *ret, const char *bytes, size_t len);

/* Accepts NULL, an all-zero document and one already released. */
void json_release(struct json_document *document);

bool json_is_object(const struct json_document *document);

/* The members below are those of the document's outermost object; names are case-sensitive.
 * Each answers 0, JSON_MISSING or JSON_WRONG_TYPE, and sets its output only with 0. */

/* Exact over all of int64_t: nothing is rounded.  Also JSON_OUT_OF_BOUNDS. */
int json_get_integer(const struct json_document *document, const char *name, int64_t min,
                     int64_t max, int64_t *ret);

/* *ret is NUL-terminated, valid UTF-8 without NUL inside, and lives as long as the document. */
int json_get_string(const struct json_document *document, const char *name, const char **ret);

/* Any number, as the nearest double. */
int json_get_number(const struct json_document *document, const char *name, double *ret);

int json_get_bool(const struct json_document *document, const char *name, bool *ret);

/* A view of a member that is an object, to be asked as a document is; it lives as long as the
 * document and is never released. */
int json_get_object(const struct json_document *document, const char *name,
                    struct json_document *ret_view);

/* Tells each item of a member that is an array, as such a view, in order.  Stops early when on_item
 * returns non-zero, and returns that. */
int json_get_each(const struct json_document *document, const char *name,
                  int (*on_item)(void *context, const struct json_document *item), void *context);

/* Editing a decoded document.  A value is borrowed from its document, whose json_document the
 * functions above may still be asked through; each accepts NULL, so that a walk needs no checks. */

struct json_value *json_root(const struct json_document *document);

/* A member of an object; NULL where there is none. */
struct json_value *json_member(const struct json_value *object, const char *name);

/* The members of an object or the items of an array, in order; NULL after the last. */
struct json_value *json_first(const struct json_value *container);
struct json_value *json_next(const struct json_value *value);

/* The name of a member; NULL of an item. */
const char *json_name(const struct json_value *value);

/* The text of a string; NULL of anything else. */
const char *json_text(const struct json_value *value);

/* Takes a member or an item out of its container, and frees it. */
void json_remove(struct json_value *container, struct json_value *value);

/* Building.  A value belongs to the container that it was added to; the outermost one belongs to
 * the caller, who gives it to json_free.  Every json_add_… accepts a NULL container, and a failure
 * (no memory) is kept in the container: only json_print needs to be checked.  Names are copied and
 * must be valid UTF-8; nothing looks for duplicates. */

/* NULL when there is no memory. */
struct json_value *json_object_new(void);

/* Copies `text`; what is not valid UTF-8 in it becomes U+FFFD. */
void json_add_string(struct json_value *object, const char *name, const char *text);
void json_add_integer(struct json_value *object, const char *name, int64_t number);
/* `number` is in units of 10 to the power of -decimals (at most 9), and written exactly: 1250 with
 * 3 decimals is 1.25. */
void json_add_decimal(struct json_value *object, const char *name, int64_t number,
                      unsigned decimals);
void json_add_bool(struct json_value *object, const char *name, bool truth);

/* Return the new, empty container, borrowed from its parent; NULL after a failure. */
struct json_value *json_add_object(struct json_value *object, const char *name);
struct json_value *json_add_array(struct json_value *object, const char *name);
struct json_value *json_append_object(struct json_value *array);

void json_append_string(struct json_value *array, const char *text);

/* Writes unformatted, NUL-terminated text.  Its length without the end, or -ENOSPC when it does not
 * fit into `size` bytes (a few spare bytes are needed: up to 8), or -ENOMEM when `value` is NULL or
 * something could not be added to it.  The buffer's content is undefined then. */
int json_print(const struct json_value *value, char *buffer, size_t size);

/* Accepts NULL. */
void json_free(struct json_value *value);

#endif
