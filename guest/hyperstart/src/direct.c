#include "direct.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

_Alignas(4096) uint8_t direct_piece[DIRECT_PIECE];

void direct_begin(int fd, uint64_t size)
{
    struct statfs s;
    if (size < DIRECT_LEAST || fstatfs(fd, &s))
        return;
    if (s.f_type == EXT4_SUPER_MAGIC || s.f_type == OVERLAYFS_SUPER_MAGIC)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_DIRECT);
}

bool direct_end(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (!(flags & O_DIRECT))
        return false;
    fcntl(fd, F_SETFL, flags & ~O_DIRECT);
    return true;
}
