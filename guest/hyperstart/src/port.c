#include "port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <termios.h>
#include <time.h>

static int open_port(const char *path)
{
    return open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* A port in sysfs whose name is hyper.agent. */
static int open_named(void)
{
    DIR *ports = opendir("/sys/class/virtio-ports");
    if (!ports)
        return -1;
    int fd = -1;
    for (struct dirent *d; fd < 0 && (d = readdir(ports));) {
        char path[300], name[64];
        if (!join(path, sizeof path, "/sys/class/virtio-ports/", d->d_name, "/name", NULL) ||
            read_file(path, name, sizeof name) < 0 || strcmp(name, "hyper.agent\n") != 0)
            continue;
        if (join(path, sizeof path, "/dev/", d->d_name, NULL))
            fd = open_port(path);
    }
    closedir(ports);
    return fd;
}

/* hyper.port=NAME of the kernel command line: a console, made raw. */
static int open_console(void)
{
    char line[4096], path[64];
    if (read_file("/proc/cmdline", line, sizeof line) < 0)
        return -1;
    const char *found = strstr(line, "hyper.port=");
    if (!found)
        return -1;
    found += strlen("hyper.port=");
    size_t size = strcspn(found, " \n");
    if (size >= 32)
        return -1;
    char name[32] = {0};
    memcpy(name, found, size);
    if (strchr(name, '/') || !join(path, sizeof path, "/dev/", name, NULL))
        return -1;
    int fd = open_port(path);
    struct termios t;
    if (fd >= 0 && !tcgetattr(fd, &t)) {
        cfmakeraw(&t);
        t.c_cflag |= CLOCAL;
        tcsetattr(fd, TCSANOW, &t);
    }
    return fd;
}

int port_open(void)
{
    /* With one virtio-serial port, its name is this: no file system needs to be mounted to find
     * out. The kernel makes it in the background and may be a moment behind us. */
    int fd;
    for (int tries = 0; tries < 40; tries++) {
        if ((fd = open_port("/dev/vport0p1")) >= 0)
            return fd;
        nanosleep(&(struct timespec){.tv_nsec = 250000}, NULL);
    }
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    for (;;) {
        if ((fd = open_named()) >= 0 || (fd = open_console()) >= 0)
            return fd;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}
