/* Moments as people and clients read them: RFC 3339 in UTC, "2026-02-03T04:05:06.000007Z".  Any
 * process; no state; never blocks. */
#ifndef TICKETD_UTIL_TIME_TEXT_H
#define TICKETD_UTIL_TIME_TEXT_H

#include <stdint.h>

/* Room for the text and its end, for years of more digits too. */
#define TIME_TEXT_SIZE 64

/* `time_us`: microseconds since 1970. */
void time_text_format(int64_t time_us, char ret_text[TIME_TEXT_SIZE]);

/* Reads YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SS with an optional fraction (up to six digits) and an
 * optional Z; both in UTC.  0, or TICKETD_INVALID. */
int time_text_parse(const char *text, int64_t *ret_time_us);

#endif
