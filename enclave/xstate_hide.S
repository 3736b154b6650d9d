/* SPDX-License-Identifier: Apache-2.0
 *
 * The application's vector state around an OCALL: saved and cleared before, put back after. XSAVE and two XRSTORs are most of
 * what an OCALL costs inside, whatever they move; plain moves of what XINUSE says is in use cost a third. Programs
 * rarely use the x87 (then XSAVE does it), and seldom leave the upper halves of the first sixteen registers in use: what is
 * not in use is not loaded either, so that it stays that way.
 * Runtime mode, CSSA=0; an AEX anywhere here is invisible. Called with the kernel stack, from ocall_raw only. */
#include "enclave/tcb.h"

#define IN_USE_X87   0x01
#define IN_USE_AVX   0x04
#define IN_USE_MASKS 0x20
#define IN_USE_HIGH  0x40   /* upper halves of ZMM0 to 15 */
#define IN_USE_16    0x80   /* ZMM16 to 31 */

/* In the thread block's XSAVE page, behind the header that XSAVE wants untouched. */
#define QUICK        (VIGIL_GS_XSAVE + 1024)
#define QUICK_MASKS  (QUICK + 2048)
#define QUICK_MXCSR  (QUICK + 2048 + 64)

.macro XFRM_MASK
    movl %gs:TCB_XFRM, %eax
    movl %gs:TCB_XFRM + 4, %edx
.endm

.section .text

/* Clobbers RAX, RCX, RDX. */
.globl xstate_hide
.type xstate_hide, @function
xstate_hide:
    cmpb $0, xstate_in_use_known(%rip)
    je .Lhide_slowly
    movl $1, %ecx
    xgetbv
    andl %gs:TCB_XFRM, %eax
    testl $IN_USE_X87, %eax
    jnz .Lhide_slowly
    rdgsbase %rcx
    movl %eax, %gs:TCB_XINUSE
    stmxcsr QUICK_MXCSR(%rcx)
    testl $IN_USE_HIGH, %eax
    jnz 1f
    testl $IN_USE_AVX, %eax
    jnz 2f
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps %xmm\r, QUICK + 64 * \r(%rcx)
    .endr
    jmp 3f
1:  .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqa64 %zmm\r, QUICK + 64 * \r(%rcx)
    .endr
    jmp 3f
2:  .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqa %ymm\r, QUICK + 64 * \r(%rcx)
    .endr
3:  vzeroall
    testl $IN_USE_16, %eax
    jz 4f
    .irp r, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    vmovdqa64 %zmm\r, QUICK + 64 * \r(%rcx)
    vpxord %zmm\r, %zmm\r, %zmm\r
    .endr
4:  testl $IN_USE_MASKS, %eax
    jz 5f
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7
    kmovq %k\r, QUICK_MASKS + 8 * \r(%rcx)
    kxorq %k\r, %k\r, %k\r
    .endr
5:  ldmxcsr mxcsr_initial(%rip)
    ret
.Lhide_slowly:
    movl $-1, %gs:TCB_XINUSE
    rdgsbase %rcx
    XFRM_MASK
    xsave64 VIGIL_GS_XSAVE(%rcx)
    xrstor64 xstate_initial(%rip)
    ret

/* The registers are the host's. Clobbers RAX, RCX, RDX. */
.globl xstate_show
.type xstate_show, @function
xstate_show:
    cmpl $-1, %gs:TCB_XINUSE
    je .Lshow_slowly
    movl $1, %ecx
    xgetbv
    testl $IN_USE_X87, %eax
    jnz .Lclear_x87
6:  rdgsbase %rcx
    movl %gs:TCB_XINUSE, %eax
    vzeroall
    testl $IN_USE_HIGH, %eax
    jnz 1f
    testl $IN_USE_AVX, %eax
    jnz 2f
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps QUICK + 64 * \r(%rcx), %xmm\r
    .endr
    jmp 3f
1:  .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqa64 QUICK + 64 * \r(%rcx), %zmm\r
    .endr
    jmp 3f
2:  .irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqa QUICK + 64 * \r(%rcx), %ymm\r
    .endr
3:  testl $IN_USE_16, %gs:TCB_XFRM
    jz 5f
    testl $IN_USE_16, %eax
    jnz 7f
    .irp r, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    vpxord %zmm\r, %zmm\r, %zmm\r
    .endr
    jmp 4f
7:  .irp r, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    vmovdqa64 QUICK + 64 * \r(%rcx), %zmm\r
    .endr
4:  testl $IN_USE_MASKS, %eax
    jnz 8f
    .irp r, 0, 1, 2, 3, 4, 5, 6, 7
    kxorq %k\r, %k\r, %k\r
    .endr
    jmp 5f
8:  .irp r, 0, 1, 2, 3, 4, 5, 6, 7
    kmovq QUICK_MASKS + 8 * \r(%rcx), %k\r
    .endr
5:  ldmxcsr QUICK_MXCSR(%rcx)
    ret
/* The host has used it: its state goes. */
.Lclear_x87:
    movl $IN_USE_X87, %eax
    xorl %edx, %edx
    xrstor64 xstate_initial(%rip)
    jmp 6b
.Lshow_slowly:
    rdgsbase %rcx
    XFRM_MASK
    xrstor64 VIGIL_GS_XSAVE(%rcx)
    ret

.section .rodata
.balign 4
mxcsr_initial:
    .long 0x1f80

.section .note.GNU-stack, "", @progbits
