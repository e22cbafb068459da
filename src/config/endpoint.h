/* Where something listens: the syntax of addresses, URLs and origins in settings.
 *
 * Any process may call these.  They judge text only: no name is looked up, no path is touched, no
 * memory is allocated, nothing blocks. */
#ifndef TICKETD_CONFIG_ENDPOINT_H
#define TICKETD_CONFIG_ENDPOINT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

enum {
    /* longest host name (RFC 1035), address with scope, or socket path; without the NUL */
    ENDPOINT_HOST_MAX = 254,
    /* longest path that fits into sun_path with its NUL */
    ENDPOINT_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
    /* longest base path of a URL */
    ENDPOINT_BASE_MAX = 1023,
};

enum endpoint_kind { ENDPOINT_NAME, ENDPOINT_IPV4, ENDPOINT_IPV6, ENDPOINT_UNIX };

struct endpoint {
    enum endpoint_kind kind;
    /* the name; the address without brackets, an IPv6 one perhaps with %scope; the socket's path */
    char host[ENDPOINT_HOST_MAX + 1];
    /* of a URL (80 if it names none); 0 otherwise */
    uint16_t port;
    /* of a URL: empty, or "/base" without a slash at its end */
    char base[ENDPOINT_BASE_MAX + 1];
};

/* One item of ADDRESSES: a host name, an IPv4 address, an IPv6 address (bare or in brackets, with
 * %scope if need be) or unix:/absolute/path.  0 or TICKETD_INVALID. */
int endpoint_parse_address(const char *text, size_t size, struct endpoint *ret_endpoint);

/* http://host[:port][/base] (an IPv6 address in brackets) or unix:/absolute/path.
 * 0 or TICKETD_INVALID. */
int endpoint_parse_url(const char *text, struct endpoint *ret_endpoint);

/* Writes the origin scheme://host[:port] the way browsers send it, which is how it can be compared:
 * lower case, the scheme's own port left out.  At most `size` bytes and a NUL go to ret_origin.
 * 0 or TICKETD_INVALID. */
int endpoint_canonical_origin(const char *text, size_t size, char *ret_origin);

#endif
