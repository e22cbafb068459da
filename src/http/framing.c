#include "http/framing.h"

#include <string.h>
#include <strings.h>

/* Decimal digits of the longest Content-Length that is looked at; far above any body limit. */
#define CONTENT_LENGTH_DIGITS_MAX 18

struct head_facts {
    unsigned hosts;
    unsigned content_lengths;
    uint64_t content_length;
};

/* tchar of RFC 9110, one byte a character */
static const bool is_token[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* What an authority (host, port, IPv6 brackets, percent-encoding) is made of, RFC 3986 section 3.2,
 * less the userinfo that a Host must not carry, and less the comma. */
static const bool in_authority[256] = {
    ['!'] = 1,         ['$'] = 1,         ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1,
    ['+'] = 1,         ['-'] = 1,         ['.'] = 1, ['_'] = 1, ['~'] = 1,  ['0' ... '9'] = 1,
    ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['['] = 1, [']'] = 1, [':'] = 1,  ['('] = 1,
    [')'] = 1,         [';'] = 1,         ['='] = 1,
};

static bool is_authority(const char *value, size_t len)
{
    for (size_t i = 0; i < len; ++i)
        if (!in_authority[(unsigned char)value[i]])
            return false;
    return true;
}

bool framing_length(struct text value, size_t *ret_length)
{
    size_t length = 0;

    if (value.len == 0 || value.len > CONTENT_LENGTH_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < value.len; ++i) {
        if (value.base[i] < '0' || value.base[i] > '9')
            return false;
        length = length * 10 + (size_t)(value.base[i] - '0');
    }
    *ret_length = length;
    return true;
}

bool framing_named(struct text name, struct text wanted)
{
    return name.len == wanted.len && strncasecmp(name.base, wanted.base, name.len) == 0;
}

static const char *judge_field(struct text name, struct text value, struct head_facts *facts)
{
    size_t length;

    if (framing_named(name, TEXT("host"))) {
        if (++facts->hosts > 1)
            return "more than one Host header";
        if (!is_authority(value.base, value.len))
            return "the Host header is not a host name";
    } else if (framing_named(name, TEXT("content-length"))) {
        if (++facts->content_lengths > 1)
            return "more than one Content-Length header";
        if (!framing_length(value, &length))
            return "Content-Length is not a decimal number";
        facts->content_length = length;
    } else if (framing_named(name, TEXT("transfer-encoding"))) {
        return "Transfer-Encoding is not supported; send Content-Length";
    }
    return NULL;
}

const char *framing_split(const char *line, const char *end, struct text *ret_name,
                          struct text *ret_value)
{
    const char *name_end = line, *value;

    if (line < end && (*line == ' ' || *line == '\t'))
        return "a header line is folded";
    while (name_end < end && is_token[(unsigned char)*name_end])
        ++name_end;
    if (name_end == line || name_end == end || *name_end != ':')
        return "a header name is empty or has a character that names do not have";
    value = name_end + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        ++value;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        --end;
    *ret_name = (struct text){.base = line, .len = (size_t)(name_end - line)};
    *ret_value = (struct text){.base = value, .len = (size_t)(end - value)};
    return NULL;
}

static const char *judge_line(const char *line, const char *end, struct head_facts *facts)
{
    struct text name, value;
    const char *reason = framing_split(line, end, &name, &value);

    return reason != NULL ? reason : judge_field(name, value, facts);
}

/* Origin form, absolute form, or the asterisk of OPTIONS (RFC 9112 section 3.2). */
static bool is_target(const char *target, size_t len, bool is_options)
{
    if (len == 0)
        return false;
    return target[0] == '/' || (len == 1 && target[0] == '*' && is_options) ||
           (len > 7 && strncasecmp(target, "http://", 7) == 0) ||
           (len > 8 && strncasecmp(target, "https://", 8) == 0);
}

static const char *judge_request_line(const char *line, const char *end)
{
    static const char version[] = " HTTP/1.";
    const size_t version_len = sizeof(version) - 1;
    const char *target;

    if ((size_t)(end - line) <= version_len ||
        memcmp(end - version_len - 1, version, version_len) != 0 ||
        (end[-1] != '0' && end[-1] != '1'))
        return "only HTTP/1.0 and HTTP/1.1 are served here";
    end -= version_len + 1;
    target = line;
    while (target < end && is_token[(unsigned char)*target])
        ++target;
    if (target == line || target == end || *target != ' ')
        return "the method is not a token";
    if (!is_target(target + 1, (size_t)(end - target - 1),
                   target - line == 7 && memcmp(line, "OPTIONS", 7) == 0))
        return "the request target is neither a path nor an http URL";
    return NULL;
}

const char *framing_check(const char *bytes, size_t len, struct framing_head *ret_head)
{
    const char *at = bytes, *end = bytes + len;
    struct head_facts facts = {0};
    const char *reason = NULL;
    bool in_request_line = true;

    if (len >= 2 && at[0] == '\r' && at[1] == '\n')
        at += 2; /* RFC 9112 2.2: one empty line before the request line is ignored */
    for (;;) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        if (lf == NULL)
            return "the head does not end";
        if (lf == at || lf[-1] != '\r')
            return "a line ends without CR";
        if (!in_request_line && lf - 1 == at)
            break;
        reason = in_request_line ? judge_request_line(at, lf - 1) : judge_line(at, lf - 1, &facts);
        if (reason != NULL)
            return reason;
        in_request_line = false;
        at = lf + 1;
    }
    if (facts.hosts == 0)
        return "the Host header is missing";
    *ret_head = (struct framing_head){.head_len = (size_t)(at + 2 - bytes),
                                      .body_len = facts.content_length};
    return NULL;
}
