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
 * Enters at CSSA=0 and comes back at the next EEXIT of this thread that asks for more than a system call: those are made
 * here (if host_direct), with no more between the enclave and the kernel than the registers' change. The enclave gives RSP
 * and RBP back as they were. Between enclave_left and the next EENTER FS and GS may be the enclave's: nothing here uses
 * TLS, a signal makes them the host's, and so does host_fast_bases before we return. */
#define FRAME_THREAD 8
#define FRAME_OUT    16
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
    pushq %rdi
    subq $8, %rsp
    movq %rsi, %rdi
enter:
    movq FRAME_THREAD(%rsp), %rdx
    movq HT_TCS(%rdx), %rbx
    leaq aep(%rip), %rcx
    movl $EENTER, %eax
    movq host_fast_eenter(%rip), %r9
    testq %r9, %r9
    jz enclave_eenter
    movq HT_FAST(%rdx), %r10
    leaq enclave_left(%rip), %r11
    call *%r9                          /* comes back only if it cannot */
.globl enclave_eenter
enclave_eenter:
    ENCLU
enclave_left:
    cld
    cmpb $0, host_direct(%rip)
    je enclave_asks
    testq %rdi, %rdi
    jz direct_syscall                  /* VIGIL_OCALL_SYSCALL */
    cmpq $VIGIL_OCALL_SYSCALL_INTR, %rdi
    je direct_syscall_intr
enclave_asks:
    movq FRAME_OUT(%rsp), %rax
    movq %rdi, 0(%rax)
    movq %rsi, 8(%rax)
    movq %rdx, 16(%rax)
    movq %r8, 24(%rax)
    movq %r9, 32(%rax)
    movq %r10, 40(%rax)
    movq %r11, 48(%rax)
    movq %r12, 56(%rax)
    movq FRAME_THREAD(%rsp), %rdi
    movq HT_FAST(%rdi), %rdi
    testq %rdi, %rdi
    jz 1f
    call *host_fast_bases(%rip)
1:  addq $24, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

/* The OCALL's arguments RSI RDX R8 R9 R10 R11 R12 become the kernel's RAX RDI RSI RDX R10 R8 R9. */
.macro ARGUMENTS_TO_KERNEL
    movq %rsi, %rax
    movq %rdx, %rdi
    movq %r8, %rsi
    movq %r9, %rdx
    movq %r11, %r8
    movq %r12, %r9
.endm
.if VIGIL_OCALL_SYSCALL
.error "direct_syscall"
.endif
direct_syscall:
    ARGUMENTS_TO_KERNEL
    syscall
    movq %rax, %rdi
    jmp enter
direct_syscall_intr:
    ARGUMENTS_TO_KERNEL
    movq FRAME_THREAD(%rsp), %rbx
    addq $HT_PENDING, %rbx
    call intr_check
    movq %rax, %rdi
    jmp enter

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
    call intr_check
    popq %r12
    popq %rbx
    ret

/* The system call in the registers; RBX = the mailbox. */
.globl intr_check, intr_end, intr_eintr
intr_check:
    cmpq $0, (%rbx)
    jne intr_eintr
    syscall
intr_end:
    ret
intr_eintr:
    movq $-EINTR, %rax
    jmp intr_end

.data
.balign 8
.globl host_fast_eenter, host_fast_bases, host_direct
host_fast_eenter:
    .quad 0
host_fast_bases:
    .quad host_bases_are
host_direct:
    .byte 1
.text
host_bases_are:
    ret

.section .note.GNU-stack, "", @progbits
