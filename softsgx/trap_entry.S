/* SPDX-License-Identifier: Apache-2.0
 *
 * Where every signal of the driver arrives. The kernel leaves FS and GS as they were: in enclave mode they are the
 * enclave's, and no C that knows TLS may run before they are the host's again. The state of the thread is found from
 * the stack pointer; a stack outside the arena belongs to a thread that was never registered, or has not been given its
 * alternate stack yet, and cannot be in enclave mode. */
#include "softsgx/trap.h"

.text

/* void sgx_trap_entry(int sig RDI, siginfo_t *info RSI, void *ucontext RDX) */
.globl sgx_trap_entry
.hidden sgx_trap_entry
.type sgx_trap_entry, @function
sgx_trap_entry:
    endbr64
    /* Alignment checks stay on when a handler starts; our code is not written for them. */
    testl $TRAP_FL_AC, TRAP_UC_EFLAGS(%rdx)
    jz 1f
    pushfq
    andl $~TRAP_FL_AC, (%rsp)
    popfq
1:  movq %rsp, %rax
    subq sgx_trap_arena(%rip), %rax
    cmpq $TRAP_ARENA_SIZE, %rax
    jae sgx_trap_unregistered

    pushq %rbx
    pushq %r12
    subq $8, %rsp
    movq %rdx, %r12
    movq %rsp, %rbx
    andq $-TRAP_SLOT_SIZE, %rbx
    rdfsbase %rax
    movq %rax, TRAP_FSBASE(%rbx)
    rdgsbase %rax
    movq %rax, TRAP_GSBASE(%rbx)
    cmpb $0, TRAP_HOST_BASES(%rbx)
    jne 2f
    movb $1, TRAP_HOST_BASES(%rbx)
    movq TRAP_SAVED_FSBASE(%rbx), %rax
    wrfsbase %rax
    movq TRAP_SAVED_GSBASE(%rbx), %rax
    wrgsbase %rax
2:  movq %rbx, %rcx
    call sgx_trap
    cmpb $0, TRAP_ENCLAVE_MODE(%rbx)
    je 3f
    movb $0, TRAP_HOST_BASES(%rbx)
    movq TRAP_FSBASE(%rbx), %rax
    wrfsbase %rax
    movq TRAP_GSBASE(%rbx), %rax
    wrgsbase %rax
    /* From here to rt_sigreturn: no TLS. rt_sigreturn takes NT and ID from the live RFLAGS, not from the frame. */
3:  pushfq
    movq TRAP_UC_EFLAGS(%r12), %rax
    xorq (%rsp), %rax
    andl $(TRAP_FL_NT | TRAP_FL_ID), %eax
    jz 4f
    xorq %rax, (%rsp)
    popfq
    jmp 5f
4:  addq $8, %rsp
5:  addq $8, %rsp
    popq %r12
    popq %rbx
    ret
.size sgx_trap_entry, . - sgx_trap_entry

/* Byte for byte what unwinders know as a signal trampoline. */
    nop
.globl sgx_trap_restorer
.hidden sgx_trap_restorer
.type sgx_trap_restorer, @function
sgx_trap_restorer:
    movq $15, %rax
    syscall
.size sgx_trap_restorer, . - sgx_trap_restorer

.bss
.balign 8
.globl sgx_trap_arena
.hidden sgx_trap_arena
sgx_trap_arena:
    .quad 0

.section .note.GNU-stack, "", @progbits
