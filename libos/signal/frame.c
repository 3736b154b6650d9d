/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing the signal frame and, in rt_sigreturn, believing as much of it as Linux does. */
#include "libos/signal/frame.h"

#include <asm/sigcontext.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <asm/ucontext.h>

#define USER_CS 0x33
#define USER_SS 0x2b
#define FP_SSE 3ull

#define FLAG_TF (1u << 8)
#define FLAG_DF (1u << 10)
#define FLAG_RF (1u << 16)
/* CF PF AF ZF SF DF OF AC. Linux also restores TF; here single-stepping a return to the application would step the
 * runtime's own way there. */
#define FLAGS_RESTORED 0x40cd5u

/* ---- building ---------------------------------------------------------------------------------------------------- */
/* The XSAVE image with Linux's marks, in the thread's own buffer. Its size. */
static size_t save_xstate(struct signal_state *s)
{
    size_t size = xsave_area_size();
    uint64_t *xstate_bv = (uint64_t *)(s->xarea + SGX_XSAVE_HEADER);
    struct frame_sw *sw = (struct frame_sw *)(s->xarea + FRAME_SW_OFFSET);
    uint32_t magic2 = FP_XSTATE_MAGIC2;

    memset(s->xarea, 0, size);
    xstate_save(s->xarea);
    *xstate_bv |= FP_SSE;
    *sw = (struct frame_sw){
        .magic1 = FP_XSTATE_MAGIC1,
        .extended_size = (uint32_t)(size + sizeof(magic2)),
        .xfeatures = enclave_xfrm(),
        .xstate_size = (uint32_t)size,
    };
    memcpy(s->xarea + size, &magic2, sizeof(magic2));
    return size + sizeof(magic2);
}

static void fill_context(struct ucontext_image *uc, const struct checkpoint *r, const struct signal_state *s,
                         uint64_t mask, uint64_t fpstate)
{
    *uc = (struct ucontext_image){
        .flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
        .stack = s->altstack,
        .mcontext = {
            .r8 = r->r8, .r9 = r->r9, .r10 = r->r10, .r11 = r->r11, .r12 = r->r12, .r13 = r->r13, .r14 = r->r14,
            .r15 = r->r15, .rdi = r->rdi, .rsi = r->rsi, .rbp = r->rbp, .rbx = r->rbx, .rdx = r->rdx, .rax = r->rax,
            .rcx = r->rcx, .rsp = r->rsp, .rip = r->rip, .eflags = r->rflags, .cs = USER_CS, .ss = USER_SS,
            .err = s->error_code, .trapno = s->trapno, .oldmask = mask, .cr2 = s->cr2, .fpstate = fpstate,
        },
        .sigmask = mask,
    };
}

/* Where the frame goes, or 0: it would run off the alternate stack. */
static uint64_t place_frame(const struct checkpoint *regs, const struct action *action, const struct signal_state *s,
                            size_t xstate_size, uint64_t *fpstate)
{
    uint64_t sp = regs->rsp - FRAME_RED_ZONE;
    bool on_stack = on_altstack(s, regs->rsp);

    if ((action->flags & SA_ONSTACK) && s->altstack.size && !on_altstack(s, sp)) {
        sp = s->altstack.sp + s->altstack.size;
        on_stack = true;
    }
    sp = (sp - xstate_size) & ~63ull;
    *fpstate = sp;
    sp = ((sp - sizeof(struct sigframe_image)) & ~15ull) - 8;
    /* Autodisarm or not: the frame must be inside. */
    if (on_stack && !(sp > s->altstack.sp && sp - s->altstack.sp <= s->altstack.size))
        return 0;
    return sp;
}

int frame_push(struct checkpoint *regs, const struct action *action, const struct siginfo_image *info, uint64_t mask)
{
    struct signal_state *s = current_thread()->signals;
    struct sigframe_image frame;
    size_t xstate_size = save_xstate(s);
    uint64_t fpstate, sp = place_frame(regs, action, s, xstate_size, &fpstate);
    bool with_info = action->flags & SA_SIGINFO;

    if (!sp || !(action->flags & SA_RESTORER))
        return -EFAULT;
    fill_context(&frame.uc, regs, s, mask, fpstate);
    frame.restorer = action->restorer;
    frame.info = *info;
    if (copy_to_user((void *)fpstate, s->xarea, xstate_size) ||
        copy_to_user((void *)sp, &frame, with_info ? sizeof(frame) : offsetof(struct sigframe_image, info)))
        return -EFAULT;
    regs->rdi = (uint64_t)info->signo;
    regs->rsi = sp + offsetof(struct sigframe_image, info);
    regs->rdx = sp + offsetof(struct sigframe_image, uc);
    regs->rax = 0;
    regs->rsp = sp;
    regs->rip = action->handler;
    regs->rflags &= ~(uint64_t)(FLAG_DF | FLAG_RF | FLAG_TF);
    xstate_init();
    return 0;
}

/* ---- rt_sigreturn ------------------------------------------------------------------------------------------------ */
/* Is there more than the legacy part, and is it complete? 1, 0, or -EFAULT. */
static int has_extended(uint64_t fpstate, const struct frame_sw *sw)
{
    uint32_t magic2;

    if (sw->magic1 != FP_XSTATE_MAGIC1 || sw->xstate_size < SGX_XSAVE_MIN || sw->xstate_size > xsave_area_size() ||
        sw->xstate_size > sw->extended_size)
        return 0;
    if (copy_from_user(&magic2, (void *)(fpstate + sw->xstate_size), sizeof(magic2)))
        return -EFAULT;
    return magic2 == FP_XSTATE_MAGIC2;
}

/* The processor never reads the application's image: it is copied, then checked, then loaded. */
static bool restore_xstate(struct signal_state *s, uint64_t fpstate)
{
    struct frame_sw sw;
    uint64_t *xstate_bv = (uint64_t *)(s->xarea + SGX_XSAVE_HEADER);

    if (!fpstate) {
        xstate_init();
        return true;
    }
    memset(s->xarea, 0, xsave_area_size());
    if (copy_from_user(s->xarea, (void *)fpstate, SGX_XSAVE_HEADER))
        return false;
    memcpy(&sw, s->xarea + FRAME_SW_OFFSET, sizeof(sw));
    int extended = has_extended(fpstate, &sw);
    if (extended < 0)
        return false;
    if (extended) {
        if (copy_from_user(s->xarea + SGX_XSAVE_HEADER, (void *)(fpstate + SGX_XSAVE_HEADER),
                           sw.xstate_size - SGX_XSAVE_HEADER))
            return false;
        if (*xstate_bv & ~enclave_xfrm())
            return false;
        *xstate_bv &= sw.xfeatures;
    } else {
        *xstate_bv = FP_SSE;
    }
    return xstate_restore(s->xarea);
}

static void restore_registers(struct checkpoint *r, const struct sigcontext_image *c)
{
    r->r8 = c->r8, r->r9 = c->r9, r->r10 = c->r10, r->r11 = c->r11, r->r12 = c->r12, r->r13 = c->r13, r->r14 = c->r14,
    r->r15 = c->r15, r->rdi = c->rdi, r->rsi = c->rsi, r->rbp = c->rbp, r->rbx = c->rbx, r->rdx = c->rdx,
    r->rax = c->rax, r->rcx = c->rcx, r->rsp = c->rsp, r->rip = c->rip;
    r->rflags = (r->rflags & ~(uint64_t)(FLAGS_RESTORED | FLAG_TF)) | (c->eflags & FLAGS_RESTORED);
}

static void bad_frame(const struct checkpoint *regs, uint64_t sp)
{
    struct siginfo_image info;

    log_line(VIGIL_LOG_DEBUG, "rt_sigreturn: bad frame at 0x%lx, rip 0x%lx", (unsigned long)sp,
             (unsigned long)regs->rip);
    signal_init_image(&info, SIGSEGV, SI_KERNEL);
    signal_force(&info);
}

/* The result is the restored rax, whatever it looks like: nothing is restarted after this. */
long sys_rt_sigreturn(SYSCALL_ARGS)
{
    struct thread *thread = current_thread();
    struct checkpoint *regs = current_regs();
    struct ucontext_image uc;
    uint64_t sp = regs->rsp - sizeof(uint64_t);

    thread->syscall_nr = -1;
    thread->signals->restart_nr = -1;
    aex_stub_want();
    if (aex_sigreturn(regs, thread->signals, sp))
        return (long)regs->rax;
    if (copy_from_user(&uc, (void *)(sp + offsetof(struct sigframe_image, uc)), sizeof(uc))) {
        bad_frame(regs, sp);
        return (long)regs->rax;
    }
    signal_set_mask(uc.sigmask);
    restore_registers(regs, &uc.mcontext);
    if (restore_xstate(thread->signals, uc.mcontext.fpstate))
        (void)altstack_set(thread->signals, &uc.stack, regs->rsp);
    else
        bad_frame(regs, sp);
    return (long)regs->rax;
}
