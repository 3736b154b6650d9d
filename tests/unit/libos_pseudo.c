/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc, /sys and /dev without a program: how names are walked, what the host is asked, and what it may say. What a program
 * finds there is in tests/programs/pseudo.c. */
#include "fs_fixture.h"

#include "libos/mm/mm.h"

#include <errno.h>

/* Nothing has been loaded here. */
const char *process_exe(void)
{
    return "/program";
}

static const char *content(const char *name)
{
    long fd = sys(__NR_open, str(name), O_RDONLY);
    assert_true(fd >= 0);
    long n = sys(__NR_read, fd, out(), 60000);
    assert_true(n >= 0);
    close_all(fd);
    return peek((size_t)n);
}

static int64_t number(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    assert_non_null(at);
    return strtoll(at + strlen(key), NULL, 10);
}

/* Only what has to come from it is asked of the host. */
static long a0_seen, calls;
static long counting_host(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    (void)a1, (void)a2, (void)a3, (void)a4, (void)a5;
    if (nr != __NR_sched_getaffinity && nr != __NR_getrusage && nr != __NR_clock_gettime)
        fail_msg("the host was asked to do %ld", nr);
    a0_seen = a0;
    calls++;
    fake_host = NULL;
    long result = ocall_syscall(nr, a0, a1, a2, a3, a4, a5);
    fake_host = counting_host;
    return result;
}

static void the_host_has_no_say_in_names(void **state)
{
    static const char *const files[] = {
        "/proc/self/maps", "/proc/self/status", "/proc/self/stat", "/proc/self/statm", "/proc/self/comm", "/proc/self/limits",
        "/proc/self/mounts", "/proc/self/mountinfo", "/proc/self/smaps", "/proc/self/io", "/proc/self/fdinfo/1",
        "/proc/self/task/1/status", "/proc/thread-self/stat", "/proc/1/status", "/proc/meminfo", "/proc/cpuinfo", "/proc/stat",
        "/proc/uptime", "/proc/loadavg", "/proc/version", "/proc/filesystems", "/proc/mounts", "/proc/sys/kernel/osrelease",
        "/proc/sys/kernel/random/uuid", "/proc/self/../self/./status", "/sys/devices/system/cpu/online",
        "/sys/devices/system/node/node0/meminfo", "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/self/smaps_rollup",
    };
    (void)state;
    host_dir("proc");
    host_file("proc/meminfo", "host");
    host_dir("sys");
    host_dir("dev");
    host_file("dev/null", "host");
    calls = 0;
    fake_host = counting_host;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (strstr(files[i], "fdinfo")) /* the position of a file of the host's is its own */
            continue;
        assert_true(strlen(content(files[i])) > 0);
        assert_null(strstr(peek(100), "host\n"));
    }
    assert_int_equal(sys(__NR_open, str("/dev/sda"), O_RDONLY), -ENOENT);
    assert_int_equal(sys(__NR_open, str("/proc/2/status"), O_RDONLY), -ENOENT);
    assert_int_equal(sys(__NR_open, str("/proc/01/status"), O_RDONLY), -ENOENT);
    assert_int_equal(sys(__NR_open, str("/sys/class"), O_RDONLY), -ENOENT);
    assert_int_equal(sys(__NR_open, str("/proc/new"), O_CREAT | O_WRONLY, 0600), -ENOENT);
    assert_int_equal(sys(__NR_open, str("/proc/meminfo"), O_RDWR), -EACCES);
    assert_int_equal(sys(__NR_mkdir, str("/proc/d"), 0700), -EPERM);
    assert_int_equal(sys(__NR_unlink, str("/dev/null")), -EPERM);
    assert_int_equal(sys(__NR_rename, str("/dev/null"), str("/dev/zero")), -EPERM);
    assert_int_equal(sys(__NR_chmod, str("/proc/self/maps"), 0777), -EPERM);
    assert_int_equal(sys(__NR_rmdir, str("/proc")), -EBUSY);
    assert_true(calls > 0);
    fake_host = NULL;
}

static void a_manifest_may_mount_over_it(void **state)
{
    char host[128];
    (void)state;
    snprintf(host, sizeof(host), "%s/given", host_root());
    fake_config_mount("/dev", host);
    fake_config_mount("/proc/extra", host);
    fs_start();
    host_dir("given");
    host_file("given/f", "host's");
    host_file("given/null", "host's");
    assert_string_equal(content("/dev/f"), "host's");
    assert_string_equal(content("/proc/extra/f"), "host's");
    assert_string_equal(content("/dev/null"), ""); /* these stay */
    assert_int_equal(sys(__NR_open, str("/dev/stdin"), O_RDONLY), -ENOENT);
    assert_int_equal(sys(__NR_open, str("/dev/shm/x"), O_CREAT | O_RDWR, 0600), -ENOENT);
    long fd = sys(__NR_open, str("/proc"), O_RDONLY | O_DIRECTORY), n = sys(__NR_getdents64, fd, out(), 8000);
    assert_true(n > 0);
    assert_int_equal(fixture_count_entries(peek((size_t)n), (size_t)n, false, "extra"), 1);
    assert_int_equal(fixture_count_entries(peek((size_t)n), (size_t)n, false, "self"), 1);
    close_all(fd);
}

static void maps_are_the_areas(void **state)
{
    (void)state;
    uint64_t at = map(5 * 4096), start, end;
    char line[64], rights[5];
    int lines = 0;
    assert_int_equal(sys(__NR_mprotect, at + 4096, 4096, 1), 0);
    assert_int_equal(sys(__NR_munmap, at + 3 * 4096, 4096), 0);
    snprintf(line, sizeof(line), "\n%08lx-%08lx r--p 00000000 00:00 0 \n", at + 4096, at + 2 * 4096);
    assert_non_null(strstr(content("/proc/self/maps"), line));
    uint64_t last = 0;
    for (const char *p = peek(60000); sscanf(p, "%lx-%lx %4s", &start, &end, rights) == 3; p = strchr(p, '\n') + 1, lines++) {
        assert_true(start >= last && end > start);
        assert_int_equal(mm_prot_at(start) & 1, rights[0] == 'r');
        assert_int_equal((mm_prot_at(start) & 2) != 0, rights[1] == 'w');
        assert_int_equal(mm_prot_at(end - 4096), mm_prot_at(start));
        assert_true(!(at + 3 * 4096 >= start && at + 3 * 4096 < end));
        last = end;
    }
    assert_true(lines >= 3);
    /* What the LibOS keeps for files is not the program's. */
    char before[16000];
    snprintf(before, sizeof(before), "%s", content("/proc/self/maps"));
    long fd = sys(__NR_open, str("/dev/shm/f"), O_CREAT | O_RDWR, 0600);
    assert_int_equal(sys(__NR_write, fd, str("x"), 1), 1);
    assert_string_equal(content("/proc/self/maps"), before);
    assert_true(number(content("/proc/meminfo"), "Shmem:") > 0);
    close_all(fd);
}

static void texts_are_made_once(void **state)
{
    (void)state;
    long fd = sys(__NR_open, str("/proc/self/maps"), O_RDONLY);
    char whole[16000];
    size_t used = 0;
    long n = sys(__NR_pread64, fd, out(), 60000, 0);
    snprintf(whole, sizeof(whole), "%s", peek((size_t)n));
    assert_int_equal(sys(__NR_read, fd, out(), 7), 7);
    used = 7;
    map(4096); /* another area now */
    assert_int_equal(sys(__NR_mprotect, map(3 * 4096) + 4096, 4096, 0), 0);
    while ((n = sys(__NR_read, fd, out(), 7)) > 0) {
        assert_memory_equal(peek((size_t)n), whole + used, (size_t)n);
        used += (size_t)n;
    }
    assert_int_equal(used, strlen(whole));
    assert_int_equal(sys(__NR_lseek, fd, 0, 0), 0);
    n = sys(__NR_read, fd, out(), 60000);
    assert_true((size_t)n > used);
    assert_int_equal(sys(__NR_lseek, fd, 0, 2), -EINVAL);
    close_all(fd);
}

/* ---- a host that lies ------------------------------------------------------------------------------------------------ */
static long lie_number, lie_result;
static uint8_t lie_fill;
static long lying_host(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    fake_host = NULL;
    long result = ocall_syscall(nr, a0, a1, a2, a3, a4, a5);
    fake_host = lying_host;
    if (nr != lie_number)
        return result;
    long at = nr == __NR_sched_getaffinity ? a2 : a1;
    if (fixture_in_bounce(at))
        memset((void *)at, lie_fill, nr == __NR_sched_getaffinity ? (size_t)a1 : 144);
    return lie_result ? lie_result : result;
}

static void a_lying_host_is_not_believed(void **state)
{
    (void)state;
    lie_number = __NR_sched_getaffinity;
    const long results[] = {-14, 0, 7, 1l << 40, 0};
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        lie_fill = i == 4 ? 0 : 0xff; /* no processor at all */
        lie_result = results[i];
        fake_host = lying_host;
        const char *online = content("/sys/devices/system/cpu/online");
        if (results[i])
            assert_string_equal(online, "0\n");
        content("/proc/cpuinfo");
        content("/proc/self/status");
        fake_host = NULL;
    }
    lie_result = 1024; /* as many as there can be */
    lie_fill = 0xff;
    fake_host = lying_host;
    assert_string_equal(content("/sys/devices/system/cpu/online"), "0-8191\n");
    assert_int_equal(sys(__NR_open, str("/sys/devices/system/cpu/cpu8192"), O_RDONLY), -ENOENT);
    assert_string_equal(content("/sys/devices/system/cpu/cpu8191/topology/core_cpus_list"), "8191\n");
    lie_number = __NR_getrusage;
    lie_result = 0;
    for (int i = 0; i < 2; i++) { /* negative times; a failure */
        content("/proc/stat");
        content("/proc/uptime");
        assert_int_equal(number(content("/proc/self/status"), "\nvoluntary_ctxt_switches:\t"), 0);
        lie_result = -1;
    }
    fake_host = NULL;
}

static void memory_that_runs_out_is_an_error(void **state)
{
    (void)state;
    for (long budget = 0; budget < 30; budget++) {
        fake_kmalloc_budget = budget;
        long fd = sys(__NR_open, str("/proc/self/status"), O_RDONLY);
        long n = fd >= 0 ? sys(__NR_read, fd, out(), 60000) : 0;
        long link = sys(__NR_readlink, str("/proc/self/cwd"), out(), 100);
        fake_kmalloc_budget = -1;
        assert_true(fd >= 0 || fd == -ENOMEM);
        assert_true(n > 0 || fd < 0 || n == -ENOMEM);
        assert_true(link == 1 || link == -ENOMEM);
        if (fd >= 0)
            close_all(fd);
        assert_true(budget < 29 || n > 0);
    }
}

static void links_are_not_followed_for_ever(void **state)
{
    (void)state;
    /* A thousand components through links of /proc. */
    char name[4000] = "/proc/self";
    for (int i = 0; i < 38; i++)
        strcat(name, "/root/proc/self");
    assert_int_equal(sys(__NR_open, str(name), O_RDONLY), -ELOOP);
    strcpy(name, "/proc/self/root/proc/self/cwd/proc/self/fd/../status");
    assert_non_null(strstr(content(name), "Name:"));
    memset(name, 'x', 300);
    memcpy(name, "/proc/", 6);
    name[300] = 0;
    assert_int_equal(sys(__NR_open, str(name), O_RDONLY), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FS_TEST(the_host_has_no_say_in_names),   FS_TEST_UNSTARTED(a_manifest_may_mount_over_it),
        FS_TEST(maps_are_the_areas),             FS_TEST(texts_are_made_once),
        FS_TEST(a_lying_host_is_not_believed),   FS_TEST(memory_that_runs_out_is_an_error),
        FS_TEST(links_are_not_followed_for_ever),
    };
    return cmocka_run_group_tests_name("pseudo", tests, NULL, NULL);
}
