/* Requests as structures, and their decoder. Pure: everything points into the body or the arena. */
#pragma once

#include "source.h"
#include "wire.h"

enum op {
    OP_SANDBOX_SETUP = 1,
    OP_CONTAINER_CREATE = 2,
    OP_PROCESS_START = 3,
    OP_PROCESS_SIGNAL = 4,
    OP_PROCESS_RESIZE = 5,
    OP_PROCESS_REAP = 6,
    OP_SHUTDOWN = 7,
    OP_CONTAINER_STATS = 8,
    OP_CONTAINER_TOP = 9,
    OP_CONTAINER_UPDATE = 10,
    OP_INTERFACE_ADD = 11,
    OP_INTERFACE_REMOVE = 12,
    OP_CONTAINER_FILES = 13,
    OP_CONTAINER_REMOVE = 14,
    OP_CARRIER = 15,
    OP_SHARE_LOST = 16,
    OP_SANDBOX_CLOCK = 17,
};

enum {
    CONTAINER_READ_ONLY = 1,
    CONTAINER_SHARE_PID = 2,
    CONTAINER_PRIVILEGED = 4,
    CONTAINER_FLAGS = 7,
};
enum {
    START_TTY = 1,
    START_STDIN = 2,
    START_INIT = 4,
    START_NO_NEW_PRIVS = 8,
    START_BUILTIN = 16, /* args name a function of the agent */
    START_REAPER = 32,
    START_FREEZE = 64, /* the container stands still meanwhile */
    START_FLAGS = 127,
};
enum { SIGNAL_CONTAINER = 1 };
enum { UPDATE_FREEZE = 1, UPDATE_THAW = 2 };

struct ip {
    uint8_t family; /* 4 or 6 */
    uint8_t prefix;
    const uint8_t *address; /* ADDRESS_SIZE bytes */
};
struct route {
    struct ip destination, gateway;
};
struct interface {
    const uint8_t *mac;
    uint32_t mtu;
    uint32_t address_count, route_count;
    struct ip *addresses;
    struct route *routes;
};
struct sysctl {
    const char *key, *value;
};
struct setup_request {
    const char *hostname;
    uint32_t interface_count, sysctl_count;
    struct interface *interfaces;
    struct sysctl *sysctls;
};

struct container_mount {
    struct mount_source source;
    const char *type, *target;
    uint32_t flags; /* mount(2)'s and MOUNT_* */
    const char *data;
};
struct container_file {
    const char *path;
    uint32_t mode, uid, gid;
    const uint8_t *content;
    size_t size;
};
enum { DEVICE_ANY = 0, DEVICE_BLOCK = 1, DEVICE_CHARACTER = 2 }; /* as BPF_DEVCG_DEV_* */
enum { DEVICE_ACCESS = 7 };                                      /* as BPF_DEVCG_ACC_* */
#define DEVICE_ALL UINT32_MAX
/* A device that the container may use: any number is DEVICE_ALL. Without a path no node is made. */
struct container_device {
    const char *path;
    uint32_t type, major, minor, access, mode;
};
struct create_request {
    uint32_t container, flags;
    const char *hostname, *scratch;
    const char **layers, **masked, **readonly;
    struct container_mount *mounts;
    struct container_file *files;
    uint32_t layer_count, mount_count, file_count, masked_count, readonly_count;
    uint32_t joins; /* the container whose name spaces it shares; 0: none */
    uint32_t device_count;
    struct container_device *devices;
};

/* New content for files that CONTAINER_CREATE had kept. */
struct refill_request {
    uint32_t container, file_count;
    struct container_file *files;
};

struct process_limit {
    uint32_t resource;
    uint64_t soft, hard;
};
struct start_request {
    uint32_t process, container, flags;
    const char **args, **env, **groups; /* args and env end in NULL */
    const char *cwd, *user;
    uint64_t capabilities;
    struct process_limit *limits;
    uint32_t arg_count, env_count, group_count, limit_count;
    uint16_t rows, columns;
    const uint8_t *seccomp; /* struct sock_filter, anyhow aligned */
    size_t seccomp_size;    /* in bytes; 0: no filter */
};

/* The host's HELLO. */
struct hello {
    uint16_t version;
    const uint8_t *nonce;
    uint64_t realtime_ns;
    const uint8_t *entropy;
};

struct signal_request {
    uint32_t process, signal, flags;
};
struct resize_request {
    uint32_t process;
    uint16_t rows, columns;
};

struct top_request {
    uint32_t container, after;
};
/* memory, pids and cpu_us (of each 100 ms): 0 leaves the limit, UINT64_MAX takes it away. */
struct update_request {
    uint32_t container, flags;
    uint64_t memory, pids, cpu_us;
    uint64_t realtime_ns; /* of hosts that do not know SANDBOX_CLOCK; 0: none */
};

/* One decoded request; body and arena are its own. */
struct request {
    enum op op; /* request_decode lets none pass that is not named above */
    uint32_t id;
    uint8_t *body;
    struct arena arena;
    union {
        struct setup_request setup;
        struct create_request create;
        struct start_request start;
        struct signal_request signal;
        struct resize_request resize;
        uint32_t reap;
        struct interface interface; /* INTERFACE_ADD; of INTERFACE_REMOVE mac and addresses */
        struct refill_request refill;
        uint32_t shutdown_ms;
        uint32_t stats;
        uint32_t remove;
        const char *carrier; /* the disk's name, "" to give it back */
        const char *lost;    /* the tag of a share */
        uint64_t clock_ns;
        struct top_request top;
        struct update_request update;
    };
};

/* Decodes the body of a HELLO in place. Of a foreign version only version and nonce are looked at.
 */
bool hello_decode(struct hello *h, uint8_t *body, size_t size);

/* Decodes body (of size bytes, from malloc, now owned by the request). On failure the code says
 * whether it was malformed, unknown, or memory was short. request_free is due either way. */
bool request_decode(struct request *q, uint32_t id, uint8_t *body, size_t size, struct error *e);
void request_free(struct request *q);
