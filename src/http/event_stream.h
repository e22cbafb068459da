/* Server-sent events (HTML Living Standard, section 9.2): answers that stay open and get an event
 * whenever their source has something new.
 *
 * A source has a state with a version, which is the event's id.  Every interval_ms a worker asks
 * for it once, however many clients there are, and sends it to those that have another version; a
 * client whose connection is still busy with the last event is skipped, and gets the newest one
 * later: events are coalesced, never queued.  A client that comes back with Last-Event-ID gets
 * nothing that it has already.  Between events a comment is sent every heartbeat_ms, so that
 * whatever lies between knows that the connection lives, and so that one whose client is gone ends.
 *
 * What is sent, each with an empty line behind it: once "retry: " and in how many milliseconds to
 * come back, drawn for each client, so that those who lose a worker do not all come at one time;
 * "id: " with the version and on the next line "data: " with the state; ":" for a heartbeat.
 *
 * A crowd of streams does not hold up buyers: no more than EVENT_STREAM_SLICE are written to in one
 * turn of the loop, and then the worker is left to others for EVENT_STREAM_REST times as long as
 * that took.  So where thousands listen and things change all the time, each hears less often than
 * every interval_ms.
 *
 * When the server drains the streams end in order, their connections with them, and clients connect
 * anew; one that comes to a draining worker gets its event and the same end.
 *
 * A stream ends when its client closes the connection, or its writing half: who will never ask
 * again is taken for gone.  One that takes no bytes is ended after WRITE_TIMEOUT.  A stream is a
 * connection like any other and counts as one; but streams may not take all: those of the public
 * leave a quarter of MAX_CONNECTIONS to buyers, those of the control site half of its connections
 * to commands.  How many streams a worker has is told in its slot of the scoreboard.
 *
 * Workers only; in the loop's thread.  The memory of a stream is its request's, and at most one
 * event that all who are at it share. */
#ifndef TICKETD_HTTP_EVENT_STREAM_H
#define TICKETD_HTTP_EVENT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "http/exchange.h"
#include "http/server.h"

/* Most streams that are written to before the loop looks after other connections, and for how many
 * times as long it does before it writes to more; when it drains, just as long. */
#define EVENT_STREAM_SLICE 16
#define EVENT_STREAM_REST  9
/* When clients come back after the end of a stream: from the first to (not quite) the second. */
#define EVENT_STREAM_RETRY_MIN_MS 1000
#define EVENT_STREAM_RETRY_MAX_MS 3000

struct event_source_options {
    uint32_t interval_ms;
    uint32_t heartbeat_ms;
    uint32_t streams_max; /* of this worker; more get 503 overloaded */
    /* Asks for the state also whenever a client comes, which else begins with what was found at the
     * last interval: where asking is cheap, and no client may see an older state than it has. */
    bool asks_on_join;
    /* Whether a version names the same state for good, whichever worker of whichever master told
     * it; else Last-Event-ID is not believed and each client that comes gets the state. */
    bool versions_last;
    /* The state now: true with its version, and its data, one line without its end, which lives
     * until the next call; false: there is none to tell yet, or none that is new.  Runs only while
     * there are streams. */
    bool (*state)(void *context, uint64_t *ret_version, struct text *ret_data);
    void *context;
};

struct event_source;

/* Made between http_server_init and http_server_start, and lives as long as the server. */
struct event_source *event_source_new(struct http_server *server,
                                      const struct event_source_options *options);

/* Answers GET with a stream of the source's events, or with a problem, and HEAD with the head of
 * such an answer. */
void event_source_join(struct event_source *source, struct http_exchange *exchange);

/* For the server: its sources join its loop (0 or -errno), and end all streams. */
int event_sources_start(struct http_server *server);
void event_sources_drain(struct http_server *server);

#endif
