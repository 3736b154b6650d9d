/* SPDX-License-Identifier: Apache-2.0
 *
 * Lies about sockets. */
#include "tests/hostile/hostile.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* The length that the host says an address or a value has. */
static uint64_t lie_length(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    long nr = (long)c->exit->args[0];
    int which = nr == SYS_recvfrom ? 5 : nr == SYS_getsockopt ? 4 : 2;

    if (c->a[which])
        *(uint32_t *)c->a[which] = (uint32_t)hostile_now->value;
    return result;
}

static uint64_t lie_head(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    struct msghdr *m = (void *)c->a[1];

    switch (hostile_now->value) {
    case 0:
        m->msg_controllen = 1 << 20;
        break;
    case 1:
        m->msg_controllen = (size_t)-1;
        break;
    case 2:
        m->msg_flags = -1;
        break;
    case 3:
        m->msg_namelen = 60000;
        break;
    default:
        break;
    }
    return result;
}

static uint64_t lie_pointers(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    struct msghdr *m = (void *)c->a[1];

    m->msg_iov = (void *)0x10000;
    m->msg_control = (void *)0x20000;
    m->msg_name = (void *)0x30000;
    return result;
}

/* Descriptors in a message that are none. */
static uint64_t lie_rights(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    struct msghdr *m = (void *)c->a[1];
    struct cmsghdr *h = m->msg_control;

    if (!h || m->msg_controllen < sizeof(*h) + 4)
        return result;
    switch (hostile_now->value) {
    case 0:
        memset(CMSG_DATA(h), 0xff, 4);
        break;
    case 1:
        h->cmsg_len = 1;
        break;
    case 2:
        h->cmsg_len = 1 << 30;
        break;
    case 3:
        h->cmsg_len = (size_t)-8;
        break;
    case 4:
        *(int *)(void *)CMSG_DATA(h) = 700;
        break;
    default:
        h->cmsg_type = 99;
    }
    return result;
}

static uint64_t lie_pair(struct lie_call *c)
{
    uint64_t result = c->honest(c);
    ((int *)c->a[3])[hostile_now->value] = hostile_now->value ? -5 : 1 << 30;
    return result;
}

#define A(name, call, result, expected) {name, SYS_##call, lie_after_all, result, expected, 0, NULL}
#define L(name, call, lie, param, expected) {name, SYS_##call, lie, param, expected, 0, NULL}

const struct hostile_case hostile_sockets[] = {
    A("socket", socket, 1l << 40, "socket: EIO"), A("socket", socket, -134, "socket: EIO"),
    L("socketpair", socketpair, lie_pair, 1, "socketpair: EIO"), A("socketpair", socketpair, 3, "socketpair: EIO"),
    A("recvfrom", recvfrom, 101, "recvfrom: EIO"), A("recvfrom", recvfrom, -4096, "recvfrom: EIO"),
    A("recvfrom", recvmsg, 101, "recvfrom: EIO|="), A("recvfrom", recvfrom, INT64_MAX, "recvfrom: EIO"),
    L("recvfrom", recvfrom, lie_length, 60000, "recvfrom: EIO|="), L("recvfrom", recvfrom, lie_length, -1, "recvfrom: EIO|="),
    L("recvfrom", recvfrom, lie_for_ever, 0, "recvfrom: EIO|recvfrom: EINTR"),
    A("recvmsg", recvmsg, 101, "recvmsg: EIO"), A("recvmsg", recvmsg, -4096, "recvmsg: EIO"),
    L("recvmsg", recvmsg, lie_head, 0, "recvmsg: EIO"), L("recvmsg", recvmsg, lie_head, 1, "recvmsg: EIO"),
    L("recvmsg", recvmsg, lie_head, 2, "recvmsg: EIO|recvmsg: 10 *"), L("recvmsg", recvmsg, lie_head, 3, "=|recvmsg: EIO"),
    L("recvmsg", recvmsg, lie_pointers, 0, "="),
    A("sendto", sendto, 11, "sendto: EIO"), A("sendto", sendto, INT64_MIN, "sendto: EIO"),
    L("sendto", sendto, lie_for_ever, 0, "sendto: EIO|sendto: EINTR"),
    L("accept", accept4, lie_for_ever, 0, "accept: EIO"), A("accept", accept4, 1l << 33, "accept: EIO"), A("accept", accept4, -134, "accept: EIO"),
    L("accept", accept4, lie_length, 60000, "accept: EIO|="), L("accept", accept4, lie_length, -1, "accept: EIO|="),
    A("getsockname", getsockname, 1, "getsockname: EIO"), L("getsockname", getsockname, lie_length, 60000, "getsockname: EIO|="),
    L("getsockname", getsockname, lie_length, -1, "getsockname: EIO|="),
    L("getsockopt", getsockopt, lie_length, 60000, "getsockopt: EIO|="), L("getsockopt", getsockopt, lie_length, -1, "getsockopt: EIO|="),
    A("getsockopt", getsockopt, 9, "getsockopt: EIO|="),
    L("rights", recvmsg, lie_rights, 0, "rights: EIO|rights: 1 *"), L("rights", recvmsg, lie_rights, 1, "rights: EIO|rights: 1 *"),
    L("rights", recvmsg, lie_rights, 2, "rights: EIO|rights: 1 *"), L("rights", recvmsg, lie_rights, 3, "rights: EIO|rights: 1 *"),
    L("rights", recvmsg, lie_rights, 4, "rights: EIO|rights: 1 *"), L("rights", recvmsg, lie_rights, 5, "rights: EIO|rights: 1 *"),
    {0},
};
