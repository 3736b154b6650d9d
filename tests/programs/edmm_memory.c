/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that gets its pages at first use: mapping, protecting, discarding, moving and system calls, at the border of what is
 * there, across it, and where nothing may be. An enclave with dynamic memory commits up to 16 pages at a time, so borders of 16
 * pages are visited too. `--only SECTION`, or `--die HOW` to end by a signal. Instructions, stacks and threads: edmm_access.c */
#include "lazy.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static int fds[2];

static void first_reads(void)
{
    char *p = fresh(64 * PAGE, RW);
    for (size_t i = 0; i < 64; i += 5)
        CHECK(all_are(p + i * PAGE, PAGE, 0));
    for (size_t i = 64; i-- > 0;)
        CHECK(all_are(p + i * PAGE, PAGE, 0));
    drop(p, 64 * PAGE);
    p = fresh(64 * PAGE, PROT_READ);
    for (size_t i = 64; i-- > 0;)
        CHECK_EQ(p[i * PAGE + 4095], 0);
    CHECK_WRITE_FAULT(p + 17 * PAGE + 8, SEGV_ACCERR);
    drop(p, 64 * PAGE);
}

/* One access on both sides of each border of the range, both untouched. */
static void borders(void)
{
    for (size_t border = 1; border < 33; border++) {
        char *p = fresh(33 * PAGE, RW), *at = p + border * PAGE - 3;
        uint64_t value = 0x8877665544332211, got;
        memcpy(&got, at, 8);
        CHECK_EQ(got, 0);
        madvise(p, 33 * PAGE, MADV_DONTNEED);
        *(volatile uint64_t *)at = value;
        CHECK_EQ(*(volatile uint64_t *)at, value);
        CHECK_EQ(at[-1], 0);
        CHECK_EQ(at[8], 0);
        drop(p, 33 * PAGE);
    }
    char *p = fresh(100 * PAGE, RW);
    CHECK_EQ(munmap(p + 80 * PAGE, PAGE), 0);
    FAULT_AT("movups %%xmm0, (%0)", "r"(p + 80 * PAGE - 8)); /* never used, and then nothing: neither is written */
    CHECK_FAULT(SIGSEGV, SEGV_MAPERR, 14, (uintptr_t)p + 80 * PAGE);
    CHECK(mmap(p + 80 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 80 * PAGE);
    memset(p + 7 * PAGE + 100, 3, 50 * PAGE);
    CHECK(all_are(p, 7 * PAGE + 100, 0) && all_are(p + 7 * PAGE + 100, 50 * PAGE, 3) &&
          all_are(p + 57 * PAGE + 100, 43 * PAGE - 100, 0));
    drop(p, 100 * PAGE);
}

static void from_no_access(void)
{
    char *p = fresh(48 * PAGE, PROT_NONE);
    CHECK_READ_FAULT(p + 20 * PAGE, SEGV_ACCERR);
    CHECK_EQ(mprotect(p + 10 * PAGE, 20 * PAGE, RW), 0);
    CHECK(all_are(p + 10 * PAGE, 20 * PAGE, 0));
    memset(p + 10 * PAGE, 9, 20 * PAGE);
    CHECK_WRITE_FAULT(p + 10 * PAGE - 1, SEGV_ACCERR);
    CHECK_WRITE_FAULT(p + 30 * PAGE, SEGV_ACCERR);
    CHECK_EQ(mprotect(p, 48 * PAGE, PROT_NONE), 0);
    CHECK_READ_FAULT(p + 15 * PAGE, SEGV_ACCERR);
    CHECK_EQ(mprotect(p, 48 * PAGE, PROT_READ), 0);
    CHECK(all_are(p, 10 * PAGE, 0) && all_are(p + 10 * PAGE, 20 * PAGE, 9) && all_are(p + 30 * PAGE, 18 * PAGE, 0));
    drop(p, 48 * PAGE);
}

static void less_and_more(void)
{
    char *p = fresh(20 * PAGE, RW);
    p[8 * PAGE + 12] = 1;
    CHECK_EQ(mprotect(p + 8 * PAGE, 2 * PAGE, PROT_READ), 0); /* one page that is there and one that is not */
    CHECK_WRITE_FAULT(p + 8 * PAGE + 12, SEGV_ACCERR);
    CHECK_WRITE_FAULT(p + 9 * PAGE + 12, SEGV_ACCERR);
    CHECK_EQ(p[8 * PAGE + 12], 1);
    CHECK_EQ(p[9 * PAGE + 12], 0);
    p[7 * PAGE] = p[10 * PAGE] = 2;
    CHECK_EQ(mprotect(p + 8 * PAGE, 2 * PAGE, RW), 0);
    p[8 * PAGE + 12]++;
    p[9 * PAGE + 12]++;
    CHECK_EQ(p[8 * PAGE + 12], 2);
    for (int i = 0; i < 60; i++) { /* again and again, in pieces of all sizes */
        size_t first = i % 7, pages = 1 + i % 11;
        CHECK_EQ(mprotect(p + first * PAGE, pages * PAGE, PROT_READ), 0);
        CHECK_WRITE_FAULT(p + first * PAGE, SEGV_ACCERR);
        CHECK_WRITE_FAULT(p + (first + pages) * PAGE - 1, SEGV_ACCERR);
        p[(first + pages) * PAGE] = i;
        CHECK_EQ(mprotect(p + first * PAGE, pages * PAGE, RW), 0);
        p[first * PAGE] = p[(first + pages) * PAGE - 1] = i;
    }
    drop(p, 20 * PAGE);
}

static const uint8_t code[] = { 0xb8, 0x2a, 0, 0, 0, 0xc3 }; /* mov $42, %eax; ret */

static int call(const char *p)
{
    return ((int (*)(void))(uintptr_t)p)();
}

static void writable_to_executable(void)
{
    char *p = fresh(20 * PAGE, RW);
    memcpy(p + PAGE, code, sizeof(code));
    CHECK_EXEC_FAULT(p + PAGE, SEGV_ACCERR);
    CHECK_EQ(mprotect(p, 4 * PAGE, PROT_READ), 0);
    CHECK_EXEC_FAULT(p + PAGE, SEGV_ACCERR);
    CHECK_EQ(mprotect(p, 4 * PAGE, PROT_READ | PROT_EXEC), 0);
    CHECK_EQ(call(p + PAGE), 42);
    CHECK_WRITE_FAULT(p + PAGE + 1, SEGV_ACCERR);
    CHECK_EQ(call(p + PAGE), 42);
    CHECK_EQ(mprotect(p, 4 * PAGE, RWX), 0);
    p[PAGE + 1] = 43;
    CHECK_EQ(call(p + PAGE), 43);
    CHECK_EQ(mprotect(p, 4 * PAGE, RW), 0);
    CHECK_EXEC_FAULT(p + PAGE, SEGV_ACCERR);
    p[PAGE + 1] = 44;
    CHECK_EQ(mprotect(p, 4 * PAGE, PROT_READ | PROT_EXEC), 0);
    CHECK_EQ(call(p + PAGE), 44);
    drop(p, 20 * PAGE);
}

static void unmapped(void)
{
    char *p = fresh(40 * PAGE, RW);
    memset(p, 6, 20 * PAGE);
    CHECK_EQ(munmap(p + 10 * PAGE, 20 * PAGE), 0); /* half of it was used */
    CHECK_READ_FAULT(p + 10 * PAGE + 5, SEGV_MAPERR);
    CHECK_WRITE_FAULT(p + 29 * PAGE + 5, SEGV_MAPERR);
    CHECK_EXEC_FAULT(p + 11 * PAGE, SEGV_MAPERR);
    CHECK_EQ(p[9 * PAGE + 4095], 6);
    CHECK_EQ(p[30 * PAGE], 0);
    CHECK(mmap(p + 10 * PAGE, 20 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 10 * PAGE);
    CHECK(all_are(p + 10 * PAGE, 20 * PAGE, 0));
    memset(p, 8, 40 * PAGE);
    CHECK(mmap(p + 3 * PAGE, 30 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 3 * PAGE);
    CHECK(all_are(p, 3 * PAGE, 8) && all_are(p + 3 * PAGE, 30 * PAGE, 0) && all_are(p + 33 * PAGE, 7 * PAGE, 8));
    drop(p, 40 * PAGE);
    for (int i = 0; i < 20; i++) { /* the same place, again and again */
        char *q = fresh(33 * PAGE, RW);
        CHECK(all_are(q, 33 * PAGE, 0));
        memset(q + i * PAGE, 0xee, 5 * PAGE);
        drop(q, 33 * PAGE);
        CHECK_READ_FAULT(q + i * PAGE, SEGV_MAPERR);
    }
}

static void discarded(void)
{
    char *p = fresh(40 * PAGE, RW);
    CHECK_EQ(madvise(p, 40 * PAGE, MADV_DONTNEED), 0); /* nothing there yet */
    memset(p + PAGE, 6, 20 * PAGE);
    CHECK_EQ(madvise(p + 15 * PAGE, 3 * PAGE, MADV_DONTNEED), 0);
    CHECK(all_are(p + PAGE, 14 * PAGE, 6) && all_are(p + 15 * PAGE, 3 * PAGE, 0) && all_are(p + 18 * PAGE, 3 * PAGE, 6));
    CHECK_EQ(mprotect(p, 20 * PAGE, PROT_READ), 0);
    CHECK_EQ(madvise(p + 2 * PAGE, 38 * PAGE, MADV_DONTNEED), 0);
    CHECK(all_are(p + PAGE, PAGE, 6) && all_are(p + 2 * PAGE, 38 * PAGE, 0));
    CHECK_WRITE_FAULT(p + 4 * PAGE, SEGV_ACCERR);
    p[20 * PAGE] = 1;
    CHECK_EQ(munmap(p + 25 * PAGE, PAGE), 0);
    CHECK_ERRNO(madvise(p + 20 * PAGE, 10 * PAGE, MADV_DONTNEED), ENOMEM); /* a hole in it: still done */
    CHECK_EQ(p[20 * PAGE], 0);
    CHECK_READ_FAULT(p + 25 * PAGE, SEGV_MAPERR);
    drop(p, 40 * PAGE);
}

/* Every 50th page is in use. */
static void check_sparse(const char *p, size_t pages, size_t used)
{
    for (size_t i = 0; i < pages; i += 50) {
        CHECK_EQ(p[i * PAGE + i % 4096], i < used ? (char)(i / 50 + 1) : 0);
        if (i + 25 < pages)
            CHECK_EQ(p[(i + 25) * PAGE], 0);
    }
}

static void moved(void)
{
    size_t pages = 16384;
    char *p = fresh(pages * PAGE, RW);
    for (size_t i = 0; i < 1000; i += 50)
        p[i * PAGE + i % 4096] = i / 50 + 1;
    char *q = mremap(p, pages * PAGE, 3 * pages * PAGE, MREMAP_MAYMOVE);
    REQUIRE(q != MAP_FAILED);
    if (q != p)
        CHECK_READ_FAULT(p, SEGV_MAPERR);
    check_sparse(q, 1200, 1000);
    q[(3 * pages - 1) * PAGE] = 1;
    p = fresh(3 * pages * PAGE, PROT_NONE); /* the target's own pages go away */
    CHECK(mremap(q, 3 * pages * PAGE, 3 * pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p);
    CHECK_READ_FAULT(q + 50 * PAGE, SEGV_MAPERR);
    check_sparse(p, 1200, 1000);
    CHECK_EQ(p[(3 * pages - 1) * PAGE], 1);
    CHECK(mremap(p, 3 * pages * PAGE, 500 * PAGE, 0) == p);
    CHECK_READ_FAULT(p + 500 * PAGE, SEGV_MAPERR);
    check_sparse(p, 500, 1000);
    CHECK(mremap(p, 500 * PAGE, 1000 * PAGE, 0) == p); /* grows in place: what was cut off is not there any more */
    check_sparse(p, 1000, 500);
    CHECK_EQ(mprotect(p, 1000 * PAGE, PROT_READ), 0);
    p = mremap(p, 1000 * PAGE, 5000 * PAGE, MREMAP_MAYMOVE);
    REQUIRE(p != MAP_FAILED);
    CHECK_WRITE_FAULT(p + 4000 * PAGE, SEGV_ACCERR);
    check_sparse(p, 5000, 500);
    drop(p, 5000 * PAGE);
}

static void heap(void)
{
    char *start = (char *)syscall(SYS_brk, 0), *aligned = (char *)(((uintptr_t)start + PAGE - 1) & -PAGE);
    for (int i = 0; i < 6; i++) {
        size_t pages = 20 + 30 * i;
        CHECK((char *)syscall(SYS_brk, aligned + pages * PAGE) == aligned + pages * PAGE);
        CHECK_EQ(aligned[pages * PAGE - 1], 0);
        aligned[pages * PAGE - 1] = 1;
        memset(aligned, 4, 5 * PAGE);
        CHECK((char *)syscall(SYS_brk, aligned + 3 * PAGE + 10) == aligned + 3 * PAGE + 10);
        CHECK_READ_FAULT(aligned + 4 * PAGE, SEGV_MAPERR);
        CHECK_EQ(aligned[3 * PAGE + 9], 4);
        CHECK((char *)syscall(SYS_brk, aligned + pages * PAGE) == aligned + pages * PAGE);
        CHECK(all_are(aligned + 4 * PAGE, (pages - 4) * PAGE, 0));
        CHECK_EQ(aligned[3 * PAGE + 9], 4);
        CHECK((char *)syscall(SYS_brk, start) == start);
    }
}

/* In a place that begins and ends as far from its page's border as the caller wants. */
static void calls_into(char *at, size_t size)
{
    REQUIRE(size >= 64);
    char text[256];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = 'a' + i % 26;
    CHECK_EQ(write(fds[1], text, 64), 64);
    CHECK_EQ(read(fds[0], at, 64), 64);
    CHECK(!memcmp(at, text, 64));
}

static void calls(void)
{
    static const size_t places[] = { 0, 3 * PAGE - 32, 16 * PAGE - 32, 31 * PAGE + 7, 32 * PAGE - 1 };
    char text[64] = { 0 };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        for (int touched = 0; touched < 4; touched++) { /* nothing, the first page, the last one, both */
            char *p = fresh(48 * PAGE, RW), *at = p + places[i];
#define PREPARE() \
    do { \
        REQUIRE(madvise(p, 48 * PAGE, MADV_DONTNEED) == 0); \
        if (touched & 1) \
            *(volatile char *)(at - (uintptr_t)at % PAGE) = 0; \
        if (touched & 2) \
            *(volatile char *)((uintptr_t)(at + 63) & -PAGE) = 0; \
    } while (0)
            PREPARE();
            calls_into(at, 64);
            PREPARE();
            CHECK_EQ(write(fds[1], at, 64), 64);
            CHECK_EQ(read(fds[0], text, 64), 64);
            CHECK(all_are(text, 64, 0));
            PREPARE();
            struct iovec pieces[3] = { { at, 20 }, { at + 20 * PAGE / 2, 10 }, { at + 20, 34 } };
            memset(text, 'v', 64);
            CHECK_EQ(write(fds[1], text, 64), 64);
            CHECK_EQ(readv(fds[0], pieces, 3), 64);
            CHECK(all_are(at, 54, 'v') && all_are(at + 10 * PAGE, 10, 'v') && !at[54]);
            PREPARE();
            CHECK(getcwd(at, 64) == at && !strcmp(at, "/"));
            PREPARE();
            uint32_t *word = (uint32_t *)(((uintptr_t)at + 31) & -4);
            struct timespec soon = { 0, 1000000 };
            CHECK_ERRNO(syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 1, &soon), EAGAIN);
            CHECK_ERRNO(syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, &soon), ETIMEDOUT);
            CHECK_EQ(syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1), 0);
            PREPARE();
            int *pair = (int *)(at + 28);
            CHECK_EQ(pipe(pair), 0);
            int copy[2];
            memcpy(copy, pair, sizeof(copy));
            CHECK_EQ(close(copy[0]), 0);
            CHECK_EQ(close(copy[1]), 0);
            PREPARE();
            CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, (struct timespec *)(at + 24)), 0);
            drop(p, 48 * PAGE);
        }
}

/* More than the runtime copies in one piece. */
static void long_calls(void)
{
    int fd = open("/dev/zero", O_RDONLY);
    char *p = fresh(300 * PAGE, RW);
    if (fd >= 0) {
        memset(p + 10 * PAGE, 1, 5 * PAGE);
        CHECK_EQ(read(fd, p + 9, 299 * PAGE), 299 * PAGE);
        CHECK(all_are(p, 300 * PAGE, 0));
        close(fd);
    }
    drop(p, 300 * PAGE);
}

/* From valid, untouched memory into a hole: a short count or EFAULT, and nothing but the valid part is used. */
static void calls_into_holes(void)
{
    static const size_t valid[] = { 1, 100, PAGE, PAGE + 100, 14 * PAGE, 14 * PAGE + 1 }; /* and no more than a pipe holds */
    for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
        for (int no_access = 0; no_access < 2; no_access++) {
            char *p = fresh(40 * PAGE, RW), *at = p + 36 * PAGE - valid[i];
            if (no_access)
                REQUIRE(mprotect(p + 36 * PAGE, 2 * PAGE, PROT_NONE) == 0);
            else
                REQUIRE(munmap(p + 36 * PAGE, 2 * PAGE) == 0);
            CHECK_ERRNO(write(fds[1], p + 36 * PAGE, 4), EFAULT);
            long done = write(fds[1], at, valid[i] + 10);
            CHECK((done == -1 && errno == EFAULT) || (done > 0 && done <= (long)valid[i]));
            char text[200];
            for (long n; done > 0; done -= n) {
                n = read(fds[0], text, done < 200 ? done : 200);
                REQUIRE(n > 0);
                CHECK(all_are(text, n, 0));
            }
            memset(text, 'x', sizeof(text));
            if (valid[i] < 190) {
                REQUIRE(write(fds[1], text, valid[i] + 10) == (long)valid[i] + 10);
                done = read(fds[0], at, valid[i] + 10);
                CHECK((done == -1 && errno == EFAULT) || (done > 0 && done <= (long)valid[i]));
                CHECK_EQ(at[-1], 0);
                struct pollfd input = { .fd = fds[0], .events = POLLIN };
                while (poll(&input, 1, 0) == 1)
                    REQUIRE(read(fds[0], text, sizeof(text)) > 0);
            }
            drop(p, 40 * PAGE);
        }
}

static void populated(void)
{
    char *p = mmap(NULL, 40 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    REQUIRE(p != MAP_FAILED);
    CHECK(all_are(p, 40 * PAGE, 0));
    drop(p, 40 * PAGE);
    p = fresh(40 * PAGE, RW);
    p[20 * PAGE] = 1;
    CHECK_EQ(mlock(p + 15 * PAGE, 8 * PAGE), 0);
    CHECK(p[20 * PAGE] == 1 && !p[15 * PAGE] && !p[22 * PAGE]);
    CHECK_EQ(munlock(p + 15 * PAGE, 8 * PAGE), 0);
    CHECK_EQ(mprotect(p + 8 * PAGE, 4 * PAGE, PROT_READ), 0);
    CHECK_EQ(mlock(p + 8 * PAGE, 4 * PAGE), 0);
    CHECK_EQ(munlock(p + 8 * PAGE, 4 * PAGE), 0);
    CHECK_EQ(p[9 * PAGE], 0);
    CHECK_EQ(munmap(p + 30 * PAGE, PAGE), 0);
    CHECK_ERRNO(mlock(p + 28 * PAGE, 4 * PAGE), ENOMEM);
    CHECK_EQ(munlock(p + 28 * PAGE, 2 * PAGE), 0);
    drop(p, 40 * PAGE);
}

/* Does not come back. */
static int die(const char *how)
{
    volatile char *p = fresh(20 * PAGE, RW);
    p[PAGE] = 1;
    if (!strcmp(how, "unmapped")) {
        munmap((char *)p, 20 * PAGE);
        p[PAGE] = 2;
    } else if (!strcmp(how, "protected")) {
        mprotect((char *)p, 20 * PAGE, PROT_READ);
        p[17 * PAGE] = 2;
    } else if (!strcmp(how, "code")) {
        call((char *)p + 3 * PAGE);
    }
    return 98;
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "first reads", first_reads },
        { "borders", borders },
        { "from no access", from_no_access },
        { "less and more", less_and_more },
        { "writable to executable", writable_to_executable },
        { "unmapped", unmapped },
        { "discarded", discarded },
        { "moved", moved },
        { "heap", heap },
        { "calls", calls },
        { "long calls", long_calls },
        { "calls into holes", calls_into_holes },
        { "populated", populated },
    };
    if (argc == 3 && !strcmp(argv[1], "--die"))
        return die(argv[2]);
    install_fault_handler(skip_instruction, 0);
    REQUIRE(pipe(fds) == 0);
    REQUIRE(chdir("/") == 0);
    return RUN_SECTIONS(sections, argc, argv);
}
