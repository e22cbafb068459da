#include "client/upstream_reply.h"

#include <strings.h>

#include "http/framing.h"
#include "http/h2o.h"

/* "HTTP/1.1 200", which a blank and a reason may follow */
#define STATUS_LINE_MIN 12

struct facts {
    unsigned lengths;
    unsigned types;
    size_t body_len;
    bool close;
};

static bool is_json(struct text type)
{
    static const struct text types[] = {
        {H2O_STRLIT("application/json")},
        {H2O_STRLIT("application/problem+json")},
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); ++i)
        if (type.len >= types[i].len && strncasecmp(type.base, types[i].base, types[i].len) == 0 &&
            (type.len == types[i].len || memchr("; \t", type.base[types[i].len], 3) != NULL))
            return true;
    return false;
}

static const char *judge_status(int status)
{
    if (status < 200)
        return "an interim reply";
    if (status == 204 || status == 304)
        return "a reply that cannot have a body";
    return status > 599 ? "a reply of unknown status" : NULL;
}

static const char *judge_status_line(const char *line, const char *end, struct upstream_head *head)
{
    static const char version[] = "HTTP/1.";

    if (end - line < STATUS_LINE_MIN || memcmp(line, version, sizeof(version) - 1) != 0 ||
        (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
        (end - line > STATUS_LINE_MIN && line[STATUS_LINE_MIN] != ' '))
        return "a reply that is not HTTP";
    head->status = 0;
    for (const char *digit = line + 9; digit < line + STATUS_LINE_MIN; ++digit) {
        if (*digit < '0' || *digit > '9')
            return "a reply that is not HTTP";
        head->status = head->status * 10 + (*digit - '0');
    }
    head->keep = line[7] == '1';
    return judge_status(head->status);
}

static const char *judge_field(struct text name, struct text value, struct facts *facts)
{
    if (framing_named(name, TEXT("transfer-encoding")))
        return "a reply with a transfer coding";
    if (framing_named(name, TEXT("content-length"))) {
        if (++facts->lengths > 1)
            return "a reply with two lengths";
        if (!framing_length(value, &facts->body_len))
            return "a reply whose length is no number";
    } else if (framing_named(name, TEXT("content-type"))) {
        if (++facts->types > 1)
            return "a reply with two types";
        if (!is_json(value))
            return "a reply that is not JSON";
    } else if (framing_named(name, TEXT("connection"))) {
        facts->close |= h2o_contains_token(value.base, value.len, H2O_STRLIT("close"), ',') != 0;
    }
    return NULL;
}

/* The lines from the second one to the empty one, [at, end). */
static const char *judge_fields(const char *at, const char *end, struct upstream_head *head)
{
    struct facts facts = {.lengths = 0};

    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at)), *why;
        struct text name, value;

        if (lf == at || lf[-1] != '\r' || framing_split(at, lf - 1, &name, &value) != NULL)
            return "a reply with a broken header line";
        if ((why = judge_field(name, value, &facts)) != NULL)
            return why;
        at = lf + 1;
    }
    if (facts.lengths == 0)
        return "a reply without a length";
    if (facts.types == 0)
        return "a reply without a type";
    head->body_len = facts.body_len;
    head->keep = head->keep && !facts.close;
    return NULL;
}

const char *upstream_head_parse(const char *bytes, size_t len, struct upstream_head *ret_head)
{
    static const char beginning[] = "HTTP/1.";
    const char *lf = len > 0 ? memchr(bytes, '\n', len) : NULL, *end;
    struct upstream_head head = {.head_len = 0};
    const char *why;

    if (len > 0 && memcmp(bytes, beginning, len < 7 ? len : 7) != 0)
        return "a reply that is not HTTP";
    if (lf != NULL) {
        if (lf == bytes || lf[-1] != '\r')
            return "a reply that is not HTTP";
        if ((why = judge_status_line(bytes, lf - 1, &head)) != NULL)
            return why;
        end = memmem(lf - 1, len - (size_t)(lf - 1 - bytes), "\r\n\r\n", 4);
        if (end != NULL) {
            head.head_len = (size_t)(end + 4 - bytes);
            if ((why = judge_fields(lf + 1, end + 2, &head)) != NULL)
                return why;
        }
    }
    if ((head.head_len > 0 ? head.head_len : len) > UPSTREAM_HEAD_MAX)
        return "a reply whose head is too long";
    *ret_head = head;
    return NULL;
}
