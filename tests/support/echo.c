/* Sends datagrams back: echo PORT. Goes on in the background once it can be reached. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    at.sin_port = htons((uint16_t)atoi(argc > 1 ? argv[1] : "7"));
    if (bind(fd, (void *)&at, sizeof at) || daemon(0, 0))
        return 1;
    for (;;) {
        char data[2048];
        socklen_t size = sizeof at;
        ssize_t n = recvfrom(fd, data, sizeof data, 0, (void *)&at, &size);
        if (n >= 0)
            sendto(fd, data, (size_t)n, 0, (void *)&at, size);
    }
}
