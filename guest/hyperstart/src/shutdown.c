#include "shutdown.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "process.h"
#include "sandbox.h"

enum {
    DRAIN_MS = 1000, /* for the host to take the last output, at least */
    BUSY_MS = 3000,  /* for the kernel to let go of file systems */
    STEP_MS = 5,
};

static bool begun;
static uint32_t asked_id; /* of the SHUTDOWN to answer, 0: nobody waits for it */
/* CLOCK_BOOTTIME of the deadlines: for processes, for their output, for file systems. */
static uint64_t stop_ns, drain_ns, busy_ns;

static uint64_t now(void)
{
    return now_ns(CLOCK_BOOTTIME);
}

static uint64_t after_ms(uint64_t ms)
{
    return now() + ms * 1000000;
}

static void term_all(void)
{
    for (size_t i = 0; i < process_slots; i++) {
        struct process *p = processes[i];
        if (p && p->pid > 0 && p->flags & START_INIT)
            kill(p->pid, SIGTERM);
    }
}

enum answer shutdown_begin(uint32_t request_id, uint32_t timeout_ms)
{
    asked_id = request_id;
    if (begun)
        return ANSWER_LATER;
    begun = true;
    stop_ns = after_ms(timeout_ms);
    term_all();
    return ANSWER_LATER;
}

bool shutdown_begun(void)
{
    return begun;
}

void shutdown_unasked(void)
{
    asked_id = 0;
}

static bool drained(void)
{
    for (size_t i = 0; i < process_slots; i++)
        if (processes[i] && !process_drained(processes[i]))
            return false;
    return true;
}

static int milliseconds_to(uint64_t when)
{
    uint64_t t = now();
    uint64_t left = when > t ? (when - t) / 1000000 + 1 : 0;
    return left > 1000000 ? 1000000 : (int)left;
}

static void finish(void)
{
    struct error e = {0};
    if (asked_id)
        reply_send(asked_id, &e, NULL, 0);
    asked_id = 0;
    uint64_t give_up = after_ms(DRAIN_MS);
    while (!tx_flush(&host.tx, host.port) && host.greeted && now() < give_up)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    sandbox_power_off();
}

int shutdown_step(bool children)
{
    if (!begun)
        return -1;
    if (children) {
        if (now() < stop_ns)
            return milliseconds_to(stop_ns);
        kill(-1, SIGKILL); /* everyone but us */
        return 100;
    }
    if (!drain_ns) {
        drain_ns = after_ms(DRAIN_MS);
        if (drain_ns < stop_ns)
            drain_ns = stop_ns;
    }
    /* Output that the host has not acknowledged would be lost with us. */
    if (host.greeted && !drained() && now() < drain_ns)
        return milliseconds_to(drain_ns);
    struct error e = {0};
    busy_ns = busy_ns ? busy_ns : after_ms(BUSY_MS);
    if (!sandbox_release(&e) && e.code == 0 && now() < busy_ns)
        return STEP_MS;
    finish();
    return -1;
}
