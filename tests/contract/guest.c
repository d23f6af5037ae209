/*
 * The smallest guest a driver's contract can be tested with: PID 1 that answers HELLO, and lines of text, on the
 * agent's port. It stands in for HyperStart where a test needs the guest to misbehave: to panic, to spin, to write
 * to a read-only disk.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER = 12, MAX_LINE = 4096, SECTOR = 4096 };

static int port;
static char *taken;
static size_t taken_size;

static void put(const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t done = write(port, at, size);
        if (done < 0) {
            usleep(10000);
            continue;
        }
        at += done;
        size -= (size_t)done;
    }
}

/* One byte from the host; it may be away for a while. */
static unsigned char get(void)
{
    unsigned char byte;
    while (read(port, &byte, 1) != 1)
        usleep(10000);
    return byte;
}

static int first_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    char *got = fgets(line, size, file);
    fclose(file);
    if (got == NULL)
        return -1;
    line[strcspn(line, "\n")] = 0;
    return 0;
}

/* The entry of `folder` whose attribute file says `value`, as a device; -1 if there is none. */
static int open_device(const char *folder, const char *attribute, const char *value, int flags)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    char path[PATH_MAX], found[256];
    int fd = -1;
    while (dir != NULL && fd < 0 && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof path, "%s/%s/%s", folder, entry->d_name, attribute);
        if (first_line(path, found, sizeof found) == 0 && strcmp(found, value) == 0) {
            snprintf(path, sizeof path, "/dev/%s", entry->d_name);
            fd = open(path, flags | O_CLOEXEC);
        }
    }
    if (dir != NULL)
        closedir(dir);
    return fd;
}

static void tell(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, text, strlen(text));
        close(fd);
    }
}

/* SCSI disks that came while we run are known, and their driver is done with them. */
static void scan(void)
{
    tell("/sys/class/scsi_host/host0/scan", "0 0 -");
    DIR *dir = opendir("/sys/class/scsi_device");
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            tell("/sys/bus/scsi/drivers/sd/bind", entry->d_name);
    if (dir != NULL)
        closedir(dir);
}

/* Of a SCSI disk whose page 80h says `serial`. Others of that name are stale: taken away by the host. */
static int open_added(const char *serial, int flags)
{
    DIR *dir = opendir("/sys/block");
    struct dirent *entry;
    char path[PATH_MAX], page[256];
    int fd = -1;
    while (dir != NULL && fd < 0 && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof path, "/sys/block/%s/device/vpd_pg80", entry->d_name);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t size = file < 0 ? -1 : read(file, page, sizeof page);
        if (file >= 0)
            close(file);
        if (size == 4 + (ssize_t)strlen(serial) && memcmp(page + 4, serial, strlen(serial)) == 0) {
            snprintf(path, sizeof path, "/dev/%s", entry->d_name);
            fd = open(path, flags | O_CLOEXEC);
        }
    }
    if (dir != NULL)
        closedir(dir);
    return fd;
}

static int open_disk(const char *name, int flags)
{
    int fd = open_device("/sys/block", "serial", name, flags);
    if (fd < 0)
        fd = open_added(name, flags);
    if (fd >= 0)
        return fd;
    scan();
    return open_added(name, flags);
}

/* The kernel forgets the SCSI disks. */
static void forget(void)
{
    DIR *dir = opendir("/sys/block");
    struct dirent *entry;
    char path[PATH_MAX];
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof path, "/sys/block/%s/device/delete", entry->d_name);
        tell(path, "1");
    }
    if (dir != NULL)
        closedir(dir);
}

static void answer_hello(void)
{
    unsigned char header[HEADER] = {1}, body[256], reply[HEADER + 24 + 8 + 4 + 8 + 4 + 1] = {1};
    for (int i = 1; i < HEADER; i++)
        header[i] = get();
    uint32_t length = header[8] | (uint32_t)header[9] << 8;
    for (uint32_t i = 0; i <= length; i++) /* and the end byte */
        body[i % sizeof body] = get();
    reply[8] = sizeof reply - HEADER - 1;
    memcpy(reply + HEADER, body, 24); /* magic, version, nonce */
    reply[HEADER + 32] = 8;
    memcpy(reply + HEADER + 36, "contract", 8);
    reply[sizeof reply - 1] = 0xCE;
    put(reply, sizeof reply);
}

static int write_disk(const char *name)
{
    static char block[SECTOR] __attribute__((aligned(SECTOR)));
    int fd = open_disk(name, O_RDWR);
    memset(block, 'X', sizeof block);
    errno = fd < 0 ? errno : 0;
    if (fd < 0 || pwrite(fd, block, sizeof block, 0) < 0 || fsync(fd) < 0)
        return errno;
    return 0;
}

static void read_disk(const char *name)
{
    char text[64] = "?";
    int fd = open_disk(name, O_RDONLY);
    if (fd >= 0 && pread(fd, text, sizeof text - 2, 0) > 0)
        text[strcspn(text, "\n")] = 0;
    strcat(text, "\n");
    put(text, strlen(text));
}

/* The shared folders at /share, mounted at the first word of them. */
static void see_share(void)
{
    mkdir("/share", 0755);
    mount("hyper", "/share", "virtiofs", 0, NULL);
}

static void read_share(const char *name)
{
    char path[PATH_MAX], text[64] = "?";
    see_share();
    snprintf(path, sizeof path, "/share/%s", name);
    if (first_line(path, text, sizeof text - 1) < 0)
        snprintf(text, sizeof text - 1, "%d", errno);
    strcat(text, "\n");
    put(text, strlen(text));
}

static int write_share(const char *name)
{
    char path[PATH_MAX];
    see_share();
    snprintf(path, sizeof path, "/share/%s", name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    errno = fd < 0 ? errno : 0;
    if (fd < 0 || write(fd, "X\n", 2) < 0)
        return errno;
    close(fd);
    return 0;
}

/* An Ethernet frame with `text` from eth0 to everybody; then the text of the first one that is for us. */
static void send_frame(const char *text)
{
    enum { TYPE = 0x88b5 };
    struct ifreq card = {.ifr_name = "eth0"};
    unsigned char frame[1514] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(TYPE));
    ioctl(fd, SIOCGIFHWADDR, &card);
    memcpy(frame + 6, card.ifr_hwaddr.sa_data, 6);
    ioctl(fd, SIOCGIFFLAGS, &card);
    card.ifr_flags |= IFF_UP;
    ioctl(fd, SIOCSIFFLAGS, &card);
    ioctl(fd, SIOCGIFINDEX, &card);
    struct sockaddr_ll there = {.sll_family = AF_PACKET, .sll_protocol = htons(TYPE)};
    there.sll_ifindex = card.ifr_ifindex;
    bind(fd, (struct sockaddr *)&there, sizeof there);
    frame[12] = TYPE >> 8;
    frame[13] = TYPE & 255;
    strncpy((char *)frame + 14, text, 46);
    (void)!write(fd, frame, 60);
    ssize_t size = read(fd, frame, sizeof frame - 1);
    if (size > 14) {
        frame[size] = 0;
        put(frame + 14, strlen((char *)frame + 14));
        put("\n", 1);
    }
    close(fd);
}

static void flood(unsigned long count)
{
    static char block[4096];
    memset(block, 'f', sizeof block);
    for (; count > 0; count -= count < sizeof block ? count : sizeof block)
        put(block, count < sizeof block ? count : sizeof block);
}

static void obey(const char *word, const char *rest)
{
    char text[64];
    if (strcmp(word, "echo") == 0) {
        put(rest, strlen(rest));
        put("\n", 1);
    } else if (strcmp(word, "read") == 0) {
        read_disk(rest);
    } else if (strcmp(word, "write") == 0) {
        snprintf(text, sizeof text, "%d\n", write_disk(rest));
        put(text, strlen(text));
    } else if (strcmp(word, "forget") == 0) {
        forget();
        put("forgotten\n", 10);
    } else if (strcmp(word, "flood") == 0) {
        flood(strtoul(rest, NULL, 10));
    } else if (strcmp(word, "cpus") == 0) {
        snprintf(text, sizeof text, "%ld\n", sysconf(_SC_NPROCESSORS_ONLN));
        put(text, strlen(text));
    } else if (strcmp(word, "take") == 0) {
        taken_size = strtoul(rest, NULL, 10) << 20;
        taken = mmap(NULL, taken_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(taken, 1, taken_size);
        snprintf(text, sizeof text, "%lu\n", taken_size >> 20);
        put(text, strlen(text));
    } else if (strcmp(word, "give") == 0) {
        munmap(taken, taken_size);
        put("given\n", 6);
    } else if (strcmp(word, "frame") == 0) {
        send_frame(rest);
    } else if (strcmp(word, "share") == 0) {
        read_share(rest);
    } else if (strcmp(word, "shade") == 0) {
        snprintf(text, sizeof text, "%d\n", write_share(rest));
        put(text, strlen(text));
    } else if (strcmp(word, "count") == 0) {
        static int count; /* of this machine's memory */
        snprintf(text, sizeof text, "%d\n", ++count);
        put(text, strlen(text));
    } else if (strcmp(word, "off") == 0) {
        reboot(RB_AUTOBOOT);
    } else if (strcmp(word, "panic") == 0) {
        exit(3); /* PID 1 must not */
    }
}

int main(void)
{
    char line[MAX_LINE];
    size_t used = 0;
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    mount("sys", "/sys", "sysfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    while ((port = open_device("/sys/class/virtio-ports", "name", "hyper.agent", O_RDWR)) < 0)
        usleep(1000);
    for (;;) {
        unsigned char byte = get();
        if (used == 0 && byte == 1) {
            answer_hello();
        } else if (byte == '\n') {
            line[used] = 0;
            used = 0;
            char *rest = strchr(line, ' ');
            if (rest != NULL)
                *rest++ = 0;
            obey(line, rest != NULL ? rest : "");
        } else if (byte != 0 && used < sizeof line - 1) {
            line[used++] = (char)byte;
        }
    }
}
