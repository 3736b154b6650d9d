/* SPDX-License-Identifier: Apache-2.0
 *
 * The address space: mapping, unmapping, protection, moving, the heap, files as memory. */
#include "tempdir.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096

static sigjmp_buf jump;
static volatile uintptr_t fault_address;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)context;
    fault_address = (uintptr_t)info->si_addr;
    siglongjmp(jump, sig);
}

static bool can_read(const char *p)
{
    if (sigsetjmp(jump, 1))
        return false;
    (void)*(volatile const char *)p;
    return true;
}

static bool can_write(char *p)
{
    if (sigsetjmp(jump, 1))
        return false;
    *(volatile char *)p = *(volatile char *)p;
    return true;
}

static char *map(size_t pages, int prot)
{
    char *p = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(p != MAP_FAILED);
    CHECK_EQ((uintptr_t)p % PAGE, 0);
    return p;
}

static bool all_zero(const char *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i])
            return false;
    return true;
}

static void zeroed(void)
{
    for (int i = 0; i < 40; i++) { /* the same memory comes back, and must not remember */
        char *p = map(16, PROT_READ | PROT_WRITE);
        CHECK(all_zero(p, 16 * PAGE));
        memset(p, 0xa5, 16 * PAGE);
        CHECK_EQ(munmap(p, 16 * PAGE), 0);
    }
}

static void holes_and_edges(void)
{
    char *p = map(9, PROT_READ | PROT_WRITE);
    memset(p, 1, 9 * PAGE);
    CHECK_EQ(munmap(p + 3 * PAGE, 3 * PAGE), 0);
    for (int i = 0; i < 9; i++)
        CHECK_EQ(can_read(p + i * PAGE), i < 3 || i > 5);
    CHECK(!can_write(p + 3 * PAGE));
    CHECK_EQ(fault_address, (uintptr_t)p + 3 * PAGE);
    CHECK(can_read(p + 3 * PAGE - 1));
    CHECK(!can_read(p + 6 * PAGE - 1));
    CHECK_EQ(munmap(p, 9 * PAGE), 0); /* holes do not matter */
    CHECK_EQ(munmap(p, 9 * PAGE), 0);
    CHECK_ERRNO(munmap(p + 1, PAGE), EINVAL);
    CHECK_ERRNO(munmap(p, 0), EINVAL);
    CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, -1, 0) == MAP_FAILED && errno == EBADF);
    CHECK(mmap(NULL, (size_t)1 << 62, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
}

static void fixed(void)
{
    char *p = map(8, PROT_READ | PROT_WRITE);
    memset(p, 7, 8 * PAGE);
    CHECK(mmap(p + 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 2 * PAGE);
    CHECK(all_zero(p + 2 * PAGE, 2 * PAGE));
    CHECK(p[2 * PAGE - 1] == 7 && p[4 * PAGE] == 7);
    CHECK(mmap(p + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
    CHECK(p[PAGE] == 7);
    CHECK_EQ(munmap(p + 4 * PAGE, PAGE), 0);
    CHECK(mmap(p + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p + 4 * PAGE);
    CHECK(mmap(p + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
    char *hinted = mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* taken: somewhere else */
    CHECK(hinted != MAP_FAILED && (hinted < p || hinted >= p + 8 * PAGE));
    CHECK(p[0] == 7);
    munmap(hinted, PAGE);
    munmap(p, 8 * PAGE);
}

static void protection(void)
{
    char *p = map(6, PROT_NONE);
    CHECK(!can_read(p));
    CHECK_EQ(mprotect(p + PAGE, 4 * PAGE, PROT_READ | PROT_WRITE), 0);
    memset(p + PAGE, 3, 4 * PAGE);
    CHECK_EQ(mprotect(p + 2 * PAGE, PAGE, PROT_READ), 0);
    CHECK_EQ(mprotect(p + 3 * PAGE, PAGE, PROT_NONE), 0);
    static const bool readable[] = { false, true, true, false, true, false };
    static const bool writable[] = { false, true, false, false, true, false };
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(can_read(p + i * PAGE + 5), readable[i]);
        CHECK_EQ(can_write(p + i * PAGE + 5), writable[i]);
    }
    CHECK_EQ(mprotect(p, 6 * PAGE, PROT_READ | PROT_WRITE), 0);
    CHECK_EQ(p[3 * PAGE], 3); /* contents survive PROT_NONE */
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(mprotect(p, PAGE, i % 2 ? PROT_READ | PROT_WRITE : PROT_READ), 0);
        CHECK_EQ(can_write(p), i % 2);
    }
    CHECK_EQ(munmap(p + 2 * PAGE, PAGE), 0);
    CHECK_ERRNO(mprotect(p, 6 * PAGE, PROT_READ), ENOMEM);
    CHECK_ERRNO(mprotect(p + 1, PAGE, PROT_READ), EINVAL);
    CHECK_EQ(mprotect(p, 0, PROT_READ), 0);
    munmap(p, 6 * PAGE);
}

static void reserve_and_commit(void)
{
    size_t size = 64 << 20;
    char *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(p != MAP_FAILED);
    for (size_t offset = 0; offset < size; offset += 8 << 20) {
        CHECK_EQ(mprotect(p + offset, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
        CHECK(all_zero(p + offset, 2 * PAGE));
        p[offset + 2 * PAGE - 1] = 9;
        CHECK(!can_read(p + offset + 2 * PAGE));
    }
    CHECK_EQ(munmap(p, size), 0);
}

static void moving(void)
{
    char *p = map(4, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 4; i++)
        p[i * PAGE] = i + 1;
    p = mremap(p, 4 * PAGE, 2 * PAGE, 0);
    REQUIRE(p != MAP_FAILED);
    CHECK(!can_read(p + 2 * PAGE));
    char *q = mremap(p, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    REQUIRE(q != MAP_FAILED);
    CHECK(q[0] == 1 && q[PAGE] == 2 && all_zero(q + 2 * PAGE, 62 * PAGE));
    if (q != p)
        CHECK(!can_read(p));
    char *guard = map(4, PROT_READ | PROT_WRITE);
    guard[0] = 5;
    CHECK(mremap(guard, PAGE, 200 * PAGE, 0) == MAP_FAILED && errno == ENOMEM); /* the next page is in the way */
    char *target = map(4, PROT_READ | PROT_WRITE);
    CHECK(mremap(guard, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE) == target + PAGE);
    CHECK_EQ(target[PAGE], 5);
    CHECK(!can_read(guard));
    CHECK(mremap(guard, PAGE, PAGE * 2, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
    munmap(q, 64 * PAGE);
    munmap(guard, 4 * PAGE);
    munmap(target, 4 * PAGE);
}

static void heap(void)
{
    char *start = (char *)syscall(SYS_brk, 0);
    char *end = (char *)syscall(SYS_brk, start + 10 * PAGE);
    CHECK(end == start + 10 * PAGE);
    CHECK(all_zero(start, 10 * PAGE));
    memset(start, 4, 10 * PAGE);
    CHECK((char *)syscall(SYS_brk, start + 2 * PAGE) == start + 2 * PAGE);
    CHECK((char *)syscall(SYS_brk, start + 4 * PAGE) == start + 4 * PAGE);
    char *whole = (char *)(((uintptr_t)start + 2 * PAGE + PAGE - 1) & -PAGE);
    CHECK(all_zero(whole, start + 4 * PAGE - whole)); /* given back and taken again: zero */
    CHECK_EQ(start[PAGE], 4);
    CHECK((char *)syscall(SYS_brk, 1) == start + 4 * PAGE); /* refused: says where it is */
    CHECK((char *)syscall(SYS_brk, start) == start);
    void *old = sbrk(0);
    CHECK(sbrk(12345) == old);
    CHECK(sbrk(-12345) == (char *)old + 12345);
}

static void discarding(void)
{
    char *p = map(4, PROT_READ | PROT_WRITE);
    memset(p, 6, 4 * PAGE);
    CHECK_EQ(madvise(p + PAGE, 2 * PAGE, MADV_DONTNEED), 0);
    CHECK(p[PAGE - 1] == 6 && all_zero(p + PAGE, 2 * PAGE) && p[3 * PAGE] == 6);
    CHECK_EQ(madvise(p, 4 * PAGE, MADV_WILLNEED), 0);
    CHECK_EQ(madvise(p, 4 * PAGE, MADV_NORMAL), 0);
    CHECK_ERRNO(madvise(p, 4 * PAGE, 12345), EINVAL);
    CHECK_ERRNO(madvise(p + 1, PAGE, MADV_DONTNEED), EINVAL);
    munmap(p, 4 * PAGE);
}

static void generated_code(void)
{
    static const uint8_t code[] = { 0xb8, 0, 0, 0, 0, 0xc3 }; /* mov $n, %eax; ret */
    char *p = map(2, PROT_READ | PROT_WRITE);
    for (int i = 1; i < 40; i++) {
        CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_WRITE), 0);
        memcpy(p, code, sizeof(code));
        memcpy(p + 1, &i, 4);
        CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_EXEC), 0);
        CHECK_EQ(((int (*)(void))(uintptr_t)p)(), i);
    }
    munmap(p, 2 * PAGE);
    p = map(1, PROT_READ | PROT_WRITE | PROT_EXEC);
    for (int i = 1; i < 40; i++) {
        memcpy(p, code, sizeof(code));
        memcpy(p + 1, &i, 4);
        CHECK_EQ(((int (*)(void))(uintptr_t)p)(), i);
    }
    munmap(p, PAGE);
}

static void private_file(void)
{
    char text[3 * PAGE];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = 'a' + i % 23;
    int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0644);
    REQUIRE(fd >= 0);
    CHECK_EQ(write(fd, text, 2 * PAGE + 100), 2 * PAGE + 100);
    char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    REQUIRE(p != MAP_FAILED);
    CHECK(!memcmp(p, text, 2 * PAGE + 100));
    CHECK(all_zero(p + 2 * PAGE + 100, PAGE - 100)); /* the rest of the last page */
    p[0] = '#';
    char c;
    CHECK_EQ(pread(fd, &c, 1, 0), 1);
    CHECK_EQ(c, 'a');
    munmap(p, 3 * PAGE);
    p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);
    REQUIRE(p != MAP_FAILED);
    close(fd); /* the mapping stays */
    CHECK(!memcmp(p, text + PAGE, PAGE));
    CHECK(!can_write(p));
    munmap(p, PAGE);
    fd = open("mapped", O_RDONLY);
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 100) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
    close(fd);
    fd = open(".", O_RDONLY | O_DIRECTORY);
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == ENODEV);
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "zeroed", zeroed },
        { "holes and edges", holes_and_edges },
        { "fixed addresses", fixed },
        { "protection", protection },
        { "reserve and commit", reserve_and_commit },
        { "moving", moving },
        { "heap", heap },
        { "discarding", discarding },
        { "generated code", generated_code },
        { "private file mappings", private_file },
    };
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    tempdir_enter(argc, argv);
    return RUN_SECTIONS(sections, argc, argv);
}
