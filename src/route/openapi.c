/* GET /openapi.json: made when it is first asked for, and kept. */
#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "route/openapi_document.h"
#include "route/route.h"

/* Bytes of the digest that make an entity tag. */
#define TAG_BYTES 8

static_assert(sizeof("\"0123456789abcdef-gzip\"") <= ROUTE_ETAG_SIZE, "a tag has its room");

/* One tag for the bytes as they are, and one for their compressed form, as a strong tag is one
 * form's alone (RFC 9110 section 8.8.1). */
static bool make_tags(struct router_openapi *openapi)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * TAG_BYTES + 1];

    if (EVP_Q_digest(NULL, "SHA256", NULL, openapi->document.base, openapi->document.len, digest,
                     NULL) != 1)
        return false;
    for (int i = 0; i < TAG_BYTES; ++i)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    (void)snprintf(openapi->etag, sizeof(openapi->etag), "\"%s\"", hex);
    (void)snprintf(openapi->etag_gzip, sizeof(openapi->etag_gzip), "\"%s-gzip\"", hex);
    return true;
}

static bool make(struct router *router)
{
    struct router_openapi made;

    if (openapi_document_make(router, &made.document) != 0)
        return false;
    if (!make_tags(&made)) {
        free((char *)(uintptr_t)made.document.base);
        return false;
    }
    router->openapi = made;
    return true;
}

/* What libh2o's filter looks at when it decides whether to compress. */
static bool takes_gzip(const h2o_req_t *req)
{
    return req->version >= 0x101 &&
           (h2o_get_compressible_types(&req->headers) & H2O_COMPRESSIBLE_GZIP) != 0;
}

static void set_body(struct http_reply *reply, struct text document)
{
    reply->status = 200;
    reply->reason = "OK";
    reply->content_type = TEXT("application/json");
    reply->body = document;
}

/* HEAD gets the tag of GET's answer. */
void route_openapi(struct router *router, struct http_exchange *exchange)
{
    static const struct http_field vary = {TEXT("Vary"), TEXT("Accept-Encoding")};
    struct http_reply reply = {.status = 304,
                               .reason = "Not Modified",
                               .cache_control = TEXT("no-cache"),
                               .fields = &vary,
                               .field_count = 1};
    const h2o_req_t *req = exchange->req;
    bool packed = takes_gzip(req);
    const char *etag;

    if (router->openapi.document.base == NULL && !make(router)) {
        http_problem(exchange, PROBLEM_internal_error, "out of memory");
        return;
    }
    etag = packed ? router->openapi.etag_gzip : router->openapi.etag;
    reply.etag = (struct text){.base = etag, .len = strlen(etag)};
    if (!http_has_entity(exchange, reply.etag)) {
        set_body(&reply, router->openapi.document);
        /* the filter adds Vary itself where it compresses, which it does not for HEAD */
        if (packed && !h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD")))
            reply.field_count = 0;
    }
    http_reply(exchange, &reply);
}
