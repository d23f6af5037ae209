#include "devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

enum { MEMORY = 1, TERMINAL = 5, MISC = 10, PTS = 136, ANY = -1 };

/* Character devices; what is not here is the machine's: disks, above all, that belong to others. */
static const struct {
    int major, minor;
} allowed[] = {
    {MEMORY, 3},   {MEMORY, 5},   {MEMORY, 7},
    {MEMORY, 8},   {MEMORY, 9},                  /* null zero full random */
    {TERMINAL, 0}, {TERMINAL, 1}, {TERMINAL, 2}, /* tty console ptmx */
    {PTS, ANY},    {MISC, 200},                  /* net/tun */
};

enum {
    HEAD = 7,
    EACH = 4,
    GIVEN = 7,
    TAIL = 3,
    SIZE = HEAD + EACH * COUNT(allowed) + GIVEN * MAX_DEVICES + TAIL,
};

/* Macros: a register is four bits, which only a constant fits into without a warning. */
#define LOAD(to, offset)                                                                           \
    ((struct bpf_insn){.code = BPF_LDX | BPF_MEM | BPF_W,                                          \
                       .dst_reg = (to),                                                            \
                       .src_reg = BPF_REG_1,                                                       \
                       .off = (offset)})
#define ALU(operation, to, number)                                                                 \
    ((struct bpf_insn){.code = BPF_ALU64 | (operation) | BPF_K, .dst_reg = (to), .imm = (number)})
#define COPY(to, from)                                                                             \
    ((struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from)})
#define JUMP(condition, on, number, by)                                                            \
    ((struct bpf_insn){                                                                            \
        .code = BPF_JMP | (condition) | BPF_K, .dst_reg = (on), .off = (by), .imm = (number)})

enum {
    ACCESS = BPF_REG_2,
    MAJOR = BPF_REG_3,
    MINOR = BPF_REG_4,
    TYPE = BPF_REG_5,
    REST = BPF_REG_6
};

static const struct bpf_insn leave = {.code = BPF_JMP | BPF_EXIT};

/* Goes on to what follows unless a register holds number. No number is less than 0. */
#define UNLESS(any, on, number, by)                                                                \
    ((any) ? JUMP(BPF_JLT, on, 0, by) : JUMP(BPF_JNE, on, (int32_t)(number), by))

/* One that the container was given, in GIVEN instructions. */
static struct bpf_insn *write_given(struct bpf_insn *p, const struct container_device *d)
{
    *p++ = UNLESS(d->major == DEVICE_ALL, MAJOR, d->major, GIVEN - 1);
    *p++ = UNLESS(d->minor == DEVICE_ALL, MINOR, d->minor, GIVEN - 2);
    *p++ = UNLESS(d->type == DEVICE_ANY, TYPE, d->type, GIVEN - 3);
    *p++ = COPY(REST, ACCESS);
    *p++ = ALU(BPF_AND, REST, (int32_t)(~d->access & DEVICE_ACCESS));
    *p++ = JUMP(BPF_JNE, REST, 0, 1);
    *p++ = leave;
    return p;
}

/* Answers 1 to what is allowed; how many instructions there are. */
static size_t write_program(struct bpf_insn *program, const struct create_request *c)
{
    struct bpf_insn *p = program;
    *p++ = LOAD(ACCESS, 0);
    *p++ = LOAD(MAJOR, 4);
    *p++ = LOAD(MINOR, 8);
    *p++ = LOAD(TYPE, 0);
    *p++ = ALU(BPF_AND, TYPE, 0xffff);
    *p++ = ALU(BPF_RSH, ACCESS, 16);
    *p++ = ALU(BPF_MOV, BPF_REG_0, 1);
    for (size_t i = 0; i < COUNT(allowed); i++) {
        *p++ = UNLESS(false, MAJOR, allowed[i].major, EACH - 1);
        *p++ = UNLESS(allowed[i].minor == ANY, MINOR, allowed[i].minor, EACH - 2);
        *p++ = UNLESS(false, TYPE, BPF_DEVCG_DEV_CHAR, EACH - 3);
        *p++ = leave;
    }
    for (uint32_t i = 0; i < c->device_count; i++)
        p = write_given(p, &c->devices[i]);
    /* To make a node is not to open it. */
    *p++ = JUMP(BPF_JEQ, ACCESS, BPF_DEVCG_ACC_MKNOD, 1);
    *p++ = ALU(BPF_MOV, BPF_REG_0, 0);
    *p++ = leave;
    return (size_t)(p - program);
}

static int load_program(const struct create_request *c)
{
    struct bpf_insn program[SIZE];
    union bpf_attr attr = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insn_cnt = (uint32_t)write_program(program, c),
        .insns = (uint64_t)(uintptr_t)program,
        .license = (uint64_t)(uintptr_t) "Apache-2.0",
    };
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

bool devices_limit(const char *cgroup, const struct create_request *c, struct error *e)
{
    static int usual = -1; /* for all that were given none: to check it takes the kernel longest */
    if (!c->device_count && usual < 0)
        usual = load_program(c);
    _cleanup_close_ int own = c->device_count ? load_program(c) : -1;
    _cleanup_close_ int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int program = c->device_count ? own : usual;
    union bpf_attr attr = {
        .target_fd = (uint32_t)fd,
        .attach_bpf_fd = (uint32_t)program,
        .attach_type = BPF_CGROUP_DEVICE,
        .attach_flags = BPF_F_ALLOW_MULTI, /* groups below may have one more */
    };
    if (program < 0 || fd < 0 || syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr))
        return fail(e, CODE_SYSTEM, errno, "limit the devices of ", cgroup, NULL);
    return true;
}
