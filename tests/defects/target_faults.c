/* SPDX-License-Identifier: Apache-2.0
 *
 * Accesses that no program may make, each of which must arrive as SIGSEGV with its address, once. The table fault_cases
 * says where they are; the driver (faults.c) interrupts in front of them in the second round. */
#include "tests/defects/target.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

uint64_t continue_at, fault_rip;
volatile uint64_t fault_round, fault_count;
static uint64_t address, code;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

    if (sig != SIGSEGV)
        _exit(70);
    if ((uint64_t)info->si_addr != address)
        _exit(71);
    if ((uint64_t)g[REG_RIP] != fault_rip)
        _exit(72);
    if (g[REG_RBX] != 0x1111111111111111 || (uint64_t)info->si_code != code)
        _exit(73);
    fault_count++;
    g[REG_RIP] = (greg_t)continue_at;
}

/* An instruction that faults, at its own address unless fault_rip says otherwise. */
#define BAD(insn, operand)                                                                                             \
    __asm__ volatile("movabsq $0x1111111111111111, %%rbx\n"                                                            \
                     "leaq 1f(%%rip), %%rax\n movq %%rax, continue_at(%%rip)\n"                                        \
                     "leaq 2f(%%rip), %%rax\n cmpq $0, fault_rip(%%rip)\n jne 3f\n movq %%rax, fault_rip(%%rip)\n"     \
                     "3:\n"                                                                                            \
                     "2: " insn "\n"                                                                                   \
                     "1:\n"                                                                                            \
                     ".pushsection .data.fault_cases, \"aw\"\n .quad 2b\n .popsection\n"                               \
                     :                                                                                                 \
                     : "d"(operand), "c"(4ul), "D"(operand)                                                            \
                     : "rax", "rbx", "memory", "cc")

__asm__(".pushsection .data.fault_cases, \"aw\"\n.balign 8\n.globl fault_cases\nfault_cases:\n.popsection\n");

static void expect(const void *at, int si_code, uint64_t rip)
{
    address = (uint64_t)at;
    code = (uint64_t)si_code;
    fault_rip = rip;
}

static uint64_t __attribute__((noinline)) round_of_faults(char *pages)
{
    uint64_t before = fault_count;

    expect(NULL, SEGV_MAPERR, 0);
    BAD("movq (%%rdx), %%rax", NULL);
    expect(pages + 8, SEGV_ACCERR, 0);
    BAD("movq (%%rdx), %%rax", pages + 8);
    expect(pages + PAGE + 8, SEGV_ACCERR, 0);
    BAD("movq %%rax, (%%rdx)", pages + PAGE + 8);
    expect(pages + PAGE + 16, SEGV_ACCERR, 0);
    BAD("lock incl (%%rdx)", pages + PAGE + 16);
    expect(pages + 3 * PAGE + 8, SEGV_MAPERR, 0);
    BAD("movb $1, (%%rdx)", pages + 3 * PAGE + 8);
    expect(pages + 3 * PAGE, SEGV_MAPERR, 0); /* from a page that is there into one that is not */
    BAD("movups (%%rdx), %%xmm0", pages + 3 * PAGE - 8);
    expect(pages + PAGE + 24, SEGV_ACCERR, 0);
    BAD("rep stosb", pages + PAGE + 24);
    expect(pages + 2 * PAGE + 16, SEGV_ACCERR, (uint64_t)pages + 2 * PAGE + 16); /* data, not code */
    BAD("jmpq *%%rdx", pages + 2 * PAGE + 16);
    expect(NULL, SI_KERNEL, 0); /* #GP has no address */
    BAD("movq (%%rdx), %%rax", 0x8000000000001234ull);
    return fault_count - before;
}

int faults(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    /* no access, read only, read-write, a hole */
    char *pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED || mprotect(pages, PAGE, PROT_NONE) || mprotect(pages + PAGE, PAGE, PROT_READ) ||
        munmap(pages + 3 * PAGE, PAGE))
        return 2;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    for (fault_round = 0; fault_round < 2; fault_round++) {
        __asm__ volatile(".globl faults_begin\nfaults_begin: nop\n" ::: "memory");
        if (round_of_faults(pages) != FAULT_CASES)
            return 74;
    }
    __asm__ volatile(".globl faults_end\nfaults_end: nop\n" ::: "memory");
    return 0;
}
