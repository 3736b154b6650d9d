/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths over sockets. */
#include "tests/hostile/target.h"

#include <netinet/in.h>
#include <sys/un.h>

static void pair(int type, int ends[2])
{
    if (socketpair(AF_UNIX, type, 0, ends))
        say_errno("socketpair");
}

void path_socketpair(void)
{
    int ends[2] = {-1, -1};

    begin();
    long n = socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    end();
    say(n, n ? 0 : ends[0] >= 0 && ends[1] > ends[0]);
}

void path_recvfrom(void)
{
    char buffer[300];
    struct sockaddr_un from;
    socklen_t length = sizeof(from);
    int ends[2];

    pair(SOCK_DGRAM, ends);
    memset(buffer, 'U', sizeof(buffer));
    memset(&from, 'V', sizeof(from));
    (void)!write(ends[0], "0123456789", 10);
    begin();
    long n = recvfrom(ends[1], buffer, 100, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
    end();
    say(n, n < 0 ? 0 : sum(buffer, sizeof(buffer)) + length);
}

void path_recvmsg(void)
{
    char data[300], control[200];
    struct iovec v = {data, 100};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = 100};
    int ends[2];

    pair(SOCK_STREAM, ends);
    memset(data, 'U', sizeof(data));
    memset(control, 'V', sizeof(control));
    (void)!write(ends[0], "0123456789", 10);
    begin();
    long n = recvmsg(ends[1], &m, MSG_DONTWAIT);
    end();
    say(n, n < 0 ? 0 : sum(data, sizeof(data)) + sum(control, sizeof(control)) + m.msg_controllen + (uint64_t)m.msg_flags);
}

void path_sendto(void)
{
    int ends[2];

    pair(SOCK_STREAM, ends);
    begin();
    long n = send(ends[0], "0123456789", 10, MSG_DONTWAIT);
    end();
    say(n, 0);
}

static int listener(struct sockaddr_in *address)
{
    socklen_t length = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)address, sizeof(*address)) || listen(fd, 1) ||
        getsockname(fd, (struct sockaddr *)address, &length))
        say_errno("listen");
    return fd;
}

void path_accept(void)
{
    struct sockaddr_in address;
    struct sockaddr_storage from;
    socklen_t length = sizeof(from);
    int fd = listener(&address), client = socket(AF_INET, SOCK_STREAM, 0);

    memset(&from, 'V', sizeof(from));
    if (connect(client, (struct sockaddr *)&address, sizeof(address)))
        say_errno("connect");
    begin();
    long n = accept(fd, (struct sockaddr *)&from, &length);
    end();
    say(n < 0 ? n : 0, n < 0 ? 0 : (uint64_t)from.ss_family * 1000 + length);
}

void path_getsockname(void)
{
    struct sockaddr_in address;
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    int fd = listener(&address);

    memset(&name, 'V', sizeof(name));
    begin();
    long n = getsockname(fd, (struct sockaddr *)&name, &length);
    end();
    say(n, n ? 0 : (uint64_t)name.ss_family * 1000 + length);
}

void path_getsockopt(void)
{
    char value[64];
    socklen_t length = 4;
    int ends[2];

    pair(SOCK_STREAM, ends);
    memset(value, 'U', sizeof(value));
    begin();
    long n = getsockopt(ends[0], SOL_SOCKET, SO_TYPE, value, &length);
    end();
    say(n, n ? 0 : length);
}

void path_socket(void)
{
    begin();
    long n = socket(AF_INET, SOCK_STREAM, 0);
    end();
    say(n < 0 ? n : 0, 0);
}

/* A descriptor in a message. */
void path_rights(void)
{
    char data[10], control[CMSG_SPACE(4 * sizeof(int))] = {0};
    struct iovec v = {data, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int ends[2], pipe_ends[2];

    pair(SOCK_STREAM, ends);
    pair(SOCK_STREAM, pipe_ends);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &pipe_ends[0], sizeof(int));
    data[0] = 'x';
    if (sendmsg(ends[0], &m, 0) != 1)
        say_errno("sendmsg");
    m.msg_controllen = sizeof(control);
    begin();
    long n = recvmsg(ends[1], &m, MSG_DONTWAIT);
    end();
    say(n, n < 0 ? 0 : m.msg_controllen + (uint64_t)m.msg_flags);
}
