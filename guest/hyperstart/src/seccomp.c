#include "seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>

bool filter_install(const struct filter *filter, struct error *e)
{
    static struct sock_filter program[MAX_SECCOMP / SECCOMP_INSTRUCTION];
    _Static_assert(sizeof *program == SECCOMP_INSTRUCTION, "as the kernel has it");
    if (!filter->size)
        return true;
    memcpy(program, filter->program, filter->size);
    struct sock_fprog all = {(unsigned short)(filter->size / sizeof *program), program};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all))
        return fail(e, CODE_SYSTEM, errno, "install the seccomp filter", NULL);
    return true;
}
