#include "upstreaming.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PEERS_MAX   64
#define REQUEST_MAX (8 * 1024 * 1024)

struct upstream *upstream;
struct upstream_options options;

static h2o_globalconf_t config;
static h2o_context_t context;
static int peers[PEERS_MAX];
static size_t peer_count;
static size_t descriptors_before;

/* ---- time and names ---- */

static atomic_uint_least64_t passed_ns;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char addresses[256];
    bool known;
    bool hold;
    unsigned asked;
} resolver = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* Takes the C library's place in this program. */
int clock_gettime(clockid_t clock_id, struct timespec *tp)
{
    uint64_t more_ns = clock_id == CLOCK_MONOTONIC ? atomic_load(&passed_ns) : 0;
    int result = (int)syscall(SYS_clock_gettime, clock_id, tp);

    more_ns += (uint64_t)tp->tv_nsec;
    tp->tv_sec += (time_t)(more_ns / 1000000000U);
    tp->tv_nsec = (long)(more_ns % 1000000000U);
    return result;
}

void pass_ms(uint64_t ms)
{
    atomic_fetch_add(&passed_ns, ms * 1000000U);
}

typedef int getaddrinfo_function(const char *restrict, const char *restrict,
                                 const struct addrinfo *restrict, struct addrinfo **restrict);

/* A chain of the C library's own answers to each address; it frees them one by one. */
static int answer(char *addresses, const char *port, const struct addrinfo *hints,
                  getaddrinfo_function *ask, struct addrinfo **ret_found)
{
    struct addrinfo **end = ret_found, numeric = *hints;
    char *rest = addresses, *address;
    int result = 0;

    numeric.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    while (result == 0 && (address = strsep(&rest, " ")) != NULL) {
        result = ask(address, port, &numeric, end);
        end = &(*end)->ai_next;
    }
    return result;
}

/* Likewise; runs in libh2o's resolver thread. */
int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict req, struct addrinfo **restrict pai)
{
    getaddrinfo_function *real = (getaddrinfo_function *)dlsym(RTLD_NEXT, "getaddrinfo");
    char addresses[sizeof(resolver.addresses)];
    bool known;

    if (strcmp(name, UPSTREAMING_NAME) != 0)
        return real(name, service, req, pai);
    (void)pthread_mutex_lock(&resolver.mutex);
    ++resolver.asked;
    while (resolver.hold)
        (void)pthread_cond_wait(&resolver.changed, &resolver.mutex);
    known = resolver.known;
    memcpy(addresses, resolver.addresses, sizeof(addresses));
    (void)pthread_mutex_unlock(&resolver.mutex);
    return known ? answer(addresses, service, req, real, pai) : EAI_NONAME;
}

void resolver_say(const char *addresses)
{
    (void)pthread_mutex_lock(&resolver.mutex);
    resolver.known = addresses != NULL;
    (void)snprintf(resolver.addresses, sizeof(resolver.addresses), "%s",
                   addresses != NULL ? addresses : "");
    (void)pthread_mutex_unlock(&resolver.mutex);
}

void resolver_hold(bool hold)
{
    (void)pthread_mutex_lock(&resolver.mutex);
    resolver.hold = hold;
    (void)pthread_cond_broadcast(&resolver.changed);
    (void)pthread_mutex_unlock(&resolver.mutex);
}

unsigned resolver_asked(void)
{
    unsigned asked;

    (void)pthread_mutex_lock(&resolver.mutex);
    asked = resolver.asked;
    (void)pthread_mutex_unlock(&resolver.mutex);
    return asked;
}

/* ---- the loop ---- */

static uint64_t real_ms(void)
{
    return clock_monotonic_ms() - atomic_load(&passed_ns) / 1000000U;
}

void turn(void)
{
    (void)h2o_evloop_run(context.loop, 1);
}

/* A turn while something is waited for, which fails when that takes too long. */
static void turn_before(uint64_t end_ms, const char *what)
{
    if (real_ms() > end_ms)
        fail_msg("waited in vain for %s", what);
    turn();
}

static uint64_t long_from_now(void)
{
    return real_ms() + UPSTREAMING_LONG_MS;
}

void await_resolved(unsigned asked)
{
    uint64_t end_ms = long_from_now();

    while (resolver_asked() < asked || upstream->resolving != NULL)
        turn_before(end_ms, "the resolver");
    assert_int_equal(resolver_asked(), asked);
}

static size_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL)
        ++count;
    (void)closedir(folder);
    return count;
}

static void open_context(void)
{
    h2o_config_init(&config);
    (void)h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_context_init(&context, h2o_evloop_create(), &config);
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO}); /* ignores SIGPIPE, too */
}

int upstreaming_set_up(void **state)
{
    (void)state;
    if (context.loop == NULL)
        open_context();
    turn(); /* what libh2o opens at its first turn is not ours */
    descriptors_before = count_descriptors();
    resolver.asked = 0;
    resolver_hold(false);
    options = (struct upstream_options){
        .context = &context,
        .connections_max = 8,
        .keepalive_max = 8,
        .breaker_failures = 100,
        .breaker_open_ms = 60000,
        .body_max = 4096,
    };
    return 0;
}

int upstreaming_tear_down(void **state)
{
    (void)state;
    resolver_hold(false);
    upstream_free(upstream);
    upstream = NULL;
    while (peer_count > 0)
        (void)close(peers[--peer_count]);
    turn();
    assert_int_equal(count_descriptors(), descriptors_before);
    return 0;
}

void upstreaming_start(const char *url)
{
    assert_int_equal(endpoint_parse_url(url, &options.endpoint), 0);
    upstream = upstream_new(&options);
    assert_non_null(upstream);
}

void upstreaming_start_at(uint16_t port)
{
    char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
    upstreaming_start(url);
}

static int captured, before_capture;
static FILE *stream_before_capture;

void log_capture_begin(int level)
{
    captured = memfd_create("log", MFD_CLOEXEC);
    before_capture = dup(STDERR_FILENO);
    assert_true(captured >= 0 && before_capture >= 0);
    assert_true(dup2(captured, STDERR_FILENO) >= 0);
    log_init(&(struct log_options){.level = level});
    stream_before_capture = stderr;
    log_adopt_stderr();
}

const char *log_capture_end(void)
{
    static char text[8192];
    ssize_t len = pread(captured, text, sizeof(text) - 1, 0);

    stderr = stream_before_capture; /* where cmocka reports */
    assert_true(dup2(before_capture, STDERR_FILENO) >= 0);
    log_init(&(struct log_options){.level = LOG_LEVEL_INFO});
    (void)close(captured);
    (void)close(before_capture);
    assert_true(len >= 0);
    text[len] = '\0';
    return text;
}

/* ---- calls ---- */

static void on_reply(struct upstream_call *call, const struct upstream_reply *reply)
{
    struct outcome *outcome = (struct outcome *)call;

    assert_null(call->exchange);
    ++outcome->times;
    outcome->end = reply->end;
    outcome->why = reply->why;
    outcome->status = reply->status;
    outcome->body_len = reply->body.len;
    (void)snprintf(outcome->body, sizeof(outcome->body), "%.*s", (int)reply->body.len,
                   reply->body.base != NULL ? reply->body.base : "");
}

int try_send_within(struct outcome *outcome, const char *body, uint64_t time_ms)
{
    struct upstream_request request = {
        .method = body != NULL ? "POST" : "GET",
        .path = TEXT("/p"),
        .body = {.base = body, .len = body != NULL ? strlen(body) : 0},
        .deadline_ms = clock_monotonic_ms() + time_ms,
    };
    int result;

    *outcome = (struct outcome){.times = 0};
    result = upstream_send(upstream, &outcome->call, &request, on_reply);
    assert_int_equal(outcome->times, 0); /* never before it returns */
    assert_int_equal(outcome->call.exchange != NULL, result == 0);
    return result;
}

void start_call(struct outcome *outcome, const char *body)
{
    assert_int_equal(upstream_judge(upstream), 0);
    assert_int_equal(try_send_within(outcome, body, UPSTREAMING_LONG_MS), 0);
}

void await(const struct outcome *outcome)
{
    uint64_t end_ms = long_from_now();

    while (outcome->times == 0)
        turn_before(end_ms, "a call's end");
    assert_int_equal(outcome->times, 1);
}

void expect_replied(const struct outcome *outcome, int status, const char *body)
{
    await(outcome);
    if (outcome->end != UPSTREAM_REPLIED)
        fail_msg("it was not believed: %s", outcome->why);
    assert_null(outcome->why);
    assert_int_equal(outcome->status, status);
    assert_string_equal(outcome->body, body);
}

void expect_ended(const struct outcome *outcome, enum upstream_end end, const char *why)
{
    await(outcome);
    assert_int_equal(outcome->end, end);
    assert_string_equal(outcome->why, why);
    assert_int_equal(outcome->body_len, 0);
}

/* ---- the other service ---- */

static int keep_peer(int fd)
{
    assert_true(fd >= 0);
    assert_true(peer_count < PEERS_MAX);
    peers[peer_count++] = fd;
    return fd;
}

void close_peer(int peer)
{
    for (size_t i = 0; i < peer_count; ++i)
        if (peers[i] == peer)
            peers[i] = peers[--peer_count];
    (void)close(peer);
}

static struct sockaddr_in name_of(const char *address, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};

    assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
    return name;
}

static int open_listener(const char *address, uint16_t *port, int backlog)
{
    struct sockaddr_in name = name_of(address, *port);
    socklen_t name_len = sizeof(name);
    int fd = keep_peer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)), on = 1;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &name_len), 0);
    *port = ntohs(name.sin_port);
    return fd;
}

int listen_at(const char *address, uint16_t *port)
{
    return open_listener(address, port, 64);
}

/* Fills the queue of a listener that accepts nobody; what comes then is not answered at all. */
int swallow_at(const char *address, uint16_t *port)
{
    int fd = open_listener(address, port, 0);
    struct sockaddr_in name = name_of(address, *port);
    struct pollfd connected = {.events = POLLOUT};

    do {
        connected.fd = keep_peer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        (void)connect(connected.fd, (struct sockaddr *)&name, sizeof(name));
    } while (poll(&connected, 1, 100) == 1);
    return fd;
}

int accept_one(int listener)
{
    uint64_t end_ms = long_from_now();
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) == -1)
        turn_before(end_ms, "a connection");
    return keep_peer(fd);
}

bool is_called(int listener)
{
    struct pollfd waiting = {.fd = listener, .events = POLLIN};

    return poll(&waiting, 1, 0) == 1;
}

static size_t wanted_len(const char *request)
{
    const char *end = strstr(request, "\r\n\r\n"), *length;

    if (end == NULL)
        return SIZE_MAX;
    length = strcasestr(request, "\r\nContent-Length: ");
    return (size_t)(end + 4 - request) +
           (length != NULL && length < end ? strtoul(length + 18, NULL, 10) : 0);
}

const char *read_request(int peer)
{
    static char request[REQUEST_MAX];
    uint64_t end_ms = long_from_now();
    size_t len = 0, wanted = SIZE_MAX;

    memset(request, 0, 4096); /* the head must end within these */
    while (len < wanted) {
        size_t room = wanted == SIZE_MAX ? sizeof(request) - 1 - len : wanted - len;
        ssize_t got = read(peer, request + len, room);
        if (got == 0)
            fail_msg("closed instead of a request");
        if (got > 0)
            len += (size_t)got;
        else
            turn_before(end_ms, "a request");
        request[len] = '\0';
        if (wanted == SIZE_MAX)
            wanted = wanted_len(request);
    }
    assert_int_equal(len, wanted);
    return request;
}

void write_bytes(int peer, const char *bytes, size_t len)
{
    uint64_t end_ms = long_from_now();

    while (len > 0) {
        ssize_t sent = write(peer, bytes, len);
        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
        } else {
            turn_before(end_ms, "room to write");
        }
    }
}

void write_text(int peer, const char *text)
{
    write_bytes(peer, text, strlen(text));
}

void serve(int peer)
{
    (void)read_request(peer);
    write_text(peer, OK_REPLY);
}

void await_closed(int peer)
{
    uint64_t end_ms = long_from_now();
    char bytes[65536];
    ssize_t got;

    while ((got = read(peer, bytes, sizeof(bytes))) != 0 && !(got == -1 && errno == ECONNRESET))
        turn_before(end_ms, "a connection's end");
}

bool is_quiet(int peer)
{
    char byte;

    return recv(peer, &byte, 1, MSG_PEEK) == -1 && errno == EAGAIN;
}

void reset(int peer)
{
    struct linger now = {.l_onoff = 1};

    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close_peer(peer);
}

void await_delivered(int peer)
{
    uint64_t end_ms = long_from_now();
    int left = 1;

    while (ioctl(peer, SIOCOUTQ, &left) == 0 && left > 0)
        turn_before(end_ms, "an acknowledgement");
    assert_int_equal(left, 0);
}

void say_goodbye(int peer)
{
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    await_delivered(peer);
    close_peer(peer);
}
