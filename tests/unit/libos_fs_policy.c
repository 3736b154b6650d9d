/* SPDX-License-Identifier: Apache-2.0
 *
 * Mounts and sgx.allowed_files: what a manifest lets a program see. */
#include "fs_fixture.h"

static void allow(const char *const *entries)
{
    fake_config()->flags &= ~(uint32_t)VIGIL_FLAG_ALLOW_FILES;
    fake_config_list(&fake_config()->allowed, entries);
}

static long open_read(const char *name)
{
    long fd = sys(__NR_open, str(name), O_RDONLY);
    if (fd >= 0)
        close_all(fd);
    return fd >= 0 ? 0 : fd;
}

static void strict_refuses_what_is_not_listed(void **state)
{
    (void)state;
    allow((const char *[]){"/yes", "/dir/", NULL});
    fs_start();
    host_file("yes", "1");
    host_file("yes2", "1");
    host_file("no", "1");
    host_file("program", "1");
    host_dir("dir");
    host_dir("dir/sub");
    host_dir("dirt");
    host_file("dir/sub/f", "1");
    host_file("dirt/f", "1");
    assert_int_equal(open_read("/yes"), 0);
    assert_int_equal(open_read("/./x/../yes"), 0);
    assert_int_equal(open_read("/program"), 0);
    assert_int_equal(open_read("/dir/sub/f"), 0);
    assert_int_equal(open_read("/no"), -EACCES);
    assert_non_null(strstr(fake_last_log(), "/no:"));
    assert_non_null(strstr(fake_last_log(), "\"file:/no\" to sgx.allowed_files"));
    assert_int_equal(open_read("/yes2"), -EACCES);
    assert_int_equal(open_read("/yes/../no"), -EACCES);
    assert_int_equal(open_read("/dir/../no"), -EACCES);
    assert_int_equal(open_read("/dirt/f"), -EACCES);
    /* Absent is absent, directories may be listed. */
    assert_int_equal(open_read("/absent"), -ENOENT);
    assert_int_equal(open_read("/"), 0);
    assert_int_equal(open_read("/dirt"), 0);
    assert_int_equal(sys(__NR_stat, str("/no"), out()), 0);
    /* What needs no host is harmless. */
    assert_int_equal(open_read("/dev/null"), 0);
    assert_int_equal(open_read("/dev/urandom"), 0);
}

static void strict_guards_every_change(void **state)
{
    (void)state;
    allow((const char *[]){"/ok/", NULL});
    fs_start();
    host_dir("ok");
    host_file("ok/f", "1");
    host_file("no", "1");
    host_dir("nodir");
    const long no = str("/no"), dir = str("/nodir"), ok = str("/ok/f");
    assert_int_equal(sys(__NR_open, str("/new"), O_CREAT | O_WRONLY, 0600), -EACCES);
    assert_int_equal(sys(__NR_open, str("/no"), O_WRONLY | O_TRUNC), -EACCES);
    assert_int_equal(sys(__NR_creat, str("/no"), 0600), -EACCES);
    assert_int_equal(sys(__NR_unlink, no), -EACCES);
    assert_int_equal(sys(__NR_rmdir, dir), -EACCES);
    assert_int_equal(sys(__NR_mkdir, str("/d2"), 0700), -EACCES);
    assert_int_equal(sys(__NR_rename, no, ok), -EACCES);
    assert_int_equal(sys(__NR_rename, ok, no), -EACCES);
    assert_int_equal(sys(__NR_link, no, str("/ok/l")), -EACCES);
    assert_int_equal(sys(__NR_link, ok, str("/l")), -EACCES);
    assert_int_equal(sys(__NR_symlink, str("f"), str("/l")), -EACCES);
    assert_int_equal(sys(__NR_chmod, no, 0600), -EACCES);
    assert_int_equal(sys(__NR_chown, no, -1, -1), -EACCES);
    assert_int_equal(sys(__NR_truncate, no, 0), -EACCES);
    assert_int_equal(sys(__NR_utimensat, AT_FDCWD, no, 0, 0), -EACCES);
    assert_int_equal(sys(__NR_mknod, str("/n"), 0100600, 0), -EACCES);
    assert_host_file("no", "1");
    assert_int_equal(sys(__NR_chmod, str("/ok/f"), 0600), 0);
    assert_int_equal(sys(__NR_rename, str("/ok/f"), str("/ok/g")), 0);
    assert_int_equal(sys(__NR_truncate, str("/ok/g"), 0), 0);
    assert_host_file("ok/g", "");
}

/* Gramine's entries are host URIs: the host's name of a file counts as well. */
static void entries_may_name_the_hosts_path(void **state)
{
    char entry[128];
    (void)state;
    snprintf(entry, sizeof(entry), "%s/data/", host_root());
    allow((const char *[]){entry, NULL});
    snprintf(entry, sizeof(entry), "%s/data", host_root());
    fake_config_mount("/mnt", entry);
    fs_start();
    host_dir("data");
    host_file("data/f", "1");
    assert_int_equal(open_read("/mnt/f"), 0);
    assert_int_equal(open_read("/data/f"), 0);
    assert_int_equal(open_read("/mnt/none"), -ENOENT);
}

static void the_longest_mount_wins(void **state)
{
    char host[128];
    (void)state;
    snprintf(host, sizeof(host), "%s/one", host_root());
    fake_config_mount("/a", host);
    snprintf(host, sizeof(host), "%s/two//", host_root());
    fake_config_mount("/a/b/c/", host);
    fs_start();
    host_dir("one");
    host_dir("two");
    host_file("one/f", "one");
    host_file("two/f", "two");
    host_file("ab", "root");
    long a = sys(__NR_open, str("/a/f"), O_RDONLY), c = sys(__NR_open, str("/a/b/c/f"), O_RDONLY);
    assert_int_equal(sys(__NR_read, a, out(), 10), 3);
    assert_memory_equal(peek(3), "one", 3);
    assert_int_equal(sys(__NR_read, c, out(), 10), 3);
    assert_memory_equal(peek(3), "two", 3);
    assert_int_equal(open_read("/ab"), 0); /* not below /a */
    assert_int_equal(open_read("/one/f"), 0);
    close_all(a, c);
    /* /a/b is no directory of the host, but leads to the mount. */
    assert_int_equal(sys(__NR_stat, str("/a/b"), out()), 0);
    assert_int_equal(fixture_stat_at(out()).mode, 0040555);
    assert_int_equal(sys(__NR_readlink, str("/a/b"), out(), 10), -EINVAL);
    assert_int_equal(sys(__NR_access, str("/a/b"), 1), 0);
    long dir = sys(__NR_open, str("/a/b"), O_RDONLY | O_DIRECTORY);
    long n = sys(__NR_getdents64, dir, out(), 1000);
    assert_true(n > 0);
    assert_int_equal(fixture_count_entries(peek((size_t)n), (size_t)n, false, ""), 3);
    assert_int_equal(fixture_count_entries(peek((size_t)n), (size_t)n, false, "c"), 1);
    long by_dir = sys(__NR_openat, dir, str("c/f"), O_RDONLY);
    assert_true(by_dir > 0);
    close_all(dir, by_dir);
    /* A mount point is busy. */
    assert_int_equal(sys(__NR_rmdir, str("/a")), -EBUSY);
    assert_int_equal(sys(__NR_rename, str("/a"), str("/z")), -EBUSY);
    assert_int_equal(sys(__NR_rmdir, str("/a/b")), -EBUSY);
}

static void relative_host_directories_start_at_the_hosts_cwd(void **state)
{
    (void)state;
    /* The root is given relative to the host's current directory, as fs.root = "." does. */
    assert_int_equal(fixture_enter_root(), 0);
    fake_config()->mount_count = 0;
    fake_config_mount("/", ".");
    allow((const char *[]){"sub/", "top", NULL});
    fs_start();
    host_dir("sub");
    host_file("sub/f", "1");
    host_file("top", "1");
    host_file("other", "1");
    assert_int_equal(open_read("/sub/f"), 0);
    assert_int_equal(open_read("/top"), 0);
    assert_int_equal(open_read("/other"), -EACCES);
    fixture_leave_root();
}

static void allow_all_warns_once_a_file(void **state)
{
    (void)state;
    fake_config_list(&fake_config()->allowed, (const char *[]){"/known", NULL});
    fake_config()->log_level = VIGIL_LOG_WARNING;
    fs_start();
    host_file("known", "1");
    host_file("a", "1");
    assert_int_equal(open_read("/known"), 0);
    assert_string_equal(fake_last_log(), "");
    assert_int_equal(open_read("/none"), -ENOENT);
    assert_string_equal(fake_last_log(), "");
    assert_int_equal(open_read("/a"), 0);
    assert_non_null(strstr(fake_last_log(), "/a: allowed"));
    log_line(VIGIL_LOG_DEBUG, "mark");
    assert_int_equal(open_read("/a"), 0);
    assert_string_equal(fake_last_log(), "mark");
}

static void quiet_warns_once_in_all(void **state)
{
    (void)state;
    fake_config()->flags |= VIGIL_FLAG_QUIET_FILES;
    fs_start();
    host_file("a", "1");
    host_file("b", "1");
    assert_int_equal(open_read("/a"), 0);
    assert_non_null(strstr(fake_last_log(), "all files of the host are allowed"));
    log_line(VIGIL_LOG_DEBUG, "mark");
    assert_int_equal(open_read("/b"), 0);
    assert_string_equal(fake_last_log(), "mark");
}

/* With the host's whole tree the host walks "..", because its links make a difference. */
static void the_whole_host_keeps_its_links(void **state)
{
    char name[128];
    (void)state;
    fake_config()->mount_count = 0;
    fake_config_mount("/", "/");
    fake_config()->flags |= VIGIL_FLAG_NO_MANIFEST | VIGIL_FLAG_QUIET_FILES;
    strcpy(fake_start_info()->cwd, host_root());
    fs_start();
    host_dir("real");
    host_dir("real/deep");
    host_file("real/f", "right");
    host_file("f", "wrong");
    host_link("real/deep", "link");
    long fd = sys(__NR_open, str("link/../f"), O_RDONLY);
    assert_int_equal(sys(__NR_read, fd, out(), 10), 5);
    assert_memory_equal(peek(5), "right", 5);
    assert_int_equal(sys(__NR_chdir, str("link")), 0);
    assert_true(sys(__NR_getcwd, out(), 4096) > 0);
    snprintf(name, sizeof(name), "%s/real/deep", host_root());
    assert_string_equal(peek(4096), name);
    long up = sys(__NR_open, str(".."), O_RDONLY | O_DIRECTORY), by_up = sys(__NR_openat, up, str("f"), O_RDONLY);
    assert_int_equal(sys(__NR_read, by_up, out(), 10), 5);
    assert_memory_equal(peek(5), "right", 5);
    assert_int_equal(sys(__NR_fchdir, up), 0);
    assert_true(sys(__NR_getcwd, out(), 4096) > 0);
    snprintf(name, sizeof(name), "%s/real", host_root());
    assert_string_equal(peek(4096), name);
    /* But never past what is inside. */
    snprintf(name, sizeof(name), "../../../../../../../../dev/urandom");
    long random = sys(__NR_open, str(name), O_RDONLY);
    fake_host = fixture_no_host;
    assert_int_equal(sys(__NR_read, random, out(), 10), 10);
    fake_host = NULL;
    close_all(fd, up, by_up, random);
}

static void the_runner_owns_inside_what_he_owns_outside(void **state)
{
    (void)state;
    fake_start_info()->uid = fixture_uid();
    fs_start();
    host_file("a", "1");
    assert_int_equal(sys(__NR_stat, str("/a"), out()), 0);
    assert_int_equal(fixture_stat_at(out()).uid, 0); /* a manifest's program is user 0 */
    assert_int_equal(sys(__NR_chown, str("/a"), 0, -1), 0);
    assert_int_equal(sys(__NR_stat, str("/a"), out()), 0);
    assert_int_equal(fixture_stat_at(out()).uid, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST_UNSTARTED(strict_refuses_what_is_not_listed),
        FS_TEST_UNSTARTED(strict_guards_every_change),
        FS_TEST_UNSTARTED(entries_may_name_the_hosts_path),
        FS_TEST_UNSTARTED(the_longest_mount_wins),
        FS_TEST_UNSTARTED(relative_host_directories_start_at_the_hosts_cwd),
        FS_TEST_UNSTARTED(allow_all_warns_once_a_file),
        FS_TEST_UNSTARTED(quiet_warns_once_in_all),
        FS_TEST_UNSTARTED(the_whole_host_keeps_its_links),
        FS_TEST_UNSTARTED(the_runner_owns_inside_what_he_owns_outside),
    };
    return cmocka_run_group_tests_name("fs policy", tests, NULL, NULL);
}
