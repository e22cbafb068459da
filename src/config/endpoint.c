#include "endpoint.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include <bsd/stdlib.h>

#include "ticketd/error.h"

#define DIGITS  "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static const char unix_prefix[] = "unix:";
static const size_t unix_prefix_size = sizeof(unix_prefix) - 1;

static bool has_prefix(const char *text, size_t size, const char *prefix)
{
    size_t prefix_size = strlen(prefix);

    return size >= prefix_size && strncasecmp(text, prefix, prefix_size) == 0;
}

/* RFC 1123 labels; '_' too, because container networks hand out such names. */
static bool is_host_name(const char *host)
{
    const char *label = host;
    bool numeric;

    for (;;) {
        size_t size = strspn(label, LETTERS DIGITS "-_");

        if (size == 0 || size > 63 || label[0] == '-' || label[size - 1] == '-')
            return false;
        /* A name whose last label is a number is a mistyped IPv4 address. */
        numeric = strspn(label, DIGITS) == size;
        label += size;
        if (*label == '.' && label[1] != '\0')
            label++;
        else
            break;
    }
    return !numeric && (*label == '\0' || strcmp(label, ".") == 0);
}

static bool is_ipv6(const char *host)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr binary;
    size_t size = strcspn(host, "%");

    if (size >= sizeof(address))
        return false;
    memcpy(address, host, size);
    address[size] = '\0';
    if (inet_pton(AF_INET6, address, &binary) != 1)
        return false;
    if (host[size] == '%') {
        const char *scope = host + size + 1;
        size_t scope_size = strspn(scope, LETTERS DIGITS "._-");

        return scope_size > 0 && scope_size < IF_NAMESIZE && scope[scope_size] == '\0';
    }
    return true;
}

/* A path that bind() takes whole: absolute, not a directory's spelling, no control characters. */
static int parse_unix(const char *path, size_t size, struct endpoint *endpoint)
{
    if (size < 2 || size > ENDPOINT_PATH_MAX || path[0] != '/' || path[size - 1] == '/')
        return TICKETD_INVALID;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)path[i] < ' ' || path[i] == 0x7f)
            return TICKETD_INVALID;
    memcpy(endpoint->host, path, size);
    endpoint->kind = ENDPOINT_UNIX;
    return TICKETD_DONE;
}

static int parse_host(const char *text, size_t size, struct endpoint *endpoint)
{
    bool bracketed = size >= 2 && text[0] == '[' && text[size - 1] == ']';
    struct in_addr binary;

    if (bracketed) {
        text++;
        size -= 2;
    }
    if (size == 0 || size > ENDPOINT_HOST_MAX || memchr(text, '\0', size) != NULL)
        return TICKETD_INVALID;
    memcpy(endpoint->host, text, size);
    endpoint->host[size] = '\0';
    if (is_ipv6(endpoint->host))
        endpoint->kind = ENDPOINT_IPV6;
    else if (bracketed)
        return TICKETD_INVALID;
    else if (inet_pton(AF_INET, endpoint->host, &binary) == 1)
        endpoint->kind = ENDPOINT_IPV4;
    else if (is_host_name(endpoint->host))
        endpoint->kind = ENDPOINT_NAME;
    else
        return TICKETD_INVALID;
    return TICKETD_DONE;
}

int endpoint_parse_address(const char *text, size_t size, struct endpoint *ret_endpoint)
{
    struct endpoint endpoint = {0};
    int r;

    if (has_prefix(text, size, unix_prefix))
        r = parse_unix(text + unix_prefix_size, size - unix_prefix_size, &endpoint);
    else
        r = parse_host(text, size, &endpoint);
    if (r == TICKETD_DONE)
        *ret_endpoint = endpoint;
    return r;
}

/* host[:port]; a bare IPv6 address would be ambiguous here and is refused. */
static int parse_authority(const char *text, size_t size, uint16_t port, struct endpoint *endpoint)
{
    const char *closing = size > 0 && text[0] == '[' ? memchr(text, ']', size) : NULL;
    size_t skip = closing != NULL ? (size_t)(closing - text) : 0;
    const char *colon = memchr(text + skip, ':', size - skip);
    size_t host_size = colon != NULL ? (size_t)(colon - text) : size;

    endpoint->port = port;
    if (colon != NULL) {
        char digits[sizeof("65535")] = "";
        size_t digits_size = size - host_size - 1;
        const char *problem;

        if (digits_size == 0 || digits_size >= sizeof(digits))
            return TICKETD_INVALID;
        memcpy(digits, colon + 1, digits_size);
        if (strspn(digits, DIGITS) != digits_size)
            return TICKETD_INVALID;
        endpoint->port = (uint16_t)strtonum(digits, 1, UINT16_MAX, &problem);
        if (problem != NULL)
            return TICKETD_INVALID;
    }
    return parse_host(text, host_size, endpoint);
}

/* The characters of a path in RFC 3986: no query, no fragment, no blank. */
static int parse_base(const char *base, struct endpoint *endpoint)
{
    size_t size = strspn(base, LETTERS DIGITS "-._~!$&'()*+,;=:@/%");

    if (base[size] != '\0' || size > ENDPOINT_BASE_MAX)
        return TICKETD_INVALID;
    while (size > 0 && base[size - 1] == '/')
        size--;
    memcpy(endpoint->base, base, size);
    return TICKETD_DONE;
}

int endpoint_parse_url(const char *text, struct endpoint *ret_endpoint)
{
    static const char scheme[] = "http://";
    struct endpoint endpoint = {0};
    size_t size;
    int r;

    if (has_prefix(text, strlen(text), unix_prefix))
        return endpoint_parse_address(text, strlen(text), ret_endpoint);
    if (!has_prefix(text, strlen(text), scheme))
        return TICKETD_INVALID;
    text += strlen(scheme);
    size = strcspn(text, "/");
    r = parse_authority(text, size, 80, &endpoint);
    if (r == TICKETD_DONE)
        r = parse_base(text + size, &endpoint);
    if (r == TICKETD_DONE)
        *ret_endpoint = endpoint;
    return r;
}

static uint16_t scheme_port(const char *scheme, size_t size)
{
    if (size == strlen("http") && strncmp(scheme, "http", size) == 0)
        return 80;
    if (size == strlen("https") && strncmp(scheme, "https", size) == 0)
        return 443;
    return 0;
}

static void lower(char *text, const char *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        text[i] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] - 'A' + 'a') : from[i];
    text[size] = '\0';
}

int endpoint_canonical_origin(const char *text, size_t size, char *ret_origin)
{
    const char *separator = memmem(text, size, "://", 3);
    size_t scheme_size = separator != NULL ? (size_t)(separator - text) : 0;
    struct endpoint endpoint = {0};
    uint16_t own_port;
    const char *host;

    if (scheme_size == 0 || strspn(text, LETTERS DIGITS "+-.") != scheme_size ||
        strchr(LETTERS, text[0]) == NULL)
        return TICKETD_INVALID;
    host = text + scheme_size + 3;
    if (parse_authority(host, size - scheme_size - 3, 0, &endpoint) != TICKETD_DONE ||
        strchr(endpoint.host, '%') != NULL)
        return TICKETD_INVALID;
    /* an IPv6 host must stand in brackets: parse_authority refused a bare one at its colons */
    lower(ret_origin, text, size);
    own_port = scheme_port(ret_origin, scheme_size);
    if (own_port != 0 && endpoint.port == own_port)
        *strrchr(ret_origin, ':') = '\0';
    return TICKETD_DONE;
}
