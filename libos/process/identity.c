/* SPDX-License-Identifier: Apache-2.0
 *
 * Who the process is. It is alone: one process, its own group and session, one user who cannot become another. */
#include "libos/process/process.h"

#include <linux/capability.h>

#define PID_MAX (1u << 22)

/* With a manifest the identity is fixed, so that the host cannot choose it: loader.uid and loader.gid (0), process 1. Without one
 * (`vigil run -- PROGRAM`) the program sees the caller's. */
static bool from_host(void)
{
    return config()->flags & VIGIL_FLAG_NO_MANIFEST;
}

uint32_t process_uid(void)
{
    return from_host() ? start_info()->uid : config()->uid;
}

uint32_t process_gid(void)
{
    return from_host() ? start_info()->gid : config()->gid;
}

uint32_t process_pid(void)
{
    uint32_t untrusted_pid = start_info()->pid;

    return from_host() && untrusted_pid > 0 && untrusted_pid < PID_MAX ? untrusted_pid : 1;
}

bool process_has_thread(uint32_t tid)
{
    bool found = false;

    lock(&threads_lock);
    for (const struct thread *t = threads_first(); t && !found; t = t->next)
        found = t->tid == tid;
    unlock(&threads_lock);
    return found;
}

long sys_getpid(SYSCALL_ARGS)
{
    return process_pid();
}

/* The parent is outside: like the first process of a PID namespace. */
long sys_getppid(SYSCALL_ARGS)
{
    return 0;
}

/* 0 or the process itself. */
static bool is_self(long pid)
{
    return (int)pid == 0 || (uint32_t)pid == process_pid();
}

long sys_getpgrp(SYSCALL_ARGS)
{
    return process_pid();
}

long sys_getpgid(SYSCALL_ARGS)
{
    return is_self(a0) ? (long)process_pid() : -ESRCH;
}

long sys_getsid(SYSCALL_ARGS)
{
    return is_self(a0) ? (long)process_pid() : -ESRCH;
}

/* The process leads its session and group. */
long sys_setsid(SYSCALL_ARGS)
{
    return -EPERM;
}

long sys_setpgid(SYSCALL_ARGS)
{
    if ((int)a1 < 0)
        return -EINVAL;
    if (!is_self(a0))
        return -ESRCH;
    return -EPERM; /* a session leader stays in its group */
}

long sys_getuid(SYSCALL_ARGS)
{
    return process_uid();
}

long sys_geteuid(SYSCALL_ARGS)
{
    return process_uid();
}

long sys_getgid(SYSCALL_ARGS)
{
    return process_gid();
}

long sys_getegid(SYSCALL_ARGS)
{
    return process_gid();
}

static long three_ids(long r, long e, long s, uint32_t id)
{
    if (copy_to_user((void *)r, &id, sizeof(id)) || copy_to_user((void *)e, &id, sizeof(id)) ||
        copy_to_user((void *)s, &id, sizeof(id)))
        return -EFAULT;
    return 0;
}

long sys_getresuid(SYSCALL_ARGS)
{
    return three_ids(a0, a1, a2, process_uid());
}

long sys_getresgid(SYSCALL_ARGS)
{
    return three_ids(a0, a1, a2, process_gid());
}

/* Becoming who one is, or (-1) leaving it as it is. */
static bool keeps(long id, uint32_t now)
{
    return (uint32_t)id == now || (uint32_t)id == ~0u;
}

static long set_id(long id, uint32_t now)
{
    return (uint32_t)id == now ? 0 : (uint32_t)id == ~0u ? -EINVAL : -EPERM;
}

long sys_setuid(SYSCALL_ARGS)
{
    return set_id(a0, process_uid());
}

long sys_setgid(SYSCALL_ARGS)
{
    return set_id(a0, process_gid());
}

long sys_setreuid(SYSCALL_ARGS)
{
    return keeps(a0, process_uid()) && keeps(a1, process_uid()) ? 0 : -EPERM;
}

long sys_setregid(SYSCALL_ARGS)
{
    return keeps(a0, process_gid()) && keeps(a1, process_gid()) ? 0 : -EPERM;
}

long sys_setresuid(SYSCALL_ARGS)
{
    return keeps(a0, process_uid()) && keeps(a1, process_uid()) && keeps(a2, process_uid()) ? 0 : -EPERM;
}

long sys_setresgid(SYSCALL_ARGS)
{
    return keeps(a0, process_gid()) && keeps(a1, process_gid()) && keeps(a2, process_gid()) ? 0 : -EPERM;
}

/* These two return the previous id and never fail. */
long sys_setfsuid(SYSCALL_ARGS)
{
    return process_uid();
}

long sys_setfsgid(SYSCALL_ARGS)
{
    return process_gid();
}

long sys_getgroups(SYSCALL_ARGS)
{
    return (int)a0 < 0 ? -EINVAL : 0; /* no supplementary groups */
}

long sys_setgroups(SYSCALL_ARGS)
{
    return a0 == 0 ? 0 : -EPERM;
}

/* No capabilities, whatever the user id: nothing here would honour them. */
long sys_capget(SYSCALL_ARGS)
{
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2] = {{0}};
    size_t n = 2;

    if (copy_from_user(&header, (void *)a0, sizeof(header)))
        return -EFAULT;
    switch (header.version) {
    case _LINUX_CAPABILITY_VERSION_1:
        n = 1;
        break;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        break;
    default:
        header.version = _LINUX_CAPABILITY_VERSION_3;
        if (copy_to_user((void *)a0, &header, sizeof(header)))
            return -EFAULT;
        return a1 ? -EINVAL : 0;
    }
    if (header.pid < 0)
        return -EINVAL;
    if (header.pid && !process_has_thread((uint32_t)header.pid))
        return -ESRCH;
    return a1 ? copy_to_user((void *)a1, data, n * sizeof(data[0])) : 0;
}

long sys_capset(SYSCALL_ARGS)
{
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2] = {{0}};

    if (copy_from_user(&header, (void *)a0, sizeof(header)))
        return -EFAULT;
    if (header.version != _LINUX_CAPABILITY_VERSION_1 && header.version != _LINUX_CAPABILITY_VERSION_2 &&
        header.version != _LINUX_CAPABILITY_VERSION_3)
        return -EINVAL;
    size_t n = header.version == _LINUX_CAPABILITY_VERSION_1 ? 1 : 2;
    if (copy_from_user(data, (void *)a1, n * sizeof(data[0])))
        return -EFAULT;
    for (size_t i = 0; i < n; i++)
        if (data[i].effective || data[i].permitted)
            return -EPERM;
    return 0;
}
