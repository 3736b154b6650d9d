/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc, /sys and /dev: what they say of the process is held against what the process knows of itself. Values that may differ
 * from machine to machine are checked for sense. */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

static char text[1 << 20];
static char **arguments;
extern char **environ;
static int initialised = 42;

/* A whole file, read in pieces of step bytes. Its length; text ends in NUL. */
static long read_file(const char *path, size_t step)
{
    int fd = open(path, O_RDONLY);
    size_t used = 0;
    ssize_t n = -1;
    if (!CHECK(fd >= 0)) {
        printf("  %s\n", path);
        text[0] = 0;
        return -1;
    }
    while (used + step < sizeof(text) && (n = read(fd, text + used, step)) > 0)
        used += n;
    CHECK(n == 0);
    text[used] = 0;
    close(fd);
    return used;
}

static long long number_after(const char *key)
{
    const char *at = strstr(text, key);
    return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

/* ---- maps ------------------------------------------------------------------------------------------------------------ */
/* The line of /proc/self/maps with an address: its rights and name. */
static bool area_of(const void *address, char rights[5], char name[256])
{
    char *save, *line;
    read_file("/proc/self/maps", 4096);
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned long start, end, offset, inode;
        unsigned major, minor;
        name[0] = 0;
        int fields = sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %255s", &start, &end, rights, &offset, &major, &minor, &inode, name);
        CHECK(fields >= 7 && start < end && start % 4096 == 0 && end % 4096 == 0);
        if ((unsigned long)address >= start && (unsigned long)address < end)
            return true;
    }
    return false;
}

static void maps(void)
{
    char rights[5], name[256], exe[256] = "";
    int on_stack;
    CHECK(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
    CHECK(area_of(&initialised, rights, name) && !strncmp(rights, "rw", 2));
    CHECK(!strcmp(name, exe));
    CHECK(area_of((void *)maps, rights, name) && strchr(rights, 'x') && !strcmp(name, exe));
    CHECK(area_of(&on_stack, rights, name) && !strncmp(rights, "rw", 2) && !strcmp(name, "[stack]"));
    char *fresh = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(fresh != MAP_FAILED);
    CHECK(area_of(fresh, rights, name) && !strcmp(rights, "rw-p"));
    CHECK_EQ(mprotect(fresh + 4096, 4096, PROT_READ), 0);
    CHECK(area_of(fresh + 4096, rights, name) && !strcmp(rights, "r--p"));
    CHECK(area_of(fresh + 8192, rights, name) && !strcmp(rights, "rw-p"));
    munmap(fresh, 3 * 4096);
    CHECK(!area_of(fresh + 4096, rights, name));
    void *heap = sbrk(0);
    CHECK(sbrk(8192) == heap);
    CHECK(area_of(heap, rights, name) && !strcmp(name, "[heap]"));
    CHECK(read_file("/proc/self/smaps", 1000) > 0 && strstr(text, "Rss:") && strstr(text, "VmFlags:"));
}

static void small_buffers(void)
{
    static char whole[1 << 20];
    /* What is read piece by piece is one text; a lseek to the start makes a new one. */
    read_file("/proc/self/mounts", 65536);
    strcpy(whole, text);
    read_file("/proc/self/mounts", 3);
    CHECK(!strcmp(whole, text));
    int fd = open("/proc/self/comm", O_RDWR);
    char first[32] = "", second[32] = "";
    CHECK(read(fd, first, 2) == 2);
    CHECK_EQ(prctl(PR_SET_NAME, "changed"), 0);
    CHECK(read(fd, first + 2, 20) > 0);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK(read(fd, second, 30) > 0);
    CHECK(!strcmp(second, "changed\n"));
    CHECK_EQ(pread(fd, first, 30, 1), 7);
    CHECK_EQ(write(fd, "by file", 7), 7);
    CHECK_EQ(prctl(PR_GET_NAME, second), 0);
    CHECK(!strcmp(second, "by file"));
    close(fd);
}

/* ---- the process ----------------------------------------------------------------------------------------------------- */
static void links(void)
{
    char target[PATH_MAX], want[PATH_MAX];
    memset(target, 0, sizeof(target));
    CHECK(readlink("/proc/self", target, sizeof(target)) > 0 && atoi(target) == getpid());
    memset(target, 0, sizeof(target));
    CHECK(readlink("/proc/self/exe", target, sizeof(target)) > 0);
    struct stat a, b;
    CHECK_EQ(stat("/proc/self/exe", &a), 0);
    CHECK_EQ(stat(target, &b), 0);
    CHECK(a.st_ino == b.st_ino && S_ISREG(a.st_mode));
    CHECK_EQ(lstat("/proc/self/exe", &a), 0);
    CHECK(S_ISLNK(a.st_mode));
    memset(target, 0, sizeof(target));
    CHECK(readlink("/proc/self/cwd", target, sizeof(target)) > 0);
    REQUIRE(getcwd(want, sizeof(want)));
    CHECK(!strcmp(target, want));
    memset(target, 0, sizeof(target));
    CHECK(readlink("/proc/thread-self", target, sizeof(target)) > 0);
    snprintf(want, sizeof(want), "%d/task/%ld", getpid(), syscall(SYS_gettid));
    CHECK(!strcmp(target, want));
    CHECK_ERRNO(readlink("/proc/self/status", target, sizeof(target)), EINVAL);
    CHECK_ERRNO(open("/proc/self/exe", O_RDONLY | O_NOFOLLOW), ELOOP);
    int fd = open("/proc/self/exe", O_PATH | O_NOFOLLOW);
    CHECK(fd >= 0 && fstat(fd, &a) == 0 && S_ISLNK(a.st_mode));
    close(fd);
}

static void status(void)
{
    struct rlimit files;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGUSR1, SIG_IGN);
    read_file("/proc/self/status", 4096);
    CHECK(!strncmp(text, "Name:\t", 6));
    CHECK(strstr(text, "\nState:\tR (running)\n"));
    CHECK_EQ(number_after("\nTgid:\t"), getpid());
    CHECK_EQ(number_after("\nPid:\t"), getpid());
    CHECK_EQ(number_after("\nPPid:\t") >= 0, 1);
    CHECK_EQ(number_after("\nUid:\t"), getuid());
    CHECK_EQ(number_after("\nGid:\t"), getgid());
    CHECK_EQ(number_after("\nThreads:\t"), 1);
    CHECK(number_after("\nVmSize:\t") > 0 && number_after("\nVmRSS:\t") > 0);
    CHECK(number_after("\nVmSize:\t") >= number_after("\nVmRSS:\t"));
    CHECK(number_after("\nVmPeak:\t") >= number_after("\nVmSize:\t"));
    const char *blocked = strstr(text, "\nSigBlk:\t"), *ignored = strstr(text, "\nSigIgn:\t");
    CHECK(blocked && strtoull(blocked + 9, NULL, 16) == 1ull << (SIGUSR2 - 1));
    CHECK(ignored && strtoull(ignored + 9, NULL, 16) & 1ull << (SIGUSR1 - 1));
    CHECK(strstr(text, "\nCpus_allowed_list:\t"));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    getrlimit(RLIMIT_NOFILE, &files);
    read_file("/proc/self/limits", 100);
    CHECK_EQ(number_after("Max open files"), (long long)files.rlim_cur);
    CHECK(!strncmp(text, "Limit                     Soft Limit           Hard Limit           Units     \n", 79));
}

static void statistics(void)
{
    int pid, fields = 0;
    char comm[64], state;
    read_file("/proc/self/stat", 4096);
    CHECK_EQ(sscanf(text, "%d (%63[^)]) %c", &pid, comm, &state), 3);
    CHECK(pid == getpid() && state == 'R');
    for (char *at = text; (at = strchr(at, ' ')); at++)
        fields++;
    CHECK_EQ(fields - (int)(strchr(comm, ' ') != NULL) + 1, 52);
    unsigned long size, resident;
    read_file("/proc/self/statm", 4096);
    CHECK_EQ(sscanf(text, "%lu %lu", &size, &resident), 2);
    CHECK(size >= resident && resident > 0);
    read_file("/proc/self/io", 4096);
    CHECK(number_after("rchar: ") > 0 && number_after("syscr: ") > 0);
}

static void command_line(void)
{
    long n = read_file("/proc/self/cmdline", 4096), at = 0;
    for (int i = 0; arguments[i]; i++) {
        CHECK(at < n && !strcmp(text + at, arguments[i]));
        at += strlen(arguments[i]) + 1;
    }
    CHECK_EQ(at, n);
    n = read_file("/proc/self/environ", 4096);
    at = 0;
    for (int i = 0; environ[i]; i++) {
        CHECK(at < n && !strcmp(text + at, environ[i]));
        at += strlen(environ[i]) + 1;
    }
    CHECK_EQ(at, n);
    n = read_file("/proc/self/auxv", 4096);
    const unsigned long *aux = (const unsigned long *)text;
    bool page = false;
    for (long i = 0; i + 16 <= n; i += 16, aux += 2)
        page |= aux[0] == AT_PAGESZ && aux[1] == getauxval(AT_PAGESZ);
    CHECK(page);
    /* A title written over the arguments shows. */
    char saved = arguments[0][0];
    arguments[0][0] = '!';
    read_file("/proc/self/cmdline", 4096);
    CHECK(text[0] == '!');
    arguments[0][0] = saved;
}

/* ---- descriptors ----------------------------------------------------------------------------------------------------- */
static void descriptors(void)
{
    char name[64], target[PATH_MAX] = "", byte;
    int pair[2], seen = 0;
    REQUIRE(pipe(pair) == 0);
    int dir_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
    DIR *dir = fdopendir(dir_fd);
    REQUIRE(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        CHECK_EQ(e->d_type, DT_LNK);
        seen |= 1 << atoi(e->d_name);
    }
    CHECK(seen & 1 << pair[0] && seen & 1 << pair[1] && seen & 1 << dir_fd && seen & 2);
    closedir(dir);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", pair[0]);
    CHECK(readlink(name, target, sizeof(target)) > 0 && !strncmp(target, "pipe:[", 6));
    CHECK_EQ(faccessat(AT_FDCWD, name, F_OK, 0), 0);
    int again = open(name, O_RDONLY | O_NONBLOCK);
    CHECK(again >= 0 && write(pair[1], "x", 1) == 1 && read(again, &byte, 1) == 1 && byte == 'x');
    close(again);
    struct stat st;
    CHECK(stat(name, &st) == 0 && S_ISFIFO(st.st_mode));
    int null = open("/dev/null", O_RDWR | O_APPEND);
    snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", null);
    read_file(name, 100);
    CHECK_EQ(number_after("pos:\t"), 0);
    CHECK((strtol(strstr(text, "flags:\t") + 7, NULL, 8) & (O_ACCMODE | O_APPEND)) == (O_RDWR | O_APPEND));
    close(null);
    close(pair[0]);
    close(pair[1]);
    CHECK_ERRNO(readlink("/proc/self/fd/999", target, sizeof(target)), ENOENT);
    CHECK_ERRNO(open("/proc/self/fd/x", O_RDONLY), ENOENT);
}

/* ---- threads --------------------------------------------------------------------------------------------------------- */
static atomic_int go, tid;

static void *thread(void *arg)
{
    char name[64];
    int fd;
    prctl(PR_SET_NAME, "worker");
    snprintf(name, sizeof(name), "/proc/thread-self/comm");
    fd = open(name, O_RDWR);
    *(bool *)arg = fd >= 0 && write(fd, "renamed", 7) == 7;
    close(fd);
    tid = (int)syscall(SYS_gettid);
    WAIT_UNTIL(go);
    return NULL;
}

static void threads(void)
{
    bool renamed = false, found = false;
    char name[64];
    pthread_t other;
    int count = 0;
    REQUIRE(pthread_create(&other, NULL, thread, &renamed) == 0);
    WAIT_UNTIL(tid);
    CHECK(renamed);
    DIR *dir = opendir("/proc/self/task");
    REQUIRE(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        count += e->d_name[0] != '.';
        found |= atoi(e->d_name) == tid;
    }
    closedir(dir);
    CHECK(found);
    CHECK_EQ(count, 2);
    snprintf(name, sizeof(name), "/proc/self/task/%d/comm", tid);
    read_file(name, 64);
    CHECK(!strcmp(text, "renamed\n"));
    snprintf(name, sizeof(name), "/proc/%d/status", getpid());
    read_file(name, 4096);
    CHECK_EQ(number_after("\nThreads:\t"), 2);
    snprintf(name, sizeof(name), "/proc/self/task/%d/status", tid);
    read_file(name, 4096);
    CHECK_EQ(number_after("\nTgid:\t"), getpid());
    CHECK_EQ(number_after("\nPid:\t"), tid);
    go = 1;
    pthread_join(other, NULL);
    WAIT_UNTIL(access(name, F_OK) && errno == ENOENT);
}

/* ---- the system ------------------------------------------------------------------------------------------------------ */
static void system_files(void)
{
    struct utsname name;
    struct sysinfo info;
    cpu_set_t set;
    double up, idle;
    uname(&name);
    sysinfo(&info);
    read_file("/proc/sys/kernel/osrelease", 100);
    CHECK(!strncmp(text, name.release, strlen(name.release)));
    read_file("/proc/sys/kernel/hostname", 100);
    CHECK(!strncmp(text, name.nodename, strlen(name.nodename)));
    CHECK(read_file("/proc/sys/kernel/pid_max", 100) > 0 && atoi(text) >= getpid());
    CHECK_EQ(read_file("/proc/sys/kernel/random/boot_id", 100), 37);
    char id[40];
    strcpy(id, text);
    read_file("/proc/sys/kernel/random/boot_id", 100);
    CHECK(!strcmp(id, text));
    read_file("/proc/sys/kernel/random/uuid", 100);
    CHECK(strcmp(id, text) && text[14] == '4');
    CHECK(read_file("/proc/sys/vm/overcommit_memory", 10) == 2);
    CHECK(read_file("/proc/sys/net/core/somaxconn", 10) > 1 && atoi(text) > 0);
    CHECK(read_file("/proc/sys/fs/pipe-max-size", 10) > 1 && atoi(text) >= 4096);
    read_file("/proc/meminfo", 4096);
    long long total = number_after("MemTotal:");
    CHECK(total * 1024 == (long long)(info.totalram * info.mem_unit));
    CHECK(number_after("MemFree:") > 0 && number_after("MemFree:") <= total);
    read_file("/proc/uptime", 100);
    CHECK(sscanf(text, "%lf %lf", &up, &idle) == 2 && up > 0 && up <= info.uptime + 2 && up >= info.uptime - 2);
    CHECK(read_file("/proc/version", 100) > 0 && !strncmp(text, "Linux version ", 14));
    CHECK(read_file("/proc/loadavg", 100) > 0);
    CHECK(read_file("/proc/filesystems", 100) > 0 && strstr(text, "tmpfs"));
    read_file("/proc/mounts", 4096);
    CHECK(strstr(text, " / ") && strstr(text, " /proc proc "));
    read_file("/proc/stat", 4096);
    CHECK(!strncmp(text, "cpu  ", 5) && number_after("\nbtime ") > 1000000000);
    CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
    read_file("/proc/cpuinfo", 4096);
    int processors = 0;
    for (char *at = text; (at = strstr(at, "processor\t:")); at++)
        processors++;
    CHECK(processors >= CPU_COUNT(&set));
    CHECK(read_file("/sys/devices/system/cpu/online", 100) > 0 && text[0] >= '0' && text[0] <= '9');
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= CPU_COUNT(&set));
    CHECK(sysconf(_SC_NPROCESSORS_CONF) >= CPU_COUNT(&set));
    CHECK(read_file("/sys/devices/system/node/online", 100) > 0);
    CHECK(read_file("/sys/kernel/mm/transparent_hugepage/enabled", 100) > 0 && strchr(text, '['));
}

static void errors(void)
{
    struct statfs fs;
    int dir = open("/proc/self", O_RDONLY | O_DIRECTORY);
    char byte;
    CHECK(dir >= 0);
    int fd = openat(dir, "status", O_RDONLY);
    CHECK(fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'N');
    close(fd);
    CHECK_ERRNO(openat(dir, "absent", O_RDONLY), ENOENT);
    CHECK_ERRNO(openat(dir, "status/x", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(openat(dir, "status", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(openat(dir, "fd", O_WRONLY), EISDIR);
    CHECK_ERRNO(read(dir, &byte, 1), EISDIR);
    close(dir);
    CHECK_ERRNO(access("/proc/self/absent", F_OK), ENOENT);
    CHECK_EQ(access("/proc/self/maps", R_OK), 0);
    CHECK_ERRNO(access("/proc/absent/../self", F_OK), ENOENT);
    CHECK_ERRNO(access("/proc/99999999", F_OK), ENOENT);
    CHECK_ERRNO(open("/proc/self/maps", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
    CHECK_ERRNO(mkdir("/proc/self", 0755), EEXIST);
    CHECK_EQ(statfs("/proc/self/maps", &fs), 0);
    CHECK_EQ(fs.f_type, 0x9fa0);
    fd = open("/proc/self/maps", O_PATH);
    CHECK_ERRNO(read(fd, &byte, 1), EBADF);
    close(fd);
    CHECK_EQ(chdir("/proc/self/task"), 0);
    CHECK_EQ(access("../status", R_OK), 0);
    CHECK_EQ(chdir("/"), 0);
}

/* ---- devices --------------------------------------------------------------------------------------------------------- */
static void device(const char *name, unsigned wanted_major, unsigned wanted_minor)
{
    struct stat st;
    CHECK(stat(name, &st) == 0 && S_ISCHR(st.st_mode));
    CHECK(major(st.st_rdev) == wanted_major && minor(st.st_rdev) == wanted_minor);
}

static void devices(void)
{
    char bytes[64];
    struct stat a, b;
    device("/dev/null", 1, 3);
    device("/dev/zero", 1, 5);
    device("/dev/full", 1, 7);
    device("/dev/random", 1, 8);
    device("/dev/urandom", 1, 9);
    device("/dev/tty", 5, 0);
    int fd = open("/dev/full", O_WRONLY);
    CHECK_ERRNO(write(fd, "x", 1), ENOSPC);
    close(fd);
    fd = open("/dev/urandom", O_RDONLY);
    memset(bytes, 0, sizeof(bytes));
    CHECK_EQ(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
    int zeroes = 0;
    for (size_t i = 0; i < sizeof(bytes); i++)
        zeroes += !bytes[i];
    CHECK(zeroes < 20);
    close(fd);
    CHECK(fstat(1, &a) == 0 && stat("/dev/stdout", &b) == 0);
    CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    fd = open("/dev/stderr", O_WRONLY);
    CHECK(fd >= 0 || errno == EACCES);
    close(fd);
    CHECK_EQ(access("/dev/fd/1", F_OK), 0);
    char *zero = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd = open("/dev/zero", O_RDWR), 0);
    CHECK(zero != MAP_FAILED && zero[5000] == 0);
    close(fd);
    fd = shm_open("/vigil-test", O_CREAT | O_EXCL | O_RDWR, 0600);
    CHECK(fd >= 0 && ftruncate(fd, 5000) == 0 && pwrite(fd, "shm", 3, 4998 - 3) == 3 && fstat(fd, &a) == 0);
    CHECK_EQ(a.st_size, 5000);
    CHECK_EQ(access("/dev/shm/vigil-test", R_OK | W_OK), 0);
    CHECK_EQ(shm_unlink("/vigil-test"), 0);
    CHECK_ERRNO(access("/dev/shm/vigil-test", F_OK), ENOENT);
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct section sections[] = {
        { "maps", maps },
        { "small buffers", small_buffers },
        { "links", links },
        { "status", status },
        { "statistics", statistics },
        { "command line", command_line },
        { "descriptors", descriptors },
        { "threads", threads },
        { "the system", system_files },
        { "errors", errors },
        { "devices", devices },
    };
    arguments = argv;
    return RUN_SECTIONS(sections, argc, argv);
}
