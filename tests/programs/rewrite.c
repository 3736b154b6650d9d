/* SPDX-License-Identifier: Apache-2.0
 *
 * System calls in code that is made, changed, moved and thrown away while the program runs, and jumps to what is behind
 * a system call: whatever replaces SYSCALL instructions must not show. */
#include "check.h"

#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096

typedef long (*code_fn)(long);
#define CALLS 20

static char *page_at(void *where)
{
    char *p = mmap(where, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED : 0), -1, 0);

    REQUIRE(p != MAP_FAILED);
    return p;
}

/* mov %rdi,%rax ; syscall ; add $imm,%rax ; add $imm2,%rax ; ret */
static void put_code(char *p, int imm, int imm2)
{
    memcpy(p, "\x48\x89\xf8\x0f\x05\x48\x83\xc0\x00\x48\x83\xc0\x00\xc3", 14);
    p[8] = (char)imm;
    p[12] = (char)imm2;
}

/* Executable from now on: as it is, or because it is mapped from a file, as a library is. */
static bool from_file;

static void ready(char *p, size_t size)
{
    if (!from_file) {
        CHECK_EQ(mprotect(p, size, PROT_READ | PROT_EXEC), 0);
        return;
    }
    int fd = (int)syscall(SYS_memfd_create, "code", 0);
    REQUIRE(fd >= 0);
    CHECK_EQ(write(fd, p, size), size);
    CHECK(mmap(p, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0) == p);
    close(fd);
}

static void both_ways(void (*what)(void))
{
    from_file = false;
    what();
    from_file = true;
    what();
}

static long run(char *p, long nr)
{
    return ((code_fn)(uintptr_t)p)(nr);
}

static void run_often(char *p, long more)
{
    for (int i = 0; i < CALLS; i++)
        CHECK_EQ(run(p, SYS_getpid), getpid() + more);
}

static void new_code(char *p, int imm, int imm2, long more)
{
    put_code(p, imm, imm2);
    ready(p, PAGE);
    run_often(p, more);
}

/* What a compiler at run time does: writable, then executable, then changed a little. */
static void code_is_changed_in_place_once(void)
{
    char *p = page_at(NULL);

    new_code(p, 1, 2, 3);
    CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_WRITE), 0);
    p[8] = 10;
    CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_EXEC), 0);
    run_often(p, 12);
    CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    p[12] = 20;
    run_often(p, 30);
    CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_EXEC), 0);
    run_often(p, 30);
    CHECK_EQ(munmap(p, PAGE), 0);
}

/* Other code with a SYSCALL at the same place. */
static void code_takes_the_place_of_code_once(void)
{
    char *p = page_at(NULL);

    new_code(p, 1, 2, 3);
    page_at(p);
    new_code(p, 5, 6, 11);
    CHECK_EQ(munmap(p, PAGE), 0);
    page_at(p);
    new_code(p, 7, 8, 15);
    CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_WRITE), 0);
    put_code(p, 9, 10);
    memmove(p + 16, p, 14);
    memset(p, 0xcc, 16);
    ready(p, PAGE);
    run_often(p + 16, 19);
    CHECK_EQ(munmap(p, PAGE), 0);
}

static void code_is_moved_once(void)
{
    char *p = page_at(NULL), *to = page_at(NULL);

    new_code(p, 1, 2, 3);
    char *q = mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    REQUIRE(q == to);
    run_often(q, 3);
    page_at(p);
    new_code(p, 3, 4, 7);
    CHECK_EQ(munmap(p, PAGE), 0);
    run_often(q, 3);
    CHECK_EQ(munmap(q, PAGE), 0);
}

/* A copy of code is code, too. */
static void code_is_copied(void)
{
    char *p = page_at(NULL), *q = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(q != MAP_FAILED);
    put_code(p, 1, 2);
    from_file = false;
    ready(p, PAGE);
    run_often(p, 3);
    char *last = q + (16 << 20) - PAGE;
    memcpy(last, p, PAGE);
    ready(last, PAGE);
    run_often(last, 3);
    CHECK_EQ(munmap(p, PAGE), 0);
    run_often(last, 3);
    CHECK_EQ(munmap(q, 16 << 20), 0);
}

/* Calls that fail change nothing. */
static void calls_that_fail_change_nothing(void)
{
    uintptr_t text = (uintptr_t)run_often & ~(uintptr_t)(PAGE - 1);

    CHECK_ERRNO(munmap((void *)(text + 1), PAGE), EINVAL);
    CHECK_ERRNO(munmap((void *)(text + 1), 64 * PAGE), EINVAL);
    CHECK_ERRNO(mprotect((void *)(text + 1), PAGE, PROT_READ), EINVAL);
    CHECK(mmap((void *)(text + 1), PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
    for (int i = 0; i < CALLS; i++)
        CHECK_EQ(syscall(SYS_getpid), getpid());
    sleep_ms(1);
    CHECK_EQ(getppid() >= 0, 1);
}

/* Half of a library's code goes, half stays. */
static void part_of_the_code_goes_once(void)
{
    char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(p != MAP_FAILED);
    for (int i = 0; i < 4; i++)
        put_code(p + i * PAGE, i, i);
    ready(p, 4 * PAGE);
    for (int i = 0; i < 4; i++)
        run_often(p + i * PAGE, 2 * i);
    CHECK_EQ(munmap(p, PAGE), 0);
    CHECK_EQ(munmap(p + 2 * PAGE, PAGE), 0);
    run_often(p + PAGE, 2);
    run_often(p + 3 * PAGE, 6);
    CHECK_EQ(munmap(p, 4 * PAGE), 0);
}

/* A table of places to go to, one of them right behind a SYSCALL: no jump in the code leads there. */
long by_table(long number, long what);
__asm__(".text\n"
        ".globl by_table\n"
        "by_table:\n"
        "    mov %rdi,%rax\n"
        "    lea 9f(%rip),%rdx\n"
        "    movslq (%rdx,%rsi,4),%rcx\n"
        "    add %rdx,%rcx\n"
        "    jmp *%rcx\n"
        "1:  add $100,%rax\n"
        "2:  syscall\n"
        "3:  add $1,%rax\n"
        "    add $1000,%rax\n"
        "    ret\n"
        ".section .rodata\n"
        ".balign 8\n"
        "9:  .long 1b - 9b, 2b - 9b, 3b - 9b\n"
        ".text\n");

long by_address(long number, long what);
__asm__(".text\n"
        ".globl by_address\n"
        "by_address:\n"
        "    mov %rdi,%rax\n"
        "    lea 9f(%rip),%rdx\n"
        "    jmp *(%rdx,%rsi,8)\n"
        "1:  add $100,%rax\n"
        "2:  syscall\n"
        "3:  cmp $-4095,%rax\n"
        "    jae 4f\n"
        "    add $1000,%rax\n"
        "4:  ret\n"
        ".section .data.rel.ro,\"aw\"\n"
        ".balign 8\n"
        "9:  .quad 1b, 2b, 3b\n"
        ".text\n");

static void tables_lead_behind_a_system_call(void)
{
    for (int i = 0; i < CALLS; i++) {
        CHECK_EQ(by_table(SYS_getpid, 1), getpid() + 1001);
        CHECK_EQ(by_table(17, 2), 1018);
        CHECK_EQ(by_address(SYS_getpid, 1), getpid() + 1000);
        CHECK_EQ(by_address(17, 2), 1017);
        CHECK_EQ(by_address(-5, 2), -5);
    }
}

/* A handler moves the program to a system call, and behind one. */
static volatile uintptr_t go_to, seen_at;
extern char call_here[], behind_here[], bare_call[], bare_behind[];

long two_calls(long number);
__asm__(".text\n"
        ".globl two_calls, call_here, behind_here, bare_call, bare_behind\n"
        "two_calls:\n"
        "    mov %rdi,%rax\n"
        "    ud2\n"
        "    nop\n"
        "call_here:\n"
        "    syscall\n"
        "behind_here:\n"
        "    add $1,%rax\n"
        "    ret\n"
        "    mov $39,%eax\n"
        "bare_call:\n"
        "    syscall\n"
        "bare_behind:\n"
        "    add $2,%rax\n"
        "    ret\n");

static void on_ill(int sig, siginfo_t *info, void *context)
{
    ucontext_t *c = context;

    (void)sig;
    (void)info;
    seen_at = (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
    c->uc_mcontext.gregs[REG_RIP] = (greg_t)go_to;
}

static void handlers_go_to_system_calls(void)
{
    struct sigaction act = {.sa_sigaction = on_ill, .sa_flags = SA_SIGINFO}, old;

    CHECK_EQ(sigaction(SIGILL, &act, &old), 0);
    for (int i = 0; i < CALLS; i++) {
        go_to = (uintptr_t)call_here;
        CHECK_EQ(two_calls(SYS_getpid), getpid() + 1);
        go_to = (uintptr_t)behind_here;
        CHECK_EQ(two_calls(7), 8);
        go_to = (uintptr_t)bare_call;
        CHECK_EQ(two_calls(SYS_getpid), getpid() + 2);
        go_to = (uintptr_t)bare_behind;
        CHECK_EQ(two_calls(7), 9);
        go_to = (uintptr_t)bare_call - 5;
        CHECK_EQ(two_calls(7), getpid() + 2);
    }
    CHECK_EQ(sigaction(SIGILL, &old, NULL), 0);
}

/* A SYSCALL is the last thing on a page, what is behind it on the next one, which may go or be another's. */
static void at_the_end_of_a_page_once(void)
{
    char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(p != MAP_FAILED);
    for (int at = PAGE - 16; at <= PAGE; at++) {
        memset(p, 0x90, 2 * PAGE);
        put_code(p + at, 3, 4);
        ready(p, 2 * PAGE);
        run_often(p + at, 7);
        CHECK_EQ(mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
        CHECK_EQ(mprotect(p + PAGE, PAGE, PROT_READ | PROT_EXEC), 0);
        run_often(p + at, 7);
        CHECK_EQ(mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
        CHECK(!memcmp(p + at, "\x48\x89\xf8\x0f\x05\x48\x83\xc0", 8));
    }
    CHECK_EQ(munmap(p, 3 * PAGE), 0);
}

/* A call that waits is interrupted at a place that becomes a jump, and begins again. */
static volatile int alarms;
static void on_alarm(int sig)
{
    (void)sig;
    alarms++;
}

static void interrupted_calls_begin_again(void)
{
    struct sigaction act = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, old;
    int fds[2];
    char c = 0, bytes[4] = "";

    CHECK_EQ(sigaction(SIGALRM, &act, &old), 0);
    REQUIRE(!pipe(fds));
    for (int i = 0; i < 5; i++) {
        struct timespec soon = {0, 20000000};
        timer_t timer;
        alarms = 0;
        CHECK_EQ(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
        CHECK_EQ(timer_settime(timer, 0, &(struct itimerspec){.it_value = soon}, NULL), 0);
        (void)c;
        while (!alarms)
            CHECK_EQ(syscall(SYS_getpid), getpid());
        CHECK_EQ(write(fds[1], "x", 1), 1);
        CHECK_EQ(read(fds[0], bytes, 1), 1);
        timer_delete(timer);
    }
    close(fds[0]);
    close(fds[1]);
    CHECK_EQ(sigaction(SIGALRM, &old, NULL), 0);
}

/* A file that is mapped shared and executable stays what it is. */
static void shared_code_is_the_file(void)
{
    static const char code[] = "\xb8\x27\0\0\0\x0f\x05\xc3\x90\x0f\x05\x48\x3d\x01\xf0\xff\xff\xc3";
    int fd = (int)syscall(SYS_memfd_create, "code", 0);
    char now[sizeof(code)];

    REQUIRE(fd >= 0);
    CHECK_EQ(write(fd, code, sizeof(code)), sizeof(code));
    char *p = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED);
    CHECK_EQ(run(p, 0), getpid());
    CHECK(!memcmp(p, code, sizeof(code)));
    CHECK_EQ(msync(p, PAGE, MS_SYNC), 0);
    CHECK_EQ(munmap(p, PAGE), 0);
    CHECK_EQ(pread(fd, now, sizeof(now), 0), sizeof(now));
    CHECK(!memcmp(now, code, sizeof(code)));
    close(fd);
}

/* What is between the number and the SYSCALL is executed, also when it is jumped to, and changes when it is changed. */
static void instructions_in_between_once(void)
{
    /* push %rbx ; mov %rdi,%rbx ; test %edi,%edi ; mov $nr,%eax ; jz 1f ; mov $nr,%eax ; 1: lea 8(%rbx),%rsi ; syscall ;
     * lea (%rax,%rsi),%rax ; pop %rbx ; ret */
    static const char bytes[] = "\x53\x48\x89\xfb\x85\xff\xb8\x27\0\0\0\x74\x05"
                                "\xb8\x27\0\0\0\x48\x8d\x73\x08\x0f\x05\x48\x8d\x04\x30\x5b\xc3";
    char *p = page_at(NULL);

    memcpy(p, bytes, sizeof(bytes) - 1);
    ready(p, PAGE);
    for (int i = 0; i < CALLS; i++) {
        CHECK_EQ(run(p, 1000 + i), getpid() + 1008 + i);
        CHECK_EQ(run(p, 0), getpid() + 8);
    }
    CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_WRITE), 0);
    CHECK(!memcmp(p, bytes, sizeof(bytes) - 1));
    p[21] = 16;
    CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_EXEC), 0);
    for (int i = 0; i < CALLS; i++) {
        CHECK_EQ(run(p, 1000 + i), getpid() + 1016 + i);
        CHECK_EQ(run(p, 0), getpid() + 16);
    }
    munmap(p, PAGE);
}

static void instructions_in_between(void)
{
    both_ways(instructions_in_between_once);
}

static void code_is_changed_in_place(void)
{
    both_ways(code_is_changed_in_place_once);
}

static void code_takes_the_place_of_code(void)
{
    both_ways(code_takes_the_place_of_code_once);
}

static void code_is_moved(void)
{
    both_ways(code_is_moved_once);
}

static void part_of_the_code_goes(void)
{
    both_ways(part_of_the_code_goes_once);
}

static void at_the_end_of_a_page(void)
{
    both_ways(at_the_end_of_a_page_once);
}

/* The C library's code becomes writable and executable again while threads are in its system calls. */
static struct { uintptr_t start, end; } library;
static atomic_bool threads_end;

static int find_library(struct dl_phdr_info *info, size_t size, void *unused)
{
    uintptr_t at = (uintptr_t)nanosleep;

    (void)size;
    (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + p->p_vaddr;
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || at - start >= p->p_memsz)
            continue;
        library.start = start & ~(uintptr_t)(PAGE - 1);
        library.end = (start + p->p_memsz + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    }
    return 0;
}

static void *call_again_and_again(void *unused)
{
    struct timespec soon = {0, 1000};
    int fds[2];
    char c;

    while (!threads_end) {
        CHECK_EQ(nanosleep(&soon, NULL), 0);
        REQUIRE(!pipe(fds));
        CHECK_EQ(write(fds[1], "x", 1), 1);
        CHECK_EQ(read(fds[0], &c, 1), 1);
        close(fds[0]);
        close(fds[1]);
    }
    return unused;
}

static void code_in_use_is_changed(void)
{
    pthread_t threads[3];

    dl_iterate_phdr(find_library, NULL);
    REQUIRE(library.end > library.start);
    for (int i = 0; i < 3; i++)
        REQUIRE(!pthread_create(&threads[i], NULL, call_again_and_again, NULL));
    for (int i = 0; i < 4; i++) {
        sleep_ms(5);
        CHECK_EQ(mprotect((void *)library.start, library.end - library.start, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
        sleep_ms(5);
        CHECK_EQ(mprotect((void *)library.start, library.end - library.start, PROT_READ | PROT_EXEC), 0);
    }
    threads_end = true;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static const struct section sections[] = {
    {"code is changed in place", code_is_changed_in_place},
    {"code takes the place of code", code_takes_the_place_of_code},
    {"code is moved", code_is_moved},
    {"shared code is the file", shared_code_is_the_file},
    {"code is copied", code_is_copied},
    {"calls that fail change nothing", calls_that_fail_change_nothing},
    {"part of the code goes", part_of_the_code_goes},
    {"tables lead behind a system call", tables_lead_behind_a_system_call},
    {"handlers go to system calls", handlers_go_to_system_calls},
    {"at the end of a page", at_the_end_of_a_page},
    {"instructions in between", instructions_in_between},
    {"interrupted calls begin again", interrupted_calls_begin_again},
    {"code in use is changed", code_in_use_is_changed},
};

int main(int argc, char **argv)
{
    return RUN_SECTIONS(sections, argc, argv);
}
