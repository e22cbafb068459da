#include "master/listener.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/endpoint.h"
#include "ticketd/error.h"
#include "util/log.h"

/* "5=127.0.0.1:8000,6=[::1]:8000" */
#define EXPORT_VARIABLE "TICKETD_LISTENERS"
/* With port 0 every address of the set gets the port that the first one got; if another process
 * has that port on another address, the whole set is tried again. */
#define SAME_PORT_TRIES 8

struct opening {
    struct listener_set *set;
    struct listener_set
        *adopted; /* take over what fits, bind nothing; NULL: bind what is missing */
    const struct settings *settings;
    const char *pool;
    int64_t port;       /* as asked for */
    uint16_t real_port; /* the one in use; 0 until the kernel has chosen */
    bool wildcard;      /* HOST has one: it covers every other address */
    char *error;
};

static int fail(const struct opening *opening, const char *what, int error_number)
{
    errno = error_number;
    (void)snprintf(opening->error, SETTINGS_ERROR_MAX, "cannot listen on %s: %m", what);
    return -error_number;
}

void listener_adopt(struct listener_set *ret_adopted)
{
    const char *value = getenv(EXPORT_VARIABLE);
    char *copy = value == NULL ? NULL : strdup(value), *rest = copy, *item;

    ret_adopted->count = 0;
    while (rest != NULL && (item = strsep(&rest, ",")) != NULL) {
        struct listener *listener = &ret_adopted->items[ret_adopted->count];
        char *equals = strchr(item, '=');
        const char *bad = NULL;
        if (equals == NULL || ret_adopted->count == LISTENER_SET_MAX)
            continue;
        *equals = '\0';
        *listener = (struct listener){.fd = (int)strtonum(item, 3, INT32_MAX, &bad)};
        listener->is_unix = strncmp(equals + 1, "unix:", 5) == 0;
        if (bad != NULL || fcntl(listener->fd, F_SETFD, FD_CLOEXEC) == -1)
            continue;
        (void)strlcpy(listener->key, equals + 1, sizeof(listener->key));
        ++ret_adopted->count;
    }
    free(copy);
    (void)unsetenv(EXPORT_VARIABLE);
}

/* Removes the adopted socket of that key from the set.  Its descriptor, or −1. */
static int take_adopted(struct listener_set *adopted, const char *key)
{
    if (adopted == NULL)
        return -1;
    for (uint32_t i = 0; i < adopted->count; ++i) {
        if (strcmp(adopted->items[i].key, key) == 0) {
            int fd = adopted->items[i].fd;
            adopted->items[i] = adopted->items[--adopted->count];
            return fd;
        }
    }
    return -1;
}

static bool is_open(const struct listener_set *set, const char *key)
{
    for (uint32_t i = 0; i < set->count; ++i)
        if (strcmp(set->items[i].key, key) == 0)
            return true;
    return false;
}

static uint16_t bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } address = {.in6 = {0}};
    socklen_t len = sizeof(address);

    if (getsockname(fd, &address.any, &len) == -1)
        return 0;
    return ntohs(address.any.sa_family == AF_INET ? address.in.sin_port : address.in6.sin6_port);
}

static void set_port(struct sockaddr *address, uint16_t port)
{
    if (address->sa_family == AF_INET)
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
}

static int add(struct opening *opening, int fd, const char *key, const char *name, bool is_unix)
{
    struct listener *listener;

    if (opening->set->count == LISTENERS_MAX) {
        close(fd);
        (void)snprintf(opening->error, SETTINGS_ERROR_MAX,
                       "cannot listen on %s: HOST comes to more than %d addresses", name,
                       LISTENERS_MAX);
        return TICKETD_INVALID;
    }
    listener = &opening->set->items[opening->set->count++];
    *listener = (struct listener){.fd = fd, .is_unix = is_unix};
    (void)strlcpy(listener->key, key, sizeof(listener->key));
    (void)strlcpy(listener->name, name, sizeof(listener->name));
    return 0;
}

/* Gives a TCP socket what the settings say; accepted connections inherit it.  false with errno. */
static bool set_tcp_options(int fd, const struct settings *settings)
{
    unsigned write_timeout_ms = (unsigned)settings->write_timeout_ms;
    int on = 1;

    return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &write_timeout_ms,
                      sizeof(write_timeout_ms)) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == 0;
}

/* Has a bound socket listen; also one that listens already.  false with errno. */
static bool listen_tcp(const struct opening *opening, int fd)
{
    return set_tcp_options(fd, opening->settings) &&
           listen(fd, (int)opening->settings->listen_backlog) == 0;
}

/* A bound TCP socket, or −1 with errno. */
static int bind_tcp(const struct sockaddr *address, socklen_t len)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, error;

    if (fd == -1)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (address->sa_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
        bind(fd, address, len) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* "127.0.0.1:8000" or "[::1]:8000" */
static void print_address(const struct sockaddr *address, socklen_t len, int64_t port,
                          char ret_text[LISTENER_NAME_MAX])
{
    char host[LISTENER_NAME_MAX - 16] = "?";

    (void)getnameinfo(address, len, host, sizeof(host), NULL, 0, NI_NUMERICHOST);
    (void)snprintf(ret_text, LISTENER_NAME_MAX,
                   address->sa_family == AF_INET6 ? "[%s]:%d" : "%s:%d", host, (int)port);
}

/* Two pools may each leave the port of one address to the kernel, but not share a port that was
 * asked for: which may move from one to the other. */
static void print_key(const struct opening *opening, const char *wanted,
                      char ret_key[LISTENER_NAME_MAX])
{
    if (opening->port != 0)
        (void)strlcpy(ret_key, wanted, LISTENER_NAME_MAX);
    else
        (void)snprintf(ret_key, LISTENER_NAME_MAX, "%.*s/%s", LISTENER_NAME_MAX - 16, wanted,
                       opening->pool);
}

static int open_tcp(struct opening *opening, struct sockaddr *address, socklen_t len)
{
    char wanted[LISTENER_NAME_MAX], key[LISTENER_NAME_MAX], name[LISTENER_NAME_MAX];
    char url[LISTENER_NAME_MAX + 8];
    int fd;

    print_address(address, len, opening->port, wanted);
    print_key(opening, wanted, key);
    if (is_open(opening->set, key))
        return 0;
    fd = take_adopted(opening->adopted, key);
    if (fd == -1 && opening->adopted != NULL)
        return 0;
    if (fd == -1) {
        set_port(address, opening->port == 0 ? opening->real_port : (uint16_t)opening->port);
        fd = bind_tcp(address, len);
    }
    if (fd == -1)
        return fail(opening, wanted, errno);
    if (!listen_tcp(opening, fd)) {
        close(fd);
        return fail(opening, wanted, errno);
    }
    opening->real_port = bound_port(fd);
    print_address(address, len, opening->real_port, name);
    (void)snprintf(url, sizeof(url), "http://%s", name);
    return add(opening, fd, key, url, false);
}

/* Opens every address of a host name or a numeric address. */
static int open_host(struct opening *opening, const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found, *at;
    int result = getaddrinfo(host, NULL, &hints, &found);

    if (result != 0) {
        (void)snprintf(opening->error, SETTINGS_ERROR_MAX, "cannot listen on HOST %s: %s", host,
                       gai_strerror(result));
        /* what may heal by itself is not the configuration's fault */
        return result == EAI_AGAIN || result == EAI_SYSTEM || result == EAI_MEMORY
                   ? -EAGAIN
                   : TICKETD_INVALID;
    }
    for (at = found; at != NULL && result == 0; at = at->ai_next)
        if (at->ai_family == AF_INET || at->ai_family == AF_INET6)
            result = open_tcp(opening, at->ai_addr, at->ai_addrlen);
    freeaddrinfo(found);
    return result;
}

/* Opens `host`, and its counterpart in the other family unless this machine lacks that family. */
static int open_pair(struct opening *opening, const char *host, const char *counterpart)
{
    int result = open_host(opening, host);

    if (result != 0)
        return result;
    result = open_host(opening, counterpart);
    if (result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL) {
        log_info("%s; serving %s alone", opening->error, host);
        return 0;
    }
    return result;
}

/* Whether there is a unix socket that nobody listens on.  errno is EADDRINUSE if not. */
static bool is_left_behind(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat status;
    bool left;

    if (fd == -1)
        return false;
    left = lstat(address->sun_path, &status) == 0 && S_ISSOCK(status.st_mode) &&
           connect(fd, (const struct sockaddr *)address, sizeof(*address)) == -1 &&
           errno == ECONNREFUSED;
    close(fd);
    errno = EADDRINUSE;
    return left;
}

/* The file gets `mode` from its first moment on.  A bound socket, or −1 with errno. */
static int bind_unix(const struct sockaddr_un *address, mode_t mode)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;
    mode_t mask;

    if (fd == -1)
        return -1;
    mask = umask(0777 & ~mode);
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == -1) {
        /* what a killed server left behind is replaced; a living one, or another file, is not */
        if (errno != EADDRINUSE || !is_left_behind(address) || unlink(address->sun_path) == -1 ||
            bind(fd, (const struct sockaddr *)address, sizeof(*address)) == -1)
            goto Fail;
    }
    (void)umask(mask);
    return fd;
Fail:
    error = errno;
    (void)umask(mask);
    close(fd);
    errno = error;
    return -1;
}

static int open_unix(struct opening *opening, const char *path, mode_t mode)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char key[LISTENER_NAME_MAX];
    int fd;

    (void)snprintf(key, sizeof(key), "unix:%.*s", (int)ENDPOINT_PATH_MAX, path);
    if (is_open(opening->set, key))
        return 0;
    (void)strlcpy(address.sun_path, path, sizeof(address.sun_path));
    fd = take_adopted(opening->adopted, key);
    if (fd == -1 && opening->adopted != NULL)
        return 0;
    if (fd == -1)
        fd = bind_unix(&address, mode);
    if (fd == -1)
        return fail(opening, key, errno);
    if (listen(fd, (int)opening->settings->listen_backlog) == -1) {
        close(fd);
        return fail(opening, key, errno);
    }
    return add(opening, fd, key, key, true);
}

static bool is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static bool has_wildcard(const char *hosts)
{
    const char *cursor = hosts, *item;
    struct endpoint endpoint;
    size_t len;

    while (settings_list_next(&cursor, &item, &len))
        if (endpoint_parse_address(item, len, &endpoint) == 0 && is_wildcard(endpoint.host))
            return true;
    return false;
}

static int open_item(struct opening *opening, const char *item, size_t len)
{
    struct endpoint endpoint;

    if (endpoint_parse_address(item, len, &endpoint) != 0)
        return fail(opening, item, EINVAL); /* settings_load has checked it */
    if (endpoint.kind == ENDPOINT_UNIX)
        /* its folder says who may come in: a proxy seldom runs as the same user */
        return open_unix(opening, endpoint.host, 0666);
    if (opening->wildcard && !is_wildcard(endpoint.host)) {
        log_info("HOST %s is covered by the wildcard", endpoint.host);
        return 0;
    }
    if (strcmp(endpoint.host, "0.0.0.0") == 0)
        return open_pair(opening, "0.0.0.0", "::");
    if (strcmp(endpoint.host, "::") == 0)
        return open_pair(opening, "::", "0.0.0.0");
    if (strcmp(endpoint.host, "localhost") == 0)
        return open_pair(opening, "127.0.0.1", "::1");
    return open_host(opening, endpoint.host);
}

static int open_items(struct opening *opening)
{
    const char *cursor = opening->settings->host, *item;
    int result = 0;
    size_t len;

    while (result == 0 && settings_list_next(&cursor, &item, &len))
        result = open_item(opening, item, len);
    return result;
}

static struct opening opening_of(struct listener_set *set, const struct listener_wish *wish,
                                 char error[SETTINGS_ERROR_MAX])
{
    return (struct opening){.set = set,
                            .settings = wish->settings,
                            .pool = wish->pool,
                            .port = wish->port,
                            .wildcard = has_wildcard(wish->settings->host),
                            .error = error};
}

int listener_take(struct listener_set *ret_set, const struct listener_wish *wish,
                  struct listener_set *adopted, char error[SETTINGS_ERROR_MAX])
{
    struct opening opening = opening_of(ret_set, wish, error);
    int result;

    ret_set->count = 0;
    opening.adopted = adopted;
    result = open_items(&opening);
    if (result != 0)
        listener_close(ret_set);
    return result;
}

/* The port of the TCP sockets that it has; 0: it has none. */
static uint16_t port_of(const struct listener_set *set)
{
    for (uint32_t i = 0; i < set->count; ++i)
        if (!set->items[i].is_unix)
            return bound_port(set->items[i].fd);
    return 0;
}

int listener_open(struct listener_set *set, const struct listener_wish *wish,
                  char error[SETTINGS_ERROR_MAX])
{
    int result = -EADDRINUSE;

    for (int i = 0; result == -EADDRINUSE && i < SAME_PORT_TRIES; ++i) {
        struct opening opening = opening_of(set, wish, error);
        opening.real_port = port_of(set);
        result = open_items(&opening);
        if (result != 0)
            listener_close(set);
        if (wish->port != 0)
            break;
    }
    return result;
}

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == -1 ? -1 : value;
}

/* Why a socket of that family cannot serve, or NULL. */
static const char *judge_handed(int fd, int family)
{
    if (socket_option(fd, SO_TYPE) != SOCK_STREAM)
        return "is no stream socket; use ListenStream";
    if (socket_option(fd, SO_ACCEPTCONN) != 1)
        return "does not listen; Accept must be no";
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return "is neither an IP socket nor a unix socket";
    return NULL;
}

/* Its URL; an abstract socket's name begins with @ instead of NUL. */
static void name_handed(struct listener *listener, const struct sockaddr *address, socklen_t len)
{
    char text[LISTENER_NAME_MAX], url[LISTENER_NAME_MAX + 8];

    if (listener->is_unix) {
        const struct sockaddr_un *local = (const struct sockaddr_un *)address;
        size_t path_len = len - offsetof(struct sockaddr_un, sun_path);
        bool abstract = path_len > 1 && local->sun_path[0] == '\0';
        (void)snprintf(listener->name, sizeof(listener->name), "unix:%s%.*s", abstract ? "@" : "",
                       (int)path_len - abstract, local->sun_path + abstract);
    } else {
        print_address(address, len, bound_port(listener->fd), text);
        (void)snprintf(url, sizeof(url), "http://%s", text);
        (void)strlcpy(listener->name, url, sizeof(listener->name));
    }
    (void)strlcpy(listener->key, listener->name, sizeof(listener->key));
}

int listener_take_handed(struct listener_set *set, const struct settings *settings, int fd,
                         const char *name, char error[SETTINGS_ERROR_MAX])
{
    struct listener listener = {.fd = fd, .handed = true};
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(address);
    const char *fault;

    (void)getsockname(fd, (struct sockaddr *)&address, &len);
    fault = judge_handed(fd, address.ss_family);
    if (fault == NULL && set->count == LISTENERS_MAX)
        fault = "is one too many for a pool";
    if (fault != NULL) {
        (void)snprintf(error, SETTINGS_ERROR_MAX,
                       "the socket \"%s\" that the service manager handed over %s", name, fault);
        return TICKETD_INVALID;
    }
    listener.is_unix = address.ss_family == AF_UNIX;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1 ||
        (!listener.is_unix && !set_tcp_options(fd, settings))) {
        int saved = errno;
        (void)snprintf(error, SETTINGS_ERROR_MAX,
                       "cannot use the socket \"%s\" that the service manager handed over: %m",
                       name);
        return -saved;
    }
    name_handed(&listener, (const struct sockaddr *)&address, len);
    set->items[set->count++] = listener;
    return TICKETD_DONE;
}

bool listener_url(const struct listener_set *set, char ret_url[LISTENER_NAME_MAX])
{
    for (uint32_t i = 0; i < set->count; ++i) {
        const char *name = set->items[i].name;
        if (set->items[i].is_unix)
            continue;
        if (strncmp(name, "http://0.0.0.0:", 15) == 0)
            (void)snprintf(ret_url, LISTENER_NAME_MAX, "http://127.0.0.1:%s", name + 15);
        else if (strncmp(name, "http://[::]:", 12) == 0)
            (void)snprintf(ret_url, LISTENER_NAME_MAX, "http://[::1]:%s", name + 12);
        else
            (void)strlcpy(ret_url, name, LISTENER_NAME_MAX);
        return true;
    }
    for (uint32_t i = 0; i < set->count; ++i) {
        if (strncmp(set->items[i].name, "unix:/", 6) != 0)
            continue;
        (void)strlcpy(ret_url, set->items[i].name, LISTENER_NAME_MAX);
        return true;
    }
    return false;
}

int listener_open_control(struct listener_set *ret_set, const struct settings *settings,
                          const char *path, char error[SETTINGS_ERROR_MAX])
{
    struct opening opening = {.set = ret_set, .settings = settings, .error = error};

    ret_set->count = 0;
    return open_unix(&opening, path, 0660);
}

/* Has the kernel drop what begins a handshake: a segment with SYN and without ACK.  Those that end
 * one pass.  The filter is the socket's, not this descriptor's: all who have the socket are under
 * it.  false with errno. */
static bool drop_handshakes(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct tcphdr, th_flags)),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),          /* of so many bytes: none */
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX), /* all */
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

static void remove_file(const struct listener *listener)
{
    if (listener->is_unix && !listener->handed && !listener->shut)
        (void)unlink(listener->key + sizeof("unix:") - 1);
}

bool listener_shut(struct listener_set *set)
{
    bool handshakes = false;

    for (uint32_t i = 0; i < set->count; ++i) {
        struct listener *listener = &set->items[i];
        if (listener->handed || listener->shut)
            continue;
        remove_file(listener);
        listener->shut = true;
        if (listener->is_unix)
            continue;
        if (drop_handshakes(listener->fd))
            handshakes = true;
        else /* no reason not to stop: it can be closed all the same */
            log_debug("cannot keep new clients from %s: %m", listener->name);
    }
    return handshakes;
}

void listener_close(struct listener_set *set)
{
    for (uint32_t i = 0; i < set->count; ++i) {
        remove_file(&set->items[i]);
        close(set->items[i].fd);
    }
    set->count = 0;
}

int listener_export(const struct listener_set *set)
{
    char value[LISTENER_SET_MAX * (LISTENER_NAME_MAX + 12)] = "";
    const char *so_far = getenv(EXPORT_VARIABLE);
    size_t len = strlcpy(value, so_far == NULL ? "" : so_far, sizeof(value));

    for (uint32_t i = 0; i < set->count; ++i) {
        if (!set->items[i].handed && len < sizeof(value))
            len += (size_t)snprintf(value + len, sizeof(value) - len, "%s%d=%s",
                                    len == 0 ? "" : ",", set->items[i].fd, set->items[i].key);
        if (fcntl(set->items[i].fd, F_SETFD, 0) == -1)
            return -errno;
    }
    return setenv(EXPORT_VARIABLE, value, 1) == -1 ? -errno : 0;
}

void listener_unexport(const struct listener_set *set)
{
    for (uint32_t i = 0; i < set->count; ++i)
        (void)fcntl(set->items[i].fd, F_SETFD, FD_CLOEXEC);
    (void)unsetenv(EXPORT_VARIABLE);
}
