/* SPDX-License-Identifier: Apache-2.0
 *
 * The signal frame on the application's stack, laid out as Linux does on x86-64, and the way back from it. */
#include "libos/signal/signal.h"

#define RED_ZONE 128
#define UC_FP_XSTATE 1ull
#define UC_SIGCONTEXT_SS 2ull
#define UC_STRICT_RESTORE_SS 4ull
#define USER_CS 0x33
#define USER_SS 0x2b
#define XSTATE_MAGIC1 0x46505853u
#define XSTATE_MAGIC2 0x46505845u
#define SW_RESERVED 464          /* in the legacy area */
#define FLAGS_FIXED 0x202ull
/* What a program may set: CF PF AF ZF SF DF OF NT AC ID; not TF (single steps are not its own in an enclave). */
#define FLAGS_USER 0x244cd5ull
#define FLAGS_CLEARED 0x10500ull /* DF TF RF, for handlers */

struct mcontext {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
};

struct user_stack { uint64_t sp; uint32_t flags, pad; uint64_t size; };

struct frame {
    uint64_t restorer;
    uint64_t uc_flags, uc_link;
    struct user_stack stack;
    struct mcontext mc;
    uint64_t sigmask;
    siginfo_t info;
};
_Static_assert(sizeof(struct mcontext) == 256, "sigcontext");
_Static_assert(offsetof(struct frame, info) == 312 && sizeof(struct frame) == 440, "rt_sigframe");

struct sw_bytes { uint32_t magic1, extended_size; uint64_t xfeatures; uint32_t xstate_size, padding[7]; };

bool signal_on_altstack(const struct signal_state *s, uint64_t rsp)
{
    return !(s->alt_flags & SS_DISABLE) && rsp > s->alt_sp && rsp - s->alt_sp <= s->alt_size;
}

static void fill_mcontext(struct mcontext *mc, const struct checkpoint *r, const struct signal_state *s, uint64_t fpstate)
{
    *mc = (struct mcontext){
        .r8 = r->r8, .r9 = r->r9, .r10 = r->r10, .r11 = r->r11, .r12 = r->r12, .r13 = r->r13, .r14 = r->r14,
        .r15 = r->r15, .rdi = r->rdi, .rsi = r->rsi, .rbp = r->rbp, .rbx = r->rbx, .rdx = r->rdx, .rax = r->rax,
        .rcx = r->rcx, .rsp = r->rsp, .rip = r->rip, .rflags = r->rflags,
        .cs = USER_CS, .ss = USER_SS,
        .err = s->error_code, .trapno = s->trapno, .cr2 = s->cr2, .fpstate = fpstate,
    };
    mc->oldmask = s->has_saved ? s->saved_blocked : s->blocked;
}

static int push_xstate(struct signal_state *s, uint64_t where)
{
    const uint32_t magic2 = XSTATE_MAGIC2;
    size_t size = xsave_area_size();

    xstate_save(s->xsave);
    *(struct sw_bytes *)((char *)s->xsave + SW_RESERVED) = (struct sw_bytes){
        .magic1 = XSTATE_MAGIC1, .extended_size = (uint32_t)size + sizeof(magic2), .xfeatures = enclave_xfrm(),
        .xstate_size = (uint32_t)size,
    };
    if (copy_to_user((void *)where, s->xsave, size) || copy_to_user((void *)(where + size), &magic2, sizeof(magic2)))
        return -EFAULT;
    return 0;
}

int signal_push_frame(struct checkpoint *regs, const siginfo_t *info, const struct kernel_sigaction *action)
{
    struct signal_state *s = current_thread()->signals;
    struct frame f;
    uint64_t sp = regs->rsp - RED_ZONE;
    bool nested = signal_on_altstack(s, regs->rsp);

    if ((action->flags & SA_ONSTACK) && !(s->alt_flags & SS_DISABLE) && !nested)
        sp = s->alt_sp + s->alt_size;
    uint64_t fpstate = (sp - (xsave_area_size() + 4)) & ~63ull;
    uint64_t at = ((fpstate - sizeof(f)) & ~15ull) - 8;
    if (nested && at < s->alt_sp)
        return -EFAULT;
    memset(&f, 0, sizeof(f));
    f.restorer = action->restorer;
    f.uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    f.stack = (struct user_stack){s->alt_sp, s->alt_flags | (nested ? SS_ONSTACK : 0), 0, s->alt_size};
    fill_mcontext(&f.mc, regs, s, fpstate);
    f.sigmask = f.mc.oldmask;
    f.info = *info;
    if (push_xstate(s, fpstate) || copy_to_user((void *)at, &f, sizeof(f)))
        return -EFAULT;
    if (s->alt_flags & SS_AUTODISARM) {
        s->alt_sp = s->alt_size = 0;
        s->alt_flags = SS_DISABLE;
    }
    xstate_init();
    regs->rsp = at;
    regs->rip = action->handler;
    regs->rax = 0;
    regs->rdi = (uint64_t)info->si_signo;
    regs->rsi = at + offsetof(struct frame, info);
    regs->rdx = at + offsetof(struct frame, uc_flags);
    regs->rflags &= ~FLAGS_CLEARED;
    return 0;
}

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

static void restore_registers(struct checkpoint *r, const struct mcontext *mc)
{
    r->r8 = mc->r8, r->r9 = mc->r9, r->r10 = mc->r10, r->r11 = mc->r11;
    r->r12 = mc->r12, r->r13 = mc->r13, r->r14 = mc->r14, r->r15 = mc->r15;
    r->rdi = mc->rdi, r->rsi = mc->rsi, r->rbp = mc->rbp, r->rbx = mc->rbx;
    r->rdx = mc->rdx, r->rax = mc->rax, r->rcx = mc->rcx, r->rsp = mc->rsp, r->rip = mc->rip;
    r->rflags = (mc->rflags & FLAGS_USER) | FLAGS_FIXED;
}

/* A frame without extended state (fpstate 0) means the initial state, as in Linux. */
static int restore_xstate(struct signal_state *s, uint64_t fpstate)
{
    struct sw_bytes sw;

    if (!fpstate) {
        xstate_init();
        return 0;
    }
    if (fpstate & 63)
        return -EFAULT;
    memset(s->xsave, 0, xsave_area_size());
    if (copy_from_user(s->xsave, (void *)fpstate, 512))
        return -EFAULT;
    memcpy(&sw, (char *)s->xsave + SW_RESERVED, sizeof(sw));
    if (sw.magic1 == XSTATE_MAGIC1 && sw.xstate_size == xsave_area_size()) {
        if (copy_from_user(s->xsave, (void *)fpstate, xsave_area_size()))
            return -EFAULT;
    } else {
        *(uint64_t *)((char *)s->xsave + SGX_XSAVE_HEADER) = SGX_XFRM_LEGACY;
    }
    return xstate_restore(s->xsave) ? 0 : -EFAULT;
}

long sys_rt_sigreturn(SYSCALL_ARGS)
{
    struct thread *t = current_thread();
    struct signal_state *s = t->signals;
    struct checkpoint *regs = current_regs();
    struct frame f;

    t->syscall_nr = -1;
    /* The handler's `ret` has taken the restorer's address off. */
    if (copy_from_user(&f, (void *)(regs->rsp - 8), sizeof(f)) || restore_xstate(s, f.mc.fpstate) ||
        !canonical(f.mc.rip)) {
        log_line(VIGIL_LOG_DEBUG, "[%u] bad signal frame at 0x%lx", t->tid, regs->rsp - 8);
        signal_force(SIGSEGV, SI_KERNEL, 0);
        return (long)regs->rax;
    }
    restore_registers(regs, &f.mc);
    signal_set_blocked(f.sigmask);
    s->alt_sp = f.stack.sp;
    s->alt_size = f.stack.size;
    s->alt_flags = f.stack.flags & (SS_DISABLE | SS_AUTODISARM);
    return (long)regs->rax;
}
