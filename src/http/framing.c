#include "http/framing.h"

#include <stdbool.h>
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
 * less the userinfo that a Host must not carry. */
static bool is_authority(const char *value, size_t len)
{
    for (size_t i = 0; i < len; ++i) {
        unsigned char c = (unsigned char)value[i];
        if (!is_token[c] && memchr("[]:();=,", c, 8) == NULL)
            return false;
        if (c == ',' || c == '|' || c == '^' || c == '`' || c == '#')
            return false;
    }
    return true;
}

static bool read_decimal(const char *value, size_t len, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (len == 0 || len > CONTENT_LENGTH_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < len; ++i) {
        if (value[i] < '0' || value[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(value[i] - '0');
    }
    *ret_number = number;
    return true;
}

static bool named(const char *name, size_t len, const char *wanted, size_t wanted_len)
{
    return len == wanted_len && strncasecmp(name, wanted, len) == 0;
}

#define NAMED(literal) named(name, name_len, literal, sizeof(literal) - 1)

static const char *judge_field(const char *name, size_t name_len, const char *value,
                               size_t value_len, struct head_facts *facts)
{
    if (NAMED("host")) {
        if (++facts->hosts > 1)
            return "more than one Host header";
        if (!is_authority(value, value_len))
            return "the Host header is not a host name";
    } else if (NAMED("content-length")) {
        if (++facts->content_lengths > 1)
            return "more than one Content-Length header";
        if (!read_decimal(value, value_len, &facts->content_length))
            return "Content-Length is not a decimal number";
    } else if (NAMED("transfer-encoding")) {
        return "Transfer-Encoding is not supported; send Content-Length";
    }
    return NULL;
}

/* Judges the line [line, end) without its CR LF. */
static const char *judge_line(const char *line, const char *end, struct head_facts *facts)
{
    const char *name_end = line;

    if (*line == ' ' || *line == '\t')
        return "a header line is folded";
    while (name_end < end && is_token[(unsigned char)*name_end])
        ++name_end;
    if (name_end == line || name_end == end || *name_end != ':')
        return "a header name is empty or has a character that names do not have";

    const char *value = name_end + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        ++value;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        --end;
    return judge_field(line, (size_t)(name_end - line), value, (size_t)(end - value), facts);
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
