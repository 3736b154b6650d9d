/* SPDX-License-Identifier: Apache-2.0
 *
 * System calls given addresses that are not the program's: EFAULT, and nothing else happens. */
#include "tempdir.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>

static char *pages; /* one read-write, one without access */
static int pipe_fds[2];

static long raw(long nr, long a0, long a1, long a2, long a3)
{
    return syscall(nr, a0, a1, a2, a3);
}

/* Null, unmapped, no access, non-canonical, kernel, wrapping. */
static void every_bad(long nr, int where, long a0, long a1, long a2, long a3, int line)
{
    const uint64_t bad[] = { 8, 0x7ffffffff000, (uintptr_t)pages + 4096, 0x8000000000000000, 0xffffffff80000000,
                             0xfffffffffffffff8 };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        long a[4] = { a0, a1, a2, a3 };
        a[where] = bad[i];
        errno = 0;
        long result = raw(nr, a[0], a[1], a[2], a[3]);
        if (result != -1 || errno != EFAULT) {
            checks_failed++;
            printf("  line %d: system call %ld with address %lx: %ld, errno %d\n", line, nr, bad[i], result, errno);
        }
    }
}
#define BAD(nr, where, a0, a1, a2, a3) every_bad(nr, where, (long)(a0), (long)(a1), (long)(a2), (long)(a3), __LINE__)

static void data(void)
{
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    REQUIRE(write(fd, "contents", 8) == 8);
    BAD(SYS_write, 1, fd, 0, 8, 0);
    BAD(SYS_write, 1, pipe_fds[1], 0, 8, 0);
    lseek(fd, 0, SEEK_SET);
    BAD(SYS_read, 1, fd, 0, 8, 0);
    BAD(SYS_pread64, 1, fd, 0, 8, 0);
    BAD(SYS_writev, 1, fd, 0, 1, 0);
    BAD(SYS_readv, 1, fd, 0, 1, 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 8);
    char *edge = pages + 4096 - 4;
    lseek(fd, 0, SEEK_SET);
    CHECK_EQ(read(fd, edge, 4), 4);
    CHECK(!memcmp(edge, "cont", 4));
    CHECK_EQ(write(pipe_fds[1], edge, 4), 4);
    CHECK_EQ(read(pipe_fds[0], edge, 4), 4);
    close(fd);
}

static void paths(void)
{
    BAD(SYS_open, 0, 0, O_RDONLY, 0, 0);
    BAD(SYS_openat, 1, AT_FDCWD, 0, O_RDONLY, 0);
    BAD(SYS_stat, 0, 0, pages, 0, 0);
    BAD(SYS_stat, 1, "file", 0, 0, 0);
    BAD(SYS_newfstatat, 1, AT_FDCWD, 0, pages, 0);
    BAD(SYS_access, 0, 0, 0, 0, 0);
    BAD(SYS_mkdir, 0, 0, 0755, 0, 0);
    BAD(SYS_unlink, 0, 0, 0, 0, 0);
    BAD(SYS_rename, 1, "file", 0, 0, 0);
    BAD(SYS_chdir, 0, 0, 0, 0, 0);
    BAD(SYS_getcwd, 0, 0, 4096, 0, 0);
    BAD(SYS_readlink, 0, 0, pages, 10, 0);
    CHECK_EQ(access("file", F_OK), 0);
    strcpy(pages + 4096 - 5, "file"); /* the string ends where the page ends */
    CHECK_EQ(access(pages + 4096 - 5, F_OK), 0);
    memset(pages + 4096 - 5, 'f', 5);
    CHECK_ERRNO(access(pages + 4096 - 5, F_OK), EFAULT);
}

static void structures(void)
{
    int directory = open(".", O_RDONLY | O_DIRECTORY);
    REQUIRE(directory >= 0);
    BAD(SYS_clock_gettime, 1, CLOCK_MONOTONIC, 0, 0, 0);
    BAD(SYS_gettimeofday, 0, 0, 0, 0, 0);
    BAD(SYS_nanosleep, 0, 0, 0, 0, 0);
    BAD(SYS_uname, 0, 0, 0, 0, 0);
    BAD(SYS_pipe, 0, 0, 0, 0, 0);
    BAD(SYS_poll, 0, 0, 1, 0, 0);
    BAD(SYS_rt_sigaction, 1, SIGUSR1, 0, 0, 8);
    BAD(SYS_rt_sigprocmask, 1, SIG_BLOCK, 0, 0, 8);
    BAD(SYS_sigaltstack, 0, 0, 0, 0, 0);
    BAD(SYS_futex, 0, 0, 0 /* FUTEX_WAIT */, 0, 0);
    BAD(SYS_getrandom, 0, 0, 16, 0, 0);
    BAD(SYS_sysinfo, 0, 0, 0, 0, 0);
    BAD(SYS_fstat, 1, 1, 0, 0, 0);
    BAD(SYS_getdents64, 1, directory, 0, 1024, 0);
    BAD(SYS_setitimer, 1, ITIMER_REAL, 0, 0, 0);
    CHECK_EQ(open("file", O_RDONLY), directory + 1); /* no descriptor was lost on the way */
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "data", data },
        { "paths", paths },
        { "structures", structures },
    };
    tempdir_enter(argc, argv);
    REQUIRE(pipe(pipe_fds) == 0);
    pages = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED);
    REQUIRE(mprotect(pages + 4096, 4096, PROT_NONE) == 0);
    return RUN_SECTIONS(sections, argc, argv);
}
