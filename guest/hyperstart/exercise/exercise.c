/* What a machine that waits for its first container is warmed up with: it does what most programs
 * do first, so that the kernel has done it once. Prints a line and ends; its own success is
 * nobody's concern. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void touch_memory(void)
{
    enum { SIZE = 1 << 20 };
    char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return;
    memset(memory, 1, SIZE);
    munmap(memory, SIZE);
}

static void use_files(void)
{
    char text[4096];
    struct stat s;
    static const char *const paths[] = {"/etc/hosts", "/etc/resolv.conf", "/proc/self/status",
                                        "/sys/block"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (read(fd, text, sizeof text) < 0)
            lseek(fd, 0, SEEK_SET);
        close(fd);
    }
    stat("/lib/libc.so.6", &s); /* one that is not there */
    int fd = open("/tmp-exercise", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (write(fd, text, sizeof text) == (ssize_t)sizeof text)
        lseek(fd, 0, SEEK_SET);
    close(fd);
    unlink("/tmp-exercise");
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "wait") == 0)
        for (;;)
            pause();
    if (argc > 1) /* the child, executed anew */
        return 0;
    touch_memory();
    use_files();
    int ends[2];
    if (pipe(ends) == 0) {
        pid_t child = fork();
        if (child == 0) {
            char *again[] = {argv[0], "again", NULL};
            dup2(ends[1], 1);
            execv("/exercise", again);
            _exit(1);
        }
        if (child > 0)
            waitpid(child, NULL, 0);
    }
    puts("exercised");
    return 0;
}
