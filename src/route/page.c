#include "assets/assets.h"
#include "http/content_coding.h"
#include "route/route.h"

/* All that a page may do: what is fetched comes from this server, no script but its files runs, and
 * no other page may frame it.  `styles`: those beyond its files. */
#define POLICY(styles)                                                                             \
    "default-src 'none'; script-src 'self'; style-src 'self'" styles "; img-src 'self' data:; "    \
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
/* Redoc adds style elements of its own, by their hashes: the empty one that its library of styles
 * then fills, which no policy looks at, and the one of its scroll bars. */
#define REDOC_STYLES                                                                               \
    " 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"                                       \
    " 'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='"
/* A file's name has a hash of its content in it. */
#define FOR_EVER TEXT("public, max-age=31536000, immutable")
/* The page names its files, and must name those of the binary that serves it now. */
#define ASK_AGAIN TEXT("no-cache")

/* In the form that the client takes, or 304 where it has that.  Cross-Origin-Opener-Policy is left
 * out: browsers complain of it where there is no TLS, and the pages open no windows. */
static void send_asset(struct http_exchange *exchange, const struct asset *asset,
                       struct text cache_control, struct text policy)
{
    bool gzip = content_coding_takes_gzip(http_header(exchange, TEXT("accept-encoding")));
    struct text etag = gzip ? asset->gzip_etag : asset->etag;
    bool had = http_has_entity(exchange, etag);
    struct http_field fields[HTTP_FIELDS_MAX] = {
        {TEXT("Vary"), TEXT("Accept-Encoding")},
        {TEXT("X-Content-Type-Options"), TEXT("nosniff")},
        {TEXT("Cross-Origin-Resource-Policy"), TEXT("same-origin")},
        {TEXT("Referrer-Policy"), TEXT("no-referrer")},
    };
    uint32_t count = 4;

    if (policy.len != 0)
        fields[count++] = (struct http_field){TEXT("Content-Security-Policy"), policy};
    if (gzip && !had)
        fields[count++] = (struct http_field){TEXT("Content-Encoding"), TEXT("gzip")};
    http_reply(exchange, &(struct http_reply){
                             .status = had ? 304 : 200,
                             .reason = had ? "Not Modified" : "OK",
                             .content_type = had ? (struct text){0} : asset->type,
                             .body = had    ? (struct text){0}
                                     : gzip ? asset->gzip
                                            : asset->bytes,
                             .cache_control = cache_control,
                             .etag = etag,
                             .fields = fields,
                             .field_count = count,
                         });
}

void route_send_page(struct http_exchange *exchange, struct text name, struct text policy)
{
    send_asset(exchange, asset_page(name), ASK_AGAIN, policy);
}

void route_docs(struct router *router, struct http_exchange *exchange)
{
    (void)router;
    route_send_page(exchange, TEXT("docs"), TEXT(POLICY("")));
}

void route_redoc(struct router *router, struct http_exchange *exchange)
{
    (void)router;
    route_send_page(exchange, TEXT("redoc"), TEXT(POLICY(REDOC_STYLES)));
}

void route_asset(struct router *router, struct http_exchange *exchange)
{
    const struct asset *asset = asset_file(http_path_parameter(exchange));

    (void)router;
    if (asset == NULL)
        http_problem(exchange, PROBLEM_not_found, "there is nothing at this path");
    else
        send_asset(exchange, asset, FOR_EVER, (struct text){0});
}

bool route_docs_offered(const struct settings *settings)
{
    return settings->docs;
}

bool route_assets_offered(const struct settings *settings)
{
    return settings->docs || route_dashboard_offered(settings);
}
