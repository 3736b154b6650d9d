/* SPDX-License-Identifier: Apache-2.0
 *
 * Loads an image into the chosen SGX and runs its threads. */
#include "host/debugger.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(HT_TCS == offsetof(struct host_thread, tcs), "entry.S");
_Static_assert(HT_CLAIM == offsetof(struct host_thread, claim), "entry.S");
_Static_assert(HT_FAST == offsetof(struct host_thread, fast), "entry.S");
_Static_assert(HT_PENDING == offsetof(struct host_thread, shared) + VIGIL_SHARED_PENDING, "entry.S");
_Static_assert(offsetof(struct vigil_shared, pending) == VIGIL_SHARED_PENDING, "abi.h");

#define ARENA_SIZE ((1u << 20) + 65536)
#define HOST_STACK (256u << 10)

const struct sgx_backend *backend;
__thread struct host_thread *host_current;
uint32_t host_thread_count;
static struct host_thread *threads;
static _Atomic uint64_t threads_started;

static int fail(struct image_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct image_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return -1;
}

struct host_thread *host_thread_at(uint32_t slot)
{
    return &threads[slot];
}

/* The OCALL memory of a TCS is made when it is first used and kept. */
static int thread_prepare(struct host_thread *thread)
{
    if (thread->shared.arena)
        return 0;
    void *arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED)
        return -ENOMEM;
    thread->shared.arena = (uint64_t)arena;
    thread->shared.arena_size = ARENA_SIZE;
    return 0;
}

void host_thread_loop(struct host_thread *thread, uint64_t argument)
{
    struct host_exit exit;
    int ends = 0;

    thread->fast = backend->thread_fast ? backend->thread_fast() : NULL;
    while (!ends) {
        enclave_enter(thread, argument, &exit);
        argument = host_ocall(thread, &exit, &ends);
    }
    thread->fast = NULL;
}

/* Signals that reached this thread too late for its program are the process's: somebody else takes them. */
static void pass_on_events(struct host_thread *thread)
{
    uint64_t left = __atomic_exchange_n(&thread->shared.pending, 0, __ATOMIC_SEQ_CST) & ~1ull;
    for (; left; left &= left - 1)
        kill(getpid(), __builtin_ctzll(left));
}

static void *thread_main(void *arg)
{
    struct host_thread *thread = arg;
    sigset_t all, none;

    /* Created with every signal blocked: no handler runs before this thread can take it, or after. */
    if (backend->thread_init(thread->ordinal)) {
        dprintf(STDERR_FILENO, "vigil: no memory for a new thread's signal stack\n");
        _exit(HOST_EXIT_REFUSED);
    }
    host_current = thread;
    atomic_store(&thread->tid, (pid_t)syscall(SYS_gettid));
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    host_thread_loop(thread, (uint64_t)&thread->shared);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    atomic_store(&thread->tid, 0);
    host_current = NULL;
    pass_on_events(thread);
    backend->thread_exit();
    atomic_store(&thread->occupied, 0);
    syscall(SYS_futex, &thread->occupied, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return NULL;
}

int host_thread_start(uint32_t slot)
{
    pthread_attr_t attr;
    pthread_t id;
    sigset_t all, old;

    if (slot >= host_thread_count)
        return -EINVAL;
    struct host_thread *thread = &threads[slot];
    /* The enclave says the TCS is free; the thread that used it may still be on its way out of this function's twin. */
    for (int one = 1, zero = 0; !atomic_compare_exchange_strong(&thread->occupied, &zero, one); zero = 0)
        syscall(SYS_futex, &thread->occupied, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    int status = thread_prepare(thread);
    if (status)
        goto out;
    __atomic_store_n(&thread->shared.pending, 0, __ATOMIC_SEQ_CST);
    thread->claim = 0;
    thread->ordinal = ++threads_started;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, HOST_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    status = -pthread_create(&id, &attr, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
out:
    if (status)
        atomic_store(&thread->occupied, 0);
    return status;
}

static int make_threads(const struct image *image, struct image_error *error)
{
    host_thread_count = image->thread_limit;
    threads = aligned_alloc(64, (host_thread_count * sizeof(*threads) + 63) & ~(size_t)63);
    if (!threads)
        return fail(error, "out of memory for %u threads", host_thread_count);
    memset(threads, 0, host_thread_count * sizeof(*threads));
    for (uint32_t i = 0; i < host_thread_count; i++) {
        threads[i].tcs = image->tcs0 + i * image->thread_stride;
        threads[i].shared.slot = i;
    }
    if (thread_prepare(&threads[0]))
        return fail(error, "out of memory for the first thread");
    return 0;
}

bool host_plain(const struct host_options *options)
{
    char line[128];
    int tracer = 0;
    FILE *status = fopen("/proc/self/status", "re");

    while (status && fgets(line, sizeof(line), status))
        if (sscanf(line, "TracerPid: %d", &tracer) == 1)
            break;
    if (status)
        fclose(status);
    return tracer || options->plain || options->loaded || options->aex != HOST_AEX_NONE;
}

static void make_boot(struct vigil_boot *boot, const struct host_options *options)
{
    static char cwd[4096];

    boot->argc = (uint64_t)options->argc;
    boot->argv = (uint64_t)options->argv;
    while (options->envp && options->envp[boot->envc])
        boot->envc++;
    boot->envp = (uint64_t)options->envp;
    boot->cwd = getcwd(cwd, sizeof(cwd)) ? (uint64_t)cwd : 0;
    boot->uid = getuid();
    boot->gid = getgid();
    boot->pid = (uint32_t)getpid();
    boot->plain = host_plain(options);
    boot->log_level_override = options->log_level >= 0 ? (uint32_t)options->log_level + 1 : 0;
}

static int open_log(const struct image *image, struct image_error *error)
{
    const char *path = image->config->log_file ? (const char *)image->config + image->config->log_file : NULL;
    if (!path)
        return 0;
    host_log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (host_log_fd < 0)
        return fail(error, "%s: cannot open the log file (loader.log_file): %s", path, strerror(errno));
    return 0;
}

/* Descriptors the program must not find where it expects its own: ours move out of the way. */
static void keep_standard_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
}

/* Vector extensions are the machine's, as far as the signature leaves them open. */
static void choose_xfrm(struct sgx_secs *secs, const struct image *image, uint64_t offered)
{
    secs->attributes.xfrm |= offered & (SGX_XFRM_AVX | SGX_XFRM_AVX512) & ~image->sigstruct.attributemask.xfrm;
}

int host_run(const struct image *image, const struct host_options *options, struct image_error *error)
{
    static struct vigil_boot boot;
    struct host_sgx sgx[2];
    struct sgx_secs secs __attribute__((aligned(4096))) = image->secs;
    int chosen = host_probe(sgx, image);

    keep_standard_descriptors();
    if (!sgx[chosen].usable)
        return fail(error, "no usable SGX: %s", sgx[chosen].reason);
    backend = chosen ? &backend_hardware : &backend_software;
    if (open_log(image, error) || make_threads(image, error))
        return -1;
    if (!chosen)
        dprintf(STDERR_FILENO, "vigil: software SGX: this run is NOT protected (testing and development only)\n");
    if (image->config->xfrm_required & ~sgx[chosen].xfrm)
        return fail(error, "the manifest's sgx.cpu_features require %s, which this machine has not",
                    image->config->xfrm_required & ~sgx[chosen].xfrm & SGX_XFRM_AVX ? "AVX" : "AVX-512");
    choose_xfrm(&secs, image, sgx[chosen].xfrm);
    if (backend->load(image, &secs, options, error))
        return -1;
    if (backend->thread_init(0) || host_signals_init())
        return fail(error, "cannot install signal handlers: %s", strerror(errno));
    debugger_enclave(image, &secs);
    host_stats = options->stats || (image->config->flags & VIGIL_FLAG_STATS);
    make_boot(&boot, options);
    threads[0].shared.boot = (uint64_t)&boot;
    atomic_store(&threads[0].occupied, 1);
    atomic_store(&threads[0].tid, (pid_t)syscall(SYS_gettid));
    host_current = &threads[0];
    host_thread_loop(&threads[0], (uint64_t)&threads[0].shared);
    /* The program's first thread ended with exit(2), others go on: they end the process. */
    atomic_store(&threads[0].tid, 0);
    host_current = NULL;
    backend->thread_exit();
    atomic_store(&threads[0].occupied, 0);
    syscall(SYS_futex, &threads[0].occupied, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (;;)
        pause();
}
