#include "ctl/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "util/clock.h"

enum {
    URL_MAX = 256,
};

struct receiving {
    struct transport_reply reply;
    int failure; /* why taking the body ended it: an answer, or -ENOMEM */
};

static size_t on_body(char *bytes, size_t one, size_t count, void *context)
{
    struct receiving *receiving = context;
    struct transport_reply *reply = &receiving->reply;
    size_t len = one * count;
    char *body;

    if (len > TRANSPORT_BODY_MAX - reply->len) {
        receiving->failure = TRANSPORT_TOO_LONG;
        return 0;
    }
    body = realloc(reply->body, reply->len + len + 1);
    if (body == NULL) {
        receiving->failure = -ENOMEM;
        return 0;
    }
    memcpy(body + reply->len, bytes, len);
    reply->body = body;
    reply->len += len;
    return len;
}

/* Which answer a failed connect is. */
static int judge_connect(CURL *curl, char why[TRANSPORT_WHY_MAX])
{
    long error = 0;

    (void)curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
    (void)snprintf(why, TRANSPORT_WHY_MAX, "%s", strerror((int)error));
    switch (error) {
    case ENOENT:
    case ECONNREFUSED:
    case ENOTDIR:
        return TRANSPORT_ABSENT;
    case EACCES:
    case EPERM:
        return TRANSPORT_DENIED;
    case EAGAIN: /* its queue of connections is full */
        return TRANSPORT_SILENT;
    default:
        return TRANSPORT_BROKEN;
    }
}

/* `failure`: why taking the body ended it. */
static int judge(CURL *curl, CURLcode code, int failure, char why[TRANSPORT_WHY_MAX])
{
    if (code == CURLE_COULDNT_CONNECT)
        return judge_connect(curl, why);
    (void)snprintf(why, TRANSPORT_WHY_MAX, "%s", curl_easy_strerror(code));
    switch (code) {
    case CURLE_OK:
        return TRANSPORT_DONE;
    case CURLE_OPERATION_TIMEDOUT:
        return TRANSPORT_SILENT;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_WRITE_ERROR:
        return failure;
    default:
        return TRANSPORT_BROKEN;
    }
}

/* A handle for one request; NULL without memory. */
static CURL *open_request(const char *socket_path, const char *path)
{
    CURL *curl = curl_easy_init();
    char url[URL_MAX];

    if (curl == NULL)
        return NULL;
    (void)snprintf(url, sizeof(url), "http://localhost%s", path);
    (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever the environment says */
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    return curl;
}

int transport_call(const char *socket_path, const char *path, const char *json, unsigned timeout_ms,
                   struct transport_reply *ret_reply, char why[TRANSPORT_WHY_MAX])
{
    struct receiving receiving = {.failure = TRANSPORT_BROKEN};
    struct curl_slist *headers = NULL;
    CURL *curl = open_request(socket_path, path);
    int answer;

    if (curl == NULL)
        return -ENOMEM;
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &receiving);
    if (json != NULL) {
        headers = curl_slist_append(NULL, "Content-Type: application/json");
        (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, json);
    }
    answer = json != NULL && headers == NULL
                 ? -ENOMEM
                 : judge(curl, curl_easy_perform(curl), receiving.failure, why);
    if (answer == TRANSPORT_DONE) {
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &receiving.reply.status);
        *ret_reply = receiving.reply;
    } else {
        free(receiving.reply.body);
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    return answer;
}

/* ---- streams ---- */

struct listening {
    const struct transport_listener *listener;
    CURL *curl;
    uint64_t heard_ms; /* when something came last */
    bool enough;
    int failure;
    size_t len; /* of the line so far */
    char line[TRANSPORT_LINE_MAX];
};

/* Of an event's lines (HTML Living Standard, section 9.2.6) only the data is of use here, and an
 * event of ours has one line of it. */
static void on_line(struct listening *listening)
{
    static const char data[] = "data: ";
    const size_t prefix = sizeof(data) - 1;

    if (listening->len < prefix || memcmp(listening->line, data, prefix) != 0)
        return;
    if (!listening->listener->on_event(listening->listener->context, listening->line + prefix,
                                       listening->len - prefix))
        listening->enough = true;
}

static bool is_stream(CURL *curl)
{
    long status = 0;

    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status == 200;
}

static size_t on_stream(char *bytes, size_t one, size_t count, void *context)
{
    struct listening *listening = context;
    size_t size = one * count;

    listening->heard_ms = clock_monotonic_ms();
    for (size_t i = 0; i < size && !listening->enough && is_stream(listening->curl); ++i) {
        if (bytes[i] == '\n') {
            on_line(listening);
            listening->len = 0;
        } else if (listening->len < sizeof(listening->line)) {
            listening->line[listening->len++] = bytes[i];
        } else {
            listening->failure = TRANSPORT_TOO_LONG;
            return 0;
        }
    }
    return size;
}

/* Waits for the server or the listener's descriptors. */
static void wait_for_either(CURLM *multi, struct listening *listening, unsigned most_ms)
{
    const struct transport_listener *listener = listening->listener;
    struct curl_waitfd fds[2] = {{.fd = -1}};
    unsigned count = 0;
    bool ready = false;

    for (size_t i = 0; i < sizeof(listener->fds) / sizeof(listener->fds[0]); ++i)
        if (listener->fds[i] != -1)
            fds[count++] = (struct curl_waitfd){.fd = listener->fds[i], .events = CURL_WAIT_POLLIN};
    (void)curl_multi_poll(multi, fds, count, (int)most_ms, NULL);
    for (unsigned i = 0; i < count; ++i)
        ready = ready || fds[i].revents != 0;
    if (ready && !listener->on_ready(listener->context))
        listening->enough = true;
}

/* What became of the transfer, which has ended. */
static int judge_end(CURLM *multi, const struct listening *listening, char why[TRANSPORT_WHY_MAX])
{
    int left;
    const CURLMsg *message = curl_multi_info_read(multi, &left);
    int answer;

    if (message == NULL)
        return -ENOMEM;
    answer = judge(listening->curl, message->data.result, listening->failure, why);
    if (answer != TRANSPORT_DONE || !is_stream(listening->curl))
        return answer;
    (void)snprintf(why, TRANSPORT_WHY_MAX, "the stream ended");
    return TRANSPORT_BROKEN;
}

static int listen_until_end(CURLM *multi, struct listening *listening, unsigned silent_ms,
                            char why[TRANSPORT_WHY_MAX])
{
    int running = 0;

    for (;;) {
        uint64_t silent_since_ms;

        if (curl_multi_perform(multi, &running) != CURLM_OK)
            return -ENOMEM;
        if (listening->enough)
            return TRANSPORT_DONE;
        if (running == 0)
            return judge_end(multi, listening, why);
        silent_since_ms = clock_monotonic_ms() - listening->heard_ms;
        if (silent_since_ms >= silent_ms) {
            (void)snprintf(why, TRANSPORT_WHY_MAX, "nothing comes");
            return TRANSPORT_SILENT;
        }
        wait_for_either(multi, listening, silent_ms - (unsigned)silent_since_ms);
        if (listening->enough)
            return TRANSPORT_DONE;
    }
}

int transport_listen(const char *socket_path, const char *path, unsigned silent_ms,
                     const struct transport_listener *listener, long *ret_status,
                     char why[TRANSPORT_WHY_MAX])
{
    struct listening *listening = calloc(1, sizeof(*listening));
    CURLM *multi = curl_multi_init();
    CURL *curl = open_request(socket_path, path);
    int answer = -ENOMEM;

    if (listening != NULL && multi != NULL && curl != NULL) {
        listening->listener = listener;
        listening->curl = curl;
        listening->heard_ms = clock_monotonic_ms();
        listening->failure = TRANSPORT_BROKEN;
        (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_stream);
        (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, listening);
        (void)curl_multi_add_handle(multi, curl);
        answer = listen_until_end(multi, listening, silent_ms, why);
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
        (void)curl_multi_remove_handle(multi, curl);
    }
    curl_easy_cleanup(curl);
    (void)curl_multi_cleanup(multi);
    free(listening);
    return answer;
}
