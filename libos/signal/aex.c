/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's handlers of interruptions (include/vigil/aex.h). They run on a signal frame like signal handlers; the
 * frame's sender is the processor.
 *
 * Who is called when must not depend on whether the AEX hit the application or the restartable resume: the host sees a
 * handler run, and would learn whether the application has executed an instruction. So every interruption outside
 * handlers calls them. In handlers none does; that a handler runs is no secret.
 *
 * A handler is over when it returns, when the program says so (VIGIL_AEX_OP_LEAVE), or when a signal is unblocked again
 * that was blocked for it, which is what siglongjmp() does. The last is looked at when it matters, not when it happens:
 * a mask that is put back before the next interruption (ppoll(), raise()) is none of our business. */
#include "libos/signal/frame.h"

#include <asm/signal.h>

#define SYNCHRONOUS \
    (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGFPE) | SIG_BIT(SIGSYS))
#define BLOCKED_IN_HANDLERS (~(SYNCHRONOUS | UNBLOCKABLE))
#define FLAG_DF (1u << 10)
#define FLAG_TF (1u << 8)

_Static_assert(sizeof(struct vigil_aex_info) <= sizeof(struct siginfo_image), "lies where siginfo does");
_Static_assert(sizeof(struct vigil_aex_counters) == VIGIL_AEX_COUNTERS_SIZE_1, "append only");

static uint64_t interruptions(const struct aex_counts *counts)
{
    return counts->notifications - counts->exceptions;
}

/* This thread's own counters: the thread block's, less what was there when the thread started. */
static void count(struct aex_state *a, struct aex_counts *counts)
{
    aex_counters(counts, NULL);
    if (!a->started) {
        a->base = *counts;
        a->started = true;
    }
    counts->notifications -= a->base.notifications;
    counts->exceptions -= a->base.exceptions;
    counts->coalesced -= a->base.coalesced;
    counts->near_zero -= a->base.near_zero;
    counts->delivered -= a->base.delivered;
    counts->stub_runs -= a->base.stub_runs;
}

static bool handler_running(struct signal_state *s)
{
    struct aex_state *a = &s->aex;

    a->active = a->active && (s->mask & BLOCKED_IN_HANDLERS) == BLOCKED_IN_HANDLERS;
    return a->active;
}

/* The newest handler that is older than id. */
static const struct aex_entry *next_entry(const struct aex_state *a, uint64_t id)
{
    for (uint32_t i = a->count; i > 0; i--)
        if (a->entries[i - 1].id < id)
            return &a->entries[i - 1];
    return NULL;
}

/* ---- calling ----------------------------------------------------------------------------------------------------- */
/* The frame is at regs->rsp. What handlers see is written for each of them anew: it is theirs to scribble on. */
static void enter_handler(struct checkpoint *regs, struct aex_state *a, const struct aex_entry *entry)
{
    uint64_t info = regs->rsp + offsetof(struct sigframe_image, info);

    a->info.context = (void *)(regs->rsp + offsetof(struct sigframe_image, uc));
    a->id = entry->id;
    /* The frame could be written a moment ago. If another thread has unmapped it since, the handler faults. */
    (void)copy_to_user((void *)info, &a->info, sizeof(a->info));
    (void)copy_to_user((void *)regs->rsp, &entry->restorer, sizeof(entry->restorer));
    regs->rip = entry->handler;
    regs->rdi = info;
    regs->rsi = entry->arg;
    regs->rdx = 0;
    regs->rax = 0;
}

static void call_handlers(struct checkpoint *regs, struct signal_state *s, const struct aex_counts *counts)
{
    struct aex_state *a = &s->aex;
    const struct aex_entry *entry = next_entry(a, UINT64_MAX);
    struct action action = {
        .handler = entry->handler, .flags = SA_SIGINFO | SA_RESTORER | SA_ONSTACK, .restorer = entry->restorer};
    struct siginfo_image no_info = {0};
    uint64_t rip = regs->rip, total = interruptions(counts);

    if (frame_push(regs, &action, &no_info, s->mask)) {
        a->missed++;
        return;
    }
    uint64_t since = total - a->reported, coalesced = counts->coalesced - a->reported_coalesced;
    a->reported = total;
    a->reported_coalesced = counts->coalesced;
    a->info = (struct vigil_aex_info){
        .size = sizeof(a->info),
        .rip = rip,
        .interruptions = since,
        .coalesced = coalesced < since ? coalesced : since, /* an exception can be a restart as well */
        .total = total,
        .calls = ++a->calls,
    };
    a->frame = regs->rsp;
    a->active = true;
    enter_handler(regs, a, entry);
    signal_set_mask(s->mask | BLOCKED_IN_HANDLERS);
    altstack_handler_entered(s);
}

void aex_return(struct checkpoint *regs, struct signal_state *s, bool from_syscall)
{
    struct aex_state *a = &s->aex;
    struct aex_counts counts;

    if (a->started && !a->count)
        return;
    count(a, &counts);
    uint64_t total = interruptions(&counts);
    bool interrupted = total != a->seen;
    a->seen = total;
    /* What the LibOS was not called for came while nobody wanted to know, or was reported to no handler yet. */
    if (!interrupted || from_syscall || !a->count || handler_running(s))
        return;
    call_handlers(regs, s, &counts);
}

bool aex_sigreturn(struct checkpoint *regs, struct signal_state *s, uint64_t sp)
{
    struct aex_state *a = &s->aex;

    if (!handler_running(s) || sp != a->frame)
        return false;
    const struct aex_entry *entry = next_entry(a, a->id);
    if (!entry) {
        a->active = false;
        return false;
    }
    regs->rsp = sp;
    regs->rflags &= ~(uint64_t)(FLAG_DF | FLAG_TF);
    xstate_init();
    enter_handler(regs, a, entry);
    return true;
}

/* Where the handler's frame was: the handler is gone. */
void aex_frame_pushed(struct signal_state *s, uint64_t sp)
{
    if (s->aex.active && s->aex.frame == sp)
        s->aex.active = false;
}

/* ---- the system call --------------------------------------------------------------------------------------------- */
static long find(const struct aex_state *a, uint64_t handler, uint64_t arg)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (a->entries[i].handler == handler && a->entries[i].arg == arg)
            return i;
    return -ENOENT;
}

static long register_handler(struct aex_state *a, uint64_t handler, uint64_t arg, uint64_t restorer)
{
    struct aex_counts counts;

    if (!handler || !restorer || !user_range_ok((void *)handler, 1) || !user_range_ok((void *)restorer, 1))
        return -EINVAL;
    if (!aex_notify_on())
        return -EOPNOTSUPP;
    if (find(a, handler, arg) >= 0)
        return -EEXIST;
    if (a->count == VIGIL_AEX_HANDLERS_MAX)
        return -ENOSPC;
    if (!a->count) {
        count(a, &counts);
        a->seen = a->reported = interruptions(&counts);
        a->reported_coalesced = counts.coalesced;
        aex_upcall_want(true);
    }
    a->entries[a->count++] =
        (struct aex_entry){.handler = handler, .arg = arg, .restorer = restorer, .id = ++a->last_id};
    return 0;
}

static long unregister_handler(struct aex_state *a, uint64_t handler, uint64_t arg)
{
    long i = find(a, handler, arg);

    if (i < 0)
        return i;
    a->count--;
    memmove(&a->entries[i], &a->entries[i + 1], (a->count - (size_t)i) * sizeof(a->entries[0]));
    if (!a->count)
        aex_upcall_want(false);
    return 0;
}

static struct vigil_aex_counts public_counts(const struct aex_counts *c)
{
    return (struct vigil_aex_counts){
        .notifications = c->notifications, .exceptions = c->exceptions, .coalesced = c->coalesced,
        .near_zero = c->near_zero, .delivered = c->delivered, .stub_runs = c->stub_runs};
}

static long give_counters(struct aex_state *a, uint64_t user)
{
    struct vigil_aex_counters out = {
        .size = sizeof(out), .handlers = a->count, .calls = a->calls, .missed = a->missed};
    struct aex_counts thread, process;
    uint32_t size;

    if (copy_from_user(&size, (void *)user, sizeof(size)))
        return -EFAULT;
    if (size < VIGIL_AEX_COUNTERS_SIZE_1)
        return -EINVAL;
    count(a, &thread);
    aex_counters(NULL, &process);
    out.thread = public_counts(&thread);
    out.process = public_counts(&process);
    return copy_to_user((void *)user, &out, sizeof(out));
}

static long leave_handler(struct signal_state *s)
{
    if (!handler_running(s))
        return -EINVAL;
    s->aex.active = false;
    return 0;
}

long sys_vigil_aex(SYSCALL_ARGS)
{
    struct signal_state *s = current_thread()->signals;

    switch (a0) {
    case VIGIL_AEX_OP_ARMED:
        return aex_notify_on();
    case VIGIL_AEX_OP_COUNTERS:
        return give_counters(&s->aex, (uint64_t)a1);
    case VIGIL_AEX_OP_REGISTER:
        return register_handler(&s->aex, (uint64_t)a1, (uint64_t)a2, (uint64_t)a3);
    case VIGIL_AEX_OP_UNREGISTER:
        return unregister_handler(&s->aex, (uint64_t)a1, (uint64_t)a2);
    case VIGIL_AEX_OP_LEAVE:
        return leave_handler(s);
    default:
        return -EINVAL;
    }
}
