/* SPDX-License-Identifier: Apache-2.0
 *
 * What a program finds in its registers and on its stack at the very first instruction, with no C library in between:
 * no TLS, no rseq, no set_tid_address. */
#include <elf.h>
#include <stdint.h>
#include <sys/syscall.h>

struct start {
    uint64_t rdx, rflags, rsp;
    uint32_t mxcsr;
    uint16_t fcw, fsw;
    uint64_t vectors; /* all bits of all SSE registers, ORed */
};

__asm__(".globl _start\n"
        "_start:\n"
        "    mov %rsp, %rbx\n"
        "    pushfq\n"
        "    pop %rcx\n"
        "    sub $64, %rsp\n"
        "    mov %rdx, 0(%rsp)\n"
        "    mov %rcx, 8(%rsp)\n"
        "    mov %rbx, 16(%rsp)\n"
        "    stmxcsr 24(%rsp)\n"
        "    fnstcw 28(%rsp)\n"
        "    fnstsw 30(%rsp)\n"
        "    .irp r, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "    por %xmm\\r, %xmm0\n"
        "    .endr\n"
        "    movdqa %xmm0, %xmm1\n"
        "    punpckhqdq %xmm1, %xmm1\n"
        "    por %xmm1, %xmm0\n"
        "    movq %xmm0, 32(%rsp)\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    xor %ebp, %ebp\n"
        "    call start_main\n"
        "    mov %eax, %edi\n"
        "    mov $231, %eax\n" /* exit_group */
        "    syscall\n"
        "    hlt\n");

static long call3(long nr, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static int failures;

static void line(const char *what, int ok)
{
    const char *verdict = ok ? ": ok\n" : ": FAILED\n";
    const char *parts[] = { what, verdict };
    for (int i = 0; i < 2; i++) {
        long n = 0;
        while (parts[i][n])
            n++;
        call3(SYS_write, 1, (long)parts[i], n);
    }
    failures += !ok;
}

static void check_stack(const uint64_t *sp)
{
    uint64_t argc = *sp++;
    const uint64_t *argv = sp;
    line("argc", argc >= 1 && argc < 1000);
    line("argv ends in NULL", argv[argc] == 0 && argv[0] != 0);
    sp = argv + argc + 1;
    while (*sp)
        sp++;
    sp++;
    uint64_t seen = 0, page = 0, phdr = 0, entry = 0, random = 0, phent = 0, phnum = 0;
    for (int i = 0; i < 64 && sp[0] != AT_NULL; i++, sp += 2) {
        if (sp[0] < 64)
            seen |= 1ull << sp[0];
        page = sp[0] == AT_PAGESZ ? sp[1] : page;
        phdr = sp[0] == AT_PHDR ? sp[1] : phdr;
        phent = sp[0] == AT_PHENT ? sp[1] : phent;
        phnum = sp[0] == AT_PHNUM ? sp[1] : phnum;
        entry = sp[0] == AT_ENTRY ? sp[1] : entry;
        random = sp[0] == AT_RANDOM ? sp[1] : random;
    }
    line("auxv ends in AT_NULL", sp[0] == AT_NULL);
    line("AT_PAGESZ", page == 4096);
    line("AT_PHENT", phent == sizeof(Elf64_Phdr));
    line("AT_PHNUM", phnum > 0 && phnum < 64);
    extern char _start[];
    line("AT_ENTRY", entry == (uint64_t)_start);
    line("AT_RANDOM", random && (((uint64_t *)random)[0] | ((uint64_t *)random)[1]));
    int load = 0;
    for (uint64_t i = 0; phdr && i < phnum; i++)
        load |= ((const Elf64_Phdr *)phdr)[i].p_type == PT_LOAD;
    line("AT_PHDR points to program headers", load);
    line("AT_UID AT_EUID AT_GID AT_EGID AT_SECURE", (seen >> AT_UID & 0xf) == 0xf && (seen >> AT_SECURE & 1));
}

__attribute__((used)) int start_main(const struct start *start)
{
    line("rdx is 0", start->rdx == 0);
    line("rsp is aligned to 16", start->rsp % 16 == 0);
    line("rflags", (start->rflags & ~0x244ull) == 0x2); /* IF, ZF and PF may be anything; DF, TF, AC, CF are clear */
    line("mxcsr", start->mxcsr == 0x1f80);
    line("x87 control word", start->fcw == 0x37f);
    line("x87 status word", start->fsw == 0);
    line("SSE registers are zero", start->vectors == 0);
    check_stack((const uint64_t *)start->rsp);
    return failures != 0;
}
