/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs each case: the target natively, then in an enclave whose host lies; compares; counts.
 * usage: hostile --runtime ELF --target PROGRAM [--verbose] [--epc LOW HIGH STEP] [TEXT]
 * TEXT: only the cases whose line contains it. --epc: an honest host with LOW, LOW + STEP ... pages of EPC. */
#include "image/manifest.h"
#include "softsgx/trap.h"
#include "tests/hostile/hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 8
#define DATA_SIZE 10000

static const char *runtime_path, *target_path, *only;
static bool verbose;
static const void *runtime;
static size_t runtime_size;
static char directory[] = "/tmp/vigil-hostile-XXXXXX";

struct outcome {
    int status;         /* as waitpid() gives it; -1: it did not end */
    char out[4096], err[8192];
};

static void fail(const char *what)
{
    fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- what the programs find ---- */
static void make_files(void)
{
    char data[DATA_SIZE];

    if (chdir(directory))
        fail(directory);
    int fd = open("data", O_RDWR | O_CREAT | O_TRUNC, 0644);
    for (int i = 0; i < DATA_SIZE; i++)
        data[i] = (char)('a' + i % 23);
    if (fd < 0 || write(fd, data, sizeof(data)) != DATA_SIZE)
        fail("data");
    close(fd);
    unlink("link"), unlink("new");
    if (symlink("data", "link"))
        fail("link");
}

static void remove_files(void)
{
    unlink("data"), unlink("link"), unlink("new"), unlink("socket");
    if (!chdir("/"))
        rmdir(directory);
}

/* ---- one run ---- */
static int memory_file(void)
{
    int fd = memfd_create("hostile", 0);
    if (fd < 0)
        fail("memfd_create");
    return fd;
}

static _Noreturn void run_native(char **argv)
{
    execv(target_path, argv);
    _exit(127);
}

/* What the manifest says of the files it trusts is hashed here. */
static int trusting(struct vigil_config **config, struct image_error *error)
{
    char path[64];
    int fd = memory_file();

    make_files();
    dprintf(fd, "libos.entrypoint = \"%s\"\nloader.insecure__use_cmdline_argv = true\nfs.root = { uri = \"file:/\" }\n"
            "fs.start_dir = \"%s\"\nsgx.debug = true\nsgx.use_exinfo = true\nsgx.enclave_size = \"32M\"\nsgx.max_threads = 4\n"
            "sgx.trusted_files = [\"file:%s\", \"file:%s/data\"]\nsgx.file_check_policy = \"allow_all_but_log\"\n",
            target_path, directory, target_path, directory);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int status = manifest_load(path, config, error);
    close(fd);
    return status;
}

/* Built once: signing takes longer than a run. */
enum { PLAIN, EDMM, TRUSTING };
static struct image images[3];

static void build(int kind)
{
    struct image_error error;
    struct vigil_config *config;
    struct image_key *key;

    if (kind == TRUSTING ? trusting(&config, &error) : manifest_default(target_path, &config, &error))
        goto failed;
    config->enclave_size = 32u << 20;
    config->max_threads = 4;
    config->stack_size = 256u << 10;
    config->brk_max_size = 1u << 20;
    if (kind == EDMM)
        manifest_use_edmm(config, 1);
    if (!image_build(&images[kind], runtime, runtime_size, config, &error) && !image_key_open(NULL, &key, &error) &&
        !image_sign(&images[kind], key, &error))
        return;
failed:
    fprintf(stderr, "hostile: %s\n", error.text);
    exit(2);
}

static _Noreturn void run_enclave(const struct hostile_case *c, char **argv, uint64_t epc_size)
{
    char *envp[] = {NULL};
    struct image_error error;
    struct host_options options = {.log_level = VIGIL_LOG_ERROR, .argv = argv, .envp = envp, .epc_size = epc_size, .tick_hz = 250};

    while (argv[options.argc])
        options.argc++;
    hostile_now = c;
    sgx_trap_guards = !(c->options & NO_GUARDS);
    host_run(&images[c->options & TRUSTED ? TRUSTING : c->options & ON_EDMM ? EDMM : PLAIN], &options, &error);
    fprintf(stderr, "vigil: %s\n", error.text);
    _exit(HOST_EXIT_REFUSED);
}

static void take(int fd, char *text, size_t size)
{
    ssize_t n = pread(fd, text, size - 1, 0);
    text[n < 0 ? 0 : n] = 0;
    close(fd);
}

/* Waits for SECONDS at most; then the child is in the way. */
static int wait_for(pid_t pid)
{
    int status, fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (fd < 0)
        fail("pidfd_open");
    bool ended = poll(&p, 1, SECONDS * 1000) == 1;
    close(fd);
    if (!ended)
        kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return ended ? status : -1;
}

static void run(const struct hostile_case *c, bool native, uint64_t epc_size, struct outcome *o)
{
    char path[128], *argv[8] = {(char *)target_path}, *rest = path;
    int out = memory_file(), err = memory_file(), argc = 1;

    make_files();
    snprintf(path, sizeof(path), "%s", c->path);
    for (char *word = strtok_r(path, " ", &rest); word && argc < 7; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);
        dup2(null, 0), dup2(out, 1), dup2(err, 2);
        closefrom(3);
        if (native)
            run_native(argv);
        run_enclave(c, argv, epc_size);
    }
    if (pid < 0)
        fail("fork");
    o->status = wait_for(pid);
    take(out, o->out, sizeof(o->out));
    take(err, o->err, sizeof(o->err));
}

/* ---- what may come of it ---- */
static bool contains(const char *text, const char *part, size_t n)
{
    return memmem(text, strlen(text), part, n);
}

static bool begins(const char *expect, size_t n, const char *word)
{
    size_t length = strlen(word);
    return n >= length && !memcmp(expect, word, length);
}

/* One line, and the whole of it, unless the expectation ends with *. */
static bool is_line(const char *expect, size_t n, const char *out)
{
    size_t length = strcspn(out, "\n");

    if (strcmp(out + length, "\n"))
        return false;
    if (expect[n - 1] == '*')
        return length >= n - 1 && !memcmp(out, expect, n - 1);
    return length == n && !memcmp(out, expect, n);
}

/* One of the alternatives. A run that does not end is no answer, and neither is a bug that the runtime admits. */
static bool allowed(const char *expect, size_t n, const struct outcome *native, const struct outcome *o)
{
    if (o->status < 0 || contains(o->err, "please report the line", 22))
        return false;
    if (n == 1 && *expect == '=')
        return o->status == native->status && !strcmp(o->out, native->out);
    if (begins(expect, n, "stop:"))
        return o->status == HOST_EXIT_REFUSED << 8 && contains(o->err, expect + 5, n - 5) && !*o->out;
    if (begins(expect, n, "die:"))
        return WIFSIGNALED(o->status) && WTERMSIG(o->status) == atoi(expect + 4);
    if (begins(expect, n, "exit:"))
        return WIFEXITED(o->status) && WEXITSTATUS(o->status) == atoi(expect + 5);
    return !o->status && is_line(expect, n, o->out);
}

static bool one_of(const char *expect, const struct outcome *native, const struct outcome *o)
{
    for (size_t n; *expect; expect += n + (expect[n] == '|')) {
        n = strcspn(expect, "|");
        if (allowed(expect, n, native, o))
            return true;
    }
    return false;
}

static void print_outcome(const char *who, const struct outcome *o)
{
    printf("    %s: %s 0x%x\n", who, o->status < 0 ? "DID NOT END" : "wait status", (unsigned)o->status);
    printf("    | %s\n", o->out);
    if (*o->err)
        printf("    ! %s\n", o->err);
}

#define WORKERS 2u
static struct { _Atomic unsigned cases, failed; } *total; /* shared by the workers */
static unsigned worker, turn;
static struct outcome native, enclave;

static void check(const struct hostile_case *c, const char *table, size_t row, uint64_t epc_size)
{
    char line[256];

    snprintf(line, sizeof(line), "%s %zu: %s, call %ld, value %ld: %s", table, row, c->path, c->of, (long)c->value, c->expect);
    if ((only && !strstr(line, only)) || turn++ % WORKERS != worker)
        return;
    run(c, true, 0, &native);
    if (native.status)
        fprintf(stderr, "hostile: %s does not work natively\n", c->path);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    run(c, false, epc_size, &enclave);
    clock_gettime(CLOCK_MONOTONIC, &to);
    bool good = !native.status && one_of(c->expect, &native, &enclave);
    total->cases++;
    total->failed += !good;
    if (!good || verbose) {
        printf("%s %s (%ld ms)\n", good ? "ok    " : "FAILED", line,
               (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
        print_outcome("native", &native);
        print_outcome("enclave", &enclave);
    }
}

static void check_table(const struct hostile_case *table, const char *name)
{
    for (size_t i = 0; table[i].path; i++)
        check(&table[i], name, i, 0);
}

/* Every path with impossible results of all kinds in every third system call: the same output, an error or a stop. */
static uint64_t lie_impossible(struct lie_call *c)
{
    static const int64_t results[] = {INT64_MIN, 1l << 40, -4096, -600, INT64_MAX, -134};
    uint64_t result = c->honest(c);
    return (uint64_t)(c->nth + hostile_now->value) % 3 ? result : (uint64_t)results[(c->nth + hostile_now->value) / 3 % 6];
}

static void check_impossible(void)
{
    static const char *const paths[] = {
        "open", "read", "read_all", "pread", "write", "stat", "fstat", "getdents", "readlink", "ftruncate", "fsync", "flock",
        "sendfile", "copy_range", "statfs", "fionread", "mmap", "msync", "mkdir", "poll", "epoll", "eventfd", "pipe", "monotonic",
        "realtime", "affinity", "rusage", "turns", "timeout", "into", "socketpair", "recvfrom", "recvmsg", "sendto", "accept",
        "getsockname", "getsockopt", "socket", "rights", "timerfd", "again", "mprotect", "trusted", "trusted_later",
    };
    char expect[96];

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        for (int64_t phase = 0; phase < 3; phase++) {
            struct hostile_case c = {.path = paths[i], .of = ANY_SYSCALL, .lie = lie_impossible, .value = phase, .expect = expect,
                                     .options = strncmp(paths[i], "trusted", 7) ? 0 : TRUSTED};
            snprintf(expect, sizeof(expect), "=|%s: E*|stop:not a time", paths[i]);
            check(&c, "impossible", i * 3 + (size_t)phase, 0);
        }
}

static void check_tables(void)
{
    check_table(hostile_start, "start");
    check_table(hostile_calls, "calls");
    check_table(hostile_sockets, "sockets");
    check_table(hostile_memory, "memory");
    check_table(hostile_trusted, "trusted");
    check_impossible();
}

/* The EPC in steps of one page, from too little for anything to enough: the same output, or a clean end. */
static void sweep_epc(uint64_t low, uint64_t high, uint64_t step)
{
    static struct hostile_case c = {.path = "touch", .options = ON_EDMM,
                                    .expect = "=|stop:EPC|stop:memory|die:7|exit:126|touch: ENOMEM"};
    char name[64];

    for (uint64_t pages = low; pages < high; pages += step) {
        snprintf(name, sizeof(name), "EPC of %lu pages,", pages);
        check(&c, name, 0, pages * VIGIL_PAGE);
    }
}

static void read_runtime(void)
{
    int fd = open(runtime_path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st))
        fail(runtime_path);
    runtime_size = (size_t)st.st_size;
    runtime = mmap(NULL, runtime_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
}

int main(int argc, char **argv)
{
    uint64_t low = 0, high = 0, step = 1;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--runtime") && i + 1 < argc)
            runtime_path = argv[++i];
        else if (!strcmp(argv[i], "--target") && i + 1 < argc)
            target_path = argv[++i];
        else if (!strcmp(argv[i], "--verbose"))
            verbose = true;
        else if (!strcmp(argv[i], "--epc") && i + 3 < argc)
            low = strtoul(argv[++i], NULL, 0), high = strtoul(argv[++i], NULL, 0), step = strtoul(argv[++i], NULL, 0);
        else
            only = argv[i];
    }
    if (!runtime_path || !target_path || !step) {
        fprintf(stderr, "usage: %s --runtime ELF --target PROGRAM [--verbose] [--epc LOW HIGH STEP] [TEXT]\n", argv[0]);
        return 2;
    }
    host_direct = false; /* every OCALL comes to lies.c */
    read_runtime();
    target_path = realpath(target_path, NULL);
    if (!target_path)
        fail("the target program");
    build(PLAIN);
    build(EDMM);
    total = mmap(NULL, sizeof(*total), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (total == MAP_FAILED)
        fail("mmap");
    pid_t other = fork();
    worker = !other;
    if (other < 0 || !mkdtemp(directory))
        fail(directory);
    build(TRUSTING);
    if (high)
        sweep_epc(low, high, step);
    else
        check_tables();
    remove_files();
    fflush(stdout);
    if (!other)
        _exit(0);
    int status;
    if (waitpid(other, &status, 0) != other || status)
        fail("the second worker");
    printf("hostile: %u cases, %u failed\n", total->cases, total->failed);
    return total->failed || !total->cases;
}
