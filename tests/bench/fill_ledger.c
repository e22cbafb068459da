/* Writes a ledger of many keyed sales, as a day of selling would have left it.
 *
 *   fill-ledger PATH SALES SPAN_S
 *
 * The event "default" sells one ticket at a time, over the last SPAN_S seconds; the key of sale n
 * (from 1) is the text "bench-n", so that a client can repeat any of them. */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "ticketd/ledger.h"
#include "util/key_hash.h"
#include "util/token.h"

#define BATCH_MAX     4096
#define US_PER_S      INT64_C(1000000)
#define LEDGER_STOCK  STOCK_QUANTITY_MAX
#define SPAN_S_MAX    31536000 /* a year */
#define KEY_TEXT_SIZE 32
#define SALES_MAX     1000000000

struct filling {
    struct ledger *ledger;
    struct key_hasher *hasher;
    struct token_source tokens;
    int64_t begin_us;
    int64_t step_us; /* from one sale to the next */
    struct ledger_entry batch[BATCH_MAX];
};

static int64_t number_of(const char *text, const char *what, int64_t max)
{
    const char *problem;
    int64_t number = strtonum(text, 1, max, &problem);

    if (problem != NULL)
        errx(EXIT_FAILURE, "%s %s is %s", what, text, problem);
    return number;
}

static int64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

static void make_sale(struct filling *filling, uint64_t sequence, struct ledger_entry *ret_sale)
{
    char key[KEY_TEXT_SIZE];
    int len = snprintf(key, sizeof(key), "bench-%" PRIu64, sequence);

    *ret_sale = (struct ledger_entry){
        .quantity = 1,
        .sequence = sequence,
        .token = token_next(&filling->tokens),
        .time_us = filling->begin_us + (int64_t)sequence * filling->step_us,
        .available = (uint32_t)(LEDGER_STOCK - sequence),
        .kind = LEDGER_SALE,
    };
    key_hash(filling->hasher, (struct text){.base = key, .len = (size_t)len}, &ret_sale->key);
}

static void fill(struct filling *filling, uint64_t sales)
{
    const struct ledger_ops *ops = &ledger_sqlite_ops;

    if (ops->create_event(filling->ledger, STOCK_DEFAULT_EVENT, LEDGER_STOCK, filling->begin_us))
        errx(EXIT_FAILURE, "%s", ops->error(filling->ledger));
    /* Sequence 0 is the first stock. */
    for (uint64_t done = 0; done < sales;) {
        size_t count = 0;
        while (count < BATCH_MAX && done < sales)
            make_sale(filling, ++done, &filling->batch[count++]);
        if (ops->append(filling->ledger, filling->batch, count) != 0)
            errx(EXIT_FAILURE, "%s", ops->error(filling->ledger));
    }
}

int main(int argc, char **argv)
{
    static struct filling filling;
    const struct ledger_ops *ops = &ledger_sqlite_ops;
    char error[512] = "";
    int64_t sales, span_us;
    int hold = -1;

    if (argc != 4)
        errx(EXIT_FAILURE, "usage: fill-ledger PATH SALES SPAN_S");
    sales = number_of(argv[2], "SALES", SALES_MAX);
    span_us = number_of(argv[3], "SPAN_S", SPAN_S_MAX) * US_PER_S;
    filling.begin_us = now_us() - span_us;
    filling.step_us = span_us / sales;
    filling.hasher = key_hasher_new();
    if (filling.hasher == NULL)
        errx(EXIT_FAILURE, "no SHA-256");
    if (argv[1][0] != '/')
        errx(EXIT_FAILURE, "PATH must be absolute");
    if (ops->lock(&hold, argv[1], 0, error, sizeof(error)) != 0 ||
        ops->open(&filling.ledger, argv[1], hold, error, sizeof(error)) != 0)
        errx(EXIT_FAILURE, "%s", error);
    fill(&filling, (uint64_t)sales);
    ops->close(filling.ledger);
    close(hold);
    key_hasher_free(filling.hasher);
    return EXIT_SUCCESS;
}
