#include "carrier.h"

#include <errno.h>
#include <string.h>

enum { SECTOR = 512, HALF = CARRIER_SIZE / 2 };

/* A block of the guest's half: what it holds is needed until the host has acknowledged end. */
struct block {
    bool used;
    uint32_t stream;
    uint64_t end;
};

static int disk = -1;
static char device[64];
static struct block blocks[CARRIER_BLOCKS];

void carrier_use(int fd, const char *path)
{
    carrier_drop();
    disk = fd;
    join(device, sizeof device, path, NULL);
    memset(blocks, 0, sizeof blocks);
}

const char *carrier_drop(void)
{
    static char dropped[sizeof device];
    close_fd(&disk);
    memcpy(dropped, device, sizeof device);
    *device = 0;
    return dropped;
}

bool carrier_is_here(void)
{
    return disk >= 0;
}

static size_t free_block(void)
{
    size_t i = 0;
    while (i < CARRIER_BLOCKS && blocks[i].used)
        i++;
    return i;
}

bool carrier_has_room(void)
{
    return disk >= 0 && free_block() < CARRIER_BLOCKS;
}

static size_t whole_sectors(size_t size)
{
    return (size + SECTOR - 1) & ~(size_t)(SECTOR - 1);
}

static bool read_all(uint8_t *to, size_t size, uint64_t place)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(disk, to + done, size - done, (off_t)(place + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

const uint8_t *carrier_read(uint64_t place, size_t size, uint8_t *where, size_t room,
                            struct error *e)
{
    static _Alignas(4096) uint8_t buffer[CARRIER_BLOCK];
    size_t whole = whole_sectors(size);
    if (disk < 0 || place % SECTOR || size > CARRIER_BLOCK || place > HALF ||
        whole > HALF - place) {
        fail(e, CODE_MALFORMED, 0, DEC(size), " bytes of the carrier at ", DEC(place), NULL);
        return NULL;
    }
    if (whole > room || (uintptr_t)where % SECTOR)
        where = buffer;
    if (!read_all(where, whole, place)) {
        fail(e, CODE_SYSTEM, errno, "read the carrier", NULL);
        return NULL;
    }
    return where;
}

static bool write_all(const uint8_t *from, size_t size, uint64_t place)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(disk, from + done, size - done, (off_t)(place + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

size_t carrier_write(uint32_t stream, uint64_t offset, const uint8_t *data, size_t size,
                     uint64_t *place)
{
    size_t i = free_block(), before = (uintptr_t)data % SECTOR;
    if (disk < 0 || i == CARRIER_BLOCKS)
        return 0;
    uint64_t start = HALF + i * (uint64_t)CARRIER_BLOCK;
    size = min_size(size, CARRIER_BLOCK - before);
    if (!write_all(data - before, whole_sectors(before + size), start))
        return 0;
    blocks[i] = (struct block){true, stream, offset + size};
    *place = start + before;
    return size;
}

void carrier_acknowledged(uint32_t stream, uint64_t offset)
{
    for (size_t i = 0; i < CARRIER_BLOCKS; i++)
        if (blocks[i].stream == stream && blocks[i].end <= offset)
            blocks[i].used = false;
}
