/* SPDX-License-Identifier: Apache-2.0
 *
 * setsockopt and getsockopt: bytes in, bytes out, for the levels whose options hold no pointers; the few that do are refused. */
#include "libos/net/net.h"
#include "libos/process/process.h"

#include <linux/in.h>

#include <asm/socket.h>

#define SOL_TCP 6
#define SOL_UDP 17
#define SOL_IPV6 41
#define OPTION_SIZE 1024
#define NETFILTER_FIRST 64          /* options of iptables at the levels of IP and IPv6: tables with pointers */
#define NETFILTER_LAST_IP 100
#define NETFILTER_LAST_IPV6 65
#define TCP_ZEROCOPY_RECEIVE 35
#define ERRNO_LIMIT 133
#define SECONDS_MAX 1000000000ll

static long check_option(int level, int option)
{
    bool refused;

    switch (level) {
    case SOL_SOCKET:
        refused = option == SO_ATTACH_FILTER || option == SO_ATTACH_REUSEPORT_CBPF || option == SO_ATTACH_BPF ||
                  option == SO_ATTACH_REUSEPORT_EBPF || option == SO_ZEROCOPY;
        break;
    case IPPROTO_IP:
        refused = option >= NETFILTER_FIRST && option <= NETFILTER_LAST_IP;
        break;
    case SOL_IPV6:
        refused = option >= NETFILTER_FIRST && option <= NETFILTER_LAST_IPV6;
        break;
    case SOL_TCP:
        refused = option == TCP_ZEROCOPY_RECEIVE;
        break;
    case SOL_UDP:
        refused = false;
        break;
    default:
        refused = true;
    }
    if (refused)
        log_line(VIGIL_LOG_DEBUG, "socket option %d of level %d is not supported: ENOPROTOOPT", option, level);
    return refused ? -ENOPROTOOPT : 0;
}

/* The host's calls are cut short and begun again: how long they may take in all is kept here. */
static void note_timeout(struct socket *s, int option, const char *value, int length)
{
    int64_t time[2];
    bool receives = option == SO_RCVTIMEO_OLD || option == SO_RCVTIMEO_NEW;

    if (!s || length < (int)sizeof(time) || (!receives && option != SO_SNDTIMEO_OLD && option != SO_SNDTIMEO_NEW))
        return;
    memcpy(time, value, sizeof(time)); /* Linux has accepted it: microseconds are in range, and the rest is bounded here */
    int64_t seconds = time[0] < 0 ? 0 : time[0] > SECONDS_MAX ? SECONDS_MAX : time[0];
    int64_t ns = seconds * 1000000000 + (time[1] < 0 || time[1] >= 1000000 ? 0 : time[1] * 1000);
    __atomic_store_n(receives ? &s->receive_timeout : &s->send_timeout, ns, __ATOMIC_RELAXED);
}

static long set_option(struct file *file, int level, int option, uint64_t user, int length)
{
    char value[OPTION_SIZE] = {0};
    long status = check_option(level, option);

    if (status)
        return status;
    if (length < 0 || length > OPTION_SIZE)
        return -EINVAL;
    if (length && copy_from_user(value, (void *)user, (size_t)length))
        return -EFAULT;
    void *untrusted_value = host_put(value, length ? (size_t)length : 1);
    if (!untrusted_value)
        return -ENOMEM;
    status = net_call(__NR_setsockopt, 0, file->host_fd, level, option, (long)untrusted_value, length, 0);
    if (!status && level == SOL_SOCKET)
        note_timeout(socket_of(file), option, value, length);
    return status;
}

long sys_setsockopt(SYSCALL_ARGS)
{
    long status;
    struct file *file = socket_from_fd((int)a0, &status);

    if (!file)
        return status;
    status = set_option(file, (int)a1, (int)a2, (uint64_t)a3, (int)a4);
    file_put(file);
    return status;
}

/* What is known inside, and who is who. */
static void correct(const struct file *file, int option, char *value, uint32_t length)
{
    const struct socket *s = socket_of(file);
    int known = -1, got;

    if (length != sizeof(int)) {
        if (option == SO_PEERCRED && length == 3 * sizeof(int)) {
            memcpy(&got, value, sizeof(got));
            int self = (int)process_pid();
            if (got == (int)host_call(__NR_getpid, NET_INT_LIMIT, 0, 0, 0, 0, 0))
                memcpy(value, &self, sizeof(self));
        }
        return;
    }
    if (s && option == SO_TYPE)
        known = s->type;
    if (s && option == SO_DOMAIN)
        known = s->family;
    if (option == SO_ERROR) {
        memcpy(&got, value, sizeof(got));
        known = got < 0 || got > ERRNO_LIMIT ? EIO : got;
    }
    if (known >= 0)
        memcpy(value, &known, sizeof(known));
}

static long get_option(struct file *file, int level, int option, uint64_t user, uint64_t user_length)
{
    struct { uint32_t length, padding[3]; char value[OPTION_SIZE]; } data;
    long status = check_option(level, option);

    if (status)
        return status;
    if (copy_from_user(&data.length, (void *)user_length, sizeof(data.length)))
        return -EFAULT;
    if ((int)data.length < 0)
        return -EINVAL;
    if (data.length > OPTION_SIZE)
        data.length = OPTION_SIZE;
    uint32_t room = data.length;
    memset(data.value, 0, sizeof(data.value));
    if (room && copy_from_user(data.value, (void *)user, room)) /* some read what is there */
        return -EFAULT;
    char *untrusted = host_put(&data, sizeof(data));
    if (!untrusted)
        return -ENOMEM;
    status = net_call(__NR_getsockopt, 0, file->host_fd, level, option, (long)untrusted + (long)offsetof(__typeof__(data), value),
                      (long)untrusted, 0);
    if (status)
        return status;
    untrusted_read(&data, untrusted, sizeof(data));
    if (data.length > room)
        return host_result(__NR_getsockopt, (long)data.length, 0);
    if (level == SOL_SOCKET)
        correct(file, option, data.value, data.length);
    if (data.length && copy_to_user((void *)user, data.value, data.length))
        return -EFAULT;
    return copy_to_user((void *)user_length, &data.length, sizeof(data.length));
}

long sys_getsockopt(SYSCALL_ARGS)
{
    long status;
    struct file *file = socket_from_fd((int)a0, &status);

    if (!file)
        return status;
    status = get_option(file, (int)a1, (int)a2, (uint64_t)a3, (uint64_t)a4);
    file_put(file);
    return status;
}
