#include "heritage/heritage.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

bool heritage_bind(const struct heritage *heritage)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == heritage->master;
}

void heritage_ring_master(const struct heritage *heritage)
{
    (void)eventfd_write(heritage->master_bell, 1);
}
