#include "ctl/top_frame.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#define LINE_MAX_BYTES 1024
#define NONE           "-"
/* Of a terminal: ends a line, clearing what stood behind it. */
#define LINE_END "\033[K\n"

enum tone { PLAIN, STRONG, SOFT, ALARM };

/* The lines that are printed so far. */
struct printer {
    FILE *out;
    const struct top_frame *frame;
    unsigned lines;
};

/* ---- figures ---- */

const char *top_count(char text[TOP_TEXT], double count)
{
    char digits[TOP_TEXT];
    size_t len, at = 0;

    if (isnan(count) || count < 0 || count > 1e15)
        return strcpy(text, NONE);
    len = (size_t)snprintf(digits, sizeof(digits), "%.0f", count);
    for (size_t i = 0; i < len; ++i) {
        if (i > 0 && (len - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

const char *top_rate(char text[TOP_TEXT], double rate)
{
    if (isnan(rate) || rate >= 99.95 || rate == 0)
        return top_count(text, rate);
    (void)snprintf(text, TOP_TEXT, "%.1f", rate);
    return text;
}

const char *top_seconds(char text[TOP_TEXT], double seconds, bool utf8)
{
    const char *unit = seconds < 1e-3 ? (utf8 ? "µs" : "us") : seconds < 1 ? "ms" : "s";
    double number = seconds < 1e-3 ? seconds * 1e6 : seconds < 1 ? seconds * 1e3 : seconds;

    if (isnan(seconds))
        return strcpy(text, NONE);
    (void)snprintf(text, TOP_TEXT, "%.*f %s",
                   number < 9.995   ? 2
                   : number < 99.95 ? 1
                                    : 0,
                   number, unit);
    return text;
}

/* A longer time, roughly. */
static const char *span(char text[TOP_TEXT], double seconds)
{
    if (isnan(seconds) || seconds > 1e9)
        return strcpy(text, NONE);
    if (seconds < 100)
        (void)snprintf(text, TOP_TEXT, "%.0f s", seconds);
    else if (seconds < 6000)
        (void)snprintf(text, TOP_TEXT, "%.0f min", seconds / 60);
    else if (seconds < 48 * 3600)
        (void)snprintf(text, TOP_TEXT, "%.1f h", seconds / 3600);
    else
        (void)snprintf(text, TOP_TEXT, "%.0f d", seconds / 86400);
    return text;
}

/* Of one expression at a time: each figure of a line has a text of its own. */
#define COUNT(number)   top_count((char[TOP_TEXT]){""}, number)
#define RATE(number)    top_rate((char[TOP_TEXT]){""}, number)
#define SECONDS(number) top_seconds((char[TOP_TEXT]){""}, number, printer->frame->utf8)
#define SPAN(number)    span((char[TOP_TEXT]){""}, number)

/* ---- lines ---- */

/* How many bytes of the text stand in so many columns: those that go on a character take none. */
static size_t clip(const char *text, unsigned width)
{
    size_t len = 0;
    unsigned columns = 0;

    while (text[len] != '\0') {
        if (((unsigned char)text[len] & 0xC0) != 0x80 && columns++ == width)
            break;
        ++len;
    }
    return len;
}

__attribute__((format(printf, 3, 4))) static void line(struct printer *printer, enum tone tone,
                                                       const char *format, ...)
{
    static const char *const begins[] = {
        [PLAIN] = "", [STRONG] = "\033[1m", [SOFT] = "\033[2m", [ALARM] = "\033[1;31m"};
    const struct top_frame *frame = printer->frame;
    bool last = printer->lines + 1 == frame->height;
    char text[LINE_MAX_BYTES];
    va_list args;

    if (printer->lines == frame->height)
        return;
    ++printer->lines;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    text[clip(text, frame->width)] = '\0';
    if (frame->styled)
        /* a newline in the last line would scroll */
        (void)fprintf(printer->out, "%s%s%s%s", begins[tone], text, tone == PLAIN ? "" : "\033[0m",
                      last ? "\033[K" : LINE_END);
    else
        (void)fprintf(printer->out, "%s\n", text);
}

/* Of the day where the reader is, or the whole moment in UTC. */
static void print_clock(char *text, size_t size, double seconds, bool whole)
{
    time_t when = (time_t)seconds;
    struct tm parts;
    size_t len = 0;

    if (whole && gmtime_r(&when, &parts) != NULL)
        len = strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &parts);
    else if (!whole && localtime_r(&when, &parts) != NULL)
        len = strftime(text, size, "%H:%M:%S", &parts);
    text[len] = '\0';
}

static void print_head(struct printer *printer)
{
    const struct top *top = printer->frame->top;
    char text[256], now[16];
    int gap;

    print_clock(now, sizeof(now), top->time, false);
    (void)snprintf(text, sizeof(text), "%s   %s   ticketd %s   up %s", top->service, top->role,
                   top->version, SPAN(top->uptime));
    gap = (int)printer->frame->width - (int)strlen(now);
    if ((int)strlen(text) + 2 > gap)
        line(printer, STRONG, "%s", text);
    else
        line(printer, STRONG, "%-*s%s", gap, text, now);
    if (printer->frame->lost != NULL)
        line(printer, ALARM, "trying again: %s", printer->frame->lost);
    else
        line(printer, PLAIN, "%s", "");
}

/* A bar of how much is sold. */
static void print_bar(struct printer *printer, double share)
{
    char bar[LINE_MAX_BYTES] = "";
    unsigned width = printer->frame->width > 36 ? printer->frame->width - 26 : 10;
    unsigned done;

    if (width > 60)
        width = 60;
    done = (unsigned)(share * width + 0.5);
    for (unsigned i = 0; i < width; ++i)
        (void)strcat(bar, i >= done              ? (printer->frame->utf8 ? "░" : "-")
                          : printer->frame->utf8 ? "█"
                                                 : "#");
    line(printer, PLAIN, "           %s  %.0f %% sold", bar, share * 100);
}

static void print_stock(struct printer *printer)
{
    const struct top *top = printer->frame->top;
    double lasts = top->rate.tickets > 0 ? top->available / top->rate.tickets : NAN;

    if (!top->has_stock) {
        line(printer, PLAIN, "Stock      none in this pool: ask where its vacancy pool runs");
        return;
    }
    if (top->available == 0)
        line(printer, ALARM, "Stock      SOLD OUT   %s sold of %s", COUNT(top->sold),
             COUNT(top->capacity));
    else
        line(printer, STRONG, "Stock      %s available of %s   %s sold   lasts %s",
             COUNT(top->available), COUNT(top->capacity), COUNT(top->sold), SPAN(lasts));
    print_bar(printer, top->capacity > 0 ? top->sold / top->capacity : 0);
}

/* The last seconds' sales, the highest of those shown as a full column. */
static void print_history(struct printer *printer)
{
    static const char *const fine[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const plain[] = {"_", "_", ".", ".", "-", "-", "=", "#"};
    const struct top_history *history = printer->frame->history;
    uint32_t width = printer->frame->width > 22 ? printer->frame->width - 12 : 10;
    char text[LINE_MAX_BYTES] = "";
    uint32_t count;
    double most = 0;

    if (width > 120)
        width = 120;
    count = history->count < width ? history->count : width;
    for (uint32_t i = history->count - count; i != history->count; ++i)
        if (history->sales[i % TOP_HISTORY] > most)
            most = history->sales[i % TOP_HISTORY];
    for (uint32_t i = history->count - count; i != history->count; ++i) {
        double height = most > 0 ? history->sales[i % TOP_HISTORY] / most * 7 + 0.5 : 0;
        (void)strcat(text, (printer->frame->utf8 ? fine : plain)[(unsigned)height]);
    }
    line(printer, SOFT, "           %s", text);
}

static void print_sales(struct printer *printer)
{
    const struct top *top = printer->frame->top;

    line(printer, STRONG, "Sales      %s/s   tickets %s/s   requests %s/s   sales in all %s",
         RATE(top->rate.sales), RATE(top->rate.tickets), RATE(top->rate.requests),
         COUNT(top->total_sales));
    print_history(printer);
    line(printer, PLAIN, "Latency    p50 %s   p90 %s   p99 %s   max < %s   all p99 %s",
         SECONDS(top->sales.p50), SECONDS(top->sales.p90), SECONDS(top->sales.p99),
         SECONDS(top->sales.max), SECONDS(top->all.p99));
    line(printer, top->rate.errors > 0 || top->rate.refused > 0 ? ALARM : PLAIN,
         "Not sold   sold out %s/s   refused %s/s   errors %s/s   repeated %s/s",
         RATE(top->rate.sold_out), RATE(top->rate.refused), RATE(top->rate.errors),
         RATE(top->rate.replays));
}

static void print_way(struct printer *printer)
{
    const struct top *top = printer->frame->top;

    if (top->has_stock)
        line(printer, top->ready ? PLAIN : ALARM,
             "Keeper     %s%s   %s behind   %s a batch   sync p50 %s   p99 %s", top->keeper,
             top->ready ? "" : ", not ready", COUNT(top->lag), RATE(top->batch),
             SECONDS(top->sync.p50), SECONDS(top->sync.p99));
    if (top->has_hop)
        line(printer, strcmp(top->breaker, "closed") == 0 ? PLAIN : ALARM,
             "Vacancy    breaker %s   %s waiting   %s busy   %s idle   retries %s/s", top->breaker,
             COUNT(top->queue), COUNT(top->busy), COUNT(top->idle), RATE(top->rate.retries));
    line(printer, PLAIN, "Clients    %s connections   %s streams   %s parked",
         COUNT(top->connections), COUNT(top->streams), COUNT(top->parked));
}

static void print_tables(struct printer *printer)
{
    const struct top *top = printer->frame->top;

    line(printer, PLAIN, "%s", "");
    line(printer, SOFT, "%-12s %9s %9s %9s %9s", "POOL", "SERVING", "STARTING", "DRAINING", "DIED");
    for (uint32_t i = 0; i < top->pool_count; ++i) {
        const struct top_pool *pool = &top->pools[i];
        line(printer, PLAIN, "%-12s %9s %9s %9s %9s", pool->name, COUNT(pool->serving),
             COUNT(pool->starting), COUNT(pool->draining), COUNT(pool->died));
    }
    if (top->event_count < 2)
        return;
    line(printer, PLAIN, "%s", "");
    line(printer, SOFT, "%-24s %13s %13s %11s %11s", "EVENT", "AVAILABLE", "SOLD", "SALES/S",
         "TICKETS/S");
    for (uint32_t i = 0; i < top->event_count; ++i) {
        const struct top_event *event = &top->events[i];
        line(printer, PLAIN, "%-24.24s %13s %13s %11s %11s", event->id, COUNT(event->available),
             COUNT(event->sold), RATE(event->sales), RATE(event->tickets));
    }
}

void top_print_frame(FILE *out, const struct top_frame *frame)
{
    struct printer printer = {.out = out, .frame = frame};

    print_head(&printer);
    print_stock(&printer);
    print_sales(&printer);
    print_way(&printer);
    print_tables(&printer);
}

void top_remember(struct top_history *history, const struct top *top)
{
    history->sales[history->count++ % TOP_HISTORY] = isnan(top->rate.sales) ? 0 : top->rate.sales;
}

static void field(FILE *out, const char *name, double number)
{
    if (!isnan(number))
        (void)fprintf(out, " %s=%.10g", name, number);
}

void top_print_line(FILE *out, const struct top *top)
{
    char now[32];

    print_clock(now, sizeof(now), top->time, true);
    (void)fputs(now, out);
    field(out, "available", top->available);
    field(out, "sold", top->sold);
    field(out, "sales/s", top->rate.sales);
    field(out, "tickets/s", top->rate.tickets);
    field(out, "requests/s", top->rate.requests);
    field(out, "p50", top->sales.p50);
    field(out, "p90", top->sales.p90);
    field(out, "p99", top->sales.p99);
    field(out, "sold_out/s", top->rate.sold_out);
    field(out, "refused/s", top->rate.refused);
    field(out, "errors/s", top->rate.errors);
    field(out, "lag", top->lag);
    field(out, "queue", top->queue);
    field(out, "connections", top->connections);
    (void)fputc('\n', out);
}
