#include "config/control_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ticketd/error.h"

#define TICKET_FOLDER "var"
#define TICKET_PATH   TICKET_FOLDER "/ticket.control"

bool control_path_is_ticket(const struct settings *settings)
{
    return settings->deployment_mode == DEPLOYMENT_MODE_MICROSERVICES &&
           settings->services == SERVICES_TICKET;
}

int control_path_find(const struct settings *settings, const char *ledger,
                      char ret_path[CONTROL_PATH_SIZE])
{
    const char *runtime = getenv("RUNTIME_DIRECTORY");
    bool ticket = control_path_is_ticket(settings);
    char path[CONTROL_PATH_SIZE];
    int len;

    if (settings->control_socket[0] != '\0')
        len = snprintf(path, sizeof(path), "%s", settings->control_socket);
    else if (runtime != NULL && runtime[0] != '\0')
        len = snprintf(path, sizeof(path), "%.*s/%scontrol.sock", (int)strcspn(runtime, ":"),
                       runtime, ticket ? "ticket-" : "");
    else if (ticket)
        len = snprintf(path, sizeof(path), TICKET_PATH);
    else if (ledger[0] != '\0')
        len = snprintf(path, sizeof(path), "%s.control", ledger);
    else
        return TICKETD_NOT_FOUND;
    if (len < 0 || (size_t)len >= sizeof(path))
        return TICKETD_INVALID;
    memcpy(ret_path, path, (size_t)len + 1);
    return TICKETD_DONE;
}

int control_path_prepare(const char *path)
{
    if (strcmp(path, TICKET_PATH) != 0 || mkdir(TICKET_FOLDER, 0750) == 0 || errno == EEXIST)
        return 0;
    return -errno;
}
