/* SPDX-License-Identifier: Apache-2.0
 *
 * A host whose answers are any bytes. The input is a list of system calls of the program, 4 bytes each, and behind a zero
 * byte what the host says: results, and what it leaves in the memory it was given. */
#include "fake_enclave.h"
#include "libos/libos.h"
#include "libos/mm/mm.h"

#include <asm/unistd_64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APP (512u << 10)
#define OUT_SIZE 65536u
#define MARK 0x5a
#define CALLS_MAX 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *answer, *answers_end;
static uint64_t out, in;         /* the program's buffers */
static unsigned asked;

static void must(bool condition, const char *what, long value)
{
    if (condition)
        return;
    fprintf(stderr, "broken promise: %s (%ld)\n", what, value);
    abort();
}

/* ---- the host ---- */
static uint8_t next(void)
{
    return answer < answers_end ? *answer++ : 0;
}

static bool in_bounce(long address)
{
    size_t mark = bounce_mark();
    bounce_reset();
    char *start = bounce_alloc(16);
    bounce_release(0);
    size_t all = bounce_left();
    bounce_release(mark);
    return address >= (long)start && address < (long)start + (long)all - 256;
}

static long result(uint8_t kind)
{
    static const long odd[] = {INT64_MAX, INT64_MIN, 1l << 32, -4096, -4095, -134, -133, -512, -1, 0x7fffffff, 0x80000000l, 65536, 65537,
                               4096, 4097, 1l << 20};
    if (kind < 160)
        return kind;
    if (kind < 224)
        return -(long)(kind - 159);
    return odd[kind % 16];
}

static long host(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    const long args[] = {a0, a1, a2, a3, a4, a5};

    if (nr == __NR_clock_gettime || nr == __NR_clock_getres) /* a time that is none ends the enclave, and the run with it */
        return syscall(nr, a0, a1);
    if (++asked > 4000) /* it would answer for ever */
        return -5;
    uint8_t kind = next(), which = next(), n = next();
    for (int i = 0; i < 6; i++)
        if (which >> i & 1 && in_bounce(args[i]))
            for (unsigned k = 0; k < n; k++)
                ((uint8_t *)args[i])[k] = next();
    long value = result(kind);
    return value == -4 && asked > 50 ? -5 : value; /* EINTR now and then, not for ever */
}

/* ---- the program ---- */
static long call(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    struct checkpoint *regs = current_regs();

    regs->rax = (uint64_t)nr;
    regs->rdi = (uint64_t)a0, regs->rsi = (uint64_t)a1, regs->rdx = (uint64_t)a2;
    regs->r10 = (uint64_t)a3, regs->r8 = (uint64_t)a4, regs->r9 = (uint64_t)a5;
    libos_syscall(regs);
    return (long)regs->rax;
}

/* f: a descriptor, o: the buffer, n: a length, p: a path, v: the byte itself, 0: zero, w: a vector, T: no time at all. */
static const struct { short nr; const char *args; } calls[] = {
    {__NR_open, "pv0"}, {__NR_read, "fon"}, {__NR_pread64, "fonv"}, {__NR_write, "fon"}, {__NR_pwrite64, "fonv"},
    {__NR_readv, "fw1"}, {__NR_writev, "fw1"}, {__NR_lseek, "fv2"}, {__NR_fstat, "fo"}, {__NR_stat, "po"}, {__NR_lstat, "po"},
    {__NR_getdents64, "fon"}, {__NR_getdents, "fon"}, {__NR_readlink, "pon"}, {__NR_statfs, "po"}, {__NR_fstatfs, "fo"},
    {__NR_ioctl, "fIo"}, {__NR_fcntl, "fvo"}, {__NR_access, "pv"}, {__NR_ftruncate, "fv"}, {__NR_fsync, "f"}, {__NR_flock, "fv"},
    {__NR_mkdir, "pv"}, {__NR_unlink, "p"}, {__NR_rename, "pp"}, {__NR_sendfile, "ff0n"}, {__NR_copy_file_range, "f0f0n0"},
    {__NR_dup, "f"}, {__NR_close, "f"}, {__NR_chdir, "p"}, {__NR_getcwd, "on"}, {__NR_poll, "P20"}, {__NR_epoll_create1, "0"},
    {__NR_epoll_ctl, "f1fE"}, {__NR_epoll_wait, "fov0"}, {__NR_socket, "SS0"}, {__NR_socketpair, "110o"}, {__NR_recvfrom, "fonDoL"},
    {__NR_sendto, "fonD00"}, {__NR_recvmsg, "fMD"}, {__NR_sendmsg, "fMD"}, {__NR_accept4, "foLN"}, {__NR_getsockname, "foL"},
    {__NR_getpeername, "foL"}, {__NR_getsockopt, "f1voL"}, {__NR_setsockopt, "f1vo4"}, {__NR_bind, "fon"}, {__NR_statx, "fp0vo"},
    {__NR_openat, "fpv0"}, {__NR_mmap, "0n12f0"}, {__NR_pipe2, "oN"}, {__NR_eventfd2, "vN"}, {__NR_fallocate, "f0vv"},
    {__NR_getrusage, "0o"}, {__NR_sched_getaffinity, "0no"}, {__NR_readlinkat, "fpon"}, {__NR_utimensat, "fp00"}, {__NR_listen, "f1"},
    {__NR_shutdown, "f1"}, {__NR_fchmod, "fv"}, {__NR_truncate, "pv"}, {__NR_dup2, "fv"}, {__NR_umask, "v"},
    {__NR_inotify_init1, "N"}, {__NR_inotify_add_watch, "fpv"}, {__NR_inotify_rm_watch, "fv"}, {__NR_timerfd_create, "1N"},
    {__NR_timerfd_settime, "f0oo"}, {__NR_memfd_create, "p0"}, {__NR_preadv, "fw1v"}, {__NR_openat2, "fpWH"}, {__NR_munmap, "00"},
    {__NR_symlink, "pp"}, {__NR_link, "pp"}, {__NR_rmdir, "p"}, {__NR_mknod, "pv0"}, {__NR_signalfd4, "-o8N"},
};

static const char *const names[] = {"/", "/a", "/dir/b", "a", "..", "/proc/self/fd/3", "/proc/self/maps", "/dev/null", "/link/x",
                                    "/tmp/f", "", "/proc/self/exe", "/sys/devices/system/cpu/online", "/dev/tty", "/a/", "//a//b"};

static void put(uint64_t at, const void *data, size_t n)
{
    must(!copy_to_user((void *)at, data, n), "the program has memory", 0);
}

static long argument(char kind, uint8_t value, unsigned position)
{
    static const uint32_t requests[] = {0x5413, 0x541b, 0x5401, 0x5410, 0x540f, 0x5451, 0x5450, 0x8901};
    uint64_t words[8] = {0};

    switch (kind) {
    case 'f':
        return value % 12;
    case 'o':
        return (long)out;
    case 'n':
        return value < 200 ? value : value * 200;
    case 'p':
        put(in + position * 256, names[value % 16], strlen(names[value % 16]) + 1);
        return (long)(in + position * 256);
    case 'w':
        words[0] = out, words[1] = value;
        put(in + 2048, words, 16);
        return (long)(in + 2048);
    case 'W': /* struct open_how */
        words[0] = (uint64_t)value | 04000;
        put(in + 2048, words, 24);
        return (long)(in + 2048);
    case 'H':
        return 24;
    case '-':
        return -1;
    case 'P': /* two descriptors to poll */
        words[0] = (uint64_t)(value % 12) | 5ull << 32, words[1] = (uint64_t)(value / 12 % 12) | 1ull << 32;
        put(in + 2048, words, 16);
        return (long)(in + 2048);
    case 'E':
        words[0] = value;
        put(in + 2048, words, 12);
        return (long)(in + 2048);
    case 'L':
        words[0] = value;
        put(in + 2112, words, 4);
        return (long)(in + 2112);
    case 'M': /* a message with room for name and control data */
        words[0] = out, words[1] = 110, words[2] = in + 2200, words[3] = 1, words[4] = out + 4096, words[5] = value;
        put(in + 2048, words, 56);
        words[0] = out + 512, words[1] = 200;
        put(in + 2200, words, 16);
        return (long)(in + 2048);
    case 'I':
        return (long)requests[value % 8];
    case 'S':
        return value % 3 + 1;
    case 'D':
        return 0x40; /* MSG_DONTWAIT */
    case 'N':
        return 04000; /* O_NONBLOCK: there is nobody else to wait for */
    case 'v':
        return value;
    default:
        return kind - '0';
    }
}

/* The end of the longest thing that any of these calls may write. */
static void check_untouched(size_t from)
{
    static uint8_t bytes[OUT_SIZE];

    must(!copy_from_user(bytes, (void *)out, OUT_SIZE), "the buffer is there", 0);
    must(bytes[from] == MARK && !memcmp(bytes + from, bytes + from + 1, OUT_SIZE - 1 - from), "nothing is written behind the buffer",
         (long)from);
}

static void one_call(const uint8_t *bytes)
{
    size_t which = bytes[0] % (sizeof(calls) / sizeof(calls[0]));
    const char *kinds = calls[which].args;
    long a[6] = {0}, length = 0;

    for (unsigned i = 0; i < 6 && kinds[i]; i++) {
        a[i] = argument(kinds[i], bytes[1 + i % 3], i);
        if (kinds[i] == 'n')
            length = a[i];
    }
    if (calls[which].nr == __NR_open || calls[which].nr == __NR_openat)
        a[calls[which].nr == __NR_open ? 1 : 2] |= 04000; /* O_NONBLOCK */
    if (calls[which].nr == __NR_fcntl && a[1] == 4 /* F_SETFL */)
        a[2] = 04000;
    long value = call(calls[which].nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    must(value >= -4095, "an error is one", value);
    if (calls[which].nr == __NR_read || calls[which].nr == __NR_pread64 || calls[which].nr == __NR_recvfrom)
        must(value <= length, "no more is read than was asked for", value);
    if (length > 40000 || calls[which].nr == __NR_statfs)
        return;
    check_untouched(length > 16384 ? 51000 : 20480);
}

static void run(void *arg)
{
    const uint8_t *const *range = arg;

    for (const uint8_t *at = range[0]; at < range[1]; at += 4)
        one_call(at);
    call(__NR_close_range, 0, 0xffffffffl, 0, 0, 0, 0);
}

static void set_up(void)
{
    static uint8_t mark[OUT_SIZE];

    fake_enclave_init(APP);
    fake_config()->log_level = VIGIL_LOG_NONE;
    fake_config()->flags |= VIGIL_FLAG_ALLOW_FILES | VIGIL_FLAG_QUIET_FILES;
    fake_config_mount("/", "/nowhere");
    fake_config_mount("/tmp", NULL);
    fake_host = host;
    must(!mm_init() && !fs_init() && !threads_init() && !signals_init(), "there is a LibOS", 0);
    out = (uint64_t)mm_map(0, OUT_SIZE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS);
    in = (uint64_t)mm_map(0, 16384, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS);
    memset(mark, MARK, sizeof(mark));
    put(out, mark, sizeof(mark));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *range[2] = {data, data};

    while (range[1] + 4 <= data + size && *range[1] && range[1] - data < 4 * CALLS_MAX)
        range[1] += 4;
    answer = range[1] < data + size ? range[1] + 1 : range[1];
    answers_end = data + size;
    asked = 0;
    set_up();
    (void)fake_catch_exit(run, range);
    return 0;
}
