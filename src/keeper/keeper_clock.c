#include "keeper/keeper_clock.h"

#include <stdlib.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec now;

    (void)clock_gettime(id, &now); /* cannot fail for these clocks */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t keeper_clock_now(struct keeper_clock *clock, int64_t *ret_step_us)
{
    int64_t wall_us = read_us(CLOCK_REALTIME), step_us;

    clock->seen_offset_us = wall_us - read_us(CLOCK_BOOTTIME);
    step_us =
        clock->knows_offset ? clock->seen_offset_us - clock->offset_us : wall_us - clock->time_us;
    *ret_step_us = llabs(step_us) >= KEEPER_CLOCK_STEP_US ? step_us : 0;
    return wall_us > clock->time_us ? wall_us : clock->time_us;
}

void keeper_clock_told(struct keeper_clock *clock, int64_t time_us, bool had_step)
{
    clock->time_us = time_us;
    /* only then: many small drifts are to be noticed too, when they add up; and as it was read
     * before the step was recorded, which may have taken long */
    if (had_step || !clock->knows_offset)
        clock->offset_us = clock->seen_offset_us;
    clock->knows_offset = true;
}
