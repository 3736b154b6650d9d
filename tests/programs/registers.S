/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions that load every register from registers_in, do one thing, and store every register to registers_out:
 * general-purpose registers (RSP stays), flags, x87/MMX, and SSE, AVX or AVX-512 by registers_level (0, 1, 2).
 * Offsets are those of struct registers in registers.h. */

#define RFLAGS 128
#define OPMASK 136
#define FX     256
#define VECTOR 768

    .bss
    .globl registers_in, registers_out, registers_level, registers_spin
    .balign 64
registers_in:
    .zero 2816
registers_out:
    .zero 2816
registers_level:
    .zero 8
registers_spin:
    .zero 8

    .text

load_vectors:
    fxrstor64 registers_in + FX(%rip)
    cmpl $1, registers_level(%rip)
    jb 9f
    ja 1f
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovdqu registers_in + VECTOR + \n * 64(%rip), %ymm\n
    .endr
    jmp 9f
1:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vmovdqu64 registers_in + VECTOR + \n * 64(%rip), %zmm\n
    .endr
    .irp n, 0,1,2,3,4,5,6,7
    kmovq registers_in + OPMASK + \n * 8(%rip), %k\n
    .endr
9:
    ret

store_vectors:
    fxsave64 registers_out + FX(%rip)
    cmpl $1, registers_level(%rip)
    jb 9f
    ja 1f
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovdqu %ymm\n, registers_out + VECTOR + \n * 64(%rip)
    .endr
    vzeroall
    jmp 9f
1:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vmovdqu64 %zmm\n, registers_out + VECTOR + \n * 64(%rip)
    .endr
    .irp n, 0,1,2,3,4,5,6,7
    kmovq %k\n, registers_out + OPMASK + \n * 8(%rip)
    .endr
    vzeroall
9:
    fninit
    push $0x1f80
    ldmxcsr (%rsp)
    pop %rax
    ret

    .macro GPRS_LOAD names:vararg
    .set offset, 0
    .irp r, \names
    .ifnc \r, rsp
    mov registers_in + offset(%rip), %\r
    .endif
    .set offset, offset + 8
    .endr
    .endm

    .macro GPRS_STORE names:vararg
    .set offset, 0
    .irp r, \names
    mov %\r, registers_out + offset(%rip)
    .set offset, offset + 8
    .endr
    .endm

    .macro FUNCTION name, middle
    .globl \name
    .type \name, @function
    .balign 64
\name:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    sub $8, %rsp
    call load_vectors
    push registers_in + RFLAGS(%rip)
    popfq
    GPRS_LOAD rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
    \middle
    GPRS_STORE rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
    pushfq
    pop registers_out + RFLAGS(%rip)
    cld
    call store_vectors
    add $8, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
    .endm

    /* A system call whose number the compiler could not see. */
    FUNCTION registers_syscall, "syscall"

    /* The form that compilers and C libraries make: the number is an immediate right before. */
    FUNCTION registers_getppid, "mov $110, %eax; syscall"

    /* The same, but jumped into behind the mov, with the number of another call (getuid) in EAX. */
    FUNCTION registers_jump_behind_mov, "jmp 2f; 1: mov $110, %eax; 2: syscall"

    /* A system call at a page's end, its two bytes on two pages. */
    .balign 4096
    FUNCTION registers_syscall_across_pages, "jmp 3f; .balign 4096; .fill 4095, 1, 0x90; 3: syscall"

    FUNCTION registers_ud2, ".globl registers_ud2_at; registers_ud2_at: ud2"

    FUNCTION registers_spin_here, "1: decq registers_spin(%rip); jnz 1b"

    .section .note.GNU-stack, "", @progbits
