/* SPDX-License-Identifier: Apache-2.0
 *
 * The program in which defects are looked for. Most paths run the same pass again and again, from the same registers,
 * and compare what is there afterwards with the first, undisturbed pass. The driver answers at pass_begin through RAX:
 * 0 go on, 1 this is the last. A handler that sees an address or a register that is not the pass's ends the program.
 *
 * usage: target compute|spin|ocall|touch|handler|threads|operands|faults */
#include "tests/defects/target.h"
#include "vigil/aex.h"

#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct state {
    uint64_t gpr[15];          /* rbx rcx rdx rsi rdi rbp r8 .. r15, rax at the end */
    uint64_t rflags;
    uint8_t xmm[16][16] __attribute__((aligned(16)));
    uint64_t red_zone[2], memory_sum;
};

uint64_t path_kind, path_nr, path_a0, path_a1, path_a2, stop, spins;
uint8_t patterns[16][16] __attribute__((aligned(16)));
struct state now;
uint8_t arena[2 * 4096] __attribute__((aligned(4096)));
static struct state first;
enum { KIND_COMPUTE, KIND_SPIN, KIND_OCALL, KIND_TOUCH };

/* What the driver looks at. */
volatile uint64_t lab_signals, lab_calls;

static void __attribute__((noinline)) pass(void)
{
    static uint64_t saved_rsp;
    __asm__ volatile(
        "subq $128, %%rsp\n"
        "pushq %%rbx\n pushq %%rbp\n pushq %%r12\n pushq %%r13\n pushq %%r14\n pushq %%r15\n"
        "movq %%rsp, %[rsp]\n"
        "leaq patterns(%%rip), %%rax\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n movdqa \\n*16(%%rax), %%xmm\\n\n .endr\n"
        "movabsq $0x1111111111111111, %%rbx\n movabsq $0x2222222222222222, %%rcx\n"
        "movabsq $0x5555555555555555, %%rbp\n"
        "movabsq $0x8888888888888888, %%r8\n movabsq $0x9999999999999999, %%r9\n movabsq $0xaaaaaaaaaaaaaaaa, %%r10\n"
        "movabsq $0xbbbbbbbbbbbbbbbb, %%r11\n movabsq $0xcccccccccccccccc, %%r12\n movabsq $0xdddddddddddddddd, %%r13\n"
        "movabsq $0xeeeeeeeeeeeeeeee, %%r14\n movabsq $0xffffffffffffffff, %%r15\n"
        "movq path_a0(%%rip), %%rdi\n movq path_a1(%%rip), %%rsi\n movq path_a2(%%rip), %%rdx\n"
        "movq %%r15, -8(%%rsp)\n movq %%r14, -128(%%rsp)\n" /* the red zone must survive */
        "xorl %%eax, %%eax\n"
        ".globl pass_begin\npass_begin: nop\n"
        "movq %%rax, stop(%%rip)\n xorl %%eax, %%eax\n"
        "cmpq $1, path_kind(%%rip)\n je 1f\n cmpq $2, path_kind(%%rip)\n je 2f\n cmpq $3, path_kind(%%rip)\n je 3f\n"
        "movl $4, %%eax\n"
        "0: addq %%rbx, %%rcx\n adcq %%r8, %%r9\n rolq $7, %%r10\n xorq %%r10, arena(%%rip)\n"
        ".globl pass_middle\npass_middle:\n"
        "paddq %%xmm1, %%xmm0\n decl %%eax\n jnz 0b\n stc\n jmp 9f\n"
        "1: movq spins(%%rip), %%rcx\n"
        "4: decq %%rcx\n"
        ".globl pass_spin\npass_spin: jnz 4b\n stc\n jmp 9f\n"
        "2: movq path_nr(%%rip), %%rax\n stc\n syscall\n movl $0, %%ecx\n movl $0, %%r11d\n jmp 9f\n"
        "3: movq arena+4096(%%rip), %%rax\n addq %%rbx, arena+8(%%rip)\n stc\n"
        "9:\n"
        ".globl pass_end\npass_end: nop\n"
        "movq %%rax, 112+now(%%rip)\n"
        "movq -8(%%rsp), %%rax\n movq %%rax, 384+now(%%rip)\n movq -128(%%rsp), %%rax\n movq %%rax, 392+now(%%rip)\n"
        "pushfq\n popq %%rax\n movq %%rax, 120+now(%%rip)\n"
        "movq %%rbx, 0+now(%%rip)\n movq %%rcx, 8+now(%%rip)\n movq %%rdx, 16+now(%%rip)\n movq %%rsi, 24+now(%%rip)\n"
        "movq %%rdi, 32+now(%%rip)\n movq %%rbp, 40+now(%%rip)\n movq %%r8, 48+now(%%rip)\n movq %%r9, 56+now(%%rip)\n"
        "movq %%r10, 64+now(%%rip)\n movq %%r11, 72+now(%%rip)\n movq %%r12, 80+now(%%rip)\n"
        "movq %%r13, 88+now(%%rip)\n movq %%r14, 96+now(%%rip)\n movq %%r15, 104+now(%%rip)\n"
        "leaq 128+now(%%rip), %%rax\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n movdqa %%xmm\\n, \\n*16(%%rax)\n .endr\n"
        "cmpq %%rsp, %[rsp]\n jne 7f\n"
        "popq %%r15\n popq %%r14\n popq %%r13\n popq %%r12\n popq %%rbp\n popq %%rbx\n addq $128, %%rsp\n"
        "jmp 6f\n7: ud2\n6:\n"
        : [rsp] "=m"(saved_rsp)
        :
        : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3",
          "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

_Static_assert(offsetof(struct state, rflags) == 120 && offsetof(struct state, xmm) == 128, "asm");
_Static_assert(offsetof(struct state, red_zone) == 384, "asm");

/* Is this context the pass's, and not the runtime's? */
static void check_context(const ucontext_t *uc)
{
    extern char pass_begin[], pass_end[];
    const greg_t *g = uc->uc_mcontext.gregs;

    if (g[REG_RIP] < (greg_t)pass_begin || g[REG_RIP] > (greg_t)pass_end)
        _exit(40);
    if (g[REG_RBX] != 0x1111111111111111 || g[REG_RBP] != 0x5555555555555555 ||
        g[REG_R12] != (greg_t)0xccccccccccccccccull || g[REG_R15] != -1 || g[REG_RDI] != (greg_t)path_a0)
        _exit(41);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info;
    check_context(context);
    lab_signals++;
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n pxor %%xmm15, %%xmm15" : : : "xmm0", "xmm15");
}

static void on_interruption(const struct vigil_aex_info *info, void *arg)
{
    (void)arg;
    check_context(info->context);
    if (info->rip != (uint64_t)((ucontext_t *)info->context)->uc_mcontext.gregs[REG_RIP])
        _exit(42);
    lab_calls++;
}

/* ---- threads that come and go in the same TCS ---- */
#define LIVES 4
static volatile uint64_t life;

static void *live(void *arg)
{
    extern char life_begin[];
    (void)life_begin;
    __asm__ volatile(".globl life_begin\nlife_begin: nop\n" ::: "memory");
    life++;
    for (volatile int i = 0; i < 40; i++)
        ;
    __asm__ volatile(".globl life_end\nlife_end: nop\n" ::: "memory");
    return arg;
}

static int threads(void)
{
    for (uint64_t i = 0; i < LIVES; i++) {
        pthread_t id;
        void *got = NULL;
        if (pthread_create(&id, NULL, live, (void *)i) || pthread_join(id, &got) || got != (void *)i || life != i + 1)
            return 50;
    }
    return lab_signals ? 51 : 0; /* nobody sent one */
}

/* ---- main ---- */
static int choose(const char *path)
{
    path_a0 = 0x7777777777777777;
    if (!strcmp(path, "compute")) {
        path_kind = KIND_COMPUTE;
    } else if (!strcmp(path, "handler")) {
        path_kind = KIND_COMPUTE;
        if (vigil_aex_register(on_interruption, NULL))
            return -1;
    } else if (!strcmp(path, "spin")) {
        path_kind = KIND_SPIN, spins = 400000;
    } else if (!strcmp(path, "ocall")) {
        path_kind = KIND_OCALL, path_nr = SYS_lseek;
        path_a0 = (uint64_t)open("/proc/self/exe", O_RDONLY), path_a1 = 0, path_a2 = SEEK_CUR;
    } else if (!strcmp(path, "touch")) {
        path_kind = KIND_TOUCH;
    } else {
        return -1;
    }
    return 0;
}

static int different(unsigned long round)
{
    const uint64_t *a = (const uint64_t *)&first, *b = (const uint64_t *)&now;

    for (size_t i = 0; i < sizeof(now) / sizeof(*a); i++)
        if (a[i] != b[i])
            fprintf(stderr, "pass %lu: word %zu of the state is %lx, undisturbed it is %lx\n", round, i, b[i], a[i]);
    return 1;
}

static int passes(void)
{
    for (unsigned long round = 0; round < 10000000; round++) {
        for (size_t i = 0; i < sizeof(arena); i++)
            arena[i] = (uint8_t)(i * 31);
        memset(&now, 0, sizeof(now));
        pass();
        for (size_t i = 0; i < sizeof(arena); i++)
            now.memory_sum = now.memory_sum * 31 + arena[i];
        if (round == 0)
            first = now;
        else if (memcmp(&first, &now, sizeof(now)))
            return different(round);
        if (stop)
            return 0;
    }
    return 4;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};

    if (argc != 2)
        return 2;
    if (!strcmp(argv[1], "operands"))
        return operands();
    if (!strcmp(argv[1], "faults"))
        return faults();
    sigaction(SIGUSR1, &action, NULL);
    if (!strcmp(argv[1], "threads"))
        return threads();
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            patterns[i][j] = (uint8_t)(i * 37 + j * 11 + 5);
    if (choose(argv[1])) {
        fprintf(stderr, "usage: target compute|spin|ocall|touch|handler|threads|operands|faults\n");
        return 3;
    }
    return passes();
}
