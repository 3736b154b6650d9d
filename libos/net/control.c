/* SPDX-License-Identifier: Apache-2.0
 *
 * Control data of messages: descriptors and credentials are the host's outside and the program's inside; the rest is bytes. */
#include "libos/net/net.h"
#include "libos/process/process.h"

#include <linux/in.h>

#include <asm/socket.h>

#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define SOL_IPV6_LEVEL 41
#define SOL_UDP_LEVEL 17

struct control { uint64_t length; int32_t level, type; }; /* struct cmsghdr, data behind it */

static size_t aligned(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* The next piece at *at, or NULL at the end; *bad: it is malformed. */
static struct control *next(void *control, size_t length, size_t *at, bool *bad)
{
    struct control *c = (void *)((char *)control + *at);

    *bad = false;
    if (*at >= length || length - *at < sizeof(*c))
        return NULL;
    *bad = c->length < sizeof(*c) || c->length > length - *at;
    if (*bad)
        return NULL;
    *at += aligned(c->length);
    return c;
}

static int *numbers(struct control *c, size_t *count)
{
    *count = (c->length - sizeof(*c)) / sizeof(int);
    return (int *)(c + 1);
}

/* ---- out --------------------------------------------------------------------------------------------------------- */
#define RIGHTS_MAX 253              /* descriptors in a message, as Linux has it */

struct sending {
    uint32_t count, tokens;
    struct file *file[RIGHTS_MAX];  /* so that another thread's close does not make the number another file's */
    int token[RIGHTS_MAX];          /* descriptors of the host's */
};

static long right_out(struct file *socket, struct file *file, struct sending *sending)
{
    const struct socket *s = socket_of(socket);

    if (file->host_fd >= 0)
        return file->host_fd;
    if (!s || !s->peer_end) {
        log_line(VIGIL_LOG_DEBUG, "a descriptor of an object inside the enclave (pipe, event counter) can only be sent through a pair of "
                 "sockets: EINVAL");
        return -EINVAL;
    }
    long token = flight_begin(file, s->peer_end);
    if (token >= 0)
        sending->token[sending->tokens++] = (int)token;
    return token;
}

static long rights_out(struct file *socket, struct control *c, struct sending **sending)
{
    size_t count;
    int *fd = numbers(c, &count);

    if (!*sending && !(*sending = kzalloc(sizeof(**sending))))
        return -ENOMEM;
    struct sending *s = *sending;
    if (count > RIGHTS_MAX - s->count)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        struct file *file = file_from_fd(fd[i]);
        if (!file)
            return -EBADF;
        s->file[s->count++] = file;
        long host_fd = right_out(socket, file, s);
        if (host_fd < 0)
            return host_fd;
        fd[i] = (int)host_fd;
    }
    return 0;
}

void sending_end(struct sending *s, bool sent)
{
    for (uint32_t i = 0; s && !sent && i < s->tokens; i++)
        flight_cancel(s->token[i]);
    for (uint32_t i = 0; s && i < s->count; i++)
        file_put(s->file[i]);
    for (uint32_t i = 0; s && i < s->tokens; i++)
        host_close(s->token[i]);
    kfree(s);
}

static void credentials_out(struct control *c)
{
    size_t count;
    int *id = numbers(c, &count);

    if (count < 3)
        return;
    if (id[0] == (int)process_pid())
        id[0] = (int)host_call(__NR_getpid, NET_INT_LIMIT, 0, 0, 0, 0, 0);
    id[1] = (int)host_uid((uint32_t)id[1]);
    id[2] = (int)host_gid((uint32_t)id[2]);
}

static bool level_known(const struct control *c)
{
    return c->level == SOL_SOCKET || c->level == IPPROTO_IP || c->level == SOL_IPV6_LEVEL || c->level == SOL_UDP_LEVEL;
}

long control_for_host(struct file *socket, void *control, size_t length, struct sending **sending)
{
    size_t at = 0;
    bool bad;
    long status = 0;

    for (struct control *c; !status && (c = next(control, length, &at, &bad));) {
        if (!level_known(c))
            status = -EINVAL;
        else if (c->level == SOL_SOCKET && c->type == SCM_RIGHTS)
            status = rights_out(socket, c, sending);
        else if (c->level == SOL_SOCKET && c->type == SCM_CREDENTIALS)
            credentials_out(c);
    }
    return !status && bad ? -EINVAL : status;
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */
static struct file *adopt(int host_fd, bool peek)
{
    struct stat stat;
    long status = stat_host(host_fd, NULL, 0, &stat), flags = host_call(__NR_fcntl, NET_INT_LIMIT, host_fd, F_GETFL, 0, 0, 0);

    if (!status && (stat.st_mode & S_IFMT) == S_IFSOCK)
        return socket_adopt(host_fd);
    struct file *inside = !status && (stat.st_mode & S_IFMT) == S_IFREG ? flight_end(&stat, peek) : NULL;
    if (inside) {
        host_close(host_fd);
        return inside;
    }
    return host_file_new(host_fd, flags < 0 ? O_RDWR : (uint32_t)flags & ~(uint32_t)O_CREAT, NULL);
}

/* How many have arrived; those that found no number are closed. */
static size_t rights_in(struct control *c, bool cloexec, bool peek)
{
    size_t count, installed = 0;
    int *fd = numbers(c, &count);

    for (size_t i = 0; i < count; i++) {
        struct file *file = fd[i] < 0 ? NULL : installed < i ? (host_close(fd[i]), NULL) : adopt(fd[i], peek);
        long number = file ? fd_install(file, 0, cloexec) : -EMFILE;
        if (number >= 0)
            fd[installed++] = (int)number;
    }
    return installed;
}

static void credentials_in(struct control *c)
{
    size_t count;
    int *id = numbers(c, &count);

    if (count >= 1 && id[0] == (int)host_call(__NR_getpid, NET_INT_LIMIT, 0, 0, 0, 0, 0))
        id[0] = (int)process_pid();
}

long control_from_host(void *control, size_t *length, uint32_t *flags, bool cloexec, bool peek)
{
    size_t at = 0, begin = 0;
    bool bad;

    for (struct control *c; (c = next(control, *length, &at, &bad)); begin = at) {
        if (c->level != SOL_SOCKET)
            continue;
        if (c->type == SCM_CREDENTIALS)
            credentials_in(c);
        if (c->type != SCM_RIGHTS)
            continue;
        size_t wanted;
        numbers(c, &wanted);
        size_t got = rights_in(c, cloexec, peek);
        if (got == wanted)
            continue;
        *flags |= MSG_CTRUNC;
        c->length = sizeof(*c) + got * sizeof(int);
        *length = got ? begin + c->length : begin;
        return 0;
    }
    if (!bad)
        return 0;
    log_line(VIGIL_LOG_ERROR, "the host gave malformed control data with a message: it fails with EIO");
    return -EIO;
}
