/* SPDX-License-Identifier: Apache-2.0
 *
 * Exit, FS base, names, random numbers, and the small switches of prctl and personality. */
#include "libos/process/process.h"

#include <asm/prctl.h>
#include <linux/personality.h>
#include <linux/prctl.h>
#include <linux/random.h>
#include <linux/utsname.h>

#define USER_ADDRESS_END 0x7ffffffff000ull
#define RANDOM_CHUNK 256
#define RANDOM_MAX 0x7ffff000ull
#define TIMER_SLACK_NS 50000

/* What the program is told about the kernel. The release is one that static C libraries accept (glibc wants 3.2) and
 * old enough that nobody takes calls newer than Linux 5.10 for granted; a call that is missing says ENOSYS. */
static lock_t names_lock; /* guards the names of the machine, which the program may change for itself */
static struct new_utsname system_name = {
    .sysname = "Linux",
    .nodename = "localhost",
    .release = "5.10.0",
    .version = "#1 SMP Vigil",
    .machine = "x86_64",
    .domainname = "(none)",
};

const struct new_utsname *process_system_name(void)
{
    return &system_name;
}

long sys_exit_group(SYSCALL_ARGS)
{
    process_exit_code((int)a0);
}

long sys_uname(SYSCALL_ARGS)
{
    struct new_utsname copy;

    lock(&names_lock);
    copy = system_name;
    unlock(&names_lock);
    return copy_to_user((void *)a0, &copy, sizeof(copy));
}

static long set_system_name(char *name, long user, long length)
{
    char copy[__NEW_UTS_LEN + 1] = {0};

    if (process_uid())
        return -EPERM;
    if (length < 0 || length > __NEW_UTS_LEN)
        return -EINVAL;
    if (copy_from_user(copy, (void *)user, (size_t)length))
        return -EFAULT;
    lock(&names_lock);
    memcpy(name, copy, sizeof(copy));
    unlock(&names_lock);
    return 0;
}

/* Inside only: the host keeps its name. */
long sys_sethostname(SYSCALL_ARGS)
{
    return set_system_name(system_name.nodename, a0, (int)a1);
}

long sys_setdomainname(SYSCALL_ARGS)
{
    return set_system_name(system_name.domainname, a0, (int)a1);
}

/* GS is the runtime's. A program that wants it must hear so instead of losing its data. */
long sys_arch_prctl(SYSCALL_ARGS)
{
    struct checkpoint *regs = current_regs();
    uint64_t address = (uint64_t)a1;

    switch ((int)a0) {
    case ARCH_SET_FS:
        if (address >= USER_ADDRESS_END)
            return -EPERM;
        regs->fsbase = address;
        return 0;
    case ARCH_GET_FS:
        return copy_to_user((void *)a1, &regs->fsbase, sizeof(regs->fsbase));
    case ARCH_SET_GS:
    case ARCH_GET_GS:
        log_line(VIGIL_LOG_DEBUG, "arch_prctl: GS belongs to the enclave's runtime: EPERM");
        return -EPERM;
    default:
        return -EINVAL;
    }
}

long sys_getrandom(SYSCALL_ARGS)
{
    unsigned char chunk[RANDOM_CHUNK];
    uint64_t n = (uint64_t)a1 < RANDOM_MAX ? (uint64_t)a1 : RANDOM_MAX, done = 0;
    unsigned flags = (unsigned)a2;
    long result = 0;

    if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    while (done < n && !result) {
        size_t now = n - done < sizeof(chunk) ? n - done : sizeof(chunk);
        result = random_bytes(chunk, now);
        if (!result)
            result = copy_to_user((char *)a0 + done, chunk, now);
        if (!result)
            done += now;
        if (done % (1u << 20) == 0 && done < n && signals_pending())
            break;
    }
    memset(chunk, 0, sizeof(chunk));
    __asm__ volatile("" ::"r"(chunk) : "memory"); /* the bytes are the program's secret: really clear them */
    return done ? (long)done : result;
}

/* ---- prctl ------------------------------------------------------------------------------------------------------- */
static struct {
    int dumpable, death_signal, no_new_privs, child_subreaper;
    unsigned long timer_slack;
} switches = {.dumpable = 1, .timer_slack = TIMER_SLACK_NS};

static long put_int(long user, int value)
{
    return copy_to_user((void *)user, &value, sizeof(value));
}

static long set_name(uint64_t user)
{
    char name[16] = {0};
    long n = strncpy_from_user(name, (void *)user, sizeof(name));

    if (n == -EFAULT)
        return n;
    name[sizeof(name) - 1] = 0; /* longer names are cut */
    memcpy(current_thread()->name, name, sizeof(name));
    return 0;
}

long sys_prctl(SYSCALL_ARGS)
{
    switch ((int)a0) {
    case PR_SET_NAME:
        return set_name((uint64_t)a1);
    case PR_GET_NAME:
        return copy_to_user((void *)a1, current_thread()->name, sizeof(current_thread()->name));
    case PR_GET_DUMPABLE:
        return switches.dumpable;
    case PR_SET_DUMPABLE:
        if (a1 != 0 && a1 != 1)
            return -EINVAL;
        switches.dumpable = (int)a1;
        return 0;
    case PR_GET_PDEATHSIG:
        return put_int(a1, switches.death_signal);
    case PR_SET_PDEATHSIG: /* remembered; the parent is outside, so it is never sent */
        if (a1 < 0 || a1 > 64)
            return -EINVAL;
        switches.death_signal = (int)a1;
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return a1 || a2 || a3 || a4 ? -EINVAL : switches.no_new_privs;
    case PR_SET_NO_NEW_PRIVS:
        if (a1 != 1 || a2 || a3 || a4)
            return -EINVAL;
        switches.no_new_privs = 1;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put_int(a1, switches.child_subreaper);
    case PR_SET_CHILD_SUBREAPER:
        switches.child_subreaper = a1 != 0;
        return 0;
    case PR_GET_TIMERSLACK:
        return (long)switches.timer_slack;
    case PR_SET_TIMERSLACK:
        switches.timer_slack = a1 > 0 ? (unsigned long)a1 : TIMER_SLACK_NS;
        return 0;
    case PR_GET_SECCOMP:
    case PR_GET_KEEPCAPS:
        return 0;
    case PR_CAPBSET_READ:
        return (unsigned long)a1 <= 40 ? 0 : -EINVAL;
    default:
        log_line(VIGIL_LOG_DEBUG, "prctl: option %d is not supported: EINVAL", (int)a0);
        return -EINVAL;
    }
}

/* Flags that change nothing here are remembered; other personalities are not Linux. */
long sys_personality(SYSCALL_ARGS)
{
    static uint32_t now = PER_LINUX;
    uint32_t before = now;

    if ((uint32_t)a0 == 0xffffffff)
        return before;
    if ((uint32_t)a0 & ~(uint32_t)ADDR_NO_RANDOMIZE)
        return -EINVAL;
    now = (uint32_t)a0;
    return before;
}
