/* Unit tests of what needs no kernel: codecs on the shared vectors, rings, streams, users.
 * usage: unit VECTORS-DIRECTORY */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "carrier.h"
#include "frame.h"
#include "process.h"
#include "record.h"
#include "request.h"
#include "ring.h"
#include "source.h"
#include "user.h"
#include "wire.h"

static int checks, failures;
static char label[160];

static void check(bool ok, const char *what)
{
    checks++;
    if (!ok) {
        failures++;
        printf("FAIL %s: %s\n", label, what);
    }
}

/* ---- vectors ---- */

enum { BIG = 1 << 20, LINE = 1 << 16 };

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Expands the terms of tests/vectors/README.md into to. */
static size_t expand(const char *text, uint8_t *to)
{
    size_t used = 0;
    while (*text && *text != '-') {
        size_t start = used;
        for (; *text && *text != '+' && *text != '*'; text += 2)
            to[used++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
        if (*text == '*') {
            size_t count = strtoul(text + 1, (char **)&text, 10), size = used - start;
            for (size_t i = 1; i < count; i++, used += size)
                memcpy(to + used, to + start, size);
        }
        text += *text == '+';
    }
    assert(used <= BIG);
    return used;
}

static struct decoder decoder;
static bool refused;

struct seen {
    enum frame_type type;
    uint8_t flags;
    uint32_t stream;
    size_t size;
    uint8_t *body;
};
static struct seen seen[64];
static size_t seen_count, seen_next;

static void take_frames(void)
{
    struct frame f;
    for (enum decoded got; (got = decoder_next(&decoder, &f)) != DECODED_NOTHING;) {
        refused |= got == DECODED_REFUSED;
        if (got != DECODED_FRAME)
            continue;
        struct seen *s = &seen[seen_count++];
        assert(seen_count < COUNT(seen));
        *s = (struct seen){f.type, f.flags, f.stream, f.length, malloc(f.length + (size_t)1)};
        memcpy(s->body, f.body, f.length);
    }
}

static void feed(const uint8_t *data, size_t size)
{
    while (size) {
        uint8_t *where;
        size_t n = min_size(decoder_space(&decoder, &where), size);
        assert(n);
        memcpy(where, data, n);
        decoder_filled(&decoder, n);
        data += n;
        size -= n;
        take_frames();
    }
}

static void end_frames(bool error)
{
    if (!*label)
        return;
    check(seen_next == seen_count, "more frames than expected");
    check(refused == error, "refusal");
    for (size_t i = 0; i < seen_count; i++)
        free(seen[i].body);
    /* RESYNC heals whatever has happened. */
    static const uint8_t zeros[RESYNC],
        ack[] = {6, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, END_BYTE};
    seen_count = 0;
    refused = false;
    feed(zeros, sizeof zeros);
    feed(ack, sizeof ack);
    check(seen_count == 1 && !refused && seen[0].type == FRAME_ACK, "no recovery after RESYNC");
    for (size_t i = 0; i < seen_count; i++)
        free(seen[i].body);
    seen_count = seen_next = 0;
    refused = false;
    memset(&decoder, 0, sizeof decoder);
}

static void expect_frame(const char *text, uint8_t *scratch)
{
    char *at;
    unsigned long type = strtoul(text, &at, 10), flags = strtoul(at, &at, 10),
                  stream = strtoul(at, &at, 10);
    size_t size = expand(at + 1, scratch);
    if (seen_next == seen_count) {
        check(false, "a frame is missing");
        return;
    }
    struct seen *s = &seen[seen_next++];
    check(s->type == type && s->flags == flags && s->stream == stream, "header");
    check(s->size == size && memcmp(s->body, scratch, size) == 0, "body");
}

static FILE *open_vectors(const char *directory, const char *name)
{
    char path[4096];
    join(path, sizeof path, directory, "/", name, NULL);
    FILE *f = fopen(path, "r");
    assert(f);
    return f;
}

static void begin(const char *name)
{
    label[0] = 0;
    append(label, sizeof label, name);
}

static int run_frames(const char *directory)
{
    FILE *f = open_vectors(directory, "frames.txt");
    static char line[LINE];
    static uint8_t bytes[BIG];
    bool error = false;
    int cases = 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "case ", 5) == 0) {
            end_frames(error);
            error = false;
            begin(line + 5);
            cases++;
        } else if (strncmp(line, "input ", 6) == 0) {
            feed(bytes, expand(line + 6, bytes));
        } else if (strncmp(line, "frame ", 6) == 0) {
            expect_frame(line + 6, bytes);
        } else if (strcmp(line, "error") == 0) {
            error = true;
        }
    }
    end_frames(error);
    fclose(f);
    return cases;
}

/* The canonical text of a request: tests/vectors/README.md. */
static char dump[LINE];

static void put(const char *text)
{
    append(dump, sizeof dump, text);
}
static void put_space(void)
{
    size_t size = strlen(dump);
    if (size && dump[size - 1] != '[' && dump[size - 1] != '(')
        put(" ");
}
static void put_number(uint64_t n)
{
    put_space();
    put(DEC(n));
}
static void put_text(const char *s)
{
    static const char digits[] = "0123456789abcdef";
    put_space();
    put("\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        char plain[2] = {*s, 0}, hex[4] = {'\\', digits[c >> 4], digits[c & 15], 0};
        put(c < 32 || c > 126 || c == '"' || c == '\\' ? hex : plain);
    }
    put("\"");
}
static void put_hex(const uint8_t *p, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    put_space();
    put("x\"");
    for (size_t i = 0; i < size; i++)
        put((char[]){digits[p[i] >> 4], digits[p[i] & 15], 0});
    put("\"");
}
static void open_list(const char *bracket)
{
    put_space();
    put(bracket);
}
static void put_texts(const char **texts, uint32_t count)
{
    open_list("[");
    for (uint32_t i = 0; i < count; i++)
        put_text(texts[i]);
    put("]");
    check(texts[count] == NULL, "list is not terminated");
}
static void put_ip(const struct ip *ip)
{
    open_list("(");
    put_number(ip->family);
    put_number(ip->prefix);
    put_hex(ip->address, ip->family == 4 ? 4 : 16);
    put(")");
}

static void dump_addresses(const struct interface *n)
{
    open_list("[");
    for (uint32_t a = 0; a < n->address_count; a++)
        put_ip(&n->addresses[a]);
    put("]");
}

static void dump_interface(const struct interface *n)
{
    open_list("(");
    put_hex(n->mac, MAC_SIZE);
    put_number(n->mtu);
    dump_addresses(n);
    open_list("[");
    for (uint32_t r = 0; r < n->route_count; r++) {
        open_list("(");
        put_ip(&n->routes[r].destination);
        put_ip(&n->routes[r].gateway);
        put(")");
    }
    put("])");
}

static void dump_setup(const struct setup_request *s)
{
    put_text(s->hostname);
    open_list("[");
    for (uint32_t i = 0; i < s->interface_count; i++)
        dump_interface(&s->interfaces[i]);
    put("]");
    open_list("[");
    for (uint32_t i = 0; i < s->sysctl_count; i++) {
        open_list("[");
        put_text(s->sysctls[i].key);
        put_text(s->sysctls[i].value);
        put("]");
    }
    put("]");
}

static void dump_files(const struct container_file *files, uint32_t count)
{
    open_list("[");
    for (uint32_t i = 0; i < count; i++) {
        const struct container_file *f = &files[i];
        open_list("(");
        put_text(f->path);
        put_number(f->mode);
        put_number(f->uid);
        put_number(f->gid);
        put_hex(f->content, f->size);
        put(")");
    }
    put("]");
}

/* As a line "value" of sources.txt: its kind, and the strings that kind has. */
static void dump_source(const struct mount_source *s)
{
    static const char *const words[] = {"kernel", "root", "disk", "share", "network"};
    put(words[s->kind]);
    if (s->kind != SOURCE_ROOT)
        put_text(s->name);
    if (s->kind != SOURCE_KERNEL && s->kind != SOURCE_NETWORK)
        put_text(s->path);
    if (s->kind != SOURCE_KERNEL && s->kind != SOURCE_ROOT)
        put_text(s->sub);
}

static void dump_create(const struct create_request *c)
{
    put_number(c->container);
    put_number(c->flags);
    put_text(c->hostname);
    put_texts(c->layers, c->layer_count);
    put_text(c->scratch);
    open_list("[");
    for (uint32_t i = 0; i < c->mount_count; i++) {
        const struct container_mount *m = &c->mounts[i];
        open_list("(");
        put_text(m->type);
        open_list("(");
        dump_source(&m->source);
        put(")");
        put_text(m->target);
        put_number(m->flags);
        put_text(m->data);
        put(")");
    }
    put("]");
    dump_files(c->files, c->file_count);
    put_texts(c->masked, c->masked_count);
    put_texts(c->readonly, c->readonly_count);
    put_number(c->joins);
    open_list("[");
    for (uint32_t i = 0; i < c->device_count; i++) {
        const struct container_device *d = &c->devices[i];
        open_list("(");
        put_text(d->path);
        put_number(d->type);
        put_number(d->major);
        put_number(d->minor);
        put_number(d->access);
        put_number(d->mode);
        put(")");
    }
    put("]");
}

static void dump_start(const struct start_request *s)
{
    put_number(s->process);
    put_number(s->container);
    put_number(s->flags);
    put_texts(s->args, s->arg_count);
    put_texts(s->env, s->env_count);
    put_text(s->cwd);
    put_text(s->user);
    put_texts(s->groups, s->group_count);
    put_number(s->capabilities);
    open_list("[");
    for (uint32_t i = 0; i < s->limit_count; i++) {
        open_list("(");
        put_number(s->limits[i].resource);
        put_number(s->limits[i].soft);
        put_number(s->limits[i].hard);
        put(")");
    }
    put("]");
    put_number(s->rows);
    put_number(s->columns);
    put_hex(s->seccomp, s->seccomp_size);
}

static void dump_request(const struct request *q)
{
    switch (q->op) {
    case OP_SANDBOX_SETUP:
        dump_setup(&q->setup);
        break;
    case OP_CONTAINER_CREATE:
        dump_create(&q->create);
        break;
    case OP_PROCESS_START:
        dump_start(&q->start);
        break;
    case OP_PROCESS_SIGNAL:
        put_number(q->signal.process);
        put_number(q->signal.signal);
        put_number(q->signal.flags);
        break;
    case OP_PROCESS_RESIZE:
        put_number(q->resize.process);
        put_number(q->resize.rows);
        put_number(q->resize.columns);
        break;
    case OP_PROCESS_REAP:
        put_number(q->reap);
        break;
    case OP_SHUTDOWN:
        put_number(q->shutdown_ms);
        break;
    case OP_CONTAINER_STATS:
        put_number(q->stats);
        break;
    case OP_CONTAINER_TOP:
        put_number(q->top.container);
        put_number(q->top.after);
        break;
    case OP_CONTAINER_UPDATE:
        put_number(q->update.container);
        put_number(q->update.flags);
        put_number(q->update.memory);
        put_number(q->update.pids);
        put_number(q->update.cpu_us);
        put_number(q->update.realtime_ns);
        break;
    case OP_INTERFACE_ADD:
        dump_interface(&q->interface);
        break;
    case OP_INTERFACE_REMOVE:
        put_hex(q->interface.mac, MAC_SIZE);
        dump_addresses(&q->interface);
        break;
    case OP_CONTAINER_REMOVE:
        put_number(q->remove);
        break;
    case OP_CARRIER:
        put_text(q->carrier);
        break;
    case OP_SHARE_LOST:
        put_text(q->lost);
        break;
    case OP_SANDBOX_CLOCK:
        put_number(q->clock_ns);
        break;
    case OP_CONTAINER_FILES:
        put_number(q->refill.container);
        dump_files(q->refill.files, q->refill.file_count);
        break;
    }
}

static void dump_entry(const struct entry *f)
{
    put_hex((const uint8_t *)f->path, strlen(f->path));
    uint64_t numbers[] = {f->type, f->mode, f->uid, f->gid, f->mtime, f->size, f->major, f->minor};
    for (size_t i = 0; i < COUNT(numbers); i++)
        put_number(numbers[i]);
    put_hex((const uint8_t *)f->link, strlen(f->link));
    open_list("[");
    for (uint32_t i = 0; i < f->xattr_count; i++) {
        open_list("(");
        put_hex((const uint8_t *)f->xattrs[i].name, strlen(f->xattrs[i].name));
        put_hex(f->xattrs[i].value, f->xattrs[i].size);
        put(")");
    }
    put("]");
}

/* What was decoded must be encoded to the same bytes. */
static bool decode_entry(uint8_t *body, const uint8_t *bytes, size_t size)
{
    static struct entry f;
    static uint8_t again[MAX_RECORD];
    bool good = entry_decode(&f, body, size);
    if (good) {
        dump_entry(&f);
        check(entry_encode(&f, again, sizeof again) == size && !memcmp(again, bytes, size),
              "encoded again");
        check(entry_encode(&f, again, size - 1) == 0, "encoded beyond its room");
    }
    free(body);
    return good;
}

/* Decodes a body exactly as large as its memory, so that ASan sees any step beyond it. */
static bool decode(const char *kind, const uint8_t *bytes, size_t size)
{
    struct error e = {0};
    struct request q;
    struct hello h;
    uint8_t *body = malloc(size ? size : 1);
    memcpy(body, bytes, size);
    dump[0] = 0;
    if (strcmp(kind, "HostHello") == 0) {
        bool good = hello_decode(&h, body, size);
        if (good) {
            put_number(h.version);
            put_hex(h.nonce, NONCE_SIZE);
            put_number(h.realtime_ns);
            put_hex(h.entropy, ENTROPY_SIZE);
        }
        free(body);
        return good;
    }
    if (strcmp(kind, "FileEntry") == 0)
        return decode_entry(body, bytes, size);
    bool good = request_decode(&q, 1, body, size, &e);
    check(good == (e.code == CODE_OK), "code");
    if (good)
        dump_request(&q);
    request_free(&q);
    return good;
}

static bool decodable(const char *kind)
{
    static const char *others[] = {"GuestHello", "Reply", "ProcessExit", "GuestError",
                                   "OomKill",    "Stats", "Processes"};
    for (size_t i = 0; i < COUNT(others); i++)
        if (strcmp(kind, others[i]) == 0)
            return false;
    return true;
}

static int run_messages(const char *directory, const char *name)
{
    FILE *f = open_vectors(directory, name);
    static char line[LINE], kind[64];
    static uint8_t bytes[BIG];
    size_t size = 0;
    int cases = 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        bool value = strncmp(line, "value ", 6) == 0;
        if (strncmp(line, "case ", 5) == 0) {
            begin(line + 5);
        } else if (strncmp(line, "kind ", 5) == 0) {
            join(kind, sizeof kind, line + 5, NULL);
        } else if (strncmp(line, "body ", 5) == 0) {
            size = expand(line + 5, bytes);
        } else if ((value || strcmp(line, "malformed") == 0) && decodable(kind)) {
            cases++;
            check(decode(kind, bytes, size) == value, "verdict");
            if (value && strcmp(dump, line + 6) != 0)
                printf("  is %s\nnot %s\n", dump, line + 6);
            check(!value || strcmp(dump, line + 6) == 0, "meaning");
            for (size_t cut = 0; cut < size && value; cut++)
                check(!decode(kind, bytes, cut), "a cut body was accepted");
        }
    }
    fclose(f);
    return cases;
}

/* Takes the escapes out of quoted text, in place: each \xx is a byte. */
static char *unquote(char *text)
{
    char *to = text, *from = text + 1;
    while (*from != '"') {
        if (*from == '\\') {
            *to++ = (char)(digit(from[1]) << 4 | digit(from[2]));
            from += 3;
        } else {
            *to++ = *from++;
        }
    }
    *to = 0;
    return text;
}

/* Decodes text in memory of just its size; its meaning is dumped. */
static bool decode_source(const char *text, uint32_t flags)
{
    struct mount_source s;
    char *copy = strdup(text);
    dump[0] = 0;
    bool good = source_decode(&s, copy, flags);
    if (good)
        dump_source(&s);
    free(copy);
    return good;
}

static int run_sources(const char *directory)
{
    FILE *f = open_vectors(directory, "sources.txt");
    static char line[LINE];
    bool good = false;
    int cases = 0;
    while (fgets(line, sizeof line, f)) {
        char *text;
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "case ", 5) == 0) {
            begin(line + 5);
            cases++;
        } else if (strncmp(line, "source ", 7) == 0) {
            uint32_t flags = (uint32_t)strtoul(line + 7, &text, 10);
            good = decode_source(unquote(text + 1), flags);
        } else if (strncmp(line, "value ", 6) == 0) {
            check(good && strcmp(dump, line + 6) == 0, dump);
        } else if (strcmp(line, "refused") == 0) {
            check(!good, "accepted");
        }
    }
    fclose(f);
    return cases;
}

/* ---- ring, streams ---- */

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % n;
}

static void test_ring(void)
{
    begin("ring");
    struct ring r = {0};
    static uint8_t block[CARRIER_WINDOW + 1];
    uint64_t in = 0, out = 0;
    check(!ring_append(&r, block, sizeof block), "took more than it holds");
    for (int round = 0; round < 2000; round++) {
        size_t size = random_below(50000);
        for (size_t i = 0; i < size; i++)
            block[i] = (uint8_t)((in + i) * 7 % 251);
        bool fits = size <= CARRIER_WINDOW - r.held;
        check(ring_append(&r, block, size) == fits, "append");
        in += fits ? size : 0;
        size_t drop = random_below(60000);
        const uint8_t *where;
        for (size_t n; drop && (n = min_size(ring_peek(&r, 0, &where), drop)); drop -= n) {
            bool same = true;
            for (size_t i = 0; i < n; i++)
                same &= where[i] == (uint8_t)((out + i) * 7 % 251);
            check(same, "content");
            ring_drop(&r, n);
            out += n;
        }
        check(r.held == in - out, "count");
    }
    ring_free(&r);
}

static struct process process;

struct process *process_find(uint32_t id)
{
    return id == process.id ? &process : NULL;
}

static struct tx tx;

/* Takes what was transmitted; a host that acknowledges up to there if acks is set. */
static uint64_t host_receive(uint64_t expected, bool *fin, bool acks)
{
    struct error e;
    feed(tx.buffer + tx.start, tx_held(&tx));
    tx.start = tx.end = 0;
    for (size_t i = 0; i < seen_count; i++) {
        struct seen *s = &seen[i];
        if (s->type == FRAME_DATA && s->stream == 5) {
            check(get_u64(s->body) == expected, "offset");
            for (size_t n = 8; n < s->size; n++)
                check(s->body[n] == (uint8_t)((expected + n - 8) % 251), "byte");
            expected += s->size - 8 + (s->flags & FRAME_FIN);
            *fin |= s->flags & FRAME_FIN;
        }
        free(s->body);
    }
    seen_count = 0;
    if (acks)
        check(process_ack(5, expected, &e), "ACK refused");
    return expected;
}

/* A process writes half a megabyte through a pipe while the host comes and goes. */
static void test_output(void)
{
    begin("output");
    enum { TOTAL = 600000 };
    int pipe_ends[2];
    struct error e;
    uint64_t written = 0, expected = 0;
    bool fin = false;
    assert(!pipe2(pipe_ends, O_NONBLOCK));
    process = (struct process){.id = 1, .state = PROCESS_RUNNING, .in.fd = -1, .err.fd = -1};
    process.out = (struct output){.fd = pipe_ends[0], .used = true};
    for (int round = 0; round < 100000 && !fin; round++) {
        uint8_t block[4096];
        size_t size = min_size(TOTAL - written, random_below(sizeof block) + 1);
        for (size_t i = 0; i < size; i++)
            block[i] = (uint8_t)((written + i) % 251);
        ssize_t n = size ? write(pipe_ends[1], block, size) : 0;
        written += n > 0 ? (uint64_t)n : 0;
        if (written == TOTAL)
            close_fd(&pipe_ends[1]);
        process.out.readable = true;
        process_pump(&process);
        check(process.out.ring.held <= WINDOW, "window");
        process_transmit(&process, &tx);
        if (random_below(20) == 0) { /* a reconnect: what is under way is lost */
            tx.start = tx.end = 0;
            process_greeted(&process);
            process_transmit(&process, &tx);
            expected = host_receive(expected, &fin, false);
            check(process_ack(5, expected, &e), "resume");
        } else {
            expected = host_receive(expected, &fin, random_below(3) == 0);
        }
    }
    check(fin && expected == TOTAL + 1, "end");
    check(process_drained(&process) == (process.out.base == TOTAL + 1), "drained");
    check(process_ack(5, TOTAL + 1, &e) && process_drained(&process), "last ACK");
    check(!process_ack(5, TOTAL + 2, &e), "ACK of what was never sent");
    check(!process_ack(4, 0, &e) && !process_ack(6, 0, &e), "ACK of what is no output");
    check(process_ack(400, 7, &e), "unknown process");
}

static bool send_input(uint64_t offset, size_t size, bool fin)
{
    static uint8_t body[8 + CARRIER_WINDOW + 1];
    struct error e;
    put_u64(body, offset);
    for (size_t i = 0; i < size; i++)
        body[8 + i] = (uint8_t)((offset + i) % 251);
    return process_data(4, fin, body, 8 + size, &e);
}

static void test_input(void)
{
    begin("input");
    int pipe_ends[2];
    struct error e;
    assert(!pipe2(pipe_ends, O_NONBLOCK));
    process = (struct process){.id = 1, .state = PROCESS_RUNNING, .out.fd = -1, .err.fd = -1};
    process.in = (struct input){.fd = pipe_ends[1], .writable = true};
    check(send_input(0, 1000, false), "data");
    check(!send_input(1001, 1, false), "a gap");
    check(send_input(500, 500, false), "what was accepted comes again");
    check(!send_input(500, 501, false), "half of it is new");
    check(!send_input(1000, CARRIER_WINDOW - 999, false), "beyond the window");
    check(send_input(1000, CARRIER_WINDOW - 1000, true), "fill");
    check(!send_input(CARRIER_WINDOW + 1, 1, false), "after FIN");
    check(process.in.expected == CARRIER_WINDOW + 1, "expected");
    uint64_t got = 0;
    for (int round = 0; round < 1000; round++) {
        uint8_t block[5000];
        process.in.writable = true;
        process_pump(&process);
        ssize_t n = read(pipe_ends[0], block, sizeof block);
        for (ssize_t i = 0; i < n; i++)
            check(block[i] == (uint8_t)((got + (uint64_t)i) % 251), "byte");
        got += n > 0 ? (uint64_t)n : 0;
        if (n == 0)
            break;
    }
    check(got == CARRIER_WINDOW && process.in.fd == -1 && process.in.written == CARRIER_WINDOW + 1,
          "all taken");
    check(!process_data(5, false, (uint8_t[8]){0}, 8, &e), "DATA of an output");
    check(!process_data(4, false, (uint8_t[8]){0}, 7, &e), "short DATA");
    close(pipe_ends[0]);

    begin("input nobody takes");
    process = (struct process){
        .id = 1, .state = PROCESS_RUNNING, .in.fd = -1, .out.fd = -1, .err.fd = -1};
    check(send_input(0, 1000, true) && process.in.written == 1001 && process.in.ack_due, "discard");
    process = (struct process){
        .id = 1, .state = PROCESS_STARTING, .in.fd = -1, .out.fd = -1, .err.fd = -1};
    check(send_input(0, 1000, true) && process.in.written == 0, "kept while starting");
    process.state = PROCESS_RUNNING;
    process_pump(&process);
    check(process.in.written == 1001, "discarded when it turns out so");
}

/* ---- the carrier ---- */

static int carrier_file = -1;

static void carrier_comes(void)
{
    carrier_file = memfd_create("carrier", MFD_CLOEXEC);
    assert(carrier_file >= 0 && !ftruncate(carrier_file, CARRIER_SIZE));
    carrier_use(dup(carrier_file), "/dev/sdz");
}

/* As host_receive; counts what came by the carrier. */
static uint64_t host_receive_carried(uint64_t expected, bool *fin, size_t *carried)
{
    static uint8_t block[CARRIER_BLOCK];
    feed(tx.buffer + tx.start, tx_held(&tx));
    tx.start = tx.end = 0;
    for (size_t i = 0; i < seen_count; i++) {
        struct seen *s = &seen[i];
        check(s->stream == 5 && get_u64(s->body) == expected, "offset");
        const uint8_t *data = s->body + 8;
        size_t size = s->size - 8;
        if (s->type == FRAME_CARRIED) {
            size = get_u32(s->body + 16);
            data = block;
            check(s->size == CARRIED_HEADER && size <= CARRIER_BLOCK, "size");
            ssize_t n = pread(carrier_file, block, size, (off_t)get_u64(s->body + 8));
            check(n == (ssize_t)size && get_u64(s->body + 8) >= CARRIER_SIZE / 2, "place");
            *carried += size;
        }
        bool same = true;
        for (size_t n = 0; n < size; n++)
            same &= data[n] == (uint8_t)((expected + n) % 251);
        check(same, "bytes");
        expected += size + (s->flags & FRAME_FIN);
        *fin |= s->flags & FRAME_FIN;
        free(s->body);
    }
    seen_count = 0;
    return expected;
}

/* Megabytes of odd pieces go out; the host is slow, reconnects, and takes the carrier away. */
static void test_carried_output(void)
{
    begin("carried output");
    enum { TOTAL = 8000003 };
    int pipe_ends[2];
    struct error e;
    uint64_t written = 0, expected = 0;
    size_t carried = 0;
    bool fin = false;
    assert(!pipe2(pipe_ends, O_NONBLOCK));
    process = (struct process){.id = 1, .state = PROCESS_RUNNING, .in.fd = -1, .err.fd = -1};
    process.out = (struct output){.fd = pipe_ends[0], .used = true};
    tx.start = tx.end = 0;
    carrier_comes();
    for (int round = 0; round < 100000 && !fin; round++) {
        static uint8_t block[70000];
        size_t size = min_size(TOTAL - written, random_below(sizeof block) + 1);
        for (size_t i = 0; i < size; i++)
            block[i] = (uint8_t)((written + i) % 251);
        ssize_t n = size ? write(pipe_ends[1], block, size) : 0;
        written += n > 0 ? (uint64_t)n : 0;
        if (written == TOTAL)
            close_fd(&pipe_ends[1]);
        process.out.readable = true;
        process_pump(&process);
        check(process.out.ring.held <= CARRIER_WINDOW, "window");
        process_transmit(&process, &tx);
        if (round == 300) /* HELLO: the carrier is of the old conversation */
            check(!strcmp(carrier_drop(), "/dev/sdz") && !*carrier_drop(), "device");
        if (round == 300) {
            tx.start = tx.end = 0;
            process_greeted(&process);
            check(process_ack(5, expected, &e), "resume");
        }
        if (round == 320)
            carrier_use(open("/dev/null", O_RDONLY), ""); /* one that cannot be written */
        if (round == 340)
            carrier_use(dup(carrier_file), "");
        expected = host_receive_carried(expected, &fin, &carried);
        if (random_below(4) == 0 || written == TOTAL)
            check(process_ack(5, expected, &e), "ACK");
    }
    check(fin && expected == TOTAL + 1, "end");
    check(carried > TOTAL / 2, "most goes by the carrier");
    ring_free(&process.out.ring);
    carrier_drop();
    close_fd(&carrier_file);
}

static bool send_carried(uint64_t offset, uint64_t place, uint32_t size, bool fin)
{
    uint8_t body[CARRIED_HEADER];
    struct error e;
    put_u64(body, offset);
    put_u64(body + 8, place);
    put_u32(body + 16, size);
    return process_carried(4, fin, body, sizeof body, &e);
}

static void test_carried_input(void)
{
    begin("carried input");
    enum { ODD = CARRIER_BLOCK - 7 };
    static uint8_t block[CARRIER_BLOCK];
    int pipe_ends[2];
    struct error e;
    assert(!pipe2(pipe_ends, O_NONBLOCK));
    process = (struct process){.id = 1, .state = PROCESS_RUNNING, .out.fd = -1, .err.fd = -1};
    process.in = (struct input){.fd = pipe_ends[1], .writable = true};
    carrier_comes();
    uint64_t sent = 0, got = 0;
    for (int i = 0; i < 3; i++) {
        for (size_t n = 0; n < sizeof block; n++)
            block[n] = (uint8_t)((sent + n) % 251);
        check(pwrite(carrier_file, block, sizeof block, i * CARRIER_BLOCK) == sizeof block, "file");
        check(send_carried(sent, (uint64_t)i * CARRIER_BLOCK, i < 2 ? ODD : 5, i == 2), "carried");
        sent += i < 2 ? ODD : 5;
    }
    check(process.in.expected == sent + 1, "expected");
    for (ssize_t n = 1; n > 0 || process.in.ring.held;) {
        process.in.writable = true;
        process_pump(&process);
        n = read(pipe_ends[0], block, sizeof block);
        for (ssize_t i = 0; i < n; i++)
            check(block[i] == (uint8_t)((got + (uint64_t)i) % 251), "byte");
        got += n > 0 ? (uint64_t)n : 0;
    }
    check(got == sent && process.in.written == sent + 1, "all taken");
    check(!process_carried(5, false, block, CARRIED_HEADER, &e), "CARRIED of an output");
    check(!process_carried(4, false, block, CARRIED_HEADER - 1, &e), "short CARRIED");
    close(pipe_ends[0]);

    begin("carried from nowhere");
    static const uint64_t places[] = {1, CARRIER_SIZE / 2, CARRIER_SIZE, UINT64_MAX,
                                      UINT64_MAX - 511};
    for (size_t i = 0; i <= COUNT(places); i++) {
        assert(!pipe2(pipe_ends, O_NONBLOCK));
        process = (struct process){.id = 1, .state = PROCESS_RUNNING, .out.fd = -1, .err.fd = -1};
        process.in = (struct input){.fd = pipe_ends[1], .writable = true};
        bool large = i == COUNT(places);
        check(!send_carried(0, large ? 0 : places[i], large ? CARRIER_BLOCK + 1 : 512, false),
              "refused");
        check(process.in.fd == -1, "no gap in what the program reads");
        close(pipe_ends[0]);
    }
    carrier_drop();
    process = (struct process){
        .id = 1, .state = PROCESS_RUNNING, .in.fd = -1, .out.fd = -1, .err.fd = -1};
    check(send_carried(0, 0, 512, true) && process.in.written == 513, "discard");
    close_fd(&carrier_file);
}

static void test_tx(void)
{
    begin("tx");
    struct tx *t = calloc(1, sizeof *t);
    size_t frames = 0;
    check(!tx_frame(t, FRAME_DATA, 0, 1, MAX_BODY + 1), "body too long");
    while (tx_frame(t, FRAME_DATA, 0, 1, 1000))
        frames++;
    check(frames == TX_SIZE / 1013 && tx_held(t) <= TX_SIZE, "room");
    t->start = 5000;
    check(tx_frame(t, FRAME_DATA, 0, 1, 1000) != NULL && t->start == 0, "moved together");
    free(t);
}

/* What is written is what a reader takes, and what does not fit is not written. */
static void test_writer(void)
{
    begin("writer");
    uint8_t body[1 + 2 + 4 + 8 + 4 + 2];
    struct writer w = {.at = body, .end = body + sizeof body};
    write_u8(&w, 1);
    write_u16(&w, 0x203);
    write_u32(&w, 0x4050607);
    write_u64(&w, 0x8090a0b0c0d0e0f);
    write_str(&w, "ab");
    check(!w.bad && w.at == w.end, "room");
    write_bytes(&w, NULL, 0);
    check(w.bad && !write_raw(&w, 0) && w.at == w.end, "beyond its room");
    struct reader r = {.at = body, .end = body + sizeof body};
    check(read_u8(&r) == 1 && read_u16(&r) == 0x203 && read_u32(&r) == 0x4050607 &&
              read_u64(&r) == 0x8090a0b0c0d0e0f && strcmp(read_str(&r), "ab") == 0 && read_end(&r),
          "read back");
}

/* A frame is as long as what was written into it; one that did not fit is none. */
static void test_written_frames(void)
{
    begin("written frames");
    static const uint8_t expected[] = {FRAME_REPLY, 0, 0, 0, 7, 0, 0,   0,   6,       0,
                                       0,           0, 2, 0, 0, 0, 'h', 'i', END_BYTE};
    struct tx *t = calloc(1, sizeof *t);
    struct writer w;
    check(tx_begin(t, &w, FRAME_REPLY, 7, 100), "begin");
    write_str(&w, "hi");
    check(tx_end(t, &w) && tx_held(t) == sizeof expected, "end");
    check(!memcmp(t->buffer, expected, sizeof expected), "bytes");
    check(tx_begin(t, &w, FRAME_REPLY, 8, 5), "begin again");
    write_str(&w, "hi");
    check(!tx_end(t, &w) && tx_held(t) == sizeof expected, "what did not fit is there");
    check(!tx_begin(t, &w, FRAME_REPLY, 9, MAX_BODY + 1), "body too long");
    free(t);
}

/* As the vector "exit" has it. */
static void test_exit(void)
{
    begin("exit");
    static uint8_t bytes[64];
    size_t size = expand("0100+05000000+89000000+09000000+01+15cd5b0700000000", bytes);
    process = (struct process){.id = 5, .state = PROCESS_EXITED, .in.fd = -1, .exit_due = true};
    process.exit_status = 137;
    process.exit_signal = 9;
    process.oom = true;
    process.exit_ns = 123456789;
    tx.start = tx.end = 0;
    check(!process_transmit(&process, &tx) && !process.exit_due, "more");
    feed(tx.buffer, tx_held(&tx));
    check(seen_count == 1 && seen[0].type == FRAME_EVENT && seen[0].size == size &&
              !memcmp(seen[0].body, bytes, size),
          "bytes");
    free(seen[0].body);
    seen_count = 0;
    tx.start = tx.end = 0;
}

/* ---- users, text ---- */

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "broken line\n"
                             "bad:x:abc:0::/:\n"
                             "www:x:33:34:web:/srv/www:/bin/false\n"
                             "1000:x:7:8::/number:\n"
                             "late:x:1001:1002::/late"; /* no shell, no newline */
static const char group[] = "root:x:0:\nwww:x:34:\nvideo:x:44:other,www,more\naudio:x:45:wwww\n"
                            "disk:x:46:www";

static struct user user;

static bool resolve(const char *spec, const char **groups, size_t count)
{
    struct error e;
    return user_resolve(&user, spec, groups, count, passwd, group, &e);
}

static bool is_user(uint32_t uid, uint32_t gid, const char *home, size_t count)
{
    return user.uid == uid && user.gid == gid && strcmp(user.home, home) == 0 &&
           user.group_count == count && user.groups[0] == gid;
}

static void test_users(void)
{
    begin("users");
    check(resolve("", NULL, 0) && is_user(0, 0, "/root", 1), "nobody named: root");
    check(resolve("www", NULL, 0) && is_user(33, 34, "/srv/www", 3), "by name");
    check(user.groups[1] == 44 && user.groups[2] == 46, "supplementary groups");
    check(resolve("33", NULL, 0) && is_user(33, 34, "/srv/www", 3), "by number");
    check(resolve("1000", NULL, 0) && is_user(7, 8, "/number", 1), "a name goes before a number");
    check(resolve("77", NULL, 0) && is_user(77, 0, "/", 1), "a number nobody has");
    check(resolve("www:video", NULL, 0) && is_user(33, 44, "/srv/www", 1), "with a group");
    check(resolve("www:99", NULL, 0) && is_user(33, 99, "/srv/www", 1), "with a group's number");
    check(resolve(":video", NULL, 0) && is_user(0, 44, "/root", 1), "a group alone");
    check(resolve("late", NULL, 0) == false, "a line too short");
    check(!resolve("nobody", NULL, 0) && !resolve("bad", NULL, 0), "unknown");
    check(!resolve("www:none", NULL, 0) && !resolve("-1", NULL, 0), "unknown group, negative");
    check(!resolve("4294967296", NULL, 0) && !resolve("2147483648", NULL, 0), "too large");
    const char *more[] = {"video", "5", "video"};
    check(resolve("root", more, 3) && is_user(0, 0, "/root", 3), "further groups");
    const char *none[] = {"none"};
    check(!resolve("root", none, 1), "unknown further group");
}

static void test_text(void)
{
    begin("text");
    char small[8] = "";
    struct error e;
    uint64_t n;
    append(small, sizeof small, "12345");
    append(small, sizeof small, "6789");
    check(strcmp(small, "1234567") == 0, "append cuts");
    check(!join(small, sizeof small, "1234", "5678", NULL) && !*small, "join does not");
    check(join(small, sizeof small, "123", "4567", NULL) && !strcmp(small, "1234567"), "join");
    check(!strcmp(DEC(0), "0") && !strcmp(DEC(UINT64_MAX), "18446744073709551615"), "decimal");
    check(parse_decimal("18446744073709551615", UINT64_MAX, &n) && n == UINT64_MAX, "largest");
    check(!parse_decimal("18446744073709551616", UINT64_MAX, &n), "one more");
    check(!parse_decimal("", 9, &n) && !parse_decimal("1x", 9, &n) && !parse_decimal("10", 9, &n),
          "no number");
    static char longer[2 * MAX_TEXT];
    memset(longer, 'a', sizeof longer - 1);
    check(!fail(&e, CODE_SYSTEM, ENOENT, longer, NULL) && strlen(e.text) == MAX_TEXT,
          "error is cut");
}

int main(int argc, char **argv)
{
    assert(argc == 2);
    int frames = run_frames(argv[1]);
    int sources = run_sources(argv[1]);
    int messages = run_messages(argv[1], "messages.txt") + run_messages(argv[1], "records.txt");
    memset(&decoder, 0, sizeof decoder);
    label[0] = 0;
    test_ring();
    test_output();
    test_input();
    test_carried_output();
    test_carried_input();
    test_tx();
    test_writer();
    test_written_frames();
    test_exit();
    test_users();
    test_text();
    printf("%d frame cases, %d message cases, %d source cases, %d checks, %d failures\n", frames,
           messages, sources, checks, failures);
    return failures != 0;
}
