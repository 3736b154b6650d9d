/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads of the program: the list of them, clone, exit. */
#include "libos/libos.h"
#include "libos/thread/futex.h"

#include <linux/sched.h>

#define THREAD_FLAGS (CLONE_VM | CLONE_THREAD | CLONE_SIGHAND)
#define OWNER_DIED 0x40000000u
#define WAITERS 0x80000000u
#define TID_MASK 0x3fffffffu
#define MAX_ROBUST 2048

lock_t threads_lock;
static struct thread *list;
static uint32_t next_tid, count;
static int leader_code;

struct thread *threads_first(void)
{
    return list;
}

uint32_t threads_count(void)
{
    return __atomic_load_n(&count, __ATOMIC_SEQ_CST);
}

static void add(struct thread *t)
{
    lock(&threads_lock);
    t->next = list;
    list = t;
    count++;
    unlock(&threads_lock);
}

static void remove_from_list(struct thread *t)
{
    lock(&threads_lock);
    for (struct thread **at = &list; *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            count--;
            break;
        }
    }
    unlock(&threads_lock);
}

int threads_init(void)
{
    struct thread *t = kzalloc(sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->tid = process_pid();
    next_tid = t->tid + 1;
    t->slot = current_slot();
    t->regs = current_regs();
    t->syscall_nr = -1;
    set_current_thread(t);
    add(t);
    return 0;
}

static void release(struct thread *t)
{
    kfree(t);
}

struct request { uint64_t flags, stack, parent_tid, child_tid, tls; };

static long check(const struct request *r)
{
    if ((r->flags & THREAD_FLAGS) != THREAD_FLAGS) {
        log_line(VIGIL_LOG_WARNING, "the program wants a new process (fork, vfork or clone), which is not there yet: ENOSYS");
        return -ENOSYS;
    }
    if (!r->stack)
        return -EINVAL;
    return 0;
}

static long start(const struct request *r)
{
    struct checkpoint regs = *current_regs();
    struct thread *self = current_thread(), *child = kzalloc(sizeof(*child));

    if (!child)
        return -ENOMEM;
    child->tid = __atomic_fetch_add(&next_tid, 1, __ATOMIC_SEQ_CST);
    child->syscall_nr = -1;
    memcpy(child->name, self->name, sizeof(child->name));
    uint32_t tid = child->tid;
    long status = signals_thread_init(child, self);
    if (status) {
        release(child);
        return status;
    }
    if ((r->flags & CLONE_PARENT_SETTID && copy_to_user((void *)r->parent_tid, &tid, sizeof(tid))) ||
        (r->flags & CLONE_CHILD_SETTID && copy_to_user((void *)r->child_tid, &tid, sizeof(tid)))) {
        signals_thread_exit(child);
        release(child);
        return -EFAULT;
    }
    if (r->flags & CLONE_CHILD_CLEARTID)
        child->clear_child_tid = r->child_tid;
    regs.rax = 0;
    regs.rsp = r->stack;
    if (r->flags & CLONE_SETTLS)
        regs.fsbase = r->tls;
    /* In the list before it runs: it may end before thread_create returns. */
    add(child);
    status = thread_create(child, &regs, &child->slot);
    if (status) {
        remove_from_list(child);
        signals_thread_exit(child);
        release(child);
        if (status == -EAGAIN)
            log_line(VIGIL_LOG_WARNING, "no free TCS for a new thread: raise sgx.max_threads (now %u)",
                     config()->max_threads);
        return status;
    }
    return tid;
}

long sys_clone(SYSCALL_ARGS)
{
    struct request r = {.flags = (uint64_t)a0 & ~0xffull, .stack = (uint64_t)a1, .parent_tid = (uint64_t)a2,
                        .child_tid = (uint64_t)a3, .tls = (uint64_t)a4};
    long status = check(&r);
    return status ? status : start(&r);
}

long sys_clone3(SYSCALL_ARGS)
{
    struct clone_args args;
    size_t size = (size_t)a1;

    if (size < CLONE_ARGS_SIZE_VER0 || size > VIGIL_PAGE)
        return size < CLONE_ARGS_SIZE_VER0 ? -EINVAL : -E2BIG;
    memset(&args, 0, sizeof(args));
    if (copy_from_user(&args, (void *)a0, size < sizeof(args) ? size : sizeof(args)))
        return -EFAULT;
    if (args.set_tid_size || args.cgroup)
        return -EINVAL;
    struct request r = {.flags = args.flags, .stack = args.stack ? args.stack + args.stack_size : 0,
                        .parent_tid = args.parent_tid, .child_tid = args.child_tid, .tls = args.tls};
    long status = check(&r);
    return status ? status : start(&r);
}

static long no_process(const char *name)
{
    log_line(VIGIL_LOG_WARNING, "the program called %s: new processes are not there yet: ENOSYS", name);
    return -ENOSYS;
}

long sys_fork(SYSCALL_ARGS)
{
    return no_process("fork");
}

long sys_vfork(SYSCALL_ARGS)
{
    return no_process("vfork");
}

/* Marks one robust futex of a dead owner and wakes a waiter of it. */
static void owner_died(uint64_t address, uint32_t tid)
{
    uint32_t value;

    if ((address & 3) || user_load32((const uint32_t *)address, &value))
        return;
    while ((value & TID_MASK) == tid) {
        uint32_t seen = value;
        if (user_cmpxchg32((uint32_t *)address, &seen, (value & WAITERS) | OWNER_DIED))
            return;
        if (seen == value) {
            if (value & WAITERS)
                futex_wake(address, 1, FUTEX_ANY);
            return;
        }
        value = seen;
    }
}

static void walk_robust_list(const struct thread *t)
{
    struct { uint64_t next; int64_t offset; uint64_t pending; } head;

    if (!t->robust_list || copy_from_user(&head, (void *)t->robust_list, sizeof(head)))
        return;
    uint64_t entry = head.next;
    for (int i = 0; i < MAX_ROBUST && (entry & ~1ull) != t->robust_list; i++) {
        uint64_t next;
        if (copy_from_user(&next, (void *)(entry & ~1ull), sizeof(next)))
            return;
        if (entry != head.pending)
            owner_died((entry & ~1ull) + (uint64_t)head.offset, t->tid);
        entry = next;
    }
    if (head.pending)
        owner_died((head.pending & ~1ull) + (uint64_t)head.offset, t->tid);
}

/* The joiner may go on as soon as the word is 0; by then the thread has left the list and is sure to give its TCS back. */
static void clear_tid(uint64_t address)
{
    uint32_t value;

    if (!address || user_load32((const uint32_t *)address, &value))
        return;
    for (uint32_t seen = value; !user_cmpxchg32((uint32_t *)address, &seen, 0); value = seen)
        if (seen == value)
            break;
    futex_wake(address, 1, FUTEX_ANY);
}

long sys_exit(SYSCALL_ARGS)
{
    struct thread *t = current_thread();

    walk_robust_list(t);
    if (t->tid == process_pid())
        __atomic_store_n(&leader_code, (int)a0, __ATOMIC_SEQ_CST);
    if (threads_count() == 1)
        process_exit_code(t->tid == process_pid() ? (int)a0 : __atomic_load_n(&leader_code, __ATOMIC_SEQ_CST));
    uint64_t tid_word = t->clear_child_tid;
    thread_retire();
    remove_from_list(t);
    signals_thread_exit(t);
    if (!threads_count())
        process_exit_code(__atomic_load_n(&leader_code, __ATOMIC_SEQ_CST));
    clear_tid(tid_word);
    set_current_thread(NULL);
    release(t);
    thread_exit();
}

long sys_gettid(SYSCALL_ARGS)
{
    return current_thread()->tid;
}

long sys_set_tid_address(SYSCALL_ARGS)
{
    current_thread()->clear_child_tid = (uint64_t)a0;
    return current_thread()->tid;
}

long sys_set_robust_list(SYSCALL_ARGS)
{
    if (a1 != 24)
        return -EINVAL;
    current_thread()->robust_list = (uint64_t)a0;
    return 0;
}

long sys_get_robust_list(SYSCALL_ARGS)
{
    uint64_t size = 24, head = current_thread()->robust_list;

    if (a0 && (uint32_t)a0 != current_thread()->tid)
        return -ESRCH;
    if (copy_to_user((void *)a2, &size, sizeof(size)) || copy_to_user((void *)a1, &head, sizeof(head)))
        return -EFAULT;
    return 0;
}
