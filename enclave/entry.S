/* SPDX-License-Identifier: Apache-2.0
 *
 * Every way into and out of the enclave, and every change between application mode and runtime mode.
 *
 *   ARMED is SSA[0].GPRSGX.AEXNOTIFY. It is 1 exactly while the thread is in application mode, in AEX-Notify mode and
 *   in legacy mode alike (where the processor does not look at it). It is written in these places and nowhere else:
 *     resume_begin    0 -> 1   the one way into application mode
 *     resume_events   1 -> 0   the mailbox was not empty: back to runtime mode before the application ran
 *     syscall_gate    1 -> 0   a system call without a trap
 *     stage1() in C   1 -> 0   after an AEX (CSSA=1, so no AEX can see SSA[0] half-way)
 *
 *   EENTER, CSSA=0 ---> enclave_entry --+--> first_entry ---> runtime_boot -----------+
 *                                       +--> thread_entry --> runtime_thread_start ---+--> resume_ready
 *                                       +--> ocall_return --> (the C code that made the OCALL)
 *   EENTER or morphed ERESUME, CSSA=1 --+--> stage1_entry --> stage1()
 *                                               | EEXIT    legacy, or runtime mode: --> AEP --> ERESUME
 *                                               | RESUME   XRSTOR, EDECCSSA -----------------> resume_ready
 *                                               | DELIVER  XRSTOR, EDECCSSA, runtime_stage2 -> resume_ready
 *   application, `syscall` #UD ---> AEX, stage 1 DELIVER
 *   application, jmp syscall_gate ---> runtime_gate_syscall ---> resume_ready
 *   resume_ready ---> mitigation_prepare (after an AEX) ---> resume_begin ---> stub ---> application
 *
 * An AEX in runtime mode (ARMED 0) is invisible: ERESUME restores it. An AEX with CSSA=1 saves into SSA[1], whose
 * AEXNOTIFY is always 0: equally invisible. Only resume_begin .. resume_end runs with ARMED 1 outside the application;
 * an AEX there comes back to stage 1, which finds RIP in the region, keeps the checkpoint and starts the region again. */

#include "enclave/tcb.h"
#include "vigil/abi.h"

/* The NOP gives a software processor room for something faster. */
#define ENCLU .byte 0x0f, 0x01, 0xd7, 0x66, 0x90
#define LEAF_EEXIT 4
#define LEAF_EDECCSSA 9
/* TF DF NT AC ID: what of the application's flags the runtime must not run with. */
#define FLAGS_NOT_OURS 0x244500

.section .text.entry, "ax"

/* Sets RSP to a stack top given relative to GS, and RFLAGS to a known state (AC, DF and the rest clear).
 * Clobbers \tmp. An AEX anywhere in it is in runtime mode or at CSSA=1: invisible. */
.macro TAKE_STACK top, tmp
    rdgsbase \tmp
    leaq \top(\tmp), %rsp
    pushq $2
    popfq
.endm

/* Loads the features of XFRM into EDX:EAX for XSAVE/XRSTOR. */
.macro XFRM_MASK
    movl %gs:TCB_XFRM, %eax
    movl %gs:TCB_XFRM + 4, %edx
.endm

/* ---- enclave_entry ------------------------------------------------------------------------------------------------
 * Live: RAX = CSSA, RBX = TCS, RCX = where the host wants us to EEXIT to, RDI = argument; GS = TCB (from the TCS).
 * RSP and RBP are the host's. Nothing but RAX and GS is trusted. FS is don't-care (checkpoint.fsbase is the truth).
 * RFLAGS are the host's: DF and AC are not relied on until TAKE_STACK. */
.globl enclave_entry
.type enclave_entry, @function
enclave_entry:
    cmpq $1, %rax
    je stage1_entry
    ja enclave_refuse
    cmpq $ENTRY_OCALL, %gs:TCB_ENTRY_STATE
    je ocall_return
    movl $ENTRY_START, %eax            /* or ENTRY_FREE again: thread_create() has taken it back */
    movl $ENTRY_RUNNING, %edx
    lock cmpxchgq %rdx, %gs:TCB_ENTRY_STATE
    je thread_entry
    xorl %eax, %eax
    cmpq $ENTRY_FREE, %gs:TCB_ENTRY_STATE
    jne enclave_refuse

/* The first entry of the enclave's life; whoever comes second is refused.
 * boot_state is 0 once. RAX is 0 here. AEX: runtime mode, invisible. */
first_entry:
    movl $1, %edx
    lock cmpxchgl %edx, boot_state(%rip)
    jne enclave_refuse
    movq %rsp, %gs:TCB_HOST_RSP
    movq %rbp, %gs:TCB_HOST_RBP
    movq %rcx, %gs:TCB_HOST_RETURN
    movq $ENTRY_RUNNING, %gs:TCB_ENTRY_STATE
    incq %gs:TCB_STAT_EENTER
    TAKE_STACK VIGIL_GS_KSTACK_TOP, %rax
    xorl %ebp, %ebp
    call runtime_boot
    /* The application starts with clean vector state. */
    XFRM_MASK
    xrstor64 xstate_initial(%rip)
.globl program_loaded
program_loaded:
    nop                                /* a place for a breakpoint: the program is in memory and has not run */
    jmp resume_ready

/* A thread that thread_create() prepared, RUNNING from here on. RDI = its struct vigil_shared. */
thread_entry:
    movq %rsp, %gs:TCB_HOST_RSP
    movq %rbp, %gs:TCB_HOST_RBP
    movq %rcx, %gs:TCB_HOST_RETURN
    incq %gs:TCB_STAT_EENTER
    TAKE_STACK VIGIL_GS_KSTACK_TOP, %rax
    xorl %ebp, %ebp
    call runtime_thread_start
    /* Vector state: the creator's, as clone() wants (rounding modes are inherited). */
    rdgsbase %rcx
    XFRM_MASK
    xrstor64 VIGIL_GS_XSAVE(%rcx)
    jmp resume_ready

/* A host that enters where nothing is to be entered gets an EEXIT, nothing more. No stack is used. */
enclave_refuse:
    movq %rcx, %rbx
    movl $VIGIL_OCALL_FAIL, %edi
    movl $1, %esi
    jmp clear_and_exit

/* ---- ocall_raw(op, args[7]) -----------------------------------------------------------------------------------------
 * C function, runtime mode, CSSA=0. Leaves the enclave and returns RDI of the EENTER that comes back.
 * Secrets: the vector state is saved in the thread block and cleared, every register is set. */
.globl ocall_raw
.type ocall_raw, @function
ocall_raw:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsi, %rbp
    call xstate_hide
    movq 0(%rbp), %rsi
    movq 8(%rbp), %rdx
    movq 16(%rbp), %r8
    movq 24(%rbp), %r9
    movq 32(%rbp), %r10
    movq 40(%rbp), %r11
    movq 48(%rbp), %r12
    incq %gs:TCB_STAT_EEXIT
    movq %rsp, %gs:TCB_OCALL_RSP
    movq $ENTRY_OCALL, %gs:TCB_ENTRY_STATE
    movq %gs:TCB_HOST_RSP, %rsp
    movq %gs:TCB_HOST_RBP, %rbp
    movq %gs:TCB_HOST_RETURN, %rbx
    jmp ocall_exit_clear

/* Live: RDI RSI = what the host gets, RBX = target, RSP RBP = the host's. */
clear_and_exit:
    xorl %edx, %edx
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    xorl %r11d, %r11d
    xorl %r12d, %r12d
ocall_exit_clear:
    xorl %r13d, %r13d
    xorl %r14d, %r14d
    xorl %r15d, %r15d
    movl $LEAF_EEXIT, %eax
    cmpl %eax, %eax
    ENCLU
    ud2

/* EENTER brought the result of the OCALL in RDI. */
ocall_return:
    movq %rsp, %gs:TCB_HOST_RSP
    movq %rbp, %gs:TCB_HOST_RBP
    movq %rcx, %gs:TCB_HOST_RETURN
    movq $ENTRY_RUNNING, %gs:TCB_ENTRY_STATE
    movq %gs:TCB_OCALL_RSP, %rsp
    pushq $2
    popfq
    incq %gs:TCB_STAT_EENTER
    call xstate_show
    movq %rdi, %rax
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

/* ---- thread_leave() -------------------------------------------------------------------------------------------------
 * The thread is over; its TCS becomes free. Everything that is needed from the TCB is read before entry_state says so,
 * because from then on thread_create() may prepare the next thread in it; no stack is used after that. */
.globl thread_leave
thread_leave:
    XFRM_MASK
    xrstor64 xstate_initial(%rip)
    movl $VIGIL_OCALL_THREAD_EXIT, %edi
    xorl %esi, %esi
    incq %gs:TCB_STAT_EEXIT
    movq %gs:TCB_HOST_RSP, %r8
    movq %gs:TCB_HOST_RBP, %rbp
    movq %gs:TCB_HOST_RETURN, %rbx
    lock decl threads_inside(%rip)
    movq $ENTRY_FREE, %gs:TCB_ENTRY_STATE
    movq %r8, %rsp
    jmp clear_and_exit

/* ---- stage1_entry -----------------------------------------------------------------------------------------------------
 * CSSA=1, reached by EENTER from the AEP or by an ERESUME that morphed. Registers are the host's; SSA[0] holds the
 * interrupted context and nothing can change it but us. Runs on its own stack, from the top each time: nothing nests.
 * AEX here: SSA[1], invisible. The host's RSP, RBP and RCX are kept in callee-saved registers for a possible EEXIT. */
stage1_entry:
    movq %rsp, %r12
    movq %rbp, %r13
    movq %rcx, %r14
    TAKE_STACK VIGIL_GS_S1STACK_TOP, %rax
    xorl %ebp, %ebp
    call stage1
    testl %eax, %eax
    jnz stage1_done
    /* STAGE1_EEXIT: the vector registers are the host's, but for those of roll_back. */
    pxor %xmm0, %xmm0
    pxor %xmm1, %xmm1
    pxor %xmm2, %xmm2
    pxor %xmm3, %xmm3
    movq %r12, %rsp
    movq %r13, %rbp
    movq %r14, %rbx
    movl $VIGIL_EXIT_STAGE1, %edi
    xorl %esi, %esi
    jmp clear_and_exit

/* STAGE1_RESUME or STAGE1_DELIVER in EAX; ARMED is 0. The application's vector state becomes live here and stays so: no
 * code from here to the application may touch it (checked in the build). EDECCSSA restores nothing: RSP is ours already,
 * and from its completion on an AEX saves into SSA[0], in runtime mode: invisible. */
stage1_done:
    movl %eax, %r15d
    rdgsbase %rcx
    XFRM_MASK
    xrstor64 VIGIL_GS_SSA0(%rcx)
    leaq VIGIL_GS_KSTACK_TOP(%rcx), %rsp
    incq %gs:TCB_STAT_EDECCSSA
    movl $LEAF_EDECCSSA, %eax
    ENCLU
    cmpl $STAGE1_ACTION_RESUME, %r15d
    je resume_ready
    xorl %ebp, %ebp
    call runtime_stage2
    jmp resume_ready

/* Legacy mode: stage 1 pointed SSA[0] here (RSP = kernel stack top, RFLAGS known) and ERESUME brought us, CSSA=0. */
.globl stage2_legacy_entry
stage2_legacy_entry:
    xorl %ebp, %ebp
    call runtime_stage2
    jmp resume_ready

/* A fault of the runtime itself: stage 1 pointed SSA[0] here. Reports and stops. */
.globl runtime_fault_entry
runtime_fault_entry:
    xorl %ebp, %ebp
    call runtime_fault
    ud2

/* ---- syscall_gate -------------------------------------------------------------------------------------------------------
 * A system call without a trap. From the application by `jmp`: RAX = number, arguments as for `syscall`, RCX = where to
 * return to, which must be just behind a `syscall` instruction: an interrupted call is restarted by stepping back to it.
 * Nothing is pushed on the application's stack: its red zone may be in use.
 * AEX before the first instruction has executed: application mode at an ordinary address, resumed there.
 * AEX after it: runtime mode. No register is needed to disarm, so no context is ever half saved in application mode. */
.globl syscall_gate
syscall_gate:
    movb $0, %gs:VIGIL_GS_ARMED
    movq %rax, %gs:TCB_CKPT + 0
    movq %rcx, %gs:TCB_CKPT + 8
    movq %rdx, %gs:TCB_CKPT + 16
    movq %rbx, %gs:TCB_CKPT + 24
    movq %rsp, %gs:TCB_CKPT + 32
    movq %rbp, %gs:TCB_CKPT + 40
    movq %rsi, %gs:TCB_CKPT + 48
    movq %rdi, %gs:TCB_CKPT + 56
    movq %r8, %gs:TCB_CKPT + 64
    movq %r9, %gs:TCB_CKPT + 72
    movq %r10, %gs:TCB_CKPT + 80
    movq %r12, %gs:TCB_CKPT + 96
    movq %r13, %gs:TCB_CKPT + 104
    movq %r14, %gs:TCB_CKPT + 112
    movq %r15, %gs:TCB_CKPT + 120
    movq %rcx, %gs:TCB_CKPT_RIP
    rdgsbase %r11
    leaq VIGIL_GS_KSTACK_TOP(%r11), %rsp
    pushfq
    popq %r11
    movq %r11, %gs:TCB_CKPT_RFLAGS
    movq %r11, %gs:TCB_CKPT + 88
    testl $FLAGS_NOT_OURS, %r11d
    jz 1f
    pushq $2
    popfq
1:  rdfsbase %rax
    movq %rax, %gs:TCB_CKPT_FSBASE
    xorl %ebp, %ebp
    call runtime_gate_syscall
    jmp resume_ready

/* ---- the restartable resume ------------------------------------------------------------------------------------------------
 * The one way into application mode. Input: the checkpoint, the plan if stub_due, and live vector registers that are the
 * application's. Entered at resume_ready in runtime mode, CSSA=0, ARMED 0. Every general register and RFLAGS may be
 * clobbered until they are restored. RSP is don't-care.
 * From behind resume_begin on ARMED is 1 and no stack is used. AEX at any instruction there, or at the RET byte on the
 * application's page (RSP is TCB_PROBE_WORD then): ERESUME morphs, stage 1 keeps the checkpoint and comes back to
 * resume_ready: the region restarts, nothing grows. In legacy mode ERESUME continues it (and there is no stub).
 * One aligned block, so that it never crosses a page; its size is checked below. */
#define RESUME_ALIGN 2048

/* A load or locked no-op that may fault: stage 1 finds its plan number in probe_table. */
.macro PROBE number, insn:vararg
99: \insn
    .pushsection probe_table, "a"
    .long 99b - ., \number
    .popsection
.endm

/* Two cache lines of each of the five pages: a load across their border brings both. RCX = offset, descending. */
.macro WARM_LINES at
    PROBE PLAN_CODE_NUMBER,   movl \at+62(%rsi,%rcx), %eax
    PROBE PLAN_STACK0_NUMBER, movl \at+62(%rdi,%rcx), %eax
    PROBE PLAN_STACK1_NUMBER, movl \at+62(%rdx,%rcx), %eax
    PROBE PLAN_DATA0_NUMBER,  movl \at+62(%rbx,%rcx), %eax
    PROBE PLAN_DATA1_NUMBER,  movl \at+62(%rbp,%rcx), %eax
.endm

.balign RESUME_ALIGN
resume_block:
.globl resume_ready
resume_ready:
    cmpq $0, %gs:TCB_STUB_DUE
    je resume_begin
    TAKE_STACK VIGIL_GS_KSTACK_TOP, %rax
    xorl %ebp, %ebp
    call mitigation_prepare
.globl resume_begin
resume_begin:
    movb $1, %gs:VIGIL_GS_ARMED
    /* An event that came while we were in runtime mode must not wait for the next interrupt: it was put into the
     * mailbox either before this load, which sees it, or after it, and then its signal is an AEX in application mode. */
    movq %gs:TCB_SHARED, %rax
    cmpq $0, VIGIL_SHARED_PENDING(%rax)
    jne resume_events
    incq %gs:TCB_STAT_RESUME
    cmpq $0, %gs:TCB_STUB_DUE
    je resume_restore

/* The stub. lfence: nothing of it starts before the thread is armed.
 * Write probes: the page is writable and its D bit set, or we fault here and not the application. Locked, so that a
 * write of another thread is never lost; nothing is written unless the decoder is certain (else the TCB's dummy). */
    incq %gs:TCB_STAT_STUB
    lfence
    movq %gs:TCB_PLAN_WRITE0, %rax
    PROBE PLAN_WRITE0_NUMBER, lock orb $0, (%rax)
    movq %gs:TCB_PLAN_WRITE1, %rax
    PROBE PLAN_WRITE1_NUMBER, lock orb $0, (%rax)
    /* The cache-disable detector's clock; r8 = start. */
    rdtsc
    shlq $32, %rdx
    leaq (%rax,%rdx), %r8
    movq %gs:TCB_PLAN_CODE, %rsi
    movq %gs:TCB_PLAN_STACK0, %rdi
    movq %gs:TCB_PLAN_STACK1, %rdx
    movq %gs:TCB_PLAN_DATA0, %rbx
    movq %gs:TCB_PLAN_DATA1, %rbp
    movq %gs:TCB_PLAN_RET, %r9
    rdgsbase %r10
    leaq TCB_PROBE_WORD(%r10), %r10
    movl $4096, %ecx
/* The warm loop: 64 lines of five pages, 32 lines a turn; each turn executes the RET byte of the application's page,
 * so the instruction TLB holds it until the end. The RET pops TCB_PROBE_WORD: no stack, no red zone is touched. */
warm_loop:
    movq %r10, %rsp
    jmpq *%r9
.globl probe_back
probe_back:
    subl $2048, %ecx
    .irp at, 1920, 1792, 1664, 1536, 1408, 1280, 1152, 1024, 896, 768, 640, 512, 384, 256, 128, 0
    WARM_LINES \at
    .endr
    jnz warm_loop
warm_end:
    /* Slower than the limit: with caches off every load of the loop costs thousands of cycles (policy.c judges). */
    lfence
    rdtsc
    shlq $32, %rdx
    addq %rdx, %rax
    subq %r8, %rax
    movq %gs:TCB_SLOW_LIMIT, %rdx
    subq %rax, %rdx
    shrq $63, %rdx
    addq %rdx, %gs:TCB_SLOW_COUNT
    negq %rdx
    movq %gs:TCB_SLOW_RUN, %rax
    incq %rax
    andq %rdx, %rax
    movq %rax, %gs:TCB_SLOW_RUN
    /* Random delay: 0 to 31 dependent multiplications of four bytes each. */
    movq %gs:TCB_PLAN_DELAY, %rcx
    leaq delay_end(%rip), %rdx
    shll $2, %ecx
    subq %rcx, %rdx
    jmpq *%rdx
    .rept 31
    imulq %rax, %rax
    .endr
delay_end:

resume_restore:
    movq %gs:TCB_CKPT_FSBASE, %rax
    wrfsbase %rax
    movq %gs:TCB_CKPT + 16, %rdx
    movq %gs:TCB_CKPT + 24, %rbx
    movq %gs:TCB_CKPT + 40, %rbp
    movq %gs:TCB_CKPT + 48, %rsi
    movq %gs:TCB_CKPT + 56, %rdi
    movq %gs:TCB_CKPT + 64, %r8
    movq %gs:TCB_CKPT + 72, %r9
    movq %gs:TCB_CKPT + 80, %r10
    movq %gs:TCB_CKPT + 88, %r11
    movq %gs:TCB_CKPT + 96, %r12
    movq %gs:TCB_CKPT + 104, %r13
    movq %gs:TCB_CKPT + 112, %r14
    movq %gs:TCB_CKPT + 120, %r15
    rdgsbase %rcx
    leaq TCB_CKPT_RFLAGS(%rcx), %rsp
    popfq
    movq %gs:TCB_CKPT + 0, %rax
    movq %gs:TCB_CKPT + 8, %rcx
    movq %gs:TCB_CKPT + 32, %rsp
.globl resume_final_jump
resume_final_jump:
    jmpq *%gs:TCB_CKPT_RIP
resume_events:
    movb $0, %gs:VIGIL_GS_ARMED
.globl resume_end
resume_end:
    /* Runtime mode again, the application has not run. */
    TAKE_STACK VIGIL_GS_KSTACK_TOP, %rax
    xorl %ebp, %ebp
    call runtime_events
    jmp resume_ready
/* What the execute probe runs when the application's page has no RET byte: then X is not probed. */
.globl probe_ret
probe_ret:
    ret
resume_block_end:
/* A negative .space stops the assembler: the block must fit. */
.section .discard.size, "e"
    .space RESUME_ALIGN - (resume_block_end - resume_block)

/* ---- data ------------------------------------------------------------------------------------------------------------------- */
.section .rodata.xstate, "a"
.balign 64
.globl xstate_initial
/* XRSTOR of this gives every feature its initial state: XSTATE_BV is 0, FCW and MXCSR have their reset values. */
xstate_initial:
    .short 0x037f
    .zero 22
    .long 0x1f80, 0xffff
    .zero 512 - 32
    .zero 64

.section .data.boot_state, "aw"
.balign 4
boot_state:
    .long 0

.section .note.GNU-stack, "", @progbits
