/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "fs_fixture.h"

#include "libos/mm/mm.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#define APP (32u << 20)
#define OUT_SIZE (64u << 10)
#define STRINGS 8

/* libos/fs/fs.h and the C library's headers do not go together. */
bool path_normalise(char *out, size_t size, const char *base, const char *name);

int fcntl(int fd, int command, ...);
static char root[64];
static uint64_t out_buffer, strings;
static unsigned next_string;
static char peeked[OUT_SIZE + 1];

/* What a process sets up once and keeps until its end is set up anew for each test. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:fs_start\nleak:table.c\nleak:vma";
}

int fs_setup_only_directory(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/vigil-fs-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    fake_enclave_init(APP);
    fake_config_mount("/", root);
    fake_config()->flags |= VIGIL_FLAG_ALLOW_FILES;
    fake_start_info()->uid = 1000;
    return 0;
}

void fs_start(void)
{
    assert_int_equal(mm_init(), 0);
    assert_int_equal(fs_init(), 0);
    assert_int_equal(threads_init(), 0);
    assert_int_equal(signals_init(), 0);
    out_buffer = map(OUT_SIZE);
    strings = map(STRINGS * 8192);
}

int fs_setup(void **state)
{
    if (fs_setup_only_directory(state))
        return -1;
    fs_start();
    return 0;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *ftw)
{
    (void)s, (void)type, (void)ftw;
    return remove(path);
}

int fs_teardown(void **state)
{
    (void)state;
    fake_host = NULL;
    /* Closing standard files closes the host's, which this process needs. */
    int in = fcntl(0, F_DUPFD_CLOEXEC, 100), out_fd = fcntl(1, F_DUPFD_CLOEXEC, 100);
    sys(__NR_close_range, 0, ~0u, 0);
    dup2(in, 0);
    dup2(out_fd, 1);
    close(in);
    close(out_fd);
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

long fixture_call(long nr, const long *args, size_t n)
{
    long a[6] = {0};
    struct checkpoint *regs = current_regs();

    memcpy(a, args, n * sizeof(long));
    regs->rax = (uint64_t)nr;
    regs->rdi = (uint64_t)a[0];
    regs->rsi = (uint64_t)a[1];
    regs->rdx = (uint64_t)a[2];
    regs->r10 = (uint64_t)a[3];
    regs->r8 = (uint64_t)a[4];
    regs->r9 = (uint64_t)a[5];
    libos_syscall(regs);
    return (long)regs->rax;
}

uint64_t map(size_t n)
{
    long at = mm_map(0, page_up(n), PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS);
    assert_true(at > 0);
    return (uint64_t)at;
}

long str(const char *string)
{
    uint64_t at = strings + next_string++ % STRINGS * 8192;
    assert_int_equal(copy_to_user((void *)at, string, strlen(string) + 1), 0);
    return (long)at;
}

long out(void)
{
    return (long)out_buffer;
}

char *peek(size_t n)
{
    assert_true(n <= OUT_SIZE);
    assert_int_equal(copy_from_user(peeked, (void *)out_buffer, n), 0);
    peeked[n] = 0;
    return peeked;
}

/* ---- the host's side --------------------------------------------------------------------------------------------- */
const char *host_root(void)
{
    return root;
}

static const char *host_name(const char *name)
{
    static char path[4200];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    return path;
}

void host_file(const char *name, const char *content)
{
    FILE *f = fopen(host_name(name), "w");
    assert_non_null(f);
    fputs(content, f);
    assert_int_equal(fclose(f), 0);
}

void host_dir(const char *name)
{
    assert_int_equal(mkdir(host_name(name), 0755), 0);
}

void host_link(const char *target, const char *name)
{
    assert_int_equal(symlink(target, host_name(name)), 0);
}

void fixture_fifo(const char *name)
{
    assert_int_equal(mkfifo(host_name(name), 0600), 0);
}

int fixture_enter_root(void)
{
    return chdir(root);
}

void fixture_leave_root(void)
{
    assert_int_equal(chdir("/"), 0);
}

uint32_t fixture_uid(void)
{
    return getuid();
}

bool fixture_in_bounce(long address)
{
    size_t mark = bounce_mark();
    bounce_reset();
    char *start = bounce_alloc(16);
    bounce_release(mark);
    return address >= (long)start && address < (long)start + (long)bounce_left() + (long)mark - 64;
}

static long silent_host(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    (void)nr, (void)a0, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5;
    return 0;
}

void fixture_forget(long fd)
{
    fake_host = silent_host;
    assert_int_equal(sys(__NR_close, fd), 0);
    fake_host = NULL;
}

void assert_host_file(const char *name, const char *content)
{
    char got[4096];
    FILE *f = fopen(host_name(name), "r");
    assert_non_null(f);
    size_t n = fread(got, 1, sizeof(got) - 1, f);
    fclose(f);
    got[n] = 0;
    assert_string_equal(got, content);
}

void fixture_close(const long *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(sys(__NR_close, fds[i]), 0);
}

struct fixture_stat fixture_stat_at(long user)
{
    struct stat s;
    assert_int_equal(copy_from_user(&s, (void *)user, sizeof(s)), 0);
    return (struct fixture_stat){s.st_ino, s.st_rdev, s.st_size, s.st_mode, (uint32_t)s.st_nlink, s.st_uid};
}

int fixture_count_entries(const char *records, size_t n, bool old, const char *prefix)
{
    int count = 0;

    while (n) {
        uint16_t length;
        memcpy(&length, records + 16, 2);
        assert_true(length >= 24 && length <= n);
        unsigned char type = (unsigned char)records[old ? length - 1 : 18];
        assert_true(type == 4 || type == 8 || type == 10 || type == 0);
        count += !strncmp(records + (old ? 18 : 19), prefix, strlen(prefix));
        records += length;
        n -= length;
    }
    return count;
}

bool fixture_normalise(char *buf, size_t size, const char *base, const char *name)
{
    return path_normalise(buf, size, base, name);
}

long fixture_no_host(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    (void)a0, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5;
    fail_msg("the host was called: system call %ld", nr);
    return -ENOSYS;
}
