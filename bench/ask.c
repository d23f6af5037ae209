/* Runs in a container: asks a name server for an address, again and again, one question at a time.
 * ask SERVER NAME COUNT: prints the microseconds of each answer, one a line; fails when one does not come. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_S = 5, LABEL_MAX = 63 };

static size_t question(unsigned char *out, const char *label)
{
    static const unsigned char head[12] = {0, 0, 1, 0, 0, 1}; /* recursion desired, one question */
    static const unsigned char tail[5] = {0, 0, 1, 0, 1};     /* the root; A, IN */
    size_t length = strlen(label);
    memcpy(out, head, sizeof head);
    out[sizeof head] = (unsigned char)length;
    memcpy(out + sizeof head + 1, label, length);
    memcpy(out + sizeof head + 1 + length, tail, sizeof tail);
    return sizeof head + 1 + length + sizeof tail;
}

int main(int argc, char **argv)
{
    unsigned char ask[128], answer[512];
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53)};
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    if (argc != 4 || strlen(argv[2]) > LABEL_MAX || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
        return 2;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        connect(fd, (struct sockaddr *)&server, sizeof server) != 0)
        return 1;
    size_t length = question(ask, argv[2]);
    for (int number = 0; number < atoi(argv[3]); number++) {
        struct timespec began, ended;
        ask[1] = (unsigned char)number;
        clock_gettime(CLOCK_MONOTONIC, &began);
        if (send(fd, ask, length, 0) != (ssize_t)length)
            return 1;
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        clock_gettime(CLOCK_MONOTONIC, &ended);
        /* Of this question, without an error, with one record. */
        if (got < 12 || answer[1] != ask[1] || (answer[3] & 15) != 0 || answer[7] != 1)
            return 1;
        printf("%ld\n", (ended.tv_sec - began.tv_sec) * 1000000L + (ended.tv_nsec - began.tv_nsec) / 1000);
    }
    return 0;
}
