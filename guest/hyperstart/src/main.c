/* HyperStart: PID 1 of a Hyper sandbox. See docs/protocol.md for what it does. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <time.h>

#include "child.h"
#include "port.h"
#include "reaper.h"
#include "removal.h"
#include "reply.h"
#include "session.h"
#include "shutdown.h"

static bool child_ended;
static int child_signal;

static void main_watch(int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event event = {.events = events, .data.u64 = tag};
    epoll_ctl(session.epoll, EPOLL_CTL_ADD, fd, &event);
}

static void boot(void)
{
    session.boot_ns = now_ns(CLOCK_BOOTTIME);
    sigset_t all, child;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, NULL);
    host.port = port_open();
    session.epoll = epoll_create1(EPOLL_CLOEXEC);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    /* Edge-triggered: while no host is connected the port reports HUP all the time. */
    main_watch(host.port, EPOLLIN | EPOLLOUT | EPOLLET, TAG_PORT);
    child_signal = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    main_watch(child_signal, EPOLLIN | EPOLLET, TAG_CHILD);
    child_raise_limits();
    session.readable = true;
}

static void dispatch(const struct epoll_event *event)
{
    uint64_t tag = event->data.u64;
    if (tag == TAG_PORT) {
        session.readable = true;
        if (event->events & EPOLLHUP) /* the host is away */
            processes_forsake();
    } else if (tag == TAG_OOM) {
        session_oom_events();
    } else if (tag == TAG_CHILD) {
        /* While the signal is pending, no other is told. */
        struct signalfd_siginfo info;
        while (read(child_signal, &info, sizeof info) > 0)
            child_ended = true;
    } else {
        size_t slot = (size_t)((tag - TAG_PROCESS) >> TAG_SLOT);
        enum process_part part = (enum process_part)((tag - TAG_PROCESS) & ((1 << TAG_SLOT) - 1));
        if (part != PART_STATUS)
            process_event(slot, part, event->events);
        else if (slot < process_slots && processes[slot])
            process_status(processes[slot], session.epoll, session_started);
    }
}

static bool pump(void)
{
    bool more = false;
    for (size_t i = 0; i < process_slots; i++)
        if (processes[i])
            more |= process_pump(processes[i]);
    return more;
}

int main(int argc, char **argv)
{
    bool children = false;
    if (argc > 2 && strcmp(argv[0], REAPER) == 0)
        reaper_run((const char **)argv + 2);
    boot();
    for (bool more = true;;) {
        struct epoll_event events[64];
        if (child_ended || shutdown_begun()) {
            child_ended = false;
            children = processes_wait(session.epoll, session_started);
        }
        int timeout = shutdown_begun() ? shutdown_step(children) : removals_step();
        int n = epoll_wait(session.epoll, events, COUNT(events), more ? 0 : timeout);
        for (int i = 0; i < n; i++)
            dispatch(&events[i]);
        more = child_ended;
        more |= session_receive(&session);
        more |= pump();
        more |= session_transmit();
    }
}
