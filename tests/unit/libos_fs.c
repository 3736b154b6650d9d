/* SPDX-License-Identifier: Apache-2.0
 *
 * Files and names of the LibOS on a real directory of the host, by system calls. */
#include "fs_fixture.h"

#include <linux/stat.h>

/* ---- reading and writing ----------------------------------------------------------------------------------------- */
static void a_file_is_written_and_read_back(void **state)
{
    (void)state;
    long fd = sys(__NR_open, str("/a"), O_CREAT | O_RDWR | O_EXCL, 0640);
    assert_int_equal(fd, 3);
    assert_int_equal(sys(__NR_write, fd, str("hello world"), 11), 11);
    assert_int_equal(sys(__NR_lseek, fd, 0, SEEK_CUR), 11);
    assert_int_equal(sys(__NR_lseek, fd, 6, SEEK_SET), 6);
    assert_int_equal(sys(__NR_read, fd, out(), 100), 5);
    assert_memory_equal(peek(5), "world", 5);
    assert_int_equal(sys(__NR_read, fd, out(), 100), 0);
    assert_int_equal(sys(__NR_pread64, fd, out(), 3, 1), 3);
    assert_memory_equal(peek(3), "ell", 3);
    assert_int_equal(sys(__NR_pwrite64, fd, str("J"), 1, 0), 1);
    assert_int_equal(sys(__NR_pread64, fd, out(), 1, -1), -EINVAL);
    assert_int_equal(sys(__NR_close, fd), 0);
    assert_int_equal(sys(__NR_close, fd), -EBADF);
    assert_host_file("a", "Jello world");
    assert_int_equal(sys(__NR_open, str("/a"), O_CREAT | O_EXCL, 0), -EEXIST);
    assert_int_equal(sys(__NR_open, str("/none"), O_RDONLY), -ENOENT);
}

static void access_modes_hold(void **state)
{
    (void)state;
    host_file("a", "x");
    long r = sys(__NR_open, str("/a"), O_RDONLY), w = sys(__NR_open, str("/a"), O_WRONLY);
    long p = sys(__NR_open, str("/a"), O_PATH);
    assert_int_equal(sys(__NR_write, r, str("y"), 1), -EBADF);
    assert_int_equal(sys(__NR_read, w, out(), 1), -EBADF);
    assert_int_equal(sys(__NR_read, p, out(), 1), -EBADF);
    assert_int_equal(sys(__NR_lseek, p, 0, SEEK_SET), -EBADF);
    assert_int_equal(sys(__NR_fcntl, p, F_GETFL), O_PATH);
    assert_int_equal(sys(__NR_read, 99, out(), 1), -EBADF);
    assert_int_equal(sys(__NR_read, -1, out(), 1), -EBADF);
    assert_int_equal(sys(__NR_read, r, 16, 1), -EFAULT);
    assert_int_equal(sys(__NR_read, r, out(), -1), -EINVAL);
    close_all(r, w, p);
}

static void large_transfers_go_through_in_pieces(void **state)
{
    const size_t n = 3 * 1024 * 1024 + 17;
    uint8_t *pattern = malloc(n), *back = malloc(n);
    (void)state;
    for (size_t i = 0; i < n; i++)
        pattern[i] = (uint8_t)(i * 7 + i / 4099);
    uint64_t big = map(n);
    assert_int_equal(copy_to_user((void *)big, pattern, n), 0);
    long fd = sys(__NR_open, str("/big"), O_CREAT | O_RDWR, 0600);
    assert_int_equal(sys(__NR_write, fd, big, n), n);
    assert_int_equal(clear_user((void *)big, n), 0);
    assert_int_equal(sys(__NR_pread64, fd, big, n + 1000, 0), n);
    assert_int_equal(copy_from_user(back, (void *)big, n), 0);
    assert_memory_equal(pattern, back, n);
    close_all(fd);
    free(pattern);
    free(back);
}

static void vectors_scatter_and_gather(void **state)
{
    struct { uint64_t base, length; } v[12];
    (void)state;
    uint64_t data = map(4096), vec = map(4096);
    assert_int_equal(copy_to_user((void *)data, "abcdefghijkl", 12), 0);
    for (int i = 0; i < 12; i++) {
        v[i].base = data + 11 - (uint64_t)i;
        v[i].length = i == 5 ? 0 : 1;
    }
    assert_int_equal(copy_to_user((void *)vec, v, sizeof(v)), 0);
    long fd = sys(__NR_open, str("/v"), O_CREAT | O_RDWR, 0600);
    assert_int_equal(sys(__NR_writev, fd, vec, 12), 11);
    assert_int_equal(sys(__NR_pread64, fd, out(), 100, 0), 11);
    assert_memory_equal(peek(11), "lkjihfedcba", 11);
    assert_int_equal(sys(__NR_preadv, fd, vec, 12, 1), 10);
    assert_int_equal(sys(__NR_writev, fd, vec, 1025), -EINVAL);
    assert_int_equal(sys(__NR_writev, fd, vec, 0), 0);
    v[1].length = ~0ull;
    assert_int_equal(copy_to_user((void *)vec, v, sizeof(v)), 0);
    assert_int_equal(sys(__NR_writev, fd, vec, 2), -EINVAL);
    close_all(fd);
}

/* ---- descriptors ------------------------------------------------------------------------------------------------- */
static void descriptors_are_the_lowest_free(void **state)
{
    (void)state;
    host_file("a", "abc");
    long a = sys(__NR_open, str("/a"), O_RDONLY), b = sys(__NR_dup, a), c = sys(__NR_dup, a);
    assert_int_equal(a, 3);
    assert_int_equal(b, 4);
    assert_int_equal(c, 5);
    assert_int_equal(sys(__NR_close, b), 0);
    assert_int_equal(sys(__NR_dup, a), 4);
    assert_int_equal(sys(__NR_read, a, out(), 1), 1);
    assert_int_equal(sys(__NR_read, 4, out(), 1), 1); /* one position for all */
    assert_memory_equal(peek(1), "b", 1);
    assert_int_equal(sys(__NR_dup2, a, 200), 200);
    assert_int_equal(sys(__NR_dup2, a, a), a);
    assert_int_equal(sys(__NR_dup2, 77, 77), -EBADF);
    assert_int_equal(sys(__NR_dup3, a, a, 0), -EINVAL);
    assert_int_equal(sys(__NR_dup2, a, 1 << 20), -EBADF);
    assert_int_equal(sys(__NR_fcntl, a, F_DUPFD_CLOEXEC, 100), 100);
    assert_int_equal(sys(__NR_fcntl, 100, F_GETFD), FD_CLOEXEC);
    assert_int_equal(sys(__NR_fcntl, 100, F_SETFD, 0), 0);
    assert_int_equal(sys(__NR_fcntl, 100, F_GETFD), 0);
    assert_int_equal(sys(__NR_fcntl, a, F_DUPFD, 5000), -EINVAL);
    assert_int_equal(sys(__NR_close_range, 3, ~0u, 0), 0);
    assert_int_equal(sys(__NR_fcntl, 100, F_GETFD), -EBADF);
    assert_int_equal(sys(__NR_fcntl, 1, F_GETFD), 0);
}

static void the_table_ends_at_the_limit(void **state)
{
    long last = 0, n = 0;
    (void)state;
    host_file("a", "abc");
    long a = sys(__NR_open, str("/a"), O_RDONLY);
    while ((last = sys(__NR_dup, a)) >= 0 && n < 5000)
        n++;
    assert_int_equal(last, -EMFILE);
    assert_int_equal(n, 900 - 4);
    assert_int_equal(sys(__NR_close_range, 3, 10000, 0), 0);
}

static void status_flags_are_kept(void **state)
{
    (void)state;
    long fd = sys(__NR_open, str("/f"), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    assert_int_equal(sys(__NR_fcntl, fd, F_GETFL), O_WRONLY | O_APPEND | 0100000);
    assert_int_equal(sys(__NR_fcntl, fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(sys(__NR_write, fd, str("ab"), 2), 2);
    assert_int_equal(sys(__NR_lseek, fd, 0, SEEK_SET), 0);
    assert_int_equal(sys(__NR_write, fd, str("c"), 1), 1);
    assert_int_equal(sys(__NR_fcntl, fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(sys(__NR_fcntl, fd, F_GETFL), O_WRONLY | O_NONBLOCK | 0100000);
    assert_int_equal(sys(__NR_lseek, fd, 0, SEEK_SET), 0);
    assert_int_equal(sys(__NR_write, fd, str("X"), 1), 1);
    assert_host_file("f", "Xbc");
    close_all(fd);
}

static void locks_are_the_hosts(void **state)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10}, back;
    (void)state;
    long fd = sys(__NR_open, str("/l"), O_CREAT | O_RDWR, 0600);
    assert_int_equal(copy_to_user((void *)out(), &l, sizeof(l)), 0);
    assert_int_equal(sys(__NR_fcntl, fd, F_SETLK, out()), 0);
    assert_int_equal(sys(__NR_fcntl, fd, F_GETLK, out()), 0);
    assert_int_equal(copy_from_user(&back, (void *)out(), sizeof(back)), 0);
    assert_int_equal(back.l_type, F_UNLCK); /* our own does not stand in our way */
    assert_int_equal(sys(__NR_flock, fd, 2), 0);
    assert_int_equal(sys(__NR_flock, fd, 3), -EINVAL);
    close_all(fd);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */
static void names_are_normalised(void **state)
{
    struct { const char *base, *name, *expected; } rows[] = {
        {"/", "a", "/a"}, {"/x/y", "../z", "/x/z"}, {"/x", "/a//b/./c/", "/a/b/c"}, {"/", "../../..", "/"},
        {"/x", ".", "/x"}, {"/x", "..", "/"}, {"/x", "a/../../b", "/b"}, {"", "a/./b", "a/b"}, {"", "../a", "../a"},
        {"", "a/../..", ".."}, {"", "../../x/..", "../.."}, {"", ".", ""}, {"/x", "...", "/x/..."},
        {"/x", "a..", "/x/a.."}, {"", "a../..", ""}, {"", "..a/..", ""},
    };
    char result[64];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(fixture_normalise(result, sizeof(result), rows[i].base, rows[i].name));
        assert_string_equal(result, rows[i].expected);
    }
    assert_true(fixture_normalise(result, 5, "/", "abc"));
    assert_false(fixture_normalise(result, 5, "/", "abcd"));
}

static void relative_names_start_where_they_should(void **state)
{
    (void)state;
    host_dir("d");
    host_dir("d/e");
    host_file("d/e/f", "deep");
    assert_int_equal(sys(__NR_getcwd, out(), 100), 2);
    assert_string_equal(peek(2), "/");
    assert_int_equal(sys(__NR_chdir, str("d/e/..")), 0);
    assert_int_equal(sys(__NR_getcwd, out(), 100), 3);
    assert_string_equal(peek(3), "/d");
    assert_int_equal(sys(__NR_getcwd, out(), 2), -ERANGE);
    long fd = sys(__NR_open, str("e/f"), O_RDONLY);
    assert_true(fd > 0);
    long dir = sys(__NR_openat, AT_FDCWD, str("e"), O_RDONLY | O_DIRECTORY);
    long by_dir = sys(__NR_openat, dir, str("f"), O_RDONLY);
    assert_true(by_dir > 0);
    assert_int_equal(sys(__NR_openat, fd, str("f"), O_RDONLY), -ENOTDIR);
    assert_int_equal(sys(__NR_openat, 50, str("f"), O_RDONLY), -EBADF);
    assert_int_equal(sys(__NR_fchdir, dir), 0);
    assert_int_equal(sys(__NR_access, str("f"), 4), 0);
    assert_int_equal(sys(__NR_access, str("f/"), 4), -ENOTDIR);
    assert_int_equal(sys(__NR_access, str("g"), 0), -ENOENT);
    assert_int_equal(sys(__NR_access, str(""), 0), -ENOENT);
    assert_int_equal(sys(__NR_access, 8, 0), -EFAULT);
    assert_int_equal(sys(__NR_chdir, str("f")), -ENOTDIR);
    assert_int_equal(sys(__NR_fchdir, fd), -ENOTDIR);
    assert_int_equal(sys(__NR_access, str("/../../d/e/f"), 0), 0);
    close_all(fd, dir, by_dir);
}

static void attributes_come_field_by_field(void **state)
{
    struct fixture_stat s;
    struct statx x;
    (void)state;
    host_file("a", "12345");
    host_link("a", "link");
    assert_int_equal(sys(__NR_stat, str("/link"), out()), 0);
    s = fixture_stat_at(out());
    assert_int_equal(s.size, 5);
    assert_int_equal(s.mode & 0170000, 0100000);
    assert_int_equal(sys(__NR_lstat, str("/link"), out()), 0);
    assert_int_equal(fixture_stat_at(out()).mode & 0170000, 0120000);
    assert_int_equal(sys(__NR_newfstatat, AT_FDCWD, str("link"), out(), AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(fixture_stat_at(out()).mode & 0170000, 0120000);
    long fd = sys(__NR_open, str("/a"), O_RDONLY);
    assert_int_equal(sys(__NR_fstat, fd, out()), 0);
    assert_int_equal(fixture_stat_at(out()).ino, s.ino);
    assert_int_equal(sys(__NR_newfstatat, fd, str(""), out(), AT_EMPTY_PATH), 0);
    assert_int_equal(fixture_stat_at(out()).ino, s.ino);
    assert_int_equal(sys(__NR_newfstatat, AT_FDCWD, str(""), out(), AT_EMPTY_PATH), 0);
    assert_int_equal(fixture_stat_at(out()).mode & 0170000, 0040000);
    assert_int_equal(sys(__NR_statx, AT_FDCWD, str("/a"), 0, STATX_BASIC_STATS, out()), 0);
    assert_int_equal(copy_from_user(&x, (void *)out(), sizeof(x)), 0);
    assert_int_equal(x.stx_ino, s.ino);
    assert_int_equal(x.stx_size, 5);
    assert_int_equal(sys(__NR_readlink, str("/link"), out(), 100), 1);
    assert_memory_equal(peek(1), "a", 1);
    assert_int_equal(sys(__NR_readlink, str("/a"), out(), 100), -EINVAL);
    assert_int_equal(sys(__NR_open, str("/link"), O_RDONLY | O_NOFOLLOW), -ELOOP);
    close_all(fd);
}

static void directories_are_listed(void **state)
{
    int seen = 0;
    (void)state;
    host_dir("many");
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof(name), "many/file-%d", i);
        host_file(name, "");
    }
    for (int old = 0; old < 2; old++) {
        long fd = sys(__NR_open, str("/many"), O_RDONLY | O_DIRECTORY), n;
        assert_int_equal(sys(__NR_read, fd, out(), 10), -EISDIR);
        seen = 0;
        while ((n = sys(old ? __NR_getdents : __NR_getdents64, fd, out(), 1000)) > 0)
            seen += fixture_count_entries(peek((size_t)n), (size_t)n, old, "file-");
        assert_int_equal(n, 0);
        assert_int_equal(seen, 300);
        assert_int_equal(sys(__NR_getdents64, fd, out(), 0), -EINVAL);
        close_all(fd);
    }
    long fd = sys(__NR_open, str("/many/file-1"), O_RDONLY);
    assert_int_equal(sys(__NR_getdents64, fd, out(), 1000), -ENOTDIR);
    close_all(fd);
}

/* ---- what is inside ---------------------------------------------------------------------------------------------- */
/* Nothing has been loaded here. */
const char *process_exe(void)
{
    return "/program";
}

static void devices_need_no_host(void **state)
{
    (void)state;
    long fds[] = {sys(__NR_open, str("/dev/null"), O_RDWR), sys(__NR_open, str("/dev/zero"), O_RDWR),
                  sys(__NR_open, str("/dev/urandom"), O_RDONLY), sys(__NR_open, str("/dev/full"), O_RDWR),
                  sys(__NR_open, str("/dev/../dev//random"), O_RDONLY)};
    fake_host = fixture_no_host;
    assert_int_equal(sys(__NR_read, fds[0], out(), 100), 0);
    assert_int_equal(sys(__NR_write, fds[0], out(), 100), 100);
    assert_int_equal(copy_to_user((void *)out(), "xxxxxxxx", 8), 0);
    assert_int_equal(sys(__NR_read, fds[1], out(), 8), 8);
    assert_memory_equal(peek(8), "\0\0\0\0\0\0\0\0", 8);
    assert_int_equal(sys(__NR_read, fds[2], out(), 1000), 1000);
    assert_memory_not_equal(peek(16), peek(1000) + 500, 16);
    assert_int_equal(sys(__NR_write, fds[3], out(), 1), -ENOSPC);
    assert_int_equal(sys(__NR_read, fds[4], out(), 10), 10);
    assert_int_equal(sys(__NR_write, fds[4], out(), 10), -EBADF);
    assert_int_equal(sys(__NR_fstat, fds[0], out()), 0);
    assert_int_equal(fixture_stat_at(out()).mode, 0020666);
    assert_int_equal(fixture_stat_at(out()).rdev, 0x103);
    assert_int_equal(sys(__NR_access, str("/dev/null"), 6), 0);
    assert_int_equal(sys(__NR_access, str("/dev/null"), 1), -EACCES);
    assert_int_equal(sys(__NR_open, str("/dev/null"), O_CREAT | O_EXCL | O_RDWR), -EEXIST);
    fake_host = NULL;
    close_all(fds[0], fds[1], fds[2], fds[3], fds[4]);
}

static void a_process_finds_itself(void **state)
{
    (void)state;
    host_file("program", "ELF");
    host_file("a", "abc");
    assert_int_equal(sys(__NR_readlink, str("/proc/self/exe"), out(), 100), 8);
    assert_memory_equal(peek(8), "/program", 8);
    assert_int_equal(sys(__NR_readlink, str("/proc/self/exe"), out(), 3), 3);
    long exe = sys(__NR_open, str("/proc/self/exe"), O_RDONLY);
    assert_int_equal(sys(__NR_read, exe, out(), 100), 3);
    long fd = sys(__NR_open, str("/a"), O_RDONLY);
    char name[32];
    snprintf(name, sizeof(name), "/proc/self/fd/%ld", fd);
    assert_int_equal(sys(__NR_readlink, str(name), out(), 100), 2);
    assert_memory_equal(peek(2), "/a", 2);
    snprintf(name, sizeof(name), "/dev/fd/%ld", fd);
    assert_int_equal(sys(__NR_read, fd, out(), 2), 2);
    long again = sys(__NR_open, str(name), O_RDONLY);
    assert_int_equal(sys(__NR_read, again, out(), 100), 3); /* a position of its own */
    assert_int_equal(sys(__NR_stat, str(name), out()), 0);
    assert_int_equal(fixture_stat_at(out()).size, 3);
    assert_int_equal(sys(__NR_lstat, str(name), out()), 0);
    assert_int_equal(fixture_stat_at(out()).mode & 0170000, 0120000);
    assert_int_equal(sys(__NR_stat, str("/proc/self/fd/77"), out()), -ENOENT);
    assert_int_equal(sys(__NR_open, str("/proc/self/fd/77"), O_RDONLY), -ENOENT);
    assert_int_equal(sys(__NR_readlink, str("/proc/self/cwd"), out(), 100), 1);
    long dir = sys(__NR_open, str("/proc/self/fd"), O_RDONLY | O_DIRECTORY);
    long n = sys(__NR_getdents64, dir, out(), 1000);
    assert_true(n > 0);
    assert_int_equal(fixture_count_entries(peek((size_t)n), (size_t)n, false, ""), 2 + 3 + 4);
    assert_int_equal(sys(__NR_getdents64, dir, out(), 1000), 0);
    close_all(exe, fd, again, dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST(a_file_is_written_and_read_back), FS_TEST(access_modes_hold),
        FS_TEST(large_transfers_go_through_in_pieces), FS_TEST(vectors_scatter_and_gather),
        FS_TEST(descriptors_are_the_lowest_free), FS_TEST(the_table_ends_at_the_limit),
        FS_TEST(status_flags_are_kept), FS_TEST(locks_are_the_hosts), FS_TEST(names_are_normalised),
        FS_TEST(relative_names_start_where_they_should), FS_TEST(attributes_come_field_by_field),
        FS_TEST(directories_are_listed), FS_TEST(devices_need_no_host), FS_TEST(a_process_finds_itself),
    };
    return cmocka_run_group_tests_name("fs", tests, NULL, NULL);
}
