/* SPDX-License-Identifier: Apache-2.0
 *
 * The signal frame as Linux builds it on x86-64. From the stack pointer of the handler upwards: struct sigframe_image,
 * then, 64-byte aligned, the XSAVE image in standard format followed by a 4-byte end mark. Above it are the 128 bytes
 * of the interrupted function's red zone. */
#ifndef VIGIL_FRAME_H
#define VIGIL_FRAME_H

#include "libos/signal/signal.h"

#define FRAME_RED_ZONE 128

struct sigcontext_image {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2;
    uint64_t fpstate;
    uint64_t reserved[8];
};
_Static_assert(sizeof(struct sigcontext_image) == 256, "sigcontext");

struct ucontext_image {
    uint64_t flags, link;
    struct stack_image stack;
    struct sigcontext_image mcontext;
    uint64_t sigmask;
};
_Static_assert(sizeof(struct ucontext_image) == 304, "ucontext");

struct sigframe_image {
    uint64_t restorer;          /* the handler's return address */
    struct ucontext_image uc;
    struct siginfo_image info;  /* written only with SA_SIGINFO */
};
_Static_assert(sizeof(struct sigframe_image) == 440, "rt_sigframe");

/* In the XSAVE image's bytes that the processor leaves to software. */
#define FRAME_SW_OFFSET 464
struct frame_sw {
    uint32_t magic1, extended_size;
    uint64_t xfeatures;
    uint32_t xstate_size, padding[7];
};
_Static_assert(FRAME_SW_OFFSET + sizeof(struct frame_sw) == 512, "sw_reserved");

#endif
