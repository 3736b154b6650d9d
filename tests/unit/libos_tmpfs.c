/* SPDX-License-Identifier: Apache-2.0
 *
 * tmpfs: what the test programs that run in one (tests/e2e/test_inside.py) do not try. */
#include "fs_fixture.h"

#include "libos/fs/store.h"
#include "libos/mm/mm.h"

#include <errno.h>
#include <linux/falloc.h>
#include <unistd.h>

#define LOCK_SHARED 1
#define LOCK_EXCLUSIVE 2
#define LOCK_NOW 4
#define LOCK_NONE 8

static void setup_mounts(void)
{
    static char host[128];

    snprintf(host, sizeof(host), "%s/given", host_root());
    fake_config_mount("/tmp", NULL);
    fake_config_mount("/tmp/a/given", host);
    fs_start();
    host_dir("given");
    host_file("given/f", "host's");
}

static void put(const char *name, const char *content)
{
    long fd = sys(__NR_open, str(name), O_CREAT | O_WRONLY | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(sys(__NR_write, fd, str(content), strlen(content)), strlen(content));
    close_all(fd);
}

static void assert_content(const char *name, const char *content)
{
    long fd = sys(__NR_open, str(name), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(sys(__NR_read, fd, out(), 4096), strlen(content));
    assert_memory_equal(peek(4096), content, strlen(content));
    close_all(fd);
}

static struct fixture_stat stat_of(const char *name)
{
    assert_int_equal(sys(__NR_lstat, str(name), out()), 0);
    return fixture_stat_at(out());
}

static void nothing_reaches_the_host(void **state)
{
    (void)state;
    setup_mounts();
    put("/tmp/f", "inside");
    assert_content("/tmp/f", "inside");
    assert_int_equal(sys(__NR_mkdir, str("/tmp/d"), 0700), 0);
    char name[200];
    snprintf(name, sizeof(name), "%s/tmp", host_root());
    assert_int_equal(access(name, 0), -1);
    assert_content("/tmp/a/given/f", "host's"); /* a mount in it, whose directories are there */
    assert_int_equal(stat_of("/tmp/a").mode, 0040755);
    assert_int_equal(sys(__NR_rename, str("/tmp/f"), str("/x")), -EXDEV);
    assert_int_equal(sys(__NR_link, str("/tmp/f"), str("/x")), -EXDEV);
    assert_int_equal(sys(__NR_rmdir, str("/tmp")), -EBUSY);
    assert_int_equal(sys(__NR_rename, str("/tmp/a"), str("/tmp/b")), -EBUSY);
    assert_int_equal(sys(__NR_unlink, str("/tmp/f")), 0);
    assert_int_equal(sys(__NR_rmdir, str("/tmp/d")), 0);
}

static void names_and_links_agree(void **state)
{
    (void)state;
    setup_mounts();
    put("/tmp/one", "1");
    assert_int_equal(sys(__NR_link, str("/tmp/one"), str("/tmp/two")), 0);
    assert_int_equal(stat_of("/tmp/two").nlink, 2);
    assert_int_equal(stat_of("/tmp/two").ino, stat_of("/tmp/one").ino);
    assert_int_equal(sys(__NR_rename, str("/tmp/one"), str("/tmp/two")), 0); /* the same file: nothing happens */
    assert_int_equal(stat_of("/tmp/one").nlink, 2);
    assert_int_equal(sys(__NR_mkdir, str("/tmp/d"), 0755), 0);
    assert_int_equal(sys(__NR_mkdir, str("/tmp/d/e"), 0755), 0);
    assert_int_equal(stat_of("/tmp/d").nlink, 3);
    assert_int_equal(sys(__NR_rename, str("/tmp/d"), str("/tmp/d/e/f")), -EINVAL);
    assert_int_equal(sys(__NR_rename, str("/tmp/d/e"), str("/tmp/d")), -ENOTEMPTY);
    assert_int_equal(sys(__NR_rename, str("/tmp/d"), str("/tmp/one")), -ENOTDIR);
    assert_int_equal(sys(__NR_rename, str("/tmp/one"), str("/tmp/d")), -EISDIR);
    assert_int_equal(sys(__NR_rmdir, str("/tmp/d")), -ENOTEMPTY);
    assert_int_equal(sys(__NR_unlink, str("/tmp/d")), -EISDIR);
    assert_int_equal(sys(__NR_rmdir, str("/tmp/one")), -ENOTDIR);
    assert_int_equal(sys(__NR_renameat2, AT_FDCWD, str("/tmp/one"), AT_FDCWD, str("/tmp/two"), 1), -EEXIST);
    put("/tmp/three", "3");
    assert_int_equal(sys(__NR_renameat2, AT_FDCWD, str("/tmp/three"), AT_FDCWD, str("/tmp/d/e"), 2), 0); /* exchange */
    assert_int_equal(stat_of("/tmp/three").mode & 0170000, 0040000);
    assert_int_equal(stat_of("/tmp/d").nlink, 2);
    assert_content("/tmp/d/e", "3");
    assert_int_equal(sys(__NR_rename, str("/tmp/three"), str("/tmp/d/dir")), 0);
    assert_int_equal(stat_of("/tmp/d").nlink, 3);
    assert_int_equal(sys(__NR_symlink, str("d/../one"), str("/tmp/l")), 0);
    assert_content("/tmp/l", "1");
    assert_content("/tmp/d/dir/../../l", "1");
    assert_int_equal(sys(__NR_symlink, str("loop"), str("/tmp/loop")), 0);
    assert_int_equal(sys(__NR_open, str("/tmp/loop"), O_RDONLY), -ELOOP);
    assert_int_equal(sys(__NR_open, str("/tmp/one/x"), O_RDONLY), -ENOTDIR);
    assert_int_equal(sys(__NR_open, str("/tmp/none/../one"), O_RDONLY), -ENOENT);
    assert_int_equal(sys(__NR_open, str("/tmp/one/"), O_RDONLY), -ENOTDIR);
    assert_int_equal(sys(__NR_symlink, str("/dev/urandom"), str("/tmp/r")), 0); /* out of it again */
    long random = sys(__NR_open, str("/tmp/r"), O_RDONLY);
    assert_int_equal(sys(__NR_read, random, out(), 8), 8);
    close_all(random);
}

static void a_file_outlives_its_name(void **state)
{
    (void)state;
    setup_mounts();
    uint64_t before = store_pages_used();
    put("/tmp/f", "text");
    long fd = sys(__NR_open, str("/tmp/f"), O_RDWR), n;
    char name[64];
    assert_int_equal(sys(__NR_unlink, str("/tmp/f")), 0);
    assert_int_equal(sys(__NR_fstat, fd, out()), 0);
    assert_int_equal(fixture_stat_at(out()).nlink, 0);
    snprintf(name, sizeof(name), "/proc/self/fd/%ld", fd);
    n = sys(__NR_readlink, str(name), out(), 100);
    assert_int_equal(n, strlen("/tmp/f (deleted)"));
    assert_memory_equal(peek(100), "/tmp/f (deleted)", (size_t)n);
    long again = sys(__NR_open, str(name), O_RDONLY);
    assert_int_equal(sys(__NR_read, again, out(), 100), 4);
    assert_int_equal(sys(__NR_linkat, fd, str(""), AT_FDCWD, str("/tmp/back"), AT_EMPTY_PATH), -ENOENT); /* gone for good */
    assert_int_equal(store_pages_used(), before + 1);
    close_all(fd, again);
    assert_int_equal(store_pages_used(), before);
    long unnamed = sys(__NR_open, str("/tmp"), 020200000 | O_RDWR, 0600); /* O_TMPFILE */
    assert_true(unnamed >= 0);
    assert_int_equal(sys(__NR_write, unnamed, str("late"), 4), 4);
    assert_int_equal(sys(__NR_linkat, unnamed, str(""), AT_FDCWD, str("/tmp/late"), AT_EMPTY_PATH), 0);
    assert_content("/tmp/late", "late");
    close_all(unnamed);
}

static void sizes_change(void **state)
{
    (void)state;
    setup_mounts();
    put("/tmp/f", "0123456789");
    long fd = sys(__NR_open, str("/tmp/f"), O_RDWR);
    assert_int_equal(sys(__NR_truncate, str("/tmp/f"), 5), 0);
    assert_content("/tmp/f", "01234");
    assert_int_equal(sys(__NR_ftruncate, fd, 1ll << 40), 0);
    assert_int_equal(stat_of("/tmp/f").size, 1ll << 40);
    assert_int_equal(sys(__NR_lseek, fd, 4096, 3 /* SEEK_DATA */), -ENXIO);
    assert_int_equal(sys(__NR_pwrite64, fd, str("x"), 1, 1ll << 30), 1);
    assert_int_equal(sys(__NR_lseek, fd, 4096, 3), 1 << 30);
    assert_int_equal(sys(__NR_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 30, 4096), 0);
    assert_int_equal(sys(__NR_lseek, fd, 4096, 3), -ENXIO);
    assert_int_equal(sys(__NR_fallocate, fd, 0, 0, 1ll << 39), -ENOSPC);
    assert_int_equal(sys(__NR_ftruncate, fd, 3), 0);
    assert_int_equal(sys(__NR_fallocate, fd, 0, 0, 9000), 0);
    assert_int_equal(stat_of("/tmp/f").size, 9000);
    assert_int_equal(sys(__NR_fsync, fd), 0);
    long reader = sys(__NR_open, str("/tmp/f"), O_RDONLY);
    assert_int_equal(sys(__NR_ftruncate, reader, 0), -EINVAL);
    assert_int_equal(sys(__NR_truncate, str("/dev/null"), 0), -EINVAL);
    assert_int_equal(sys(__NR_truncate, str("/tmp"), 0), -EISDIR);
    uint64_t data = map(1 << 20);
    long n, done = 0;
    while ((n = sys(__NR_write, fd, data, 1 << 20)) == 1 << 20)
        done += n;
    assert_int_equal(n > 0 ? sys(__NR_write, fd, data, 4096 * 2) : n, -ENOSPC);
    assert_true(done > 8 << 20);
    close_all(fd, reader);
    assert_int_equal(sys(__NR_unlink, str("/tmp/f")), 0);
    put("/tmp/f", "room again");
}

static void directories_are_listed_while_they_change(void **state)
{
    char name[64];
    int seen = 0;
    long n;
    (void)state;
    setup_mounts();
    assert_int_equal(sys(__NR_mkdir, str("/tmp/d"), 0755), 0);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "/tmp/d/file-%d", i);
        put(name, "");
    }
    long fd = sys(__NR_open, str("/tmp/d"), O_RDONLY | O_DIRECTORY);
    while ((n = sys(__NR_getdents64, fd, out(), 700)) > 0) {
        seen += fixture_count_entries(peek((size_t)n), (size_t)n, false, "file-");
        snprintf(name, sizeof(name), "/tmp/d/file-%d", seen - 1); /* what has been seen may go */
        assert_int_equal(sys(__NR_unlink, str(name)), 0);
    }
    assert_int_equal(n, 0);
    assert_int_equal(seen, 500);
    close_all(fd);
}

static void locks_belong_to_open_files(void **state)
{
    (void)state;
    setup_mounts();
    put("/tmp/f", "");
    long a = sys(__NR_open, str("/tmp/f"), O_RDWR), b = sys(__NR_open, str("/tmp/f"), O_RDWR), c = sys(__NR_dup, a);
    assert_int_equal(sys(__NR_flock, a, LOCK_SHARED), 0);
    assert_int_equal(sys(__NR_flock, b, LOCK_SHARED), 0);
    assert_int_equal(sys(__NR_flock, b, LOCK_EXCLUSIVE | LOCK_NOW), -EAGAIN);
    assert_int_equal(sys(__NR_flock, a, LOCK_NONE), 0);
    assert_int_equal(sys(__NR_flock, a, LOCK_EXCLUSIVE), 0); /* b has lost its own when it asked for more */
    assert_int_equal(sys(__NR_flock, c, LOCK_EXCLUSIVE | LOCK_NOW), 0);
    assert_int_equal(sys(__NR_flock, b, LOCK_SHARED | LOCK_NOW), -EAGAIN);
    close_all(a, c);
    assert_int_equal(sys(__NR_flock, b, LOCK_EXCLUSIVE | LOCK_NOW), 0);
    assert_int_equal(sys(__NR_flock, b, 16), -EINVAL);
    close_all(b);
}

static void rights_hold_for_who_is_not_root(void **state)
{
    (void)state;
    fake_config()->flags |= VIGIL_FLAG_NO_MANIFEST; /* then the program is the host's user: 1000 here */
    strcpy(fake_start_info()->cwd, "/");
    setup_mounts();
    put("/tmp/f", "1");
    assert_int_equal(stat_of("/tmp/f").uid, 1000);
    assert_int_equal(sys(__NR_chmod, str("/tmp/f"), 0444), 0);
    assert_int_equal(sys(__NR_open, str("/tmp/f"), O_WRONLY), -EACCES);
    assert_int_equal(sys(__NR_truncate, str("/tmp/f"), 0), -EACCES);
    assert_int_equal(sys(__NR_mkdir, str("/tmp/d"), 0500), 0);
    assert_int_equal(sys(__NR_open, str("/tmp/d/f"), O_CREAT | O_WRONLY, 0600), -EACCES);
    assert_int_equal(sys(__NR_chown, str("/tmp/f"), 0, -1), -EPERM);
    long fd = sys(__NR_open, str("/tmp/g"), O_CREAT | O_RDWR, 0); /* the mode does not hold for who makes it */
    assert_int_equal(sys(__NR_write, fd, str("x"), 1), 1);
    assert_int_equal(sys(__NR_open, str("/tmp/g"), O_RDONLY), -EACCES);
    close_all(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST_UNSTARTED(nothing_reaches_the_host),
        FS_TEST_UNSTARTED(names_and_links_agree),
        FS_TEST_UNSTARTED(a_file_outlives_its_name),
        FS_TEST_UNSTARTED(sizes_change),
        FS_TEST_UNSTARTED(directories_are_listed_while_they_change),
        FS_TEST_UNSTARTED(locks_belong_to_open_files),
        FS_TEST_UNSTARTED(rights_hold_for_who_is_not_root),
    };
    return cmocka_run_group_tests_name("tmpfs", tests, NULL, NULL);
}
