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

enum { HEAD = 7, EACH = 4, TAIL = 3, SIZE = HEAD + EACH * COUNT(allowed) + TAIL };

/* Macros: a register is four bits, which only a constant fits into without a warning. */
#define LOAD(to, offset)                                                                           \
    ((struct bpf_insn){.code = BPF_LDX | BPF_MEM | BPF_W,                                          \
                       .dst_reg = (to),                                                            \
                       .src_reg = BPF_REG_1,                                                       \
                       .off = (offset)})
#define ALU(operation, to, number)                                                                 \
    ((struct bpf_insn){.code = BPF_ALU64 | (operation) | BPF_K, .dst_reg = (to), .imm = (number)})
#define JUMP(condition, on, number, by)                                                            \
    ((struct bpf_insn){                                                                            \
        .code = BPF_JMP | (condition) | BPF_K, .dst_reg = (on), .off = (by), .imm = (number)})

/* Answers 1 to what is allowed. Registers: 2 access, 3 major, 4 minor, 5 type. */
static void write_program(struct bpf_insn *p)
{
    enum { ACCESS = BPF_REG_2, MAJOR = BPF_REG_3, MINOR = BPF_REG_4, TYPE = BPF_REG_5 };
    const struct bpf_insn leave = {.code = BPF_JMP | BPF_EXIT};
    *p++ = LOAD(ACCESS, 0);
    *p++ = LOAD(MAJOR, 4);
    *p++ = LOAD(MINOR, 8);
    *p++ = LOAD(TYPE, 0);
    *p++ = ALU(BPF_AND, TYPE, 0xffff);
    *p++ = ALU(BPF_RSH, ACCESS, 16);
    *p++ = ALU(BPF_MOV, BPF_REG_0, 1);
    for (size_t i = 0; i < COUNT(allowed); i++) {
        *p++ = JUMP(BPF_JNE, MAJOR, allowed[i].major, EACH - 1);
        /* One that has all its minors asks for nothing: it is never less than 0. */
        *p++ = allowed[i].minor == ANY ? JUMP(BPF_JLT, MINOR, 0, EACH - 2)
                                       : JUMP(BPF_JNE, MINOR, allowed[i].minor, EACH - 2);
        *p++ = JUMP(BPF_JNE, TYPE, BPF_DEVCG_DEV_CHAR, EACH - 3);
        *p++ = leave;
    }
    /* To make a node is not to open it. */
    *p++ = JUMP(BPF_JEQ, ACCESS, BPF_DEVCG_ACC_MKNOD, 1);
    *p++ = ALU(BPF_MOV, BPF_REG_0, 0);
    *p = leave;
}

static int load_program(void)
{
    struct bpf_insn program[SIZE];
    write_program(program);
    union bpf_attr attr = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insn_cnt = COUNT(program),
        .insns = (uint64_t)(uintptr_t)program,
        .license = (uint64_t)(uintptr_t) "Apache-2.0",
    };
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

bool devices_limit(const char *cgroup, struct error *e)
{
    static int program = -1; /* one for all containers: to check it takes the kernel longest */
    if (program < 0)
        program = load_program();
    _cleanup_close_ int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    union bpf_attr attr = {
        .target_fd = (uint32_t)fd,
        .attach_bpf_fd = (uint32_t)program,
        .attach_type = BPF_CGROUP_DEVICE,
    };
    if (program < 0 || fd < 0 || syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr))
        return fail(e, SYSTEM, errno, "limit the devices of ", cgroup, NULL);
    return true;
}
