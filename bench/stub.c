/* SPDX-License-Identifier: Apache-2.0
 *
 * What the mitigation costs in cycles: decoder, preparation and stub, from resume_ready to the application's next instruction,
 * against a plain loop that touches the same lines (64 of each of the same five pages). The runtime's own objects, outside any
 * enclave: they are ordinary code but for GS. Interleaved; medians of time-stamp counter differences.
 *
 * usage: stub [ROUNDS] */
#include "enclave/internal.h"
#include "enclave/notify/notify.h"

#include <asm/prctl.h>
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

bool xstate_in_use_known; /* enclave/xstate.c's */

extern char resume_ready[];

/* ---- what the objects want from the rest of the runtime ---- */
static struct vigil_boot_info info = {.app_start = 4096, .app_end = 1ull << 47};

const struct vigil_boot_info *boot_info(void)
{
    return &info;
}

bool user_range_ok(const void *address, size_t size)
{
    return (uint64_t)address + size < 1ull << 47;
}

bool edmm_on(void)
{
    return false;
}

bool page_present(uint64_t address)
{
    (void)address;
    return true;
}

void libos_stray(uint64_t address)
{
    (void)address;
}

int libos_populate(uint64_t address, uint64_t length, int access)
{
    (void)address, (void)length, (void)access;
    return 0;
}

_Noreturn void runtime_fail(const char *why)
{
    fprintf(stderr, "stub: %s\n", why);
    abort();
}

int libos_page_access(uint64_t address)
{
    (void)address;
    return LINUX_PROT_READ | LINUX_PROT_EXEC;
}

int random_bytes(void *to, size_t size)
{
    return size == 8 && _rdrand64_step(to) ? 0 : -1;
}

struct notify_policy notify_policy;
void log_line(enum vigil_log_level level, const char *format, ...)
{
    (void)level, (void)format;
}

static _Noreturn void not_here(void)
{
    abort();
}
uint32_t threads_inside = 1;
void runtime_boot(uint64_t shared) { (void)shared, not_here(); }
void runtime_thread_start(uint64_t shared) { (void)shared, not_here(); }
void runtime_stage2(void) { not_here(); }
void runtime_events(void) { not_here(); }
void runtime_gate_syscall(void) { not_here(); }
void runtime_fault(void) { not_here(); }
enum stage1_action stage1(uint32_t claim) { (void)claim, not_here(); }

/* ---- the way there and back ---- */
static struct tcb *tcb;

/* As if the thread had been interrupted in front of the load at 2: resumes there through the runtime. The checkpoint's
 * registers are the ones of now. Returns the cycles. */
static uint64_t __attribute__((noinline)) resume(uint64_t *data)
{
    uint64_t ticks;

    __asm__ volatile(
        "pushq %%rbx\n pushq %%rbp\n pushq %%r12\n pushq %%r13\n pushq %%r14\n pushq %%r15\n"
        "movq %%rsi, 64+%c[ckpt](%%rdi)\n"  /* R8: the data */
        "movq %%rsp, 32+%c[ckpt](%%rdi)\n"
        "leaq 2f(%%rip), %%rax\n movq %%rax, 136+%c[ckpt](%%rdi)\n"
        "rdfsbase %%rax\n movq %%rax, 144+%c[ckpt](%%rdi)\n"
        "movq $2, 128+%c[ckpt](%%rdi)\n"
        "lfence\n rdtsc\n lfence\n shlq $32, %%rdx\n orq %%rdx, %%rax\n movq %%rax, 72+%c[ckpt](%%rdi)\n" /* R9: the start */
        "jmp resume_ready\n"
        ".balign 64\n"
        "2: movq (%%r8), %%rcx\n"
        "lfence\n rdtsc\n shlq $32, %%rdx\n orq %%rdx, %%rax\n subq %%r9, %%rax\n"
        "popq %%r15\n popq %%r14\n popq %%r13\n popq %%r12\n popq %%rbp\n popq %%rbx\n"
        : "=a"(ticks)
        : "D"(tcb), "S"(data), [ckpt] "i"(offsetof(struct tcb, ckpt))
        : "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
    return ticks;
}

static const unsigned pages[] = {PLAN_CODE, PLAN_STACK0, PLAN_STACK1, PLAN_DATA0, PLAN_DATA1};

/* The same lines, nothing else. */
static uint64_t __attribute__((noinline)) plain_loop(void)
{
    const char *page[5];

    for (unsigned i = 0; i < 5; i++)
        page[i] = (const char *)tcb->plan[pages[i]];
    _mm_lfence();
    uint64_t begin = __rdtsc();
    _mm_lfence();
    for (unsigned line = 0; line < 64; line++)
        for (unsigned i = 0; i < 5; i++)
            (void)*(const volatile uint32_t *)(page[i] + line * 64);
    _mm_lfence();
    return __rdtsc() - begin;
}

/* Puts them out of the caches. */
static void flush(void)
{
    for (unsigned i = 0; i < 5; i++)
        for (unsigned line = 0; line < 64; line++)
            _mm_clflush((const char *)tcb->plan[pages[i]] + line * 64);
    _mm_mfence();
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool make_block(void)
{
    static struct vigil_shared shared;
    char *block = mmap(NULL, 64 * VIGIL_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (block == MAP_FAILED)
        return false;
    tcb = (struct tcb *)(block - VIGIL_GS_BLOCK);
    tcb->self = tcb;
    tcb->shared = &shared;
    tcb->probe_word = (uint64_t)probe_back;
    tcb->slow_limit = ~0ull >> 2;
    tcb->stub_due = 1;
    mitigation_init();
    return !syscall(SYS_arch_prctl, ARCH_SET_GS, tcb);
}

static void measure(const char *what, bool cold, uint64_t *data, unsigned rounds, uint64_t *with, uint64_t *without)
{
    resume(data); /* the plan */
    for (unsigned i = 0; i < 2 * rounds; i++) {
        if (cold)
            flush();
        if (i % 2)
            with[i / 2] = resume(data);
        else
            without[i / 2] = plain_loop();
    }
    qsort(with, rounds, sizeof(*with), compare);
    qsort(without, rounds, sizeof(*without), compare);
    uint64_t a = with[rounds / 2], b = without[rounds / 2];
    printf("%s: decoder, preparation and stub %lu cycles, a plain loop over the same 320 lines %lu: %.2f x\n", what, a, b,
           (double)a / (double)b);
}

int main(int argc, char **argv)
{
    volatile char deep[4 * VIGIL_PAGE]; /* the page above the stack pointer's is touched, too */
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 20001;
    char *data = aligned_alloc(VIGIL_PAGE, 2 * VIGIL_PAGE);
    uint64_t *with = calloc(rounds, sizeof(*with)), *without = calloc(rounds, sizeof(*without));

    deep[0] = deep[sizeof(deep) - 1] = 0;

    if (!rounds || !data || !with || !without || !make_block()) {
        perror("stub");
        return 2;
    }
    memset(data, 1, 2 * VIGIL_PAGE);
    /* An operand on two pages: five different pages. */
    uint64_t *operand = (uint64_t *)(data + VIGIL_PAGE - 4);
    measure("in the caches    ", false, operand, rounds, with, without);
    measure("not in the caches", true, operand, rounds, with, without);
    /* Each of them has run to its end. */
    return tcb->stats.stub != 2ul * rounds + 2;
}
