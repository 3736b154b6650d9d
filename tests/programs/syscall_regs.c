/* SPDX-License-Identifier: Apache-2.0
 *
 * A system call changes RAX, RCX and R11 and no other register, whatever form it has and whatever it does. */
#include "registers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLOBBERED (1u << RAX | 1u << RCX | 1u << R11)

static int highest;

/* Makes the call with everything else random; returns its result. */
static long call(uint64_t seed, void (*form)(void), long nr, long a0, long a1, long a2, long a3)
{
    registers_fill(&registers_in, seed);
    registers_in.gpr[RAX] = nr;
    registers_in.gpr[RDI] = a0;
    registers_in.gpr[RSI] = a1;
    registers_in.gpr[RDX] = a2;
    registers_in.gpr[R10] = a3;
    form();
    registers_compare(&registers_out, &registers_in, registers_level, CLOBBERED, FLAGS_COMPARED);
    return registers_out.gpr[RAX];
}

static void plain_calls(void)
{
    for (registers_level = 0; (int)registers_level <= highest; registers_level++) {
        struct timespec when;
        char buffer[64];
        for (int i = 0; i < 20; i++) {
            CHECK_EQ(call(i, registers_syscall, SYS_getpid, 0, 0, 0, 0), getpid());
            CHECK_EQ(call(i, registers_syscall, SYS_clock_gettime, CLOCK_MONOTONIC, (long)&when, 0, 0), 0);
            CHECK_EQ(call(i, registers_syscall, SYS_write, -1, (long)buffer, 5, 0), -EBADF);
            CHECK_EQ(call(i, registers_syscall, SYS_gettid, 0, 0, 0, 0), getpid());
            CHECK_EQ(call(i, registers_syscall, 9999, 1, 2, 3, 4), -ENOSYS);
            CHECK_EQ(call(i, registers_syscall, -1, 1, 2, 3, 4), -ENOSYS);
        }
    }
    registers_level = 0;
}

/* Calls that go to the host carry data and clear registers on the way; calls that map memory change page tables. */
static void calls_that_leave(void)
{
    int fds[2];
    char in[256], out[256] = "what goes in comes out";
    REQUIRE(pipe(fds) == 0);
    for (registers_level = 0; (int)registers_level <= highest; registers_level++) {
        for (int i = 0; i < 20; i++) {
            CHECK_EQ(call(i, registers_syscall, SYS_write, fds[1], (long)out, sizeof(out), 0), sizeof(out));
            CHECK_EQ(call(i, registers_syscall, SYS_read, fds[0], (long)in, sizeof(in), 0), sizeof(in));
            CHECK(!memcmp(in, out, sizeof(in)));
            long page = call(i, registers_syscall, SYS_brk, 0, 0, 0, 0);
            CHECK(page > 0);
            CHECK_EQ(call(i, registers_syscall, SYS_nanosleep, (long)&(struct timespec){ 0, 1000 }, 0, 0, 0), 0);
            CHECK_EQ(call(i, registers_syscall, SYS_openat, AT_FDCWD, (long)"/does/not/exist", O_RDONLY, 0), -ENOENT);
            CHECK_EQ(call(i, registers_syscall, SYS_mprotect, (long)&registers_in & -4096, 4096, PROT_READ | PROT_WRITE, 0), 0);
        }
    }
    registers_level = 0;
}

/* XINUSE; -1: the processor does not tell, or it is not to be asked. */
static long in_use(void)
{
    uint32_t low, high;

    if (highest < 2) /* processors with AVX-512 have XGETBV(1) */
        return -1;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return low;
}

/* Memory that is given back: looked at, and zeroed where it is not zero. */
static void calls_that_clear(void)
{
    enum { PAGES = 40, SIZE = PAGES * 4096 };
    char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(p != MAP_FAILED);
    for (registers_level = 0; (int)registers_level <= highest; registers_level++) {
        for (int i = 0; i < 20; i++) {
            for (int at = i * 977; at < SIZE; at += 9001 + 613 * i) /* one byte here and there */
                p[at] = (char)(at | 1);
            CHECK_EQ(call(i, registers_syscall, SYS_madvise, (long)p, SIZE, MADV_DONTNEED, 0), 0);
            int found = 0;
            for (int at = 0; at < SIZE; at++)
                found += p[at] != 0;
            CHECK_EQ(found, 0);
        }
    }
    registers_level = 0;
    /* The upper halves that nobody uses are not in use afterwards: else each switch would save them. */
    for (int i = 0; i < 3 && highest; i++) {
        __asm__ volatile("vzeroupper");
        long before = in_use();
        (void)syscall(SYS_madvise, p, SIZE, MADV_DONTNEED);
        CHECK_EQ(before < 0 ? 0 : in_use() & ~before, 0);
    }
    munmap(p, SIZE);
}

static void forms(void)
{
    for (registers_level = 0; (int)registers_level <= highest; registers_level++) {
        for (int i = 0; i < 50; i++) {
            CHECK_EQ(call(i, registers_getppid, 0, 0, 0, 0, 0), getppid());
            CHECK_EQ(call(i, registers_jump_behind_mov, SYS_getuid, 0, 0, 0, 0), getuid());
            CHECK_EQ(call(i, registers_syscall_across_pages, SYS_getpid, 0, 0, 0, 0), getpid());
        }
    }
    registers_level = 0;
}

static volatile int handled;

static void handler(int sig)
{
    handled += sig == SIGUSR1;
    registers_trash();
}

static void with_handler(void)
{
    signal(SIGUSR1, handler);
    for (registers_level = 0; (int)registers_level <= highest; registers_level++)
        for (int i = 0; i < 20; i++)
            CHECK_EQ(call(i, registers_syscall, SYS_tgkill, getpid(), getpid(), SIGUSR1, 0), 0);
    registers_level = 0;
    CHECK_EQ(handled, 20 * (highest + 1));
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "plain calls", plain_calls },
        { "calls that leave", calls_that_leave },
        { "calls that clear memory", calls_that_clear },
        { "forms of the instruction", forms },
        { "a handler runs in the call", with_handler },
    };
    highest = registers_highest_level();
    printf("vector registers: %s\n", registers_level_name(highest));
    return RUN_SECTIONS(sections, argc, argv);
}
