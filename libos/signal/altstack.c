/* SPDX-License-Identifier: Apache-2.0
 *
 * The alternate signal stack. */
#include "libos/signal/signal.h"

#include <asm/signal.h>
#include <linux/signal.h>


bool on_altstack(const struct signal_state *state, uint64_t rsp)
{
    const struct stack_image *stack = &state->altstack;

    /* With autodisarm the stack is forgotten while a handler runs on it, so nobody is ever "on" it. */
    if ((uint32_t)stack->flags & SS_AUTODISARM)
        return false;
    return rsp > stack->sp && rsp - stack->sp <= stack->size;
}

void altstack_reset(struct signal_state *state)
{
    state->altstack = (struct stack_image){.flags = SS_DISABLE};
}

void altstack_handler_entered(struct signal_state *state)
{
    if ((uint32_t)state->altstack.flags & SS_AUTODISARM)
        altstack_reset(state);
}

int altstack_set(struct signal_state *state, const struct stack_image *stack, uint64_t rsp)
{
    uint32_t mode = (uint32_t)stack->flags & ~SS_AUTODISARM;

    if (on_altstack(state, rsp))
        return -EPERM;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
        return -EINVAL;
    if (mode == SS_DISABLE) {
        state->altstack = (struct stack_image){.flags = stack->flags};
        return 0;
    }
    if (stack->size < MINSIGSTKSZ)
        return -ENOMEM;
    state->altstack = (struct stack_image){.sp = stack->sp, .flags = stack->flags, .size = stack->size};
    return 0;
}

long sys_sigaltstack(SYSCALL_ARGS)
{
    struct signal_state *s = current_thread()->signals;
    struct stack_image new, old = s->altstack;
    uint64_t rsp = current_regs()->rsp;
    uint32_t mode = !old.size ? SS_DISABLE : on_altstack(s, rsp) ? SS_ONSTACK : 0;

    if (a0) {
        if (copy_from_user(&new, (void *)a0, sizeof(new)))
            return -EFAULT;
        int error = altstack_set(s, &new, rsp);
        if (error)
            return error;
    }
    old.flags = (int32_t)(mode | ((uint32_t)old.flags & SS_AUTODISARM));
    return a1 ? copy_to_user((void *)a1, &old, sizeof(old)) : 0;
}
