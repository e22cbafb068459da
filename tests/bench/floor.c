#include "floor.h"

#include <bsd/stdlib.h>
#include <err.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

uint16_t floor_port_argument(int argc, char **argv)
{
    const char *problem = NULL;
    long long port = 0;

    if (argc == 2)
        port = strtonum(argv[1], 0, UINT16_MAX, &problem);
    if (argc != 2 || problem != NULL) {
        (void)fprintf(stderr, "usage: %s PORT    (0 lets the kernel choose)\n", argv[0]);
        exit(2);
    }
    return (uint16_t)port;
}

int floor_listen(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t address_size = sizeof(address);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        err(1, "socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        err(1, "SO_REUSEADDR");
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        err(1, "bind to 127.0.0.1:%u", port);
    if (listen(fd, SOMAXCONN) != 0)
        err(1, "listen");
    if (getsockname(fd, (struct sockaddr *)&address, &address_size) != 0)
        err(1, "getsockname");
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    if (fflush(stdout) != 0)
        err(1, "stdout");
    return fd;
}
