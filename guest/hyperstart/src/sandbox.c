#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <time.h>

#include "container.h"
#include "disk.h"
#include "net.h"

static bool set_sysctl(const struct sysctl *s, struct error *e)
{
    char path[256] = "/proc/sys/";
    if (strstr(s->key, "..") || strlen(s->key) > 200)
        return fail(e, CODE_SYSTEM, EINVAL, "sysctl ", s->key, NULL);
    /* net.ipv4.ip_forward; with slashes, dots are part of the names (net/ipv4/conf/eth0.1/...). */
    char *at = path + strlen(path);
    append(path, sizeof path, s->key);
    for (bool slashes = strchr(s->key, '/'); *at && !slashes; at++)
        if (*at == '.')
            *at = '/';
    if (!write_file(path, s->value))
        return fail(e, CODE_SYSTEM, errno, "sysctl ", s->key, NULL);
    return true;
}

bool sandbox_setup(const struct setup_request *s, struct error *e)
{
    if (*s->hostname && sethostname(s->hostname, strlen(s->hostname)))
        return fail(e, CODE_SYSTEM, errno, "set host name ", s->hostname, NULL);
    if (!network_setup(s, e) || (s->sysctl_count && !runtime_prepare(e)))
        return false;
    for (uint32_t i = 0; i < s->sysctl_count; i++)
        if (!set_sysctl(&s->sysctls[i], e))
            return false;
    return true;
}

void sandbox_clock(uint64_t realtime_ns)
{
    const uint64_t tolerance = 100 * 1000 * 1000;
    uint64_t now = now_ns(CLOCK_REALTIME);
    uint64_t apart = now > realtime_ns ? now - realtime_ns : realtime_ns - now;
    if (!realtime_ns || realtime_ns > INT64_MAX || apart <= tolerance)
        return;
    struct timespec t = {(time_t)(realtime_ns / 1000000000), (long)(realtime_ns % 1000000000)};
    clock_settime(CLOCK_REALTIME, &t);
}

void sandbox_entropy(const uint8_t *entropy)
{
    struct {
        struct rand_pool_info info;
        uint32_t bytes[ENTROPY_SIZE / 4];
    } pool = {.info = {.entropy_count = 8 * ENTROPY_SIZE, .buf_size = ENTROPY_SIZE}};
    _cleanup_close_ int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    memcpy(pool.bytes, entropy, ENTROPY_SIZE);
    ioctl(fd, RNDADDENTROPY, &pool);
    ioctl(fd, RNDRESEEDCRNG);
}

bool sandbox_release(struct error *e)
{
    containers_release();
    return shared_release(e);
}

void sandbox_power_off(void)
{
    char line[4096] = "";
    /* A machine without ACPI cannot be switched off: there the kernel is told (reboot=t) to reset
     * by a triple fault, which ends `qemu -no-reboot`. */
    mount("proc", "/proc", "proc", 0, NULL);
    bool reset = read_file("/proc/cmdline", line, sizeof line) < 0 || strstr(line, "reboot=");
    sync();
    reboot(reset ? RB_AUTOBOOT : RB_POWER_OFF);
    for (;;) /* PID 1 never ends */
        pause();
}
