/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel's signal handler. A signal leaves FS and GS bases as they were: the enclave's, if it interrupted one. They
 * are switched here, before any C (which may use TLS or a stack protector) and after it.
 * RDI = signal, RSI = siginfo, RDX = ucontext. All signals are blocked until sigreturn, so nothing nests. */
#include "softsgx/trap.h"

.text
.globl trap_entry
.type trap_entry, @function
trap_entry:
    pushq %rbx
    /* On an alternate stack of ours? Any other stack belongs to a thread that never was in an enclave. */
    movq %rsp, %rbx
    movq %rbx, %rax
    subq trap_arena(%rip), %rax
    cmpq trap_arena_size(%rip), %rax
    jae 3f
    andq $-TRAP_SLOT_SIZE, %rbx
    cmpq $0, SLOT_IN_ENCLAVE(%rbx)
    je 1f
    rdfsbase %rax
    movq %rax, SLOT_FSBASE(%rbx)
    rdgsbase %rax
    movq %rax, SLOT_GSBASE(%rbx)
    movq SLOT_HOST_FSBASE(%rbx), %rax
    wrfsbase %rax
    movq SLOT_HOST_GSBASE(%rbx), %rax
    wrgsbase %rax
1:  movq %rbx, %rcx
    call trap_handle
    cmpq $0, SLOT_IN_ENCLAVE(%rbx)
    je 2f
    /* From here to the kernel nothing may touch TLS: the return goes to the restorer, which is a bare system call. */
    movq SLOT_FSBASE(%rbx), %rax
    wrfsbase %rax
    movq SLOT_GSBASE(%rbx), %rax
    wrgsbase %rax
2:  popq %rbx
    ret
3:  xorl %ecx, %ecx
    call trap_handle
    popq %rbx
    ret

.section .note.GNU-stack, "", @progbits
