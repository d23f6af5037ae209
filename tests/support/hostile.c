/*
 * A hypervisor that has been taken over: put in QEMU's place it tries to get out, and says on standard error,
 * as one line of JSON, how far it got. Numbers are errno (0: it worked) unless the name says otherwise.
 *
 * What to try comes where a kernel command line would be (-append): key=value words.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 4096, MAX_FORKS = 1000, CAPABILITIES = 64 };

static char *words = "";
static const char *separator = "{";

static void say(const char *key, long value)
{
    dprintf(2, "%s\"%s\": %ld", separator, key, value);
    separator = ", ";
}

static void attempt(const char *key, long result)
{
    int saved = errno;
    say(key, result < 0 ? saved : 0);
}

/* The value of key in the command line, "" if it is not there. */
static const char *value_of(const char *key)
{
    static char value[512];
    char pattern[64];
    snprintf(pattern, sizeof pattern, " %s=", key);
    const char *at = strstr(words, pattern);
    if (at == NULL)
        return "";
    snprintf(value, sizeof value, "%s", at + strlen(pattern));
    value[strcspn(value, " ")] = 0;
    return value;
}

static void try_paths(void)
{
    attempt("open_passwd", open("/etc/passwd", O_RDONLY));
    attempt("open_proc", open("/proc/self/status", O_RDONLY));
    attempt("open_sys", open("/sys/kernel", O_RDONLY));
    attempt("open_null", open("/dev/null", O_RDONLY));
    attempt("open_kvm", open("/dev/kvm", O_RDWR));
    attempt("open_run", open("/run", O_RDONLY));
    attempt("open_home", open("/root", O_RDONLY));
    attempt("open_other", open(value_of("other"), O_RDONLY));
    attempt("open_daemon", open(value_of("daemon"), O_RDONLY | O_PATH));
    attempt("create_root", open("/x", O_CREAT | O_WRONLY, 0600));
    attempt("create_boot", open("/boot/x", O_CREAT | O_WRONLY, 0600));
    attempt("create_etc", open("/etc/x", O_CREAT | O_WRONLY, 0600));
    attempt("create_tmp", open("/tmp/x", O_CREAT | O_WRONLY, 0600));
    attempt("write_kernel", open("/boot/vmlinux", O_WRONLY));
    attempt("write_libc", open("/usr/lib/x86_64-linux-gnu/libc.so.6", O_WRONLY));
    attempt("mkdir", mkdir("/usr/x", 0700));
    attempt("mknod", mknod("/dev/x", S_IFCHR | 0600, 0x103));
}

static void list_root(void)
{
    DIR *dir = opendir("/");
    struct dirent *entry;
    dprintf(2, "%s\"root\": [\"", separator);
    separator = "";
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        dprintf(2, "%s%s", separator, entry->d_name);
        separator = "\", \"";
    }
    if (dir != NULL)
        closedir(dir);
    dprintf(2, "\"]");
    separator = ", ";
}

/* One letter a descriptor: s socket, f regular file readable, w regular file writable, p pipe, c device, ? other. */
static void list_descriptors(void)
{
    struct stat status;
    dprintf(2, "%s\"fds\": \"", separator);
    separator = ", ";
    for (int fd = 0; fd < MAX_FD; fd++) {
        if (fstat(fd, &status) < 0)
            continue;
        int mode = fcntl(fd, F_GETFL) & O_ACCMODE;
        char kind = S_ISSOCK(status.st_mode)   ? 's'
                    : S_ISFIFO(status.st_mode) ? 'p'
                    : S_ISCHR(status.st_mode)  ? 'c'
                    : !S_ISREG(status.st_mode) ? '?'
                    : mode == O_RDONLY         ? 'f'
                                               : 'w';
        dprintf(2, "%c", kind);
        if (kind == 'f') {
            (void)!lseek(fd, 0, SEEK_SET);
        }
    }
    dprintf(2, "\"");
}

static void try_shared_disk(void)
{
    struct stat status;
    for (int fd = 3; fd < MAX_FD; fd++) {
        if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
            continue;
        if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
            continue;
        attempt("disk_write", pwrite(fd, "evil", 4, 0));
        attempt("disk_truncate", ftruncate(fd, 0));
        attempt("disk_punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
        attempt("disk_chmod", fchmod(fd, 0666));
        attempt("disk_upgrade", fcntl(fd, F_SETFL, O_RDWR) < 0 ? -1 : pwrite(fd, "evil", 4, 0));
        attempt("disk_map", mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
        return;
    }
}

static void try_processes(void)
{
    pid_t victim = atoi(value_of("victim"));
    say("pid", getpid());
    say("ppid", getppid());
    attempt("kill_victim", kill(victim, 0));
    attempt("kill_all", kill(-1, 0));
    attempt("ptrace", ptrace(PTRACE_ATTACH, victim, NULL, NULL));
    attempt("process_vm_readv", syscall(SYS_process_vm_readv, victim, NULL, 0, NULL, 0, 0));
    attempt("pidfd_open", syscall(SYS_pidfd_open, victim, 0));
    attempt("setpriority", setpriority(PRIO_PROCESS, victim, 19));
}

static void try_identity(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
    int bounding = 0;
    syscall(SYS_capget, &header, data);
    for (int cap = 0; cap < CAPABILITIES; cap++)
        bounding += prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1;
    say("uid", getuid());
    say("gid", getgid());
    say("groups", getgroups(0, NULL));
    say("caps", data[0].effective | data[0].permitted | data[1].effective | data[1].permitted);
    say("bounding", bounding);
    say("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say("seccomp", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
    say("dumpable_core", ({ struct rlimit limit; getrlimit(RLIMIT_CORE, &limit); (long)limit.rlim_max; }));
    attempt("setuid", syscall(SYS_setresuid, 0, 0, 0));
    attempt("setgid", syscall(SYS_setresgid, 0, 0, 0));
}

static void try_kernel(void)
{
    attempt("mount", mount("x", "/boot", "tmpfs", 0, NULL));
    attempt("remount", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    attempt("umount", umount2("/boot", MNT_DETACH));
    attempt("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    attempt("pivot_root", syscall(SYS_pivot_root, "/", "/"));
    attempt("chroot", chroot("/boot"));
    attempt("unshare_user", unshare(CLONE_NEWUSER));
    attempt("unshare_mount", unshare(CLONE_NEWNS));
    attempt("clone_user", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
    attempt("clone3", syscall(SYS_clone3, NULL, 0));
    attempt("setns", setns(2, 0));
    attempt("bpf", syscall(SYS_bpf, 0, NULL, 0));
    attempt("perf", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    attempt("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    attempt("userfaultfd", syscall(SYS_userfaultfd, 0));
    attempt("io_uring", syscall(SYS_io_uring_setup, 1, NULL));
    attempt("handle", syscall(SYS_open_by_handle_at, -1, NULL, 0));
    attempt("module", syscall(SYS_init_module, NULL, 0, ""));
    attempt("kexec", syscall(SYS_kexec_load, 0, 0, NULL, 0));
    attempt("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
    attempt("iopl", syscall(SYS_iopl, 3));
    attempt("settime", syscall(SYS_settimeofday, NULL, NULL));
}

static int tcp(const char *address, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, address, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    /* Where nobody answers at all, the kernel would try for two minutes. */
    struct timeval limit = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int done = connect(fd, (struct sockaddr *)&to, sizeof to), saved = errno;
    close(fd);
    errno = saved;
    return done;
}

static int bind_port(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int done = bind(fd, (struct sockaddr *)&to, sizeof to), saved = errno;
    close(fd);
    errno = saved;
    return done;
}

static void try_network(void)
{
    int pair[2], port = atoi(value_of("port"));
    attempt("socket_unix", socket(AF_UNIX, SOCK_STREAM, 0));
    attempt("socket_netlink", socket(AF_NETLINK, SOCK_RAW, 0));
    attempt("socket_packet", socket(AF_PACKET, SOCK_RAW, 0));
    attempt("socket_vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
    attempt("socket_alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
    attempt("socket_raw", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    attempt("socketpair", socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    attempt("socket_tcp", socket(AF_INET, SOCK_STREAM, 0));
    attempt("loopback", tcp("127.0.0.1", port));
    attempt("loopback_other", tcp("127.9.9.9", port));
    attempt("loopback_any", tcp("0.0.0.0", port));
    attempt("metadata", tcp("169.254.169.254", 80));
    attempt("bind_low", bind_port(81));
    attempt("bind_high", bind_port(0));
}

static void try_fork_bomb(void)
{
    int forks = 0;
    while (forks < MAX_FORKS) {
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid == 0) {
            pause();
            _exit(0);
        }
        forks++;
    }
    say("forks", forks);
}

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void try_cpu(double seconds)
{
    double end = now(CLOCK_MONOTONIC) + seconds, used = now(CLOCK_PROCESS_CPUTIME_ID);
    while (now(CLOCK_MONOTONIC) < end)
        ;
    say("cpu_percent", (long)((now(CLOCK_PROCESS_CPUTIME_ID) - used) / seconds * 100));
}

static void try_memory(void)
{
    for (long mib = 0; mib < 4096; mib++) {
        char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            break;
        memset(block, 1, 1 << 20);
    }
    say("memory", 0);
}

static void try_other_abi(void)
{
    long result = 20; /* getpid of i386 */
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    say("int80", result);
}

int main(int count, char **values)
{
    for (int i = 1; i + 1 < count; i++)
        if (strcmp(values[i], "-append") == 0)
            words = values[i + 1];
    const char *mode = value_of("mode");
    if (strcmp(mode, "memory") == 0) {
        try_memory();
    } else if (strcmp(mode, "abi") == 0) {
        try_other_abi();
    } else {
        list_descriptors();
        list_root();
        try_paths();
        try_shared_disk();
        try_processes();
        try_identity();
        try_kernel();
        try_network();
        try_cpu(1.0);
        try_fork_bomb();
    }
    dprintf(2, "}\n");
    return 7;
}
