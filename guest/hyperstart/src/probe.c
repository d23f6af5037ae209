#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { MAX_ADDRESS = 64, MAX_REQUEST_HEAD = 8192, MAX_STATUS_LINE = 256 };

/* Splits "HOST:PORT" or "[HOST]:PORT"; false if it is neither. */
static bool split(const char *text, char *host, size_t size, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    bool bracketed = *text == '[';
    size_t length = colon ? (size_t)(colon - text) : 0;
    if (length <= 2u * bracketed || (bracketed && colon[-1] != ']'))
        return false;
    length -= 2u * bracketed;
    if (length >= size)
        return false;
    memcpy(host, text + bracketed, length);
    host[length] = 0;
    uint32_t number = 0;
    for (const char *at = colon + 1; *at; at++) {
        if (*at < '0' || *at > '9' || number > 65535)
            return false;
        number = number * 10 + (uint32_t)(*at - '0');
    }
    *port = (uint16_t)number;
    return number > 0 && number <= 65535;
}

static int open_connection(const char *address, struct error *e)
{
    char host[MAX_ADDRESS];
    uint16_t port;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    bool well = split(address, host, sizeof host, &port);
    bool four = well && inet_pton(AF_INET, host, &v4.sin_addr) == 1;
    if (!well || (!four && inet_pton(AF_INET6, host, &v6.sin6_addr) != 1)) {
        fail(e, CODE_MALFORMED, 0, "no address to probe: ", address, NULL);
        return -1;
    }
    v4.sin_port = v6.sin6_port = htons(port);
    _cleanup_close_ int fd = socket(four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr *to = four ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    if (fd < 0 || connect(fd, to, four ? sizeof v4 : sizeof v6)) {
        fail(e, CODE_SYSTEM, errno, "connect to ", address, NULL);
        return -1;
    }
    return steal_fd(&fd);
}

bool probe_tcp(const char *address, struct error *e)
{
    _cleanup_close_ int fd = open_connection(address, e);
    return fd >= 0;
}

static bool send_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

/* A line of the request holds no other line. */
static bool is_line(const char *text)
{
    return !text[strcspn(text, "\r\n")];
}

static bool add(char *head, const char *text)
{
    bool fits = strlen(head) + strlen(text) < MAX_REQUEST_HEAD;
    if (fits)
        append(head, MAX_REQUEST_HEAD, text);
    return fits;
}

static bool write_head(char *head, const char *address, const char *path, const char **headers,
                       uint32_t count, struct error *e)
{
    *head = 0;
    bool host = false;
    bool fits = is_line(path) && add(head, "GET ") && add(head, path) && add(head, " HTTP/1.1\r\n");
    for (uint32_t i = 0; fits && i < count; i++) {
        host |= strncasecmp(headers[i], "host:", 5) == 0;
        fits = is_line(headers[i]) && add(head, headers[i]) && add(head, "\r\n");
    }
    if (!host)
        fits = fits && add(head, "Host: ") && add(head, address) && add(head, "\r\n");
    fits = fits && add(head, "User-Agent: hyper-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    return fits || fail(e, CODE_MALFORMED, 0, "no request to probe with: ", path, NULL);
}

/* Reads the first line of the answer, or what there is of it. */
static void read_status_line(int fd, char *line)
{
    size_t used = 0;
    while (used < MAX_STATUS_LINE - 1 && !memchr(line, '\n', used)) {
        ssize_t n = recv(fd, line + used, MAX_STATUS_LINE - 1 - used, 0);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    line[used] = 0;
    line[strcspn(line, "\r\n")] = 0;
}

bool probe_http(const char *address, const char *path, const char **headers, uint32_t count,
                struct error *e)
{
    static char head[MAX_REQUEST_HEAD];
    char line[MAX_STATUS_LINE];
    if (!write_head(head, address, path, headers, count, e))
        return false;
    _cleanup_close_ int fd = open_connection(address, e);
    if (fd < 0)
        return false;
    if (!send_all(fd, head, strlen(head)))
        return fail(e, CODE_SYSTEM, errno, "ask ", address, NULL);
    read_status_line(fd, line);
    /* "HTTP/1.1 204 No Content" */
    bool http = strncmp(line, "HTTP/1.", 7) == 0 && line[7] && line[8] == ' ';
    bool well = http && (line[9] == '2' || line[9] == '3') && line[10] && line[11];
    return well || fail(e, CODE_STATE, 0, http ? line : "the answer is not HTTP", NULL);
}
