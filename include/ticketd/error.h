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
    /* there is no such order */
    TICKETD_NOT_FOUND,
    /* the ledger cannot be written just now, so nothing is sold; nothing was taken */
    TICKETD_LEDGER_FAULT,
    /* the idempotency key has sold another quantity; nothing was taken */
    TICKETD_KEY_REUSED,
    /* the deadline passed while another request with the same idempotency key was still being
     * judged; this one took nothing, and the key's answer is had by asking again */
    TICKETD_KEY_IN_FLIGHT,
    /* the deadline passed after the keeper had taken the sale and before its ledger said whether it
     * is on disk: the one answer after which something may have been sold.  Only a failing or very
     * slow disk leads here; the same key asked again tells */
    TICKETD_OUTCOME_UNKNOWN,
};

#endif
