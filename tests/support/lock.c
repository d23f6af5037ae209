/* Takes a lock of a kind (flock, posix, ofd) on a file: "count N" counts N up in it, each under the lock; "hold" keeps
 * it until killed; "try" ends with 1 if somebody else has it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int take(const char *kind, int fd, short type, int wait)
{
    struct flock all = {.l_type = type, .l_whence = SEEK_SET};
    if (strcmp(kind, "flock") == 0)
        return flock(fd, (type == F_UNLCK ? LOCK_UN : LOCK_EX) | (wait ? 0 : LOCK_NB));
    if (strcmp(kind, "posix") == 0)
        return fcntl(fd, wait ? F_SETLKW : F_SETLK, &all);
    return fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &all);
}

static int count_up(const char *kind, int fd)
{
    char text[32] = "";
    if (take(kind, fd, F_WRLCK, 1) || pread(fd, text, sizeof text - 1, 0) < 0)
        return -1;
    int size = snprintf(text, sizeof text, "%ld\n", atol(text) + 1);
    return pwrite(fd, text, (size_t)size, 0) != size || take(kind, fd, F_UNLCK, 1) ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int fd = open(argv[2], O_RDWR | O_CREAT, 0644);
    if (fd < 0)
        return 2;
    if (strcmp(argv[3], "try") == 0)
        return take(argv[1], fd, F_WRLCK, 0) != 0;
    if (strcmp(argv[3], "hold") == 0) {
        if (take(argv[1], fd, F_WRLCK, 1))
            return 2;
        puts("held");
        fflush(stdout);
        for (;;)
            pause();
    }
    for (int i = argc > 4 ? atoi(argv[4]) : 0; i > 0; i--)
        if (count_up(argv[1], fd))
            return 2;
    return 0;
}
