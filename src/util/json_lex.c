#include "util/json_lex.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "util/json.h"

enum {
    /* Stock cJSON reads 63 characters of a number and takes the rest for another token.  The kept
     * digits exceed 64 bits. */
    NUMBER_LEN_MAX = 63,
    NUMBER_LEN_KEPT = 40,
};

/* What cJSON would read on as part of a number. */
#define NUMBER_CHARACTERS "+-.0123456789Ee"
#define DIGITS            "0123456789"

struct lexer {
    char *at;
    const char *end;
    size_t depth;
    size_t tokens;
};

/* Each lex_… function checks the token at lexer->at, moves behind it, and returns NULL or the
 * reason for refusing. */

static const char *lex_escape(struct lexer *lexer)
{
    char kind = lexer->at[1];
    if (kind != 'u') {
        if (kind == '\0' || !strchr("\"\\/bfnrt", kind))
            return "unknown escape in a string";
        lexer->at += 2;
        return NULL;
    }
    /* cJSON takes \u with anything but hexadecimal digits for NUL.  (The end of the text stops
     * this loop: NUL is no digit.) */
    for (int i = 2; i < 6; i++) {
        if (!isxdigit((unsigned char)lexer->at[i]))
            return "broken \\u escape in a string";
    }
    if (memcmp(lexer->at + 2, "0000", 4) == 0)
        return "NUL in a string";
    lexer->at += 6;
    return NULL;
}

static const char *lex_string(struct lexer *lexer)
{
    lexer->at++;
    while (*lexer->at != '"') {
        unsigned char c = (unsigned char)*lexer->at;
        if (c == '\0' && lexer->at == lexer->end)
            return "unfinished string";
        if (c < 0x20)
            return "control character in a string";
        if (c != '\\') {
            lexer->at++;
            continue;
        }
        const char *reason = lex_escape(lexer);
        if (reason)
            return reason;
    }
    lexer->at++;
    return NULL;
}

static void shorten_number(char *token, size_t len)
{
    size_t kept = NUMBER_LEN_KEPT;
    while (!isdigit((unsigned char)token[kept - 1]))
        kept--;
    memset(token + kept, ' ', len - kept);
}

static bool skip_digits(const char **at)
{
    size_t digits = strspn(*at, DIGITS);
    *at += digits;
    return digits > 0;
}

static const char *lex_number(struct lexer *lexer)
{
    static const char reason[] = "not a JSON number";
    const char *at = lexer->at;

    if (*at == '-')
        at++;
    if (*at == '0')
        at++;
    else if (!skip_digits(&at))
        return reason;
    if (*at == '.') {
        at++;
        if (!skip_digits(&at))
            return reason;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        if (*at == '+' || *at == '-')
            at++;
        if (!skip_digits(&at))
            return reason;
    }
    size_t len = (size_t)(at - lexer->at);
    if (len != json_lex_number_len(lexer->at))
        return reason;
    if (len > NUMBER_LEN_MAX)
        shorten_number(lexer->at, len);
    lexer->at += len;
    return NULL;
}

static const char *lex_literal(struct lexer *lexer)
{
    static const char *const literals[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
        size_t len = strlen(literals[i]);
        if (strncmp(lexer->at, literals[i], len) == 0) {
            lexer->at += len;
            return NULL;
        }
    }
    return "unexpected character";
}

static const char *lex_token(struct lexer *lexer)
{
    if (++lexer->tokens > JSON_TOKENS_MAX)
        return "too many values";
    switch (*lexer->at) {
    case '{':
    case '[':
        lexer->at++;
        return ++lexer->depth > JSON_DEPTH_MAX ? "nested too deep" : NULL;
    case '"':
        return lex_string(lexer);
    case '-':
    case '0' ... '9':
        return lex_number(lexer);
    default:
        return lex_literal(lexer);
    }
}

const char *json_lex(char *text, size_t len)
{
    struct lexer lexer = {.at = text, .end = text + len};
    const char *reason = NULL;

    while (!reason && lexer.at < lexer.end) {
        switch (*lexer.at) {
        case ' ':
        case '\t':
        case '\n':
        case '\r':
        case ',':
        case ':':
            lexer.at++;
            break;
        case '}':
        case ']':
            if (lexer.depth == 0)
                return "unexpected closing bracket";
            lexer.depth--;
            lexer.at++;
            break;
        default:
            reason = lex_token(&lexer);
        }
    }
    if (!reason && lexer.tokens == 0)
        reason = "empty";
    return reason;
}

static const char *skip_string(const char *at)
{
    for (at++;; at += 2) {
        at += strcspn(at, "\"\\"); /* which looks at many characters at a time */
        if (*at == '"')
            return at + 1;
    }
}

const char *json_lex_next_number(const char *at)
{
    while (*at != '\0' && *at != '-' && !(*at >= '0' && *at <= '9'))
        at = *at == '"' ? skip_string(at) : at + 1;
    return *at ? at : NULL;
}

size_t json_lex_number_len(const char *at)
{
    return strspn(at, NUMBER_CHARACTERS);
}
