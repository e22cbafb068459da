#include "util/time_text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ticketd/error.h"

#define US_PER_S 1000000

void time_text_format(int64_t time_us, char ret_text[TIME_TEXT_SIZE])
{
    int64_t fraction_us = (time_us % US_PER_S + US_PER_S) % US_PER_S;
    time_t seconds = (time_t)((time_us - fraction_us) / US_PER_S);
    struct tm utc = {.tm_mday = 1};
    size_t len;

    (void)gmtime_r(&seconds, &utc); /* can fail only for years beyond what an int holds */
    len = strftime(ret_text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(ret_text + len, TIME_TEXT_SIZE - len, ".%06dZ", (int)fraction_us);
}

/* ".25" as microseconds; *at moves behind it. */
static int64_t read_fraction(const char **at)
{
    int64_t fraction_us = 0;
    int64_t unit = US_PER_S / 10;

    if (**at != '.')
        return 0;
    for (++*at; **at >= '0' && **at <= '9' && unit > 0; ++*at, unit /= 10)
        fraction_us += (**at - '0') * unit;
    return fraction_us;
}

int time_text_parse(const char *text, int64_t *ret_time_us)
{
    struct tm utc = {0}, back;
    int64_t fraction_us = 0;
    const char *at = strptime(text, "%Y-%m-%d", &utc);
    time_t seconds;

    if (at != NULL && *at == 'T') {
        at = strptime(at, "T%H:%M:%S", &utc);
        if (at != NULL)
            fraction_us = read_fraction(&at);
        if (at != NULL && *at == 'Z')
            ++at;
    }
    if (at == NULL || *at != '\0')
        return TICKETD_INVALID;
    back = utc;
    seconds = timegm(&back);
    /* timegm makes 3 March of 31 February; who wrote that meant something else */
    if (back.tm_mday != utc.tm_mday || back.tm_mon != utc.tm_mon)
        return TICKETD_INVALID;
    *ret_time_us = (int64_t)seconds * US_PER_S + fraction_us;
    return TICKETD_DONE;
}
