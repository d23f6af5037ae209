#include "groups.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

/* For blocks of a squashfs (128 KiB) that several processors read at once. */
enum { SPARE = 1 << 20 };

/* What containers may have together, in bytes; 0: whatever there is. */
static uint64_t allowed;

/* All that Docker gives a container: a JVM that misses cpu or cpuset among its controllers takes
 * the machine's memory for its own, whatever memory.max says. Counting memory tells a kill by the
 * OOM killer from any other. A kernel of the user's may lack the first two. */
static void hand_on_controllers(const char *path)
{
    if (!write_file(path, "+cpuset +cpu +io +memory +pids"))
        write_file(path, "+io +memory +pids");
}

static uint64_t square_root(uint64_t value)
{
    uint64_t root = 0;
    for (uint64_t bit = 1ULL << 31; bit; bit >>= 1)
        if ((root | bit) * (root | bit) <= value)
            root |= bit;
    return root;
}

static void allow(uint64_t bytes)
{
    if (write_file(CONTAINERS "/memory.max", DEC(bytes)))
        allowed = bytes;
}

/* Containers together leave the kernel what it needs to read a page of a program. Without that a
 * machine whose memory is full of what cannot be dropped (a tmpfs) stands still: each page fault
 * waits for memory, and no OOM killer comes for a file system that waits (GFP_NOFS). */
static void leave_room(void)
{
    struct sysinfo system;
    if (sysinfo(&system))
        return;
    /* The kernel's own formula. khugepaged makes it 22 MiB as soon as there are 512 MiB, to have
     * huge pages at hand: nobody could use them then. */
    uint64_t least_kib = square_root((uint64_t)system.totalram * system.mem_unit / 1024 * 16);
    if (!write_file("/proc/sys/vm/min_free_kbytes", DEC(least_kib)))
        return;
    /* The kernel begins to look for memory below its high mark, 3/2 of the least. */
    uint64_t free = (uint64_t)system.freeram * system.mem_unit;
    uint64_t room = least_kib * 1024 * 3 / 2 + SPARE;
    if (free > 2 * room)
        allow(free - room);
}

void cgroups_allow(uint64_t bytes)
{
    if (bytes != UINT64_MAX && allowed && bytes > allowed)
        allow(bytes);
}

bool cgroups_prepare(struct error *e)
{
    hand_on_controllers("/cgroup/cgroup.subtree_control");
    if (mkdir(CONTAINERS, 0755) && errno != EEXIST)
        return fail(e, CODE_SYSTEM, errno, "mkdir " CONTAINERS, NULL);
    hand_on_controllers(CONTAINERS "/cgroup.subtree_control");
    leave_room();
    return true;
}
