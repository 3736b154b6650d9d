/* SPDX-License-Identifier: Apache-2.0
 *
 * Hardware faults as signals: which signal, which code, which address, and going on afterwards. */
#include "faults.h"

#include <setjmp.h>
#include <sys/mman.h>

static char *pages; /* no access, read only, read-write (not executable), unmapped */

static void unmapped(void)
{
    char *hole = pages + 3 * 4096 + 123;
    FAULT_AT("movb (%0), %%cl", "r"(hole));
    CHECK_FAULT(SIGSEGV, SEGV_MAPERR, 14, (uintptr_t)hole);
    CHECK_EQ(caught.error & 0x16, 4);
    FAULT_AT("movb $1, (%0)", "r"(hole));
    CHECK_FAULT(SIGSEGV, SEGV_MAPERR, 14, (uintptr_t)hole);
    CHECK_EQ(caught.error & 0x16, 6);
    FAULT_AT("movl (%0), %%ecx", "r"(NULL));
    CHECK_FAULT(SIGSEGV, SEGV_MAPERR, 14, 0);
    FAULT_AT("lock incl 0x44(%0)", "r"(NULL));
    CHECK_FAULT(SIGSEGV, SEGV_MAPERR, 14, 0x44);
}

static void forbidden(void)
{
    FAULT_AT("movb (%0), %%cl", "r"(pages + 77));
    CHECK_FAULT(SIGSEGV, SEGV_ACCERR, 14, (uintptr_t)pages + 77);
    CHECK_EQ(caught.error & 0x16, 4);
    FAULT_AT("movl $1, (%0)", "r"(pages + 4096 + 8));
    CHECK_FAULT(SIGSEGV, SEGV_ACCERR, 14, (uintptr_t)pages + 4096 + 8);
    CHECK_EQ(caught.error & 0x16, 6);
    CHECK_EQ(pages[4096 + 8], 0x77);
    FAULT_AT("movq $-1, (%0)", "r"(pages + 2 * 4096 - 4)); /* crosses into the writable page: nothing is written */
    CHECK_FAULT(SIGSEGV, SEGV_ACCERR, 14, (uintptr_t)pages + 2 * 4096 - 4);
    CHECK_EQ(pages[2 * 4096], 0x77);
    FAULT_AT("movups %%xmm0, (%0)", "r"(pages + 3 * 4096 - 8)); /* crosses into the hole */
    CHECK_FAULT(SIGSEGV, SEGV_MAPERR, 14, (uintptr_t)pages + 3 * 4096);
}

static void not_executable(void)
{
    char *data = pages + 2 * 4096 + 16;
    __asm__ volatile("lea 1f(%%rip), %%rax\n"
                     "mov %%rax, continue_at(%%rip)\n"
                     "mov %0, fault_ip(%%rip)\n"
                     "jmp *%0\n"
                     "1:\n" : : "r"(data) : "rax", "memory");
    CHECK_FAULT(SIGSEGV, SEGV_ACCERR, 14, (uintptr_t)data);
    CHECK_EQ(caught.error & 0x16, 0x14);
    data = pages + 3 * 4096 + 16;
    __asm__ volatile("lea 1f(%%rip), %%rax\n"
                     "mov %%rax, continue_at(%%rip)\n"
                     "mov %0, fault_ip(%%rip)\n"
                     "jmp *%0\n"
                     "1:\n" : : "r"(data) : "rax", "memory");
    CHECK_FAULT(SIGSEGV, SEGV_MAPERR, 14, (uintptr_t)data);
}

static void general_protection(void)
{
    FAULT_AT("movb (%0), %%cl", "r"(0x8000000000001234ull));
    CHECK_FAULT(SIGSEGV, SI_KERNEL, 13, 0);
    FAULT_AT("movb %%cl, (%0)", "r"(0x0100000000000000ull));
    CHECK_FAULT(SIGSEGV, SI_KERNEL, 13, 0);
    FAULT_AT("hlt", "r"(0));
    CHECK_FAULT(SIGSEGV, SI_KERNEL, 13, 0);
    FAULT_AT("cli", "r"(0));
    CHECK_FAULT(SIGSEGV, SI_KERNEL, 13, 0);
    FAULT_AT("movaps %%xmm0, 8(%0)", "r"((uintptr_t)pages + 2 * 4096)); /* not aligned to 16 */
    CHECK_FAULT(SIGSEGV, SI_KERNEL, 13, 0);
}

static void integer_division(void)
{
    FAULT_AT("xor %%edx, %%edx\n mov $5, %%eax\n lea 1f(%%rip), %%rcx\n mov %%rcx, fault_ip(%%rip)\n xor %%ecx, %%ecx\n"
             "1: divl %%ecx", "r"(0));
    CHECK_FAULT(SIGFPE, FPE_INTDIV, 0, fault_ip);
    FAULT_AT("mov $0x80000000, %%eax\n cltd\n lea 1f(%%rip), %%rcx\n mov %%rcx, fault_ip(%%rip)\n mov $-1, %%ecx\n"
             "1: idivl %%ecx", "r"(0));
    CHECK_FAULT(SIGFPE, FPE_INTDIV, 0, fault_ip);
}

static void sse_exception(uint32_t unmasked, double a, double b, char operation, int code)
{
    uint32_t control = 0x1f80 & ~(unmasked << 7), normal = 0x1f80;
    volatile double x = a, y = b;
    __asm__ volatile("ldmxcsr %0\n movsd %1, %%xmm0\n movsd %2, %%xmm1" : : "m"(control), "m"(x), "m"(y) : "xmm0", "xmm1");
    switch (operation) {
    case '/':
        FAULT_AT("divsd %%xmm1, %%xmm0", "r"(0));
        break;
    case '*':
        FAULT_AT("mulsd %%xmm1, %%xmm0", "r"(0));
        break;
    case '+':
        FAULT_AT("addsd %%xmm1, %%xmm0", "r"(0));
        break;
    }
    __asm__ volatile("ldmxcsr %0" : : "m"(normal));
    CHECK_FAULT(SIGFPE, code, 19, fault_ip);
}

static void sse_exceptions(void)
{
    sse_exception(0x04, 1, 0, '/', FPE_FLTDIV);
    sse_exception(0x01, 0, 0, '/', FPE_FLTINV);
    sse_exception(0x08, 1e300, 1e300, '*', FPE_FLTOVF);
    sse_exception(0x10, 1e-300, 1e-300, '*', FPE_FLTUND);
    sse_exception(0x20, 1, 3, '/', FPE_FLTRES);
    sse_exception(0x20, 1e16, 1.5, '+', FPE_FLTRES);
}

static void x87_exceptions(void)
{
    uint16_t control = 0x37f & ~4;
    __asm__ volatile("fninit\n fldcw %0\n fldz\n fld1\n fdivp" : : "m"(control)); /* 1/0; reported by the next wait */
    FAULT_AT("fwait", "r"(0));
    __asm__ volatile("fnclex\n fninit");
    CHECK_EQ(caught.sig, SIGFPE);
    CHECK_EQ(caught.code, FPE_FLTDIV);
    CHECK_EQ(caught.trapno, 16);
    CHECK_EQ(caught.rip, fault_ip);
    caught.sig = 0;
}

static void invalid_opcode(void)
{
    FAULT_AT("ud2", "r"(0));
    CHECK_FAULT(SIGILL, ILL_ILLOPN, 6, fault_ip);
    FAULT_AT("ud1 %%eax, %%eax", "r"(0));
    CHECK_FAULT(SIGILL, ILL_ILLOPN, 6, fault_ip);
    FAULT_AT(".byte 0x06", "r"(0)); /* push %es: not in 64-bit mode */
    CHECK_FAULT(SIGILL, ILL_ILLOPN, 6, fault_ip);
    FAULT_AT(".byte 0xf0, 0x90", "r"(0));
    CHECK_FAULT(SIGILL, ILL_ILLOPN, 6, fault_ip); /* lock nop */
}

static void breakpoint(void)
{
    for (int i = 0; i < 5; i++) {
        __asm__ volatile("lea 2f(%%rip), %%rax\n mov %%rax, continue_at(%%rip)\n mov %%rax, fault_ip(%%rip)\n int3\n 2:\n"
                         : : : "rax", "memory"); /* a trap: rip is behind it */
        CHECK_FAULT(SIGTRAP, SI_KERNEL, 3, 0);
    }
}

static void alignment_check(void)
{
    FAULT_AT("pushfq\n orl $0x40000, (%%rsp)\n lea 1f(%%rip), %%rcx\n mov %%rcx, fault_ip(%%rip)\n popfq\n"
             "1: movl (%0), %%ecx", "r"(pages + 2 * 4096 + 1));
    __asm__ volatile("pushfq\n andl $~0x40000, (%%rsp)\n popfq" : : : "memory", "cc");
    CHECK_EQ(caught.sig, SIGBUS);
    CHECK_EQ(caught.code, BUS_ADRALN);
    CHECK_EQ(caught.trapno, 17);
    CHECK_EQ(caught.rip, fault_ip);
    caught.sig = 0;
}

static sigjmp_buf jump;

static void jump_out(int sig, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    siglongjmp(jump, sig);
}

static void jumping_out(void)
{
    volatile int seen = 0;
    install_fault_handler(jump_out, 0);
    for (volatile int i = 0; i < 200; i++) {
        int sig = sigsetjmp(jump, 1);
        if (sig) {
            seen += sig == (i % 2 ? SIGSEGV : SIGFPE);
            continue;
        }
        if (i % 2)
            *(volatile char *)(pages + 3 * 4096 + i) = 1;
        else
            __asm__ volatile("xor %%ecx, %%ecx\n xor %%edx, %%edx\n mov $1, %%eax\n div %%ecx" : : : "rax", "rcx", "rdx", "cc");
        CHECK(!"the fault returned");
    }
    CHECK_EQ(seen, 200);
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    CHECK(!sigismember(&set, SIGSEGV) && !sigismember(&set, SIGFPE));
    install_fault_handler(skip_instruction, 0);
}

static volatile int outer_runs;

static void fault_in_handler(int sig, siginfo_t *info, void *context)
{
    uint64_t outer_continue = continue_at, outer_ip = fault_ip;
    outer_runs++;
    FAULT_AT("ud2", "r"(0)); /* its own handler runs on top of this one */
    CHECK_FAULT(SIGILL, ILL_ILLOPN, 6, fault_ip);
    continue_at = outer_continue;
    fault_ip = outer_ip;
    skip_instruction(sig, info, context);
}

static void nested(void)
{
    struct sigaction action = { .sa_sigaction = fault_in_handler, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    for (int i = 0; i < 20; i++) {
        FAULT_AT("movb (%0), %%cl", "r"(pages));
        CHECK_FAULT(SIGSEGV, SEGV_ACCERR, 14, (uintptr_t)pages);
    }
    CHECK_EQ(outer_runs, 20);
    install_fault_handler(skip_instruction, 0);
}

static char alternate[65536];
static volatile int overflow_caught;

static void on_overflow(int sig, siginfo_t *info, void *context)
{
    char here;
    (void)context, (void)info;
    overflow_caught += sig == SIGSEGV && &here >= alternate && &here < alternate + sizeof(alternate);
    siglongjmp(jump, 1);
}

static int descend(int n)
{
    volatile char local[4096];
    local[0] = local[4095] = n;
    return n > 10000000 ? 0 : descend(n + 1) + local[0];
}

static void stack_overflow(void)
{
    stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
    REQUIRE(sigaltstack(&stack, NULL) == 0);
    install_fault_handler(on_overflow, SA_ONSTACK);
    for (volatile int i = 0; i < 3; i++)
        if (!sigsetjmp(jump, 1))
            CHECK_EQ(descend(0), -1);
    CHECK_EQ(overflow_caught, 3);
    install_fault_handler(skip_instruction, 0);
}

/* Fault, make the page accessible, and let the instruction run again: how garbage collectors work. */
static volatile int repaired;

static void repair(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    repaired++;
    REQUIRE(mprotect((void *)((uintptr_t)info->si_addr & -4096ull), 4096, PROT_READ | PROT_WRITE) == 0);
}

static void write_barrier(void)
{
    const int n = 64;
    char *area = mmap(NULL, n * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(area != MAP_FAILED);
    install_fault_handler(repair, 0);
    for (int i = 0; i < n; i++) {
        area[i * 4096 + i] = i;
        area[i * 4096 + i + 1] = i;
    }
    CHECK_EQ(repaired, n);
    for (int i = 0; i < n; i++)
        CHECK(area[i * 4096 + i] == i && area[i * 4096 + i + 1] == i && area[i * 4096 + i + 2] == 0);
    munmap(area, n * 4096);
    install_fault_handler(skip_instruction, 0);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "unmapped address", unmapped },
        { "forbidden access", forbidden },
        { "not executable", not_executable },
        { "general protection", general_protection },
        { "integer division", integer_division },
        { "SSE exceptions", sse_exceptions },
        { "x87 exception", x87_exceptions },
        { "invalid opcode", invalid_opcode },
        { "breakpoint", breakpoint },
        { "alignment check", alignment_check },
        { "siglongjmp out of the handler", jumping_out },
        { "fault in a handler", nested },
        { "stack overflow", stack_overflow },
        { "write barrier", write_barrier },
    };
    pages = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED);
    memset(pages, 0x77, 3 * 4096);
    REQUIRE(mprotect(pages, 4096, PROT_NONE) == 0);
    REQUIRE(mprotect(pages + 4096, 4096, PROT_READ) == 0);
    REQUIRE(munmap(pages + 3 * 4096, 4096) == 0);
    install_fault_handler(skip_instruction, 0);
    return RUN_SECTIONS(sections, argc, argv);
}
