/* Mends two faults of QEMU's virtiofsd (C, the last one is 7.2's) from outside, loaded before its libc.
 *
 * It opens files it knows by /proc/self/fd/N with the flags the guest sent. If somebody else made the file a moment
 * before the guest did, these have O_CREAT, without a mode: the fortified openat of glibc ends the process for that.
 * The file is there, so that the flag means nothing: it is left out.
 *
 * And it opens a file for writing to hold locks on it, which fails where only reading is possible. Read locks need no
 * more than reading. Such opens have these very flags and no others; the guest's own have O_LARGEFILE. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAKES = O_CREAT | O_EXCL | (O_TMPFILE & ~O_DIRECTORY) };

int __openat64_2(int folder, const char *path, int flags)
{
    int fd = (int)syscall(SYS_openat, folder, path, flags & ~MAKES, 0);
    if (fd < 0 && flags == O_RDWR && (errno == EROFS || errno == EACCES))
        fd = (int)syscall(SYS_openat, folder, path, O_RDONLY, 0);
    return fd;
}
