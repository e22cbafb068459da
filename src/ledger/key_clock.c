#include "ledger/key_clock.h"

#include <stddef.h>

/* Times come from a file that anybody may have edited: a difference that has no number is the
 * nearest one that has. */
static int64_t minus(int64_t a, int64_t b)
{
    int64_t difference;

    if (__builtin_sub_overflow(a, b, &difference))
        return b > 0 ? INT64_MIN : INT64_MAX;
    return difference;
}

/* What passed from one time to another; two that overlap, after a step back, are 0 apart. */
static int64_t passed(int64_t from_us, int64_t to_us)
{
    return to_us > from_us ? minus(to_us, from_us) : 0;
}

/* The sum of two spans, neither negative. */
static int64_t plus(int64_t a, int64_t b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

static int on_event(void *context, const struct ledger_event *event)
{
    struct ledger_key_clock *clock = context;

    if (event->time_us > clock->newest_us)
        clock->newest_us = event->time_us;
    return 0;
}

static int on_step(void *context, int64_t time_us, int64_t step_us)
{
    struct ledger_key_clock *clock = context;

    if (time_us > clock->newest_us)
        clock->newest_us = time_us;
    if (step_us <= 0)
        return 0;
    if (clock->count == KEY_CLOCK_STEPS_MAX) {
        clock->more = true;
        return 1;
    }
    clock->steps[clock->count].time_us = time_us;
    clock->steps[clock->count++].step_us = step_us;
    return 0;
}

int ledger_key_clock_load(const struct ledger_ops *ops, struct ledger *ledger,
                          struct ledger_key_clock *ret_clock)
{
    int r;

    ret_clock->newest_us = INT64_MIN;
    ret_clock->count = 0;
    ret_clock->more = false;
    r = ops->each_event(ledger, on_event, ret_clock);
    if (r == 0)
        r = ops->each_clock_step(ledger, on_step, ret_clock);
    return r < 0 ? r : 0;
}

int64_t ledger_key_clock_since(const struct ledger_key_clock *clock, int64_t ttl_us)
{
    int64_t time_us = clock->newest_us, left_us = ttl_us;

    for (unsigned i = 0; i < clock->count; i++) {
        int64_t after_us = passed(clock->steps[i].time_us, time_us);

        if (after_us >= left_us)
            return minus(time_us, left_us);
        left_us -= after_us;
        time_us = minus(clock->steps[i].time_us, clock->steps[i].step_us);
    }
    return clock->more ? INT64_MIN : minus(time_us, left_us);
}

int64_t ledger_key_clock_age_us(const struct ledger_key_clock *clock, int64_t time_us)
{
    int64_t end_us = clock->newest_us, age_us = 0;

    for (unsigned i = 0; i < clock->count && clock->steps[i].time_us > time_us; i++) {
        age_us = plus(age_us, passed(clock->steps[i].time_us, end_us));
        end_us = minus(clock->steps[i].time_us, clock->steps[i].step_us);
        if (clock->more && i + 1 == clock->count)
            return age_us;
    }
    return plus(age_us, passed(time_us, end_us));
}
