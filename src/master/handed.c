#include "master/handed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/notify.h"
#include "ticketd/error.h"

static void drop_names(char **names, int count)
{
    for (int i = 0; i < count; ++i)
        free(names[i]);
    free(names);
}

int handed_receive(struct handed *ret_handed, char error[SETTINGS_ERROR_MAX])
{
    char **names = NULL;
    int count = notify_sockets(&names);

    ret_handed->count = 0;
    if (count < 0) {
        errno = -count;
        (void)snprintf(error, SETTINGS_ERROR_MAX,
                       "cannot take over the sockets of the service manager: %m");
        return count;
    }
    if (count > HANDED_MAX) {
        drop_names(names, count);
        (void)snprintf(error, SETTINGS_ERROR_MAX,
                       "the service manager handed over %d sockets, more than %d", count,
                       HANDED_MAX);
        return TICKETD_INVALID;
    }
    for (int i = 0; i < count; ++i)
        ret_handed->items[ret_handed->count++] =
            (struct handed_socket){.fd = NOTIFY_SOCKETS_FIRST + i, .name = names[i]};
    free(names);
    return TICKETD_DONE;
}

int handed_take(struct handed *handed, const char *name, const struct settings *settings,
                struct listener_set *set, char error[SETTINGS_ERROR_MAX])
{
    for (uint32_t i = 0; i < handed->count; ++i) {
        struct handed_socket *item = &handed->items[i];
        int result;
        if (item->name == NULL || strcmp(item->name, name) != 0)
            continue;
        result = listener_take_handed(set, settings, item->fd, name, error);
        if (result != TICKETD_DONE)
            return result;
        free(item->name);
        item->name = NULL;
    }
    return TICKETD_DONE;
}

int handed_finish(struct handed *handed, char error[SETTINGS_ERROR_MAX])
{
    int result = TICKETD_DONE;

    for (uint32_t i = 0; i < handed->count; ++i) {
        const char *name = handed->items[i].name;
        if (name != NULL && result == TICKETD_DONE) {
            (void)snprintf(error, SETTINGS_ERROR_MAX,
                           "the service manager handed over a socket named \"%s\", which nothing "
                           "here serves; FileDescriptorName must be a pool of this master "
                           "(monolith, vacancy or ticket) or control",
                           name);
            result = TICKETD_INVALID;
        }
        free(handed->items[i].name);
        handed->items[i].name = NULL;
    }
    handed->count = 0;
    return result;
}
