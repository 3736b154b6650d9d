/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages and what goes with them: credentials, packet information, time stamps, descriptors for which there is no room,
 * who sent a datagram, and which broken sockets raise a signal. */
#include "check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

union control { struct cmsghdr head; char bytes[512]; };

static const struct cmsghdr *receive(int fd, union control *control, size_t room, int *flags)
{
    static char data[64];
    struct iovec vector = { data, sizeof(data) };
    struct msghdr m = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room };

    CHECK(recvmsg(fd, &m, 0) >= 0);
    *flags = m.msg_flags;
    return CMSG_FIRSTHDR(&m);
}

static int udp(int family, struct sockaddr_storage *name, socklen_t *length)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    int fd = socket(family, SOCK_DGRAM, 0);

    *length = family == AF_INET ? sizeof(in) : sizeof(in6);
    REQUIRE(fd >= 0 && bind(fd, family == AF_INET ? (void *)&in : (void *)&in6, *length) == 0);
    REQUIRE(getsockname(fd, (void *)name, length) == 0);
    return fd;
}

static void packet_information(void)
{
    struct sockaddr_storage name;
    union control control;
    socklen_t length;
    int one = 1, flags, fd = udp(AF_INET, &name, &length);

    CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)), 0);
    CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&name, length), 1);
    const struct cmsghdr *c = receive(fd, &control, sizeof(control), &flags);
    if (CHECK(c && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        CHECK_EQ(ntohl(info.ipi_addr.s_addr), INADDR_LOOPBACK);
    }
    close(fd);
    fd = udp(AF_INET6, &name, &length);
    CHECK_EQ(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one)), 0);
    CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&name, length), 1);
    c = receive(fd, &control, sizeof(control), &flags);
    if (CHECK(c && c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        CHECK(IN6_IS_ADDR_LOOPBACK(&info.ipi6_addr));
    }
    close(fd);
}

static void time_stamps(void)
{
    struct sockaddr_storage name;
    union control control;
    struct timeval when, now;
    socklen_t length;
    int one = 1, flags, fd = udp(AF_INET, &name, &length);

    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof(one)), 0);
    CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&name, length), 1);
    const struct cmsghdr *c = receive(fd, &control, sizeof(control), &flags);
    gettimeofday(&now, NULL);
    if (CHECK(c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMP)) {
        memcpy(&when, CMSG_DATA(c), sizeof(when));
        CHECK(when.tv_sec <= now.tv_sec + 1 && when.tv_sec > now.tv_sec - 60);
    }
    close(fd);
}

static void credentials(void)
{
    union control control;
    struct ucred who;
    int one = 1, flags, pair[2];

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK_EQ(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)), 0);
    CHECK_EQ(send(pair[0], "x", 1, 0), 1);
    const struct cmsghdr *c = receive(pair[1], &control, sizeof(control), &flags);
    if (CHECK(c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)) {
        memcpy(&who, CMSG_DATA(c), sizeof(who));
        CHECK_EQ(who.pid, getpid());
        CHECK_EQ(who.uid, getuid());
        CHECK_EQ(who.gid, getgid());
    }
    close(pair[0]), close(pair[1]);
}

/* Room for one of two: one arrives, the other is gone, and nothing is left open. */
static void descriptors_cut_off(void)
{
    union control control = { 0 };
    char byte = 'x';
    struct iovec vector = { &byte, 1 };
    struct msghdr m = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control,
        .msg_controllen = CMSG_SPACE(2 * sizeof(int)) };
    int pair[2], flags, got, lowest = dup(0);

    close(lowest);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(&control.head), pair, sizeof(pair));
    CHECK_EQ(sendmsg(pair[0], &m, 0), 1);
    const struct cmsghdr *c = receive(pair[1], &control, CMSG_LEN(sizeof(int)), &flags);
    CHECK(flags & MSG_CTRUNC);
    if (CHECK(c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))) {
        memcpy(&got, CMSG_DATA(c), sizeof(got));
        CHECK_EQ(send(got, "y", 1, 0), 1);
        CHECK_EQ(recv(pair[1], &byte, 1, 0), 1);
        close(got);
    }
    close(pair[0]), close(pair[1]);
    got = dup(0);
    CHECK_EQ(got, lowest);
    close(got);
}

/* ---- names of UNIX sockets --------------------------------------------------------------------------------------- */
static void senders(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "net-msg-a" }, b = { .sun_family = AF_UNIX, .sun_path = "net-msg-b" };
    struct sockaddr_un from;
    socklen_t length = sizeof(from);
    char byte;
    int one = socket(AF_UNIX, SOCK_DGRAM, 0), two = socket(AF_UNIX, SOCK_DGRAM, 0);

    unlink(a.sun_path), unlink(b.sun_path);
    REQUIRE(bind(one, (void *)&a, sizeof(a)) == 0 && bind(two, (void *)&b, sizeof(b)) == 0);
    CHECK_EQ(sendto(one, "x", 1, 0, (void *)&b, sizeof(b)), 1);
    memset(&from, 0, sizeof(from));
    CHECK_EQ(recvfrom(two, &byte, 1, 0, (void *)&from, &length), 1);
    CHECK(!strcmp(from.sun_path, a.sun_path));
    CHECK_EQ(sendto(two, "y", 1, 0, (void *)&from, length), 1); /* an answer */
    CHECK_EQ(recv(one, &byte, 1, MSG_DONTWAIT), 1);
    close(one), close(two);
    unlink(a.sun_path), unlink(b.sun_path);
}

static void client_names(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "net-msg-a" }, b = { .sun_family = AF_UNIX, .sun_path = "net-msg-b" };
    struct sockaddr_un from;
    socklen_t length = sizeof(from);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0), fd;

    unlink(a.sun_path), unlink(b.sun_path);
    REQUIRE(bind(listener, (void *)&a, sizeof(a)) == 0 && listen(listener, 1) == 0);
    REQUIRE(bind(client, (void *)&b, sizeof(b)) == 0 && connect(client, (void *)&a, sizeof(a)) == 0);
    memset(&from, 0, sizeof(from));
    fd = accept(listener, (void *)&from, &length);
    CHECK(fd >= 0 && !strcmp(from.sun_path, b.sun_path));
    length = sizeof(from);
    memset(&from, 0, sizeof(from));
    CHECK(getpeername(fd, (void *)&from, &length) == 0 && !strcmp(from.sun_path, b.sun_path));
    close(fd), close(client), close(listener);
    unlink(a.sun_path), unlink(b.sun_path);
}

/* ---- broken sockets ---------------------------------------------------------------------------------------------- */
static volatile sig_atomic_t broken;

static void on_broken(int sig)
{
    (void)sig;
    broken++;
}

/* Of streams only. */
static void signals_of(int type, int expected)
{
    int pair[2];

    broken = 0;
    REQUIRE(socketpair(AF_UNIX, type, 0, pair) == 0);
    CHECK_EQ(shutdown(pair[0], SHUT_WR), 0);
    CHECK_ERRNO(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(broken, 0);
    CHECK_ERRNO(send(pair[0], "x", 1, 0), EPIPE);
    CHECK_EQ(broken, expected);
    CHECK_ERRNO(write(pair[0], "x", 1), EPIPE);
    CHECK_EQ(broken, 2 * expected);
    close(pair[0]), close(pair[1]);
}

static void broken_stream(void)
{
    signal(SIGPIPE, on_broken);
    signals_of(SOCK_STREAM, 1);
}

static void broken_datagrams(void)
{
    signal(SIGPIPE, on_broken);
    signals_of(SOCK_DGRAM, 0);
}

static void broken_packets(void)
{
    signal(SIGPIPE, on_broken);
    signals_of(SOCK_SEQPACKET, 0);
}

/* ---- small things ------------------------------------------------------------------------------------------------ */
static void headers(void)
{
    char data[8];
    struct iovec vector = { data, sizeof(data) };
    struct sockaddr_in name;
    struct msghdr m = { .msg_iov = &vector, .msg_iovlen = 1, .msg_name = &name, .msg_namelen = (socklen_t)-1 };
    int pair[2], n;

    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    CHECK_EQ(send(pair[1], "0123456789", 10, 0), 10);
    CHECK_EQ(ioctl(pair[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 10);
    CHECK_ERRNO(recvmsg(pair[0], &m, MSG_DONTWAIT), EINVAL);
    m.msg_namelen = sizeof(name);
    CHECK_EQ(recvmsg(pair[0], &m, MSG_PEEK | MSG_DONTWAIT), 8);
    CHECK_EQ(m.msg_flags, MSG_TRUNC);
    CHECK_EQ(recvmsg(pair[0], &m, MSG_TRUNC | MSG_DONTWAIT), 10);
    CHECK_EQ(m.msg_namelen, 0);
    CHECK_ERRNO(recvmsg(pair[0], &m, MSG_DONTWAIT), EAGAIN);
    m.msg_iovlen = 2000;
    CHECK_ERRNO(sendmsg(pair[0], &m, 0), EMSGSIZE);
    close(pair[0]), close(pair[1]);
}

/* ---- descriptors of what is not the kernel's alone ------------------------------------------------------------------- */
static long send_fds(int to, const int *fds, unsigned count, int flags)
{
    union { struct cmsghdr head; char bytes[CMSG_SPACE(8 * sizeof(int))]; } control = {0};
    struct iovec data = {"d", 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};

    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
    return sendmsg(to, &message, flags);
}

static unsigned receive_fds(int from, int *fds, int flags)
{
    union { struct cmsghdr head; char bytes[CMSG_SPACE(8 * sizeof(int))]; } control = {0};
    char byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    CHECK_EQ(recvmsg(from, &message, flags), 1);
    if (!CMSG_FIRSTHDR(&message))
        return 0;
    unsigned count = (unsigned)((control.head.cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(&control.head), count * sizeof(int));
    return count;
}

static void objects(void)
{
    int pair[2], ends[2], fds[8], event = eventfd(3, EFD_NONBLOCK);
    uint64_t value = 0;
    char text[8];

    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(ends) == 0 && event >= 0);
    CHECK_EQ(send_fds(pair[0], (int[]){ends[1], event, pair[1]}, 3, 0), 1);
    CHECK_EQ(close(ends[1]), 0);
    CHECK_EQ(receive_fds(pair[1], fds, MSG_PEEK), 3);
    CHECK_EQ(write(fds[0], "peek", 4), 4);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    CHECK_EQ(receive_fds(pair[1], fds, MSG_CMSG_CLOEXEC), 3);
    CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(fds[0], "pipe", 4), 4);
    CHECK_EQ(read(ends[0], text, 8), 8);
    CHECK(!memcmp(text, "peekpipe", 8));
    CHECK_EQ(read(fds[1], &value, 8), 8);
    CHECK_EQ(value, 3);
    CHECK_ERRNO(read(event, &value, 8), EAGAIN);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    CHECK_EQ(read(ends[0], text, 8), 0);                 /* that was the last writing end */
    close(ends[0]);
    /* One that could not be sent is not on its way, and one that is not received goes with the socket. */
    REQUIRE(pipe(ends) == 0);
    CHECK_ERRNO(send_fds(pair[0], (int[]){ends[1], 9999}, 2, 0), EBADF);
    CHECK_EQ(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    while (send(pair[0], "filling", 7, 0) > 0)
        ;
    CHECK_ERRNO(send_fds(pair[0], &ends[1], 1, 0), EAGAIN);
    close(pair[0]);
    close(pair[1]);
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    CHECK_EQ(send_fds(pair[0], &ends[1], 1, 0), 1);
    CHECK_EQ(close(ends[1]), 0);
    CHECK_EQ(close(pair[1]), 0);
    CHECK_EQ(read(ends[0], text, 8), 0);
    close(pair[0]);
    close(ends[0]);
    close(event);
}

static void timeouts_of_accepted(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval timeout = {0, 50000}, got = {9, 9};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    char byte;

    REQUIRE(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 2) == 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    CHECK_EQ(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)), 0);
    CHECK_EQ(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    int accepted = accept(listener, NULL, NULL);
    length = sizeof(got);
    CHECK_EQ(getsockopt(accepted, SOL_SOCKET, SO_RCVTIMEO, &got, &length), 0);
    CHECK(got.tv_sec == 0 && got.tv_usec > 0);
    CHECK_ERRNO(recv(accepted, &byte, 1, 0), EAGAIN);
    CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
    close(accepted);
    close(client);
    close(listener);
}

int main(int argc, char **argv)
{
    const struct section sections[] = {
        { "packet information", packet_information },
        { "time stamps", time_stamps },
        { "credentials", credentials },
        { "descriptors cut off", descriptors_cut_off },
        { "senders", senders },
        { "client names", client_names },
        { "broken stream", broken_stream },
        { "broken datagrams", broken_datagrams },
        { "broken packets", broken_packets },
        { "headers", headers },
        { "objects", objects },
        { "timeouts of accepted", timeouts_of_accepted },
    };
    return RUN_SECTIONS(sections, argc, argv);
}
