#include "http/event_stream.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "http/connection.h"
#include "util/append.h"
#include "util/clock.h"

#define RETRY     "retry: "
#define ID        "id: "
#define DATA      "\ndata: "
#define END       "\n\n"
#define HEARTBEAT ":\n\n"
/* Room that a stream's socket has in the kernel, which doubles it for its own needs: a client that
 * does not read holds so much there, and no more. */
#define SOCKET_ROOM_BYTES (16 * 1024)
/* The bounds of a rest between two slices: one that was held up by something else says little. */
#define REST_MIN_US 200
#define REST_MAX_US 20000
#define OVERLOADED  "this worker has as many streams as it may; ask again later"
/* How much of MAX_CONNECTIONS streams may take, which, other than idle connections, are never
 * ended: the rest is left to buyers. */
#define STREAMS_PERCENT 75
/* Most streams of the control site in one worker, whatever their source: its other connections are
 * for the operator's commands. */
#define CONTROL_STREAMS_MAX (HTTP_CONTROL_CONNECTIONS_MAX / 2)

/* One event as it is sent: shared by the source, while it is the newest, and by all streams whose
 * sockets have not taken all of it. */
struct event {
    uint64_t version;
    size_t len;
    char bytes[];
};

/* A stream's life:
 *
 *        event, heartbeat               client or server ends it
 *    BUSY ◄──────────────► WAITING ───────────────────────────► BUSY, ending ───► gone
 *     ▲     on_proceed                                                    on_gone
 *   join
 *
 * Those that wait stand in one of two lists, by whether they have the newest event; each list is in
 * the order of their last write, so that who has waited longest is served first.  Those that are
 * busy stand in the order in which they became so. */
struct event_stream {
    h2o_generator_t generator; /* first */
    h2o_linklist_t link;
    struct event_source *source;
    struct http_exchange *exchange;
    struct event *sending; /* what libh2o may still write from; NULL: none */
    uint64_t version;      /* of the last event; or that its client came with */
    uint64_t since_ms;     /* it waits, or is busy */
    bool told;             /* it has that version */
    bool busy;
    bool left; /* its client is gone: it ends when what is being written is out */
    char retry[sizeof(RETRY END) + APPEND_U32_MAX];
};

struct event_source {
    /* fixed after start */
    struct event_source *next;
    struct http_server *server;
    struct event_source_options options;

    struct http_timer look_timer; /* runs while there are streams */
    struct http_timer pace_timer; /* runs while some are behind */
    bool pacing;
    bool draining;
    struct event *newest;   /* NULL: there was none yet */
    h2o_linklist_t behind;  /* these wait, and are due */
    h2o_linklist_t current; /* these wait, and are due when they have been silent for too long */
    h2o_linklist_t busy;
    uint32_t count;
    uint64_t now_ms; /* clock_monotonic_ms() at the last look */
};

static struct event_stream *stream_of(h2o_linklist_t *link)
{
    return H2O_STRUCT_FROM_MEMBER(struct event_stream, link, link);
}

static struct event_stream *first_of(h2o_linklist_t *list)
{
    return h2o_linklist_is_empty(list) ? NULL : stream_of(list->next);
}

static void place(struct event_stream *stream, h2o_linklist_t *before)
{
    if (h2o_linklist_is_linked(&stream->link))
        h2o_linklist_unlink(&stream->link);
    h2o_linklist_insert(before, &stream->link);
}

static void release_event(struct event **event)
{
    if (*event != NULL)
        (void)h2o_mem_release_shared(*event);
    *event = NULL;
}

/* ---- the state ---- */

static struct event *new_event(uint64_t version, struct text data)
{
    size_t room = sizeof(ID DATA END) + APPEND_U64_MAX + data.len;
    struct event *event = h2o_mem_alloc_shared(NULL, sizeof(*event) + room, NULL);
    char *end = append_text(event->bytes, TEXT(ID));

    assert(memchr(data.base, '\n', data.len) == NULL && memchr(data.base, '\r', data.len) == NULL);
    end = append_u64(end, version);
    end = append_text(end, TEXT(DATA));
    end = append_text(end, data);
    end = append_text(end, TEXT(END));
    event->version = version;
    event->len = (size_t)(end - event->bytes);
    return event;
}

static void look(struct event_source *source)
{
    uint64_t version;
    struct text data;

    if (!source->options.state(source->options.context, &version, &data) ||
        (source->newest != NULL && source->newest->version == version))
        return;
    release_event(&source->newest);
    source->newest = new_event(version, data);
    h2o_linklist_insert_list(&source->behind, &source->current);
}

static bool is_behind(const struct event_stream *stream)
{
    const struct event *newest = stream->source->newest;

    return newest != NULL && (!stream->told || stream->version != newest->version);
}

/* ---- writing ---- */

/* Goes on in so many microseconds; 0: there is nothing to go on with. */
static void set_pace(struct event_source *source, uint32_t us)
{
    if (us > 0)
        http_timer_set_once_us(&source->pace_timer, us);
    else if (source->pacing)
        http_timer_set(&source->pace_timer, 0, 0);
    source->pacing = us > 0;
}

static void become_busy(struct event_stream *stream)
{
    struct event_source *source = stream->source;

    stream->busy = true;
    stream->since_ms = source->now_ms;
    place(stream, &source->busy);
}

/* The stream and its request may be gone when this returns. */
static void finish(struct event_stream *stream)
{
    become_busy(stream);
    http_on_left(stream->exchange, NULL, NULL);
    h2o_send(stream->exchange->req, NULL, 0, H2O_SEND_STATE_FINAL);
}

/* Adds the newest event to what is about to be sent, if the client does not have it. */
static size_t add_event(struct event_stream *stream, h2o_iovec_t *ret_part)
{
    struct event *newest = stream->source->newest;

    if (!is_behind(stream))
        return 0;
    h2o_mem_addref_shared(newest);
    stream->sending = newest;
    stream->version = newest->version;
    stream->told = true;
    *ret_part = h2o_iovec_init(newest->bytes, newest->len);
    return 1;
}

/* A client whose next request has come is not watched any more (http_exchange_park). */
static bool has_left_unwatched(const struct event_stream *stream)
{
    h2o_req_t *req = stream->exchange->req;

    return !h2o_socket_is_reading(req->conn->callbacks->get_socket(req->conn)) &&
           http_peer_has_left(stream->exchange);
}

static void serve_one(struct event_stream *stream)
{
    h2o_iovec_t part;

    if (stream->source->draining) {
        finish(stream);
        return;
    }
    if (add_event(stream, &part) == 0) {
        if (has_left_unwatched(stream)) {
            finish(stream);
            return;
        }
        part = h2o_iovec_init(H2O_STRLIT(HEARTBEAT));
    }
    become_busy(stream);
    h2o_send(stream->exchange->req, &part, 1, H2O_SEND_STATE_IN_PROGRESS);
}

static struct event_stream *first_due(struct event_source *source)
{
    struct event_stream *stream = first_of(&source->behind);

    if (stream != NULL)
        return stream;
    stream = first_of(&source->current);
    return stream != NULL && source->now_ms - stream->since_ms >= source->options.heartbeat_ms
               ? stream
               : NULL;
}

static uint32_t rest_us(const struct event_source *source, uint64_t spent_ns)
{
    uint64_t rest = spent_ns / 1000 * (source->draining ? 1 : EVENT_STREAM_REST);

    return rest < REST_MIN_US ? REST_MIN_US : rest > REST_MAX_US ? REST_MAX_US : (uint32_t)rest;
}

static void serve(struct event_source *source)
{
    uint64_t begin_ns = clock_monotonic_ns();
    struct event_stream *stream;

    for (uint32_t i = 0; i < EVENT_STREAM_SLICE && (stream = first_due(source)) != NULL; ++i)
        serve_one(stream);
    set_pace(source,
             first_due(source) == NULL ? 0 : rest_us(source, clock_monotonic_ns() - begin_ns));
}

/* Ends those whose sockets have taken nothing for too long, of which the kernel may know nothing: a
 * local socket has no limit of its own.  `since_ms` may be one interval older than the truth. */
static void end_stuck(struct event_source *source)
{
    uint64_t most_ms =
        (uint64_t)source->server->settings->write_timeout_ms + source->options.interval_ms;
    struct event_stream *stream;

    for (uint32_t i = 0; i < EVENT_STREAM_SLICE; ++i) {
        stream = first_of(&source->busy);
        if (stream == NULL || source->now_ms - stream->since_ms < most_ms)
            return;
        become_busy(stream); /* until libh2o has heard of it */
        http_connection_end(stream->exchange->req);
    }
}

static void on_look(void *context)
{
    struct event_source *source = context;

    source->now_ms = clock_monotonic_ms();
    end_stuck(source);
    if (!source->draining)
        look(source);
    if (!source->pacing)
        serve(source);
}

static void on_pace(void *context)
{
    serve(context);
}

/* ---- a stream's life ---- */

/* What was being sent is in the kernel. */
static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct event_stream *stream = (struct event_stream *)generator;
    struct event_source *source = stream->source;

    (void)req;
    release_event(&stream->sending);
    if (stream->left || source->draining) {
        finish(stream);
        return;
    }
    stream->busy = false;
    stream->since_ms = source->now_ms;
    place(stream, is_behind(stream) ? &source->behind : &source->current);
    if (is_behind(stream) && !source->pacing)
        set_pace(source, REST_MIN_US);
}

static void on_left(void *context)
{
    struct event_stream *stream = context;

    stream->left = true;
    if (!stream->busy)
        finish(stream);
}

/* `change`: 1 or -1. */
static void count_stream(const struct event_stream *stream, int change)
{
    struct http_server *server = stream->source->server;

    stream->source->count += (uint32_t)change;
    server->streams += (uint32_t)change;
    if (stream->exchange->control)
        server->control_streams += (uint32_t)change;
    scoreboard_show(&server->slot->streams, server->streams);
}

/* The request is over, however it came to it. */
static void on_gone(void *data)
{
    struct event_stream *stream = data;
    struct event_source *source = stream->source;

    h2o_linklist_unlink(&stream->link);
    release_event(&stream->sending);
    count_stream(stream, -1);
    if (source->count > 0)
        return;
    http_timer_set(&source->look_timer, 0, 0);
    set_pace(source, 0);
}

static struct event_stream *new_stream(struct event_source *source, struct http_exchange *exchange)
{
    /* a shared entry is disposed of before the rest of the request's memory */
    struct event_stream *stream =
        h2o_mem_alloc_shared(&exchange->req->pool, sizeof(*stream), on_gone);

    *stream = (struct event_stream){
        .generator = {.proceed = on_proceed}, .source = source, .exchange = exchange};
    if (source->count == 0) {
        source->now_ms = clock_monotonic_ms();
        http_timer_set(&source->look_timer, source->options.interval_ms,
                       source->options.interval_ms);
    }
    if (source->count == 0 || source->options.asks_on_join)
        look(source);
    count_stream(stream, 1);
    become_busy(stream);
    return stream;
}

/* The version in Last-Event-ID, decimal as it was sent; false: none, or no such number. */
static bool read_last_id(const struct http_exchange *exchange, uint64_t *ret_version)
{
    struct text text = http_header(exchange, TEXT("last-event-id"));
    uint64_t version = 0;

    while (text.len > 0 && (text.base[text.len - 1] == ' ' || text.base[text.len - 1] == '\t'))
        --text.len;
    if (text.len == 0 || text.len > APPEND_U64_MAX || (text.len > 1 && text.base[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; ++i) {
        unsigned digit = (unsigned)text.base[i] - '0';
        if (digit > 9 || version > (UINT64_MAX - digit) / 10)
            return false;
        version = version * 10 + digit;
    }
    *ret_version = version;
    return true;
}

static size_t print_retry(struct event_stream *stream)
{
    uint32_t draw =
        http_draw(stream->source->server) % (EVENT_STREAM_RETRY_MAX_MS - EVENT_STREAM_RETRY_MIN_MS);
    char *end = append_text(stream->retry, TEXT(RETRY));

    end = append_u32(end, EVENT_STREAM_RETRY_MIN_MS + draw);
    end = append_text(end, TEXT(END));
    return (size_t)(end - stream->retry);
}

/* The connection ends with the answer, so that a client that comes back may get to another worker,
 * and that an end without a length is one for HTTP/1.0 too. */
static void begin_answer(struct http_exchange *exchange, h2o_generator_t *generator)
{
    static const struct http_field fields[] = {
        {TEXT_INIT("X-Accel-Buffering"), TEXT_INIT("no")}, /* nginx passes each event on at once */
    };

    http_reply_open(exchange,
                    &(struct http_reply){
                        .status = 200,
                        .reason = "OK",
                        .content_type = TEXT("text/event-stream"),
                        .cache_control = TEXT("no-store, no-transform"),
                        .fields = fields,
                        .field_count = sizeof(fields) / sizeof(fields[0]),
                    },
                    generator);
}

static void answer_head(struct http_exchange *exchange)
{
    static h2o_generator_t generator = {NULL, NULL};

    begin_answer(exchange, &generator);
    h2o_send(exchange->req, NULL, 0, H2O_SEND_STATE_FINAL);
}

/* This worker's share of those of the pool's connections that streams may take; one at least. */
static uint32_t share_of_streams(const struct http_server *server)
{
    uint32_t serving = scoreboard_pool_load(server->scoreboard, server->pool).serving;
    uint64_t all = (uint64_t)server->settings->max_connections * STREAMS_PERCENT / 100;

    all = all > 0 ? all : 1;
    return (uint32_t)(serving < 2 ? all : (all + serving - 1) / serving);
}

static bool is_full(const struct event_source *source, const struct http_exchange *exchange)
{
    const struct http_server *server = source->server;

    return source->count >= source->options.streams_max ||
           (exchange->control
                ? server->control_streams >= CONTROL_STREAMS_MAX
                : server->streams - server->control_streams >= share_of_streams(server));
}

static void limit_room(h2o_req_t *req)
{
    int room = SOCKET_ROOM_BYTES;

    /* of no matter if it fails: then the kernel's own limit holds */
    (void)setsockopt(h2o_socket_get_fd(req->conn->callbacks->get_socket(req->conn)), SOL_SOCKET,
                     SO_SNDBUF, &room, sizeof(room));
}

void event_source_join(struct event_source *source, struct http_exchange *exchange)
{
    h2o_req_t *req = exchange->req;
    struct event_stream *stream;
    h2o_iovec_t parts[2];
    size_t count = 1;

    if (h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"))) {
        answer_head(exchange);
        return;
    }
    if (is_full(source, exchange)) {
        /* who came for a stream would only leave the connection idle, and it is somebody else's */
        http_problem_close(exchange, PROBLEM_overloaded, OVERLOADED);
        return;
    }
    limit_room(req);
    stream = new_stream(source, exchange);
    stream->told = source->options.versions_last && read_last_id(exchange, &stream->version);
    parts[0] = h2o_iovec_init(stream->retry, print_retry(stream));
    count += add_event(stream, &parts[1]);
    begin_answer(exchange, &stream->generator);
    http_exchange_park(exchange);
    http_on_left(exchange, on_left, stream);
    h2o_send(req, parts, count, H2O_SEND_STATE_IN_PROGRESS);
}

/* ---- sources ---- */

struct event_source *event_source_new(struct http_server *server,
                                      const struct event_source_options *options)
{
    struct event_source *source = h2o_mem_alloc(sizeof(*source));

    assert(options->interval_ms > 0 && options->heartbeat_ms > 0);
    *source =
        (struct event_source){.next = server->event_sources, .server = server, .options = *options};
    h2o_linklist_init_anchor(&source->behind);
    h2o_linklist_init_anchor(&source->current);
    h2o_linklist_init_anchor(&source->busy);
    server->event_sources = source;
    return source;
}

int event_sources_start(struct http_server *server)
{
    h2o_loop_t *loop = server->context.loop;
    int result = 0;

    for (struct event_source *source = server->event_sources; source != NULL && result == 0;
         source = source->next)
        if ((result = http_timer_init(&source->look_timer, loop, on_look, source)) == 0)
            result = http_timer_init(&source->pace_timer, loop, on_pace, source);
    return result;
}

void event_sources_drain(struct http_server *server)
{
    for (struct event_source *source = server->event_sources; source != NULL;
         source = source->next) {
        source->draining = true;
        h2o_linklist_insert_list(&source->behind, &source->current);
        serve(source);
    }
}
