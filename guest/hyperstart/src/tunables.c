#include "tunables.h"

#include "base.h"

/* The kernel reckons many of its limits from the size of the memory, when it boots; a container on
 * a server meets those of the server. None of these takes memory by itself: what they allow is
 * counted where it is used. Some are no matter of size, but what engines and distributions set for
 * servers (docs/decisions/0024-memory-defaults.md says which and why).
 */
static const struct {
    const char *path, *value;
} tunables[] = {
    /* Programs map more than they touch: databases, Go, Java, sanitizers. */
    {"vm/overcommit_memory", "1"},
    {"vm/max_map_count", "1048576"},
    {"kernel/pid_max", "32768"},
    {"kernel/threads-max", "65536"},
    {"fs/file-max", "9223372036854775807"},
    {"fs/nr_open", "1073741816"},
    {"fs/aio-max-nr", "1048576"},
    {"fs/epoll/max_user_watches", "1048576"},
    {"fs/inotify/max_user_instances", "8192"},
    {"fs/inotify/max_user_watches", "1048576"},
    {"fs/fanotify/max_user_marks", "65536"},
    {"user/max_user_namespaces", "32768"},
    {"user/max_pid_namespaces", "32768"},
    {"user/max_mnt_namespaces", "32768"},
    {"user/max_net_namespaces", "32768"},
    {"user/max_ipc_namespaces", "32768"},
    {"user/max_uts_namespaces", "32768"},
    {"user/max_cgroup_namespaces", "32768"},
    {"user/max_time_namespaces", "32768"},
    {"net/ipv4/tcp_rmem", "4096 131072 6291456"},
    {"net/ipv4/tcp_wmem", "4096 16384 4194304"},
    {"net/ipv4/tcp_max_syn_backlog", "1024"},
    {"net/ipv4/tcp_max_tw_buckets", "32768"},
    {"net/ipv4/tcp_max_orphans", "32768"},
    {"net/netfilter/nf_conntrack_max", "262144"},
    {"net/netfilter/nf_conntrack_expect_max", "4096"},
    /* Docker's: any user may listen on port 80, and ping. */
    {"net/ipv4/ip_unprivileged_port_start", "0"},
    {"net/ipv4/ping_group_range", "0 2147483647"},
    /* Otherwise kcompactd wakes the host twice a second, in every idle guest, to see whether memory
     * might once be too scattered. It is compacted when it is asked for. */
    {"vm/compaction_proactiveness", "0"},
};

void tunables_set(void)
{
    for (size_t i = 0; i < COUNT(tunables); i++) {
        char path[80];
        join(path, sizeof path, "/proc/sys/", tunables[i].path, NULL);
        write_file(path, tunables[i].value); /* another kernel may not have it */
    }
}
