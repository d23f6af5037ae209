/* Watches files and directories with inotify: prints a line for each event, what happened and where. */
#define _GNU_SOURCE
#include <limits.h>
#include <stdalign.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

static const struct {
    unsigned mask;
    const char *name;
} kinds[] = {
    {IN_MODIFY, "modified"}, {IN_CLOSE_WRITE, "written"}, {IN_CREATE, "created"},
    {IN_DELETE, "deleted"},
};

int main(int argc, char **argv)
{
    alignas(struct inotify_event) char buffer[sizeof(struct inotify_event) + NAME_MAX + 1];
    int fd = inotify_init1(IN_CLOEXEC);
    int first = -1;
    for (int i = 1; i < argc; i++) {
        int watch = inotify_add_watch(fd, argv[i], IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE);
        if (watch < 0)
            return 2;
        first = first < 0 ? watch : first;
    }
    puts("watching");
    fflush(stdout);
    ssize_t size;
    while ((size = read(fd, buffer, sizeof buffer)) > 0) {
        const struct inotify_event *event = (const void *)buffer;
        for (char *at = buffer; at < buffer + size; at += sizeof *event + event->len) {
            event = (const void *)at;
            for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
                if (event->mask & kinds[i].mask)
                    printf("%s %s %s\n", kinds[i].name, argv[event->wd - first + 1],
                           event->len ? event->name : "itself");
        }
        fflush(stdout);
    }
    return 1;
}
