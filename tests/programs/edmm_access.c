/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that gets its pages at first use: the stack, signal frames, all sorts of instructions, code, and threads that come to
 * the same page at once. `--only SECTION`, or `--die HOW` to end by a signal; `--thread` in front of `--only` does it in a second
 * thread, `--raced PAGES` lets threads race for so many. Mappings and system calls: edmm_memory.c */
#include "lazy.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>

static uint64_t __attribute__((noinline)) recurse(unsigned depth)
{
    volatile uint64_t frame[3000 / 8];
    frame[0] = depth;
    frame[374] = depth * 3;
    uint64_t below = depth ? recurse(depth - 1) : 0;
    CHECK_EQ(frame[0], depth);
    return below + frame[0] + frame[374];
}

/* Far below what was ever used, and from there upwards. */
static uint64_t __attribute__((noinline)) jump_down(size_t size)
{
    volatile char *p = __builtin_alloca(size);
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i += 1000)
        p[i] = i / 1000 % 100;
    for (size_t i = 0; i < size; i += 1000)
        sum += p[i];
    return sum;
}

static void deep_stack(void)
{
    CHECK_EQ(jump_down(3000000), 3000 / 100 * 4950); /* before all else: nothing between is there */
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(recurse(2000), 4ull * 2000 * 2001 / 2); /* 6 MB */
        CHECK_EQ(jump_down(7000000), 7000 / 100 * 4950);
    }
}

/* ---- signal frames ---- */

static char *stack_low, *stack_high;
static volatile int handled;
static volatile uint64_t saved_rsp __attribute__((used));

static void on_stack(int sig, siginfo_t *info, void *context)
{
    volatile char deep[10 * PAGE];
    char *here = __builtin_frame_address(0);
    CHECK(here >= stack_low && here < stack_high);
    for (size_t i = sizeof(deep); i-- > 0; i -= i >= 512 ? 511 : i)
        deep[i] = sig;
    CHECK(deep[sizeof(deep) - 1] == sig && info->si_signo == sig);
    handled++;
    if (sig == SIGSEGV) {
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = continue_at;
        continue_at = 0;
    }
}

static void install(int flags)
{
    struct sigaction action = { .sa_sigaction = on_stack, .sa_flags = SA_SIGINFO | flags };
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGSEGV, &action, NULL) == 0);
}

static void alternate_stack(void)
{
    static const size_t sizes[] = { 14 * PAGE, 20 * PAGE + 8, 33 * PAGE - 1000 };
    install(SA_ONSTACK);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *p = fresh(40 * PAGE, RW);
        stack_t stack = { .ss_sp = p + 100, .ss_size = sizes[i] }, off = { .ss_flags = SS_DISABLE };
        stack_low = p + 100;
        stack_high = stack_low + sizes[i];
        REQUIRE(sigaltstack(&stack, NULL) == 0);
        handled = 0;
        CHECK_EQ(raise(SIGUSR1), 0);
        CHECK_EQ(madvise(p, 40 * PAGE, MADV_DONTNEED), 0);
        FAULT_AT("movl 16, %%ecx", "r"(0));
        CHECK_EQ(madvise(p, 40 * PAGE, MADV_DONTNEED), 0);
        CHECK_EQ(raise(SIGUSR1), 0);
        CHECK_EQ(handled, 3);
        CHECK_EQ(p[99], 0);
        CHECK_EQ(*stack_high, 0);
        REQUIRE(sigaltstack(&off, NULL) == 0);
        drop(p, 40 * PAGE);
    }
    install_fault_handler(skip_instruction, 0);
}

/* With top as stack pointer: a signal to itself, and one of a fault. */
static void signal_to_self(char *top)
{
    long result = SYS_tgkill;
    __asm__ volatile("mov %%rsp, saved_rsp(%%rip)\n"
                     "mov %1, %%rsp\n"
                     "syscall\n"
                     "mov saved_rsp(%%rip), %%rsp\n"
                     : "+a"(result) : "r"(top), "D"(getpid()), "S"(syscall(SYS_gettid)), "d"(SIGUSR1)
                     : "rcx", "r11", "memory");
    CHECK_EQ(result, 0);
}

static void fault_on(char *top)
{
    __asm__ volatile("mov %%rsp, saved_rsp(%%rip)\n"
                     "lea 1f(%%rip), %%rax\n"
                     "mov %%rax, continue_at(%%rip)\n"
                     "mov %0, %%rsp\n"
                     "movb 24, %%cl\n"
                     "1: mov saved_rsp(%%rip), %%rsp\n"
                     : : "r"(top) : "rax", "rcx", "memory");
}

static void frames_on_new_stack(void)
{
    static const size_t offsets[] = { 0, 8, 128, 136, 200, 640, 1000, 2048, 3300, 4088 };
    char *p = fresh(64 * PAGE, RW);
    stack_low = p;
    install(0);
    handled = 0;
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        stack_high = p + 48 * PAGE + offsets[i];
        CHECK_EQ(madvise(p, 64 * PAGE, MADV_DONTNEED), 0);
        signal_to_self(stack_high);
        CHECK(all_are(stack_high, 4096, 0));
        CHECK_EQ(madvise(p, 64 * PAGE, MADV_DONTNEED), 0);
        fault_on(stack_high);
        CHECK(all_are(stack_high, 4096, 0));
        CHECK(all_are(stack_high - 128, 128, 0)); /* the red zone */
        CHECK_EQ(handled, 2 * i + 2);
    }
    install_fault_handler(skip_instruction, 0);
    drop(p, 64 * PAGE);
}

/* ---- instructions ---- */

/* The border of two pages, neither of which is there. */
static char *new_border(char *p)
{
    REQUIRE(madvise(p, 96 * PAGE, MADV_DONTNEED) == 0);
    return p + 48 * PAGE;
}

static void atomic_operations(void)
{
    char *p = fresh(96 * PAGE, RW);
    _Atomic uint64_t *word = (_Atomic uint64_t *)(new_border(p) + 64);
    CHECK_EQ(atomic_fetch_add(word, 5), 0);
    word = (_Atomic uint64_t *)(new_border(p) - 8);
    CHECK_EQ(atomic_exchange(word, 9), 0);
    uint64_t expected = 0;
    word = (_Atomic uint64_t *)new_border(p);
    CHECK(atomic_compare_exchange_strong(word, &expected, 7) && *word == 7);
    word = (_Atomic uint64_t *)new_border(p);
    expected = 3; /* an unsuccessful exchange writes, too */
    CHECK(!atomic_compare_exchange_strong(word, &expected, 7) && expected == 0);

    uint64_t *wide = (uint64_t *)(new_border(p) - 16), low = 0, high = 0;
    bool equal;
    __asm__ volatile("lock cmpxchg16b %3" : "=@ccz"(equal), "+a"(low), "+d"(high), "+m"(*(__int128 *)wide)
                     : "b"(0x1111ull), "c"(0x2222ull));
    CHECK(equal && wide[0] == 0x1111 && wide[1] == 0x2222);

    char *at = new_border(p) - 3; /* across */
    uint64_t add = 0x0102030405060708;
    __asm__ volatile("lock xaddq %0, %1" : "+r"(add), "+m"(*(uint64_t *)at) : : "cc");
    CHECK_EQ(add, 0);
    memcpy(&add, at, 8);
    CHECK_EQ(add, 0x0102030405060708);
    at = new_border(p) - 5;
    __asm__ volatile("addl $77, %0" : "+m"(*(uint32_t *)at) : : "cc");
    __asm__ volatile("addl $77, %0" : "+m"(*(uint32_t *)(at + 3)) : : "cc");
    CHECK(at[0] == 77 && at[3] == 77);
    at = new_border(p);
    __asm__ volatile("lock btsq %1, %0" : "+m"(*(uint64_t *)at) : "r"(-8l * 4096 - 3) : "cc"); /* far off its operand */
    CHECK_EQ((unsigned char)at[-4097], 0x20);
    drop(p, 96 * PAGE);
}

static void string_instructions(void)
{
    char *p = fresh(96 * PAGE, RW), *at = new_border(p) - 10 * PAGE - 5, *to = at;
    size_t count = 20 * PAGE;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0x44) : "memory");
    CHECK(to == at + 20 * PAGE && all_are(at, 20 * PAGE, 0x44) && !at[-1] && !at[20 * PAGE]);
    const char *from = at;
    to = at + 30 * PAGE + 3;
    count = 5 * PAGE / 8;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    CHECK(all_are(at + 30 * PAGE + 3, 5 * PAGE, 0x44) && !at[35 * PAGE + 3]);
    at = new_border(p);
    to = at + 4 * PAGE; /* downwards, from what is not there either */
    from = at - 4 * PAGE;
    count = 6 * PAGE / 8;
    __asm__ volatile("std\n rep movsq\n cld" : "+D"(to), "+S"(from), "+c"(count) : : "memory", "cc");
    CHECK_EQ(count, 0);
    CHECK(all_are(at - 10 * PAGE, 15 * PAGE, 0));
    at = new_border(p);
    to = at - 2;
    count = 4;
    __asm__ volatile("repe scasb" : "+D"(to), "+c"(count) : "a"(0) : "memory", "cc");
    CHECK_EQ(count, 0);
    drop(p, 96 * PAGE);
}

static void stack_instructions(void)
{
    char *p = fresh(96 * PAGE, RW), *at = new_border(p);
    uint64_t value = 0;
    __asm__ volatile("mov %%rsp, saved_rsp(%%rip)\n"
                     "lea 4(%1), %%rsp\n"
                     "push $0x1234567\n" /* across */
                     "call 1f\n"
                     "1: add $8, %%rsp\n"
                     "pop %0\n"
                     "mov %1, %%rsp\n"
                     "sub $0x5000, %%rsp\n"
                     "enter $0x3000, $0\n"
                     "leave\n"
                     "pushf\n"
                     "popf\n"
                     "mov saved_rsp(%%rip), %%rsp\n"
                     : "=&r"(value) : "r"(at) : "memory", "cc");
    CHECK_EQ(value, 0x1234567);
    drop(p, 96 * PAGE);
}

static void __attribute__((target("avx"))) avx(char *p)
{
    static const uint64_t pattern[4] = { 1, 2, 3, 4 };
    for (int before = 1; before < 32; before += 5) {
        char *at = new_border(p) - before;
        __asm__ volatile("vmovdqu %1, %%ymm5\n vmovdqu %%ymm5, %0" : "=m"(*(char(*)[32])at) : "m"(pattern) : "xmm5");
        CHECK(!memcmp(at, pattern, 32) && !at[-1] && !at[32]);
        at = new_border(p) - before;
        __asm__ volatile("vmovdqu %0, %%ymm5\n vptest %%ymm5, %%ymm5\n setz %%al\n" : : "m"(*(char(*)[32])at) : "xmm5", "al", "cc");
    }
    /* What the mask leaves out is not accessed: nothing is there. */
    static const uint64_t mask[4] = { -1ull, -1ull, 0, 0 };
    char *at = new_border(p);
    REQUIRE(mprotect(at, PAGE, PROT_NONE) == 0);
    __asm__ volatile("vmovdqu %1, %%ymm6\n vmovdqu %2, %%ymm5\n vmaskmovpd %%ymm5, %%ymm6, %0\n"
                     : "=m"(*(char(*)[32])(at - 16)) : "m"(mask), "m"(pattern) : "xmm5", "xmm6");
    CHECK(!memcmp(at - 16, pattern, 16));
    REQUIRE(mprotect(at, PAGE, RW) == 0);
    CHECK(all_are(at, 64, 0));
    __asm__ volatile("vzeroupper");
}

static void __attribute__((target("avx512f"))) avx512(char *p)
{
    static const uint64_t pattern[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    for (int before = 1; before < 64; before += 9) {
        char *at = new_border(p) - before;
        __asm__ volatile("vmovdqu64 %1, %%zmm5\n vmovdqu64 %%zmm5, %0" : "=m"(*(char(*)[64])at) : "m"(pattern) : "xmm5");
        CHECK(!memcmp(at, pattern, 64) && !at[-1] && !at[64]);
    }
    __asm__ volatile("vzeroupper");
}

static void vector_instructions(void)
{
    char *p = fresh(96 * PAGE, RW);
    static const uint64_t pattern[2] = { 0x8899, 0xaabb };
    for (int before = 1; before < 16; before++) {
        char *at = new_border(p) - before;
        __asm__ volatile("movups %1, %%xmm5\n movups %%xmm5, %0" : "=m"(*(char(*)[16])at) : "m"(pattern) : "xmm5");
        CHECK(!memcmp(at, pattern, 16) && !at[-1] && !at[16]);
    }
    char *at = new_border(p) - 256;
    __asm__ volatile("fxsave %0" : "=m"(*(char(*)[512])at));
    CHECK_EQ(*(uint16_t *)at, 0x37f);
    if (__builtin_cpu_supports("avx"))
        avx(p);
    if (__builtin_cpu_supports("avx512f"))
        avx512(p);
    drop(p, 96 * PAGE);
}

/* ---- code ---- */

/* An instruction that begins on a page that is there and ends on one that is not; 33 pages of `add %al, (%rax)`, which is what
 * zeros mean; and a return. */
static void code_across(void)
{
    char *p = fresh(40 * PAGE, RWX), *data = fresh(PAGE, RW);
    p[PAGE - 1] = (char)0xbb; /* mov $0, %ebx: the 0 is on the next page */
    p[34 * PAGE] = (char)0xc3;
    uint64_t rbx = 1;
    data[1] = 5;
    __asm__ volatile("mov $0x1234, %%ebx\n call *%1\n mov %%rbx, %0"
                     : "=r"(rbx) : "r"(p + PAGE - 1), "a"(data + 1) : "rbx", "memory", "cc");
    CHECK_EQ(rbx, 0);
    CHECK_EQ((unsigned char)data[1], (5 + (33 * PAGE - 4) / 2 * ((uintptr_t)(data + 1) & 0xff)) & 0xff);
    drop(p, 40 * PAGE);
    p = fresh(40 * PAGE, PROT_READ | PROT_EXEC); /* the first use is a jump into the middle */
    data[1] = 0;
    __asm__ volatile("lea 1f(%%rip), %%rcx\n mov %%rcx, continue_at(%%rip)\n jmp *%0\n 1:"
                     : : "r"(p + 20 * PAGE), "a"(data + 1) : "rcx", "memory", "cc");
    CHECK(caught.sig == SIGSEGV && caught.rip == (uintptr_t)p + 40 * PAGE && caught.address == caught.rip);
    CHECK_EQ(data[1], (char)(20 * PAGE / 2));
    drop(p, 40 * PAGE);
    drop(data, PAGE);
}

/* ---- threads ---- */

#define RACERS 4
static unsigned raced_pages = 1000;
static char *raced;
static pthread_barrier_t barrier;

/* All come to each page for the first time at about the same moment; one lets system calls write to it. */
static void *race(void *arg)
{
    unsigned me = (uintptr_t)arg;
    for (int round = 0; round < 3; round++) {
        pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < raced_pages; i++) {
            char *page = raced + i * PAGE;
            if (me == 0 && i % 4 == 0)
                CHECK_EQ(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, page + 256), 0);
            atomic_fetch_add((_Atomic uint32_t *)page, 1);
            *(volatile uint32_t *)(page + 64 + 4 * me) = i + me;
        }
        pthread_barrier_wait(&barrier);
        if (me == 0) {
            for (unsigned i = 0; i < raced_pages; i++) {
                uint32_t *page = (uint32_t *)(raced + i * PAGE);
                CHECK_EQ(page[0], RACERS);
                for (unsigned j = 0; j < RACERS; j++)
                    CHECK_EQ(page[16 + j], i + j);
            }
            REQUIRE(madvise(raced, raced_pages * PAGE, MADV_DONTNEED) == 0);
        }
    }
    return NULL;
}

static void races(void)
{
    pthread_t threads[RACERS];
    raced = fresh(raced_pages * PAGE, RW);
    REQUIRE(pthread_barrier_init(&barrier, NULL, RACERS) == 0);
    for (uintptr_t i = 0; i < RACERS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, race, (void *)i) == 0);
    for (int i = 0; i < RACERS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    drop(raced, raced_pages * PAGE);
}

/* Does not come back. */
static int die(const char *how)
{
    char *p = fresh(20 * PAGE, RW);
    if (!strcmp(how, "stack")) {
        recurse(1u << 30);
    } else if (!strcmp(how, "frame")) { /* no room for a signal frame */
        install(0);
        REQUIRE(munmap(p, 10 * PAGE) == 0);
        signal_to_self(p + 10 * PAGE + 200);
    }
    return 98;
}

struct arguments {
    int argc;
    char **argv;
};

/* Returns the exit status. */
static void *run(void *data)
{
    static const struct section sections[] = {
        { "deep stack", deep_stack },
        { "alternate stack", alternate_stack },
        { "frames on a new stack", frames_on_new_stack },
        { "atomic operations", atomic_operations },
        { "string instructions", string_instructions },
        { "stack instructions", stack_instructions },
        { "vector instructions", vector_instructions },
        { "code", code_across },
        { "races", races },
    };
    const struct arguments *arguments = data;
    return (void *)(uintptr_t)RUN_SECTIONS(sections, arguments->argc, arguments->argv);
}

int main(int argc, char **argv)
{
    struct arguments arguments = { argc, argv };
    bool in_thread = false;
    void *result = NULL;
    pthread_t thread;

    if (argc == 3 && !strcmp(argv[1], "--die"))
        return die(argv[2]);
    for (int i = 1; i < argc && strcmp(argv[i], "--only"); i++) {
        in_thread |= !strcmp(argv[i], "--thread");
        if (i + 1 < argc && !strcmp(argv[i], "--raced"))
            raced_pages = strtoul(argv[i + 1], NULL, 0);
    }
    install_fault_handler(skip_instruction, 0);
    if (!in_thread)
        return (int)(uintptr_t)run(&arguments);
    REQUIRE(pthread_create(&thread, NULL, run, &arguments) == 0);
    CHECK_EQ(pthread_join(thread, &result), 0);
    return (int)(uintptr_t)result;
}
