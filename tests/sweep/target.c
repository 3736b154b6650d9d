/* SPDX-License-Identifier: Apache-2.0
 *
 * The program the boundary sweep interrupts. It runs one path between sweep_begin and sweep_end again and again, each
 * time from the same registers (general, flags, vector), and checks that everything it can see afterwards is as it was
 * the first time, when nobody interrupted. The driver (sweep.c) answers at sweep_begin through RAX: 0 go on, 1 stop.
 *
 * The paths touch, batch, populate, trim and restrict are about pages, of which some come and go before each pass:
 *   touch     the program writes to a page for the first time
 *   batch     the same, behind three that are there: four are added
 *   populate  a system call writes to one
 *   trim      a page goes (madvise)
 *   restrict  a page loses its right to be written to (mprotect)
 *
 * usage: target PATH, PATH one of compute, syscall, ocall, bounce, fault, raise, gate, handler or of those */
#include "vigil/aex.h"

#include <elf.h>
#include <fcntl.h>
#include <immintrin.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

struct state {
    uint64_t gpr[15];          /* rbx rcx rdx rsi rdi rbp r8 .. r15, rax at the end; rsp is the compiler's */
    uint64_t rflags;
    uint8_t ymm[16][32] __attribute__((aligned(32)));
    uint32_t mxcsr;
    uint16_t fcw, pad;
    uint64_t memory_sum, fsbase;
};

/* Read and written by the asm below. */
uint64_t path_nr, path_a0, path_a1, path_a2, path_kind, stop, gate;
uint8_t patterns[16][32] __attribute__((aligned(32)));
struct state now;
uint64_t arena[512];
static struct state first;
static volatile int handled;

enum { KIND_COMPUTE, KIND_SYSCALL, KIND_FAULT, KIND_GATE };

/* One pass. RCX and R11 are left out where the path destroys them. */
static void __attribute__((noinline)) pass(void)
{
    static uint64_t saved_rsp;
    __asm__ volatile(
        "subq $128, %%rsp\n" /* asm must not touch the red zone the compiler may be using */
        "pushq %%rbx\n pushq %%rbp\n pushq %%r12\n pushq %%r13\n pushq %%r14\n pushq %%r15\n"
        "movq %%rsp, %[rsp]\n"
        "leaq patterns(%%rip), %%rax\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovdqa \\n*32(%%rax), %%ymm\\n\n .endr\n"
        "movabsq $0x1111111111111111, %%rbx\n movabsq $0x2222222222222222, %%rcx\n"
        "movabsq $0x5555555555555555, %%rbp\n"
        "movabsq $0x8888888888888888, %%r8\n movabsq $0x9999999999999999, %%r9\n movabsq $0xaaaaaaaaaaaaaaaa, %%r10\n"
        "movabsq $0xbbbbbbbbbbbbbbbb, %%r11\n movabsq $0xcccccccccccccccc, %%r12\n movabsq $0xdddddddddddddddd, %%r13\n"
        "movabsq $0xeeeeeeeeeeeeeeee, %%r14\n movabsq $0xffffffffffffffff, %%r15\n"
        "movq path_a0(%%rip), %%rdi\n movq path_a1(%%rip), %%rsi\n movq path_a2(%%rip), %%rdx\n"
        "xorl %%eax, %%eax\n"
        ".globl sweep_begin\nsweep_begin: nop\n"
        "movq %%rax, stop(%%rip)\n"
        "movq %%r15, -8(%%rsp)\n"           /* the red zone must survive */
        "movq %%r14, -128(%%rsp)\n"
        "cmpq $1, path_kind(%%rip)\n je 1f\n cmpq $2, path_kind(%%rip)\n je 2f\n cmpq $3, path_kind(%%rip)\n je 3f\n"
        /* compute: registers, flags and memory, so that any boundary shows */
        "movl $20, %%eax\n"
        "0: addq %%rbx, %%rcx\n adcq %%r8, %%r9\n rolq $7, %%r10\n xorq %%r10, arena(%%rip)\n"
        "vpaddq %%ymm1, %%ymm0, %%ymm0\n decl %%eax\n jnz 0b\n stc\n jmp 9f\n"
        "1: movq path_nr(%%rip), %%rax\n stc\n syscall\n jmp 8f\n"
        "2: movq arena(%%rip), %%rax\n"
        ".globl sweep_fault\nsweep_fault: movq %%rbx, (%%rdi)\n stc\n jmp 9f\n"
        "3: movq path_nr(%%rip), %%rax\n leaq 8f(%%rip), %%rcx\n stc\n jmpq *gate(%%rip)\n"
        "syscall\n" /* never reached: the gate wants to return behind one, for restarts */
        "8: movl $0, %%ecx\n movl $0, %%r11d\n"
        "9:\n"
        ".globl sweep_end\nsweep_end: nop\n"
        "movq %%rax, 112+now(%%rip)\n"
        "pushfq\n popq %%rax\n movq %%rax, 120+now(%%rip)\n"
        "movq %%rbx, 0+now(%%rip)\n movq %%rcx, 8+now(%%rip)\n movq %%rdx, 16+now(%%rip)\n movq %%rsi, 24+now(%%rip)\n"
        "movq %%rdi, 32+now(%%rip)\n movq %%rbp, 40+now(%%rip)\n movq %%r8, 48+now(%%rip)\n movq %%r9, 56+now(%%rip)\n"
        "movq %%r10, 64+now(%%rip)\n movq %%r11, 72+now(%%rip)\n movq %%r12, 80+now(%%rip)\n"
        "movq %%r13, 88+now(%%rip)\n movq %%r14, 96+now(%%rip)\n movq %%r15, 104+now(%%rip)\n"
        "leaq 128+now(%%rip), %%rax\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovdqa %%ymm\\n, \\n*32(%%rax)\n .endr\n"
        "stmxcsr 640+now(%%rip)\n fnstcw 644+now(%%rip)\n"
        "cmpq %%rsp, %[rsp]\n jne 7f\n"
        "popq %%r15\n popq %%r14\n popq %%r13\n popq %%r12\n popq %%rbp\n popq %%rbx\n addq $128, %%rsp\n"
        "jmp 6f\n7: ud2\n6:\n"
        "vzeroupper\n"
        : [rsp] "=m"(saved_rsp)
        :
        : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3",
          "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

_Static_assert(offsetof(struct state, gpr) == 0 && offsetof(struct state, rflags) == 120, "asm");
_Static_assert(offsetof(struct state, ymm) == 128 && offsetof(struct state, mxcsr) == 640, "asm");
_Static_assert(offsetof(struct state, fcw) == 644, "asm");

static void on_signal(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    handled++;
    if (sig == SIGSEGV) {
        extern char sweep_fault[];
        if (info->si_addr != (void *)path_a0 || uc->uc_mcontext.gregs[REG_RIP] != (greg_t)sweep_fault)
            _exit(3);
        uc->uc_mcontext.gregs[REG_RIP] += 3;
    }
}

/* The driver's host signal: counted, and nothing else. */
volatile uint64_t sweep_signals;

static void on_injected(int sig)
{
    (void)sig;
    sweep_signals++;
}

/* path handler: the program's handler of interruptions. What is wrong ends the program: nothing may print here. */
static volatile uint64_t calls, told_of;

static void on_interruption(const struct vigil_aex_info *info, void *arg)
{
    extern char sweep_begin[], sweep_end[];
    ucontext_t *uc = info->context;

    (void)arg;
    if (info->rip < (uint64_t)sweep_begin || info->rip > (uint64_t)sweep_end)
        _exit(4);
    if (uc->uc_mcontext.gregs[REG_RBX] != 0x1111111111111111 || info->interruptions < 1 || info->coalesced > 2)
        _exit(5);
    calls++;
    told_of += info->interruptions;
    __asm__ volatile("vpcmpeqd %%ymm0, %%ymm0, %%ymm0\n vpxor %%xmm15, %%xmm15, %%xmm15\n vmovdqa %%ymm0, %%ymm7\n"
                     : : : "xmm0", "xmm7", "xmm15");
}

/* After a pass with an AEX in front of its first instruction and perhaps one or two more: one call for the first, one more
 * for each that met the program outside its handler. */
static void check_calls(unsigned long round)
{
    static uint64_t calls_before;
    uint64_t in_this = calls - calls_before;

    calls_before = calls;
    if (round == 0 ? in_this != 0 : in_this < 1 || in_this > 3 || (round == 1 && in_this != 1)) {
        fprintf(stderr, "target: round %lu: %lu calls of the handler\n", round, in_this);
        exit(6);
    }
}

/* ---- pages ---- */
#define PAGE 4096
static char *pages;                            /* 16 of them */
static unsigned used;                          /* before a pass: the first `used` are there, no other is */
static int restricted;

static void prepare_pages(void)
{
    if (!pages)
        return;
    if (restricted)
        mprotect(pages, PAGE, PROT_READ | PROT_WRITE);
    madvise(pages, 16 * PAGE, MADV_DONTNEED);
    for (unsigned i = 0; i < used; i++)
        pages[i * PAGE] = 1;
}

static int parse_pages(const char *path)
{
    if (!strcmp(path, "touch")) {
        path_kind = KIND_FAULT;
    } else if (!strcmp(path, "batch")) {
        path_kind = KIND_FAULT, used = 3;
    } else if (!strcmp(path, "populate")) {
        path_kind = KIND_SYSCALL, path_nr = SYS_uname;
    } else if (!strcmp(path, "trim")) {
        path_kind = KIND_SYSCALL, path_nr = SYS_madvise, path_a1 = PAGE, path_a2 = MADV_DONTNEED, used = 1;
    } else if (!strcmp(path, "restrict")) {
        path_kind = KIND_SYSCALL, path_nr = SYS_mprotect, path_a1 = PAGE, path_a2 = PROT_READ, used = 1, restricted = 1;
    } else {
        return -1;
    }
    pages = mmap(NULL, 18 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + PAGE, 16 * PAGE, PROT_READ | PROT_WRITE))
        return -1;
    pages += PAGE;
    path_a0 = (uint64_t)pages + (path_kind == KIND_FAULT ? used * PAGE : 0);
    return 0;
}

static int parse(const char *path)
{
    static char path_name[] = "/dev/null";
    if (!strcmp(path, "compute")) {
        path_kind = KIND_COMPUTE;
    } else if (!strcmp(path, "handler")) {
        path_kind = KIND_COMPUTE;
        if (vigil_aex_register(on_interruption, NULL)) {
            perror("target: vigil_aex_register");
            return -1;
        }
    } else if (!strcmp(path, "syscall")) {
        path_kind = KIND_SYSCALL, path_nr = SYS_getppid;
    } else if (!strcmp(path, "ocall")) {
        path_kind = KIND_SYSCALL, path_nr = SYS_lseek;
        path_a0 = (uint64_t)open("/proc/self/status", O_RDONLY), path_a1 = 0, path_a2 = SEEK_CUR;
    } else if (!strcmp(path, "bounce")) {
        path_kind = KIND_SYSCALL, path_nr = SYS_access, path_a0 = (uint64_t)path_name, path_a1 = R_OK;
    } else if (!strcmp(path, "fault")) {
        path_kind = KIND_FAULT;
        path_a0 = (uint64_t)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    } else if (!strcmp(path, "raise")) {
        path_kind = KIND_SYSCALL, path_nr = SYS_tgkill;
        path_a0 = (uint64_t)getpid(), path_a1 = (uint64_t)syscall(SYS_gettid), path_a2 = SIGUSR2;
    } else if (!strcmp(path, "gate")) {
        path_kind = KIND_GATE, path_nr = SYS_getppid, gate = getauxval(AT_SYSINFO);
        if (!gate) {
            fprintf(stderr, "target: no system call gate (AT_SYSINFO) here\n");
            return -1;
        }
    } else {
        return parse_pages(path);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    struct sigaction injected = {.sa_handler = on_injected, .sa_flags = SA_RESTART};

    if (argc != 2 || parse(argv[1])) {
        fprintf(stderr, "usage: target compute|syscall|ocall|bounce|fault|raise|gate|handler|touch|batch|populate|trim|restrict\n");
        return 2;
    }
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGUSR2, &sa, NULL);
    sigaction(SIGUSR1, &injected, NULL);
    sigaction(SIGHUP, &injected, NULL);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 32; j++)
            patterns[i][j] = (uint8_t)(i * 37 + j * 11 + 5);
    unsigned long rounds = 0;
    do {
        for (size_t i = 0; i < 512; i++)
            arena[i] = i * 0x9e3779b97f4a7c15ull;
        int handled_before = handled;
        memset(&now, 0, sizeof(now));
        prepare_pages();
        pass();
        if (pages && path_kind == KIND_FAULT)
            now.memory_sum += *(uint64_t *)path_a0;
        for (size_t i = 0; i < 512; i++)
            now.memory_sum = now.memory_sum * 31 + arena[i];
        now.memory_sum += (uint64_t)(handled - handled_before);
        __asm__("rdfsbase %0" : "=r"(now.fsbase));
        if (rounds == 0)
            first = now;
        else if (memcmp(&first, &now, sizeof(now))) {
            const uint64_t *a = (const uint64_t *)&first, *b = (const uint64_t *)&now;
            for (size_t i = 0; i < sizeof(now) / 8; i++)
                if (a[i] != b[i])
                    fprintf(stderr, "target: round %lu: word %zu of the state is %lx, undisturbed it is %lx\n", rounds, i,
                            b[i], a[i]);
            return 1;
        }
        if (!strcmp(argv[1], "handler") && !stop)
            check_calls(rounds);
        rounds++;
    } while (!stop && rounds < 10000000);
    printf("rounds %lu\n", rounds > 0 ? 1ul : 0ul);
    return 0;
}
