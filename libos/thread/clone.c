/* SPDX-License-Identifier: Apache-2.0
 *
 * Making threads. There is one process: anything that would make another one is not implemented. */
#include "libos/thread/thread.h"

#include <linux/mman.h>
#include <linux/sched.h>

#define THREAD_FLAGS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define NAMESPACES \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
     CLONE_NEWTIME)
/* Flags that are fine for a thread. Files and directories are shared whether asked for or not. */
#define KNOWN \
    (THREAD_FLAGS | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | \
     CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | CLONE_DETACHED | CLONE_UNTRACED | CLONE_PTRACE | CLONE_IO | \
     CLONE_PARENT)

#define CLONE_ARGS_VER0 64

struct request {
    uint64_t flags, stack, parent_tid, child_tid, tls;
};

static long no_processes(const char *what)
{
    static bool told;

    if (!__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
        log_line(VIGIL_LOG_WARNING, "%s: the program wants a new process, only threads are supported: ENOSYS", what);
    return -ENOSYS;
}

/* What Linux says about the combination; 1: a thread that can be made. */
static long check_flags(uint64_t flags)
{
    if (flags & NAMESPACES)
        return -EPERM;
    if (((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND)) || ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM)))
        return -EINVAL;
    if ((flags & CLONE_THREAD) && (flags & CLONE_PIDFD))
        return -EINVAL;
    if ((flags & THREAD_FLAGS) != THREAD_FLAGS)
        return no_processes("clone");
    if (flags & ~(uint64_t)KNOWN) {
        log_line(VIGIL_LOG_DEBUG, "clone: flags 0x%lx are not supported: EINVAL", flags & ~(uint64_t)KNOWN);
        return -EINVAL;
    }
    return 1;
}

static struct thread *make_thread(const struct request *request)
{
    struct thread *parent = current_thread(), *child = kzalloc(sizeof(*child));

    if (!child)
        return NULL;
    child->syscall_nr = -1;
    if (request->flags & CLONE_CHILD_CLEARTID)
        child->clear_child_tid = request->child_tid;
    memcpy(child->name, parent->name, sizeof(child->name));
    if (signals_thread_init(child, parent)) {
        kfree(child);
        return NULL;
    }
    return child;
}

/* As in Linux, an address that cannot be written is the program's problem. */
static void store_tid(uint64_t address, uint32_t tid)
{
    if (address)
        (void)copy_to_user((void *)address, &tid, sizeof(tid));
}

static void explain_limit(void)
{
    if (edmm_on())
        log_line(VIGIL_LOG_WARNING, "no enclave memory (EPC), or no room, for another thread: there are %u", thread_slots());
    else
        log_line(VIGIL_LOG_WARNING, "no room for another thread: the enclave has %u (sgx.max_threads); raise it, or use "
                 "sgx.edmm_enable", config()->max_threads);
}

/* Dynamic memory: if there is none left, the creator hears of it (EAGAIN) and not the new thread (SIGBUS). */
static int first_stack_pages(uint64_t rsp)
{
    uint64_t low = (rsp & ~(uint64_t)(VIGIL_PAGE - 1)) - VIGIL_PAGE;

    return edmm_on() && libos_populate(low, rsp - low, PROT_READ | PROT_WRITE) == -ENOMEM ? -EAGAIN : 0;
}

static long make(const struct request *request)
{
    struct checkpoint regs = *current_regs();
    struct thread *child = make_thread(request);

    if (!child)
        return -ENOMEM;
    regs.rax = 0;
    if (request->stack)
        regs.rsp = request->stack;
    if (request->flags & CLONE_SETTLS)
        regs.fsbase = request->tls;
    lock(&threads_lock);
    uint32_t tid = child->tid = thread_new_tid();
    thread_link(child);
    unlock(&threads_lock);
    if (request->flags & CLONE_PARENT_SETTID)
        store_tid(request->parent_tid, tid);
    if (request->flags & CLONE_CHILD_SETTID)
        store_tid(request->child_tid, tid);
    int error = first_stack_pages(regs.rsp);
    if (!error)
        error = thread_create(child, &regs, &child->slot);
    if (!error)
        return tid; /* the child may be gone already */
    if (error == -EAGAIN)
        explain_limit();
    lock(&threads_lock);
    thread_unlink(child);
    unlock(&threads_lock);
    signals_thread_exit(child);
    kfree(child);
    return error;
}

long sys_clone(SYSCALL_ARGS)
{
    struct request request = {
        .flags = (uint32_t)a0 & ~(uint32_t)CSIGNAL, .stack = (uint64_t)a1, .parent_tid = (uint64_t)a2,
        .child_tid = (uint64_t)a3, .tls = (uint64_t)a4};
    long status = check_flags(request.flags);

    return status == 1 ? make(&request) : status;
}

/* Copies what the program knows of clone_args; what it knows and we do not must be zero. */
static long args_from_user(struct clone_args *args, uint64_t user, uint64_t size)
{
    uint8_t byte;

    memset(args, 0, sizeof(*args));
    if (size > VIGIL_PAGE)
        return -E2BIG;
    if (size < CLONE_ARGS_VER0)
        return -EINVAL;
    for (uint64_t i = sizeof(*args); i < size; i++) {
        if (copy_from_user(&byte, (void *)(user + i), 1))
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    return copy_from_user(args, (void *)user, size < sizeof(*args) ? size : sizeof(*args));
}

long sys_clone3(SYSCALL_ARGS)
{
    struct clone_args args;
    long error = args_from_user(&args, (uint64_t)a0, (uint64_t)a1);

    if (error)
        return error;
    if ((args.flags & ((CSIGNAL & ~CLONE_NEWTIME) | CLONE_DETACHED)) || args.flags >> 34 || args.exit_signal > 64 ||
        !args.stack != !args.stack_size || ((args.flags & CLONE_THREAD) && args.exit_signal))
        return -EINVAL;
    if (args.set_tid || args.set_tid_size)
        return -EPERM; /* choosing a tid needs a capability */
    if (args.flags & (CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP))
        return args.flags & CLONE_SIGHAND ? -EINVAL : no_processes("clone3");
    struct request request = {
        .flags = args.flags, .stack = args.stack ? args.stack + args.stack_size : 0, .parent_tid = args.parent_tid,
        .child_tid = args.child_tid, .tls = args.tls};
    long status = check_flags(request.flags);
    return status == 1 ? make(&request) : status;
}

long sys_fork(SYSCALL_ARGS)
{
    return no_processes("fork");
}

long sys_vfork(SYSCALL_ARGS)
{
    return no_processes("vfork");
}
