#include "removal.h"

#include <time.h>

#include "container.h"
#include "process.h"

enum {
    BUSY_MS = 3000, /* for the kernel to let go of file systems */
    STEP_MS = 5,
};

enum answer removal_begin(uint32_t container, uint32_t request_id, struct error *e)
{
    struct container *c = container_find(container);
    if (!c) {
        fail(e, CODE_NO_SUCH, 0, "no container ", DEC(container), NULL);
        return ANSWER_NOW;
    }
    if (c->init_pid) {
        fail(e, CODE_STATE, 0, "container ", DEC(container), " is running", NULL);
        return ANSWER_NOW;
    }
    if (!c->removing)
        c->remove_ns = now_ns(CLOCK_BOOTTIME) + (uint64_t)BUSY_MS * 1000000;
    c->removing = true;
    c->remove_id = request_id;
    return ANSWER_LATER;
}

static bool has_process(const struct container *c)
{
    for (size_t i = 0; i < process_slots; i++)
        if (processes[i] && processes[i]->container == c && processes[i]->pid > 0)
            return true;
    return false;
}

/* Processes that have ended stay until the host has their output. */
static void disown(const struct container *c)
{
    for (size_t i = 0; i < process_slots; i++)
        if (processes[i] && processes[i]->container == c)
            processes[i]->container = NULL;
}

/* False: not yet. */
static bool remove_now(struct container *c)
{
    struct error e = {0};
    if (has_process(c))
        return false;
    if (!container_release(c, &e)) {
        if (now_ns(CLOCK_BOOTTIME) < c->remove_ns)
            return false;
        fail(&e, CODE_STATE, 0, "container ", DEC(c->id), ": its file systems are in use", NULL);
    }
    if (c->remove_id)
        reply_send(c->remove_id, &e, NULL, 0);
    disown(c);
    container_delete(c);
    return true;
}

int removals_step(void)
{
    bool left = false;
    for (size_t i = container_count; i-- > 0;)
        if (containers[i]->removing)
            left |= !remove_now(containers[i]);
    return left ? STEP_MS : -1;
}

void removals_unasked(void)
{
    for (size_t i = 0; i < container_count; i++)
        containers[i]->remove_id = 0;
}
