#include "ctl/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

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

static int judge(CURL *curl, CURLcode code, const struct receiving *receiving,
                 char why[TRANSPORT_WHY_MAX])
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
        return receiving->failure;
    default:
        return TRANSPORT_BROKEN;
    }
}

static void set_up(CURL *curl, const char *socket_path, const char *url, unsigned timeout_ms,
                   struct receiving *receiving)
{
    (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever the environment says */
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, receiving);
}

int transport_call(const char *socket_path, const char *path, const char *json, unsigned timeout_ms,
                   struct transport_reply *ret_reply, char why[TRANSPORT_WHY_MAX])
{
    struct receiving receiving = {.failure = TRANSPORT_BROKEN};
    struct curl_slist *headers = NULL;
    char url[URL_MAX];
    CURL *curl = curl_easy_init();
    int answer;

    if (curl == NULL)
        return -ENOMEM;
    (void)snprintf(url, sizeof(url), "http://localhost%s", path);
    set_up(curl, socket_path, url, timeout_ms, &receiving);
    if (json != NULL) {
        headers = curl_slist_append(NULL, "Content-Type: application/json");
        (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, json);
    }
    answer = json != NULL && headers == NULL
                 ? -ENOMEM
                 : judge(curl, curl_easy_perform(curl), &receiving, why);
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
