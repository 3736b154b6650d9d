/* SPDX-License-Identifier: Apache-2.0
 *
 * The host's side of the enclave border: EENTER, the AEP, and system calls that an event can cut short.
 * Everything here runs in regular context with the host's FS. Signal handlers (signal.c) know the labels. */
#include "host/internal.h"
#include "vigil/abi.h"

#define ENCLU .byte 0x0f, 0x01, 0xd7
#define EENTER 2
#define ERESUME 3
#define EINTR 4

.text

/* void enclave_enter(thread RDI, argument RSI, struct host_exit *RDX)
 * Enters at CSSA=0 and comes back at the next EEXIT of this thread. The enclave gives RSP and RBP back as they were. */
.globl enclave_enter
.type enclave_enter, @function
enclave_enter:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdx
    movq HT_TCS(%rdi), %rbx
    movq %rsi, %rdi
    leaq aep(%rip), %rcx
    movl $EENTER, %eax
    movq host_fast_eenter(%rip), %r10
    testq %r10, %r10
    jz enclave_eenter
    leaq enclave_left(%rip), %r11
    call *%r10                         /* comes back only if it cannot */
.globl enclave_eenter
enclave_eenter:
    ENCLU
enclave_left:
    cld
    popq %rax
    movq %rdi, 0(%rax)
    movq %rsi, 8(%rax)
    movq %rdx, 16(%rax)
    movq %r8, 24(%rax)
    movq %r9, 32(%rax)
    movq %r10, 40(%rax)
    movq %r11, 48(%rax)
    movq %r12, 56(%rax)
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

/* The AEP. RAX=3, RBX=TCS, RCX=AEP; RSP and RBP are those of enclave_enter's EENTER. Uses no stack, owns nothing: with
 * AEX-Notify stage 1 may never come back here.
 * A fault (claim) or an event in the mailbox is brought to stage 1 by EENTER; otherwise ERESUME, which morphs by itself
 * if the enclave wants to be notified. [aep_check, aep_check_end) and [aep_resume, aep_resume_end) are restartable: a
 * signal handler that records an event there sends us back to aep_check, so no event is left behind by the ERESUME. */
.globl aep, aep_check, aep_check_end
aep:
aep_check:
    movq %fs:host_current@tpoff, %rdx
    movq HT_TCS(%rdx), %rbx
    leaq aep(%rip), %rcx
    movl HT_CLAIM(%rdx), %edi
    testl %edi, %edi
    jnz aep_event
    cmpq $0, HT_PENDING(%rdx)
    jne aep_event
    movl $ERESUME, %eax
    ENCLU
aep_check_end:
    ud2

/* EENTER at CSSA=1. If the AEX hit stage 1 itself, CSSA is NSSA and the EENTER faults; signal.c sees aep_eenter and goes
 * on at aep_resume, the event stays in the mailbox. */
aep_event:
    movl $0, HT_CLAIM(%rdx)
    movl $EENTER, %eax
.globl aep_eenter
aep_eenter:
    ENCLU
    cmpl $VIGIL_EXIT_STAGE1, %edi
    je aep_resume
    ud2
.globl aep_resume, aep_resume_end
aep_resume:
    movq %fs:host_current@tpoff, %rdx
    movq HT_TCS(%rdx), %rbx
    leaq aep(%rip), %rcx
    movl $ERESUME, %eax
    ENCLU
aep_resume_end:
    ud2

/* long host_syscall_intr(const uint64_t *pending RDI, long nr RSI, const uint64_t args[6] RDX)
 * -EINTR at once if the mailbox is not empty. An event that arrives anywhere in [intr_check, intr_end), the kernel's
 * restart of the call included, ends it with -EINTR too (signal.c). */
.globl host_syscall_intr
.type host_syscall_intr, @function
host_syscall_intr:
    pushq %rbx
    pushq %r12
    movq %rdi, %rbx
    movq %rsi, %rax
    movq %rdx, %r12
    movq 0(%r12), %rdi
    movq 8(%r12), %rsi
    movq 16(%r12), %rdx
    movq 24(%r12), %r10
    movq 32(%r12), %r8
    movq 40(%r12), %r9
.globl intr_check, intr_end, intr_eintr
intr_check:
    cmpq $0, (%rbx)
    jne intr_eintr
    syscall
intr_end:
    popq %r12
    popq %rbx
    ret
intr_eintr:
    movq $-EINTR, %rax
    jmp intr_end

/* The backend's own EENTER, with softsgx_fast_eenter's protocol. NULL: ENCLU it is. */
.bss
.balign 8
.globl host_fast_eenter
host_fast_eenter:
    .quad 0

.section .note.GNU-stack, "", @progbits
