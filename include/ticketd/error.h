/* The three classes of a return value, everywhere in ticketd:
 *
 *   < 0   fatal: a negated errno; the caller passes it on and never guesses
 *     0   done
 *   > 0   a documented answer of the domain that the caller must handle: enum ticketd_answer, or
 *         the enum that the function's own header names
 *
 * Outputs named ret_… are written last, and stay untouched unless the return is 0 (or the
 * positive answer that documents them).  Safe in every process; holds no state. */
#ifndef TICKETD_ERROR_H
#define TICKETD_ERROR_H

enum ticketd_answer {
    TICKETD_DONE = 0,
    /* fewer tickets are left than were asked for; nothing was taken */
    TICKETD_SOLD_OUT = 1,
    /* no event of that id in this stock */
    TICKETD_EVENT_UNKNOWN,
    /* a bound was reached (queue, ring, pool); nothing was taken, the same call may be sent again
     */
    TICKETD_BUSY,
    /* the stock's owner cannot be reached or is not ready; nothing was taken */
    TICKETD_UNAVAILABLE,
    /* the deadline passed before an answer; nothing was taken */
    TICKETD_TIMED_OUT,
    /* a request or a setting breaks its documented bounds; nothing was changed */
    TICKETD_INVALID,
};

#endif
