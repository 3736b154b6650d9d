/* SPDX-License-Identifier: Apache-2.0
 *
 * B6: entries at wrong moments, by a thread of the host that has no business there, while the program is where the test
 * wants it: each is refused by the processor or by the enclave, leaves the registers clean, and changes nothing.
 *
 * The flaw was: what went wrong in an entry left the enclave at an address where nobody expected it. */
#include "tests/defects/defects.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EENTER 2
#define ERESUME 3
#define NEVER_USED 1 /* a thread block that no thread has had */

/* One ENCLU of the intruder, and what it was like behind it. RDI = FAULT if the processor refused. */
struct entry {
    uint64_t leaf, tcs, rdi;     /* in */
    uint64_t out_rdi, out_rsi, vector, dirt; /* dirt: the registers that an EEXIT must clear, ored together */
};
#define FAULT 0xfa17ull

extern char intruder_enclu[], intruder_back[], intruder_aep[];
void intruder_enter(struct entry *entry);
__asm__(".text\n.globl intruder_enter\n.type intruder_enter, @function\nintruder_enter:\n"
        "    pushq %rbx\n pushq %rbp\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n pushq %rdi\n"
        "    movq 0(%rdi), %rax\n movq 8(%rdi), %rbx\n movq 16(%rdi), %rdi\n"
        "    leaq intruder_aep(%rip), %rcx\n"
        "    movl $0x5a5a5a5a, %edx\n movq %rdx, %rsi\n movq %rdx, %r8\n movq %rdx, %r9\n movq %rdx, %r10\n"
        "    movq %rdx, %r11\n movq %rdx, %r12\n movq %rdx, %r13\n movq %rdx, %r14\n movq %rdx, %r15\n"
        ".globl intruder_enclu\nintruder_enclu:\n    .byte 0x0f, 0x01, 0xd7\n"
        ".globl intruder_back\nintruder_back:\n"
        "    movq (%rsp), %rax\n movq %rdi, 24(%rax)\n movq %rsi, 32(%rax)\n"
        "    orq %r8, %rdx\n orq %r9, %rdx\n orq %r10, %rdx\n orq %r11, %rdx\n orq %r12, %rdx\n orq %r13, %rdx\n"
        "    orq %r14, %rdx\n orq %r15, %rdx\n movq %rdx, 48(%rax)\n"
        "    popq %rdi\n popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbp\n popq %rbx\n"
        "    ret\n"
        ".globl intruder_aep\nintruder_aep:\n    .byte 0x0f, 0x01, 0xd7\n    ud2\n"
        ".size intruder_enter, . - intruder_enter\n");

/* ---- the intruder's thread ---- */
static struct entry order;
static _Atomic int state; /* 0 idle, 1 ordered */

static void *intruder(void *arg)
{
    bool ready = false;

    (void)arg;
    for (;;) {
        if (atomic_load(&state)) {
            if (!ready && softsgx_thread_init())
                lab_fail("no signal stack for the intruder", 0, 0, 0);
            ready = true;
            intruder_enter(&order);
            atomic_store(&state, 0);
        }
        usleep(20);
    }
    return NULL;
}

static void start_intruder(struct image *image)
{
    pthread_t id;
    sigset_t usual;

    (void)image;
    sigemptyset(&usual);
    sigaddset(&usual, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usual, NULL);
    if (pthread_create(&id, NULL, intruder, NULL))
        lab_fail("no thread for the intruder", 0, 0, 0);
    pthread_sigmask(SIG_UNBLOCK, &usual, NULL);
}

static bool hook(int sig, siginfo_t *info, ucontext_t *uc)
{
    greg_t *g = uc->uc_mcontext.gregs;

    (void)sig, (void)info;
    if (g[REG_RIP] != (greg_t)intruder_enclu)
        return false;
    order.vector = (uint64_t)g[REG_TRAPNO];
    g[REG_RDI] = (greg_t)FAULT;
    g[REG_RDX] = g[REG_R8] = g[REG_R9] = g[REG_R10] = g[REG_R11] = 0;
    g[REG_R12] = g[REG_R13] = g[REG_R14] = g[REG_R15] = 0;
    g[REG_RIP] = (greg_t)intruder_back;
    return true;
}

static uint64_t tcs_of(unsigned slot)
{
    return lab.tcs0 + slot * lab.stride;
}

static uint64_t sum(uint64_t address, uint64_t size, uint64_t without, uint64_t without_size)
{
    uint8_t bytes[VIGIL_PAGE];
    uint64_t sum = 0;

    lab_read(address, bytes, size);
    for (uint64_t i = 0; i < size; i++)
        sum = sum * 31 + (i - without < without_size ? 0 : bytes[i]);
    return sum;
}

/* All of a thread block that an entry could change, but for what the processor notes of each entry: TCS.AEP, URSP,
 * URBP. */
static uint64_t sum_of(unsigned slot)
{
    uint64_t tcs = tcs_of(slot), tcb = tcs - VIGIL_GS_TCS;

    uint64_t of_tcs = sum(tcs, offsetof(struct sgx_tcs, reserved), offsetof(struct sgx_tcs, aep), 8);
    uint64_t of_gpr = sum(tcb + VIGIL_GS_GPR0, sizeof(struct sgx_gprsgx), offsetof(struct sgx_gprsgx, ursp), 16);
    return (of_tcs * 31 + sum(tcb, VIGIL_PAGE, 0, 0)) * 31 + of_gpr;
}

/* In a callback: the program stands still while somebody enters. */
static void intrude(uint64_t leaf, unsigned slot, uint64_t rdi)
{
    order = (struct entry){.leaf = leaf, .tcs = tcs_of(slot), .rdi = rdi};
    atomic_store(&state, 1);
    for (int i = 0; atomic_load(&state); i++) {
        if (i > 200000)
            lab_fail("leaf %lu into slot %lu does not come back", leaf, slot, 0);
        usleep(20);
    }
    lab_count[0]++;
}

static void refused_by_processor(uint64_t leaf, unsigned slot, const char *format)
{
    uint64_t before = sum_of(slot);

    intrude(leaf, slot, SIGSEGV);
    if (order.out_rdi != FAULT || order.vector != SGX_VEC_GP)
        lab_fail(format, order.out_rdi, order.out_rsi, order.vector);
    if (sum_of(slot) != before)
        lab_fail("a refused leaf %lu has changed slot %lu", leaf, slot, 0);
}

static void refused_by_enclave(unsigned slot, uint64_t entry_state)
{
    uint64_t at = tcs_of(slot) - VIGIL_GS_TCS + TCB_ENTRY_STATE, was = lab_word(at);

    lab_set_word(at, entry_state);
    uint64_t before = sum_of(slot);
    intrude(EENTER, slot, 0x1234567);
    if (order.out_rdi != VIGIL_OCALL_FAIL || order.out_rsi != 1)
        lab_fail("an entry with the state %lu leaves with RDI 0x%lx, RSI 0x%lx", entry_state, order.out_rdi,
                 order.out_rsi);
    if (order.dirt)
        lab_fail("a refused entry with the state %lu leaves 0x%lx in the registers", entry_state, order.dirt, 0);
    if (sum_of(slot) != before)
        lab_fail("a refused entry with the state %lu has changed the thread block", entry_state, 0, 0);
    lab_set_word(at, was);
}

/* ---- the moments ---- */
static unsigned passes;

/* In the application: the TCS is busy, another has never been used. */
static enum softsgx_action at_middle(void *arg, const struct softsgx_boundary *b)
{
    (void)arg, (void)b;
    refused_by_processor(EENTER, 0, "EENTER into a busy TCS: RDI 0x%lx, RSI 0x%lx, vector %lu");
    refused_by_processor(ERESUME, 0, "ERESUME of a busy TCS: RDI 0x%lx, RSI 0x%lx, vector %lu");
    refused_by_processor(ERESUME, NEVER_USED, "ERESUME of a TCS with CSSA 0: RDI 0x%lx, RSI 0x%lx, vector %lu");
    /* The defect: nobody remembers that the first entry has been. */
    if (lab_options.planted) {
        uint32_t zero = 0;
        lab_write(lab_runtime_symbol("boot_state"), &zero, sizeof(zero));
    }
    for (int i = 0; i < 50; i++)
        refused_by_enclave(NEVER_USED, ENTRY_FREE);
    refused_by_enclave(NEVER_USED, ENTRY_RUNNING);
    refused_by_enclave(NEVER_USED, ENTRY_CLAIMED);
    refused_by_enclave(NEVER_USED, 77);
    return SOFTSGX_RUN;
}

/* The host's handler of a signal: the AEX has been, the TCS is free to be entered. */
static uint64_t expected_cssa;

static void while_interrupted(int sig, siginfo_t *info, void *uc)
{
    static const uint64_t lies[] = {0, SIGSEGV, SIGILL, SIGTRAP, 99, 0xffffffffffffffffull};
    uint32_t cssa;

    (void)sig, (void)info, (void)uc;
    lab_read(lab.tcs0 + offsetof(struct sgx_tcs, cssa), &cssa, sizeof(cssa));
    if (cssa != expected_cssa)
        lab_fail("CSSA is %lu, not %lu", cssa, expected_cssa, 0);
    if (cssa == VIGIL_NSSA) {
        lab_count[1]++;
        refused_by_processor(EENTER, 0, "EENTER at CSSA = NSSA: RDI 0x%lx, RSI 0x%lx, vector %lu");
        return;
    }
    /* Stage 1 for no reason: it finds nothing to do, and says so. (With AEX-Notify it would go on with the program.) */
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        intrude(EENTER, 0, lies[i]);
        if (order.out_rdi != VIGIL_EXIT_STAGE1 || order.dirt)
            lab_fail("stage 1 entered with the lie 0x%lx leaves with RDI 0x%lx, in the registers 0x%lx", lies[i],
                     order.out_rdi, order.dirt);
    }
}

static enum softsgx_action interrupt(void *arg, const struct softsgx_boundary *b)
{
    (void)arg;
    expected_cssa = b->cssa + 1;
    syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGUSR2);
    return SOFTSGX_AEX_RUN;
}

/* The host claims a fault that was none, and the AEP tells stage 1. */
static enum softsgx_action interrupt_and_lie(void *arg, const struct softsgx_boundary *b)
{
    static const uint32_t lies[] = {SIGSEGV, SIGILL, SIGTRAP, SIGFPE, 99, 0xffffffffu};
    static unsigned next;

    (void)arg, (void)b;
    if (next == sizeof(lies) / sizeof(lies[0]))
        return SOFTSGX_RUN;
    host_current->claim = lies[next++];
    lab_count[0]++;
    return SOFTSGX_AEX;
}

static bool legacy;

static void begin(void *arg, const struct softsgx_boundary *b)
{
    uint64_t middle = lab_target_symbol("pass_middle");

    (void)arg;
    switch (passes++) {
    case 0: /* undisturbed */
        break;
    case 1:
        lab_break_at(middle, at_middle);
        break;
    case 2:
        lab_break_at(middle, interrupt_and_lie);
        break;
    case 3: /* an AEX in stage 1: CSSA 2 */
        lab_break_at(lab_runtime_symbol("stage1"), interrupt);
        lab_signal();
        break;
    case 4:
        if (legacy)
            lab_break_at(middle, interrupt);
        break;
    default:
        lab_last_pass(b);
    }
}

static void ready(void)
{
    lab_hook_faults(hook);
    if (softsgx_sigaction(SIGUSR2, while_interrupted))
        lab_fail("SIGUSR2 cannot be hooked", 0, 0, 0);
}

int b6(void)
{
    for (int i = 0; i < 2; i++) {
        passes = 0;
        legacy = i;
        if (lab_check(&(struct lab_run){.path = "compute", .flags = legacy ? LAB_LEGACY : 0, .image = start_intruder,
                                        .ready = ready, .begin = begin}))
            return 1;
        if (!lab_count[1])
            return lab_fail("nobody entered at CSSA = NSSA", 0, 0, 0);
        defects_looked_at += lab_count[0];
    }
    return 0;
}
