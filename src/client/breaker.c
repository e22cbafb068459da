#include "client/breaker.h"

void breaker_init(struct breaker *breaker, uint32_t failures_max, uint32_t open_ms)
{
    *breaker = (struct breaker){.failures_max = failures_max, .open_ms = open_ms};
}

bool breaker_would_admit(const struct breaker *breaker, uint64_t now_ms)
{
    switch (breaker->state) {
    case BREAKER_CLOSED:
        return true;
    case BREAKER_OPEN:
        return now_ms >= breaker->open_until_ms;
    case BREAKER_HALF_OPEN:
        return !breaker->probing;
    }
    return false;
}

bool breaker_admit(struct breaker *breaker, uint64_t now_ms)
{
    if (!breaker_would_admit(breaker, now_ms))
        return false;
    if (breaker->state == BREAKER_CLOSED)
        return true;
    breaker->state = BREAKER_HALF_OPEN;
    breaker->probing = true;
    return true;
}

bool breaker_succeeded(struct breaker *breaker)
{
    bool changed = breaker->state != BREAKER_CLOSED;

    breaker->state = BREAKER_CLOSED;
    breaker->failures = 0;
    breaker->probing = false;
    return changed;
}

bool breaker_failed(struct breaker *breaker, uint64_t now_ms)
{
    /* a call that was admitted before it opened: known already, and no reason to wait longer */
    if (breaker->state == BREAKER_OPEN)
        return false;
    if (breaker->state == BREAKER_CLOSED && ++breaker->failures < breaker->failures_max)
        return false;
    breaker->state = BREAKER_OPEN;
    breaker->failures = 0;
    breaker->open_until_ms = now_ms + breaker->open_ms;
    breaker->probing = false;
    return true;
}

bool breaker_abandoned(struct breaker *breaker)
{
    /* the next call is the probe; elsewhere an abandoned call changes nothing */
    breaker->probing = false;
    return false;
}
