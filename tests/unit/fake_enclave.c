/* SPDX-License-Identifier: Apache-2.0
 *
 * The fake's memory, configuration, OCALLs and log. See fake_enclave.h; threads are in fake_threads.c. */
#define _GNU_SOURCE
#include "fake_internal.h"

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#define BOUNCE_SIZE (1u << 20)
#define BLOB_SIZE (64u << 10)

static struct vigil_boot_info boot;
static union {
    struct vigil_config config;
    char bytes[BLOB_SIZE];
} blob;
static struct start_info start;
static bool aex_notify;
static char last_log[1024];
static int watched[65];
static jmp_buf *exit_jump;
static int exit_status;

/* What was allocated inside fake_catch_exit by a process that ended there is no leak: the end of a process frees it.
 * Kept here, leak checkers see it as reachable. */
static void *abandoned[8192];
static size_t abandoned_count;

long (*fake_host)(long nr, long a0, long a1, long a2, long a3, long a4, long a5);
int fake_protect_error;
long fake_kmalloc_budget = -1;

static void die(const char *why)
{
    fprintf(stderr, "fake_enclave: %s\n", why);
    abort();
}

/* ---- set-up ---------------------------------------------------------------------------------------------------- */
static uint32_t blob_take(const void *data, size_t size)
{
    uint32_t offset = (blob.config.size + 7u) & ~7u;

    if (offset + size > BLOB_SIZE)
        die("configuration blob is full");
    memcpy(blob.bytes + offset, data, size);
    blob.config.size = offset + (uint32_t)size;
    return offset;
}

uint32_t fake_config_string(const char *string)
{
    return blob_take(string, strlen(string) + 1);
}

void fake_config_trusted(const char *path, const uint8_t sha256[32])
{
    struct vigil_trusted entry = {.path = fake_config_string(path)};

    memcpy(entry.sha256, sha256, sizeof(entry.sha256));
    blob.config.trusted = blob_take(&entry, sizeof(entry));
    blob.config.trusted_count = 1;
}

void fake_config_list(struct vigil_list *list, const char *const *strings)
{
    uint32_t offsets[256], count = 0;

    for (; count < 256 && strings[count]; count++)
        offsets[count] = fake_config_string(strings[count]);
    list->offset = blob_take(offsets, count * sizeof(offsets[0]));
    list->count = count;
}

void fake_config_mount(const char *inside, const char *host)
{
    struct vigil_mount mounts[16];
    uint32_t n = blob.config.mount_count;

    if (n >= 16)
        die("too many mounts");
    if (n)
        memcpy(mounts, blob.bytes + blob.config.mounts, n * sizeof(mounts[0]));
    mounts[n] = (struct vigil_mount){fake_config_string(inside), host ? fake_config_string(host) : 0};
    blob.config.mounts = blob_take(mounts, (n + 1) * sizeof(mounts[0]));
    blob.config.mount_count = n + 1;
}

void fake_enclave_init(size_t app_size)
{
    if (boot.app_start)
        munmap((void *)boot.app_start, boot.app_end - boot.app_start);
    void *app = mmap(NULL, app_size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                     -1, 0);
    if (app == MAP_FAILED)
        die("cannot map application memory");
    memset(app, 0xa5, app_size);
    boot = (struct vigil_boot_info){
        .magic = VIGIL_BOOT_MAGIC,
        .app_start = (uint64_t)app,
        .app_end = (uint64_t)app + app_size,
        .base = (uint64_t)app - VIGIL_APP_START,
        .size = app_size + VIGIL_APP_START,
        .thread_count = FAKE_SLOTS,
        .thread_limit = FAKE_SLOTS,
        .config = (uint64_t)&blob,
    };
    memset(&blob, 0, sizeof(blob));
    blob.config = (struct vigil_config){
        .magic = VIGIL_CONFIG_MAGIC,
        .size = sizeof(struct vigil_config),
        .enclave_size = app_size,
        .stack_size = 256 << 10,
        .brk_max_size = 256 << 10,
        .max_threads = FAKE_SLOTS,
        .fds_limit = 900,
        .log_level = getenv("VIGIL_TEST_LOG") ? (uint32_t)atoi(getenv("VIGIL_TEST_LOG")) : VIGIL_LOG_ERROR,
    };
    blob.config.entrypoint = fake_config_string("/program");
    static char *none[1];
    start = (struct start_info){.argv = none, .envp = none, .cwd = "/", .uid = 1000, .gid = 1000, .pid = 4242};
    aex_notify = false;
    last_log[0] = 0;
    fake_host = NULL;
    fake_protect_error = 0;
    fake_kmalloc_budget = -1;
    memset(watched, -1, sizeof(watched));
    fake_threads_init();
}

struct vigil_config *fake_config(void)
{
    return &blob.config;
}

struct start_info *fake_start_info(void)
{
    return &start;
}

void fake_set_aex_notify(bool on)
{
    aex_notify = on;
}

/* ---- facts ----------------------------------------------------------------------------------------------------- */
const struct vigil_boot_info *boot_info(void)
{
    return &boot;
}

const struct vigil_config *config(void)
{
    return &blob.config;
}

const char *config_string(uint32_t offset)
{
    return offset ? blob.bytes + offset : NULL;
}

bool aex_notify_on(void)
{
    return aex_notify;
}

static _Thread_local struct aex_counts aex_counts;
bool fake_upcall_wanted, fake_stub_wanted;

struct aex_counts *fake_aex_counts(void)
{
    return &aex_counts;
}

void aex_counters(struct aex_counts *thread, struct aex_counts *process)
{
    if (thread)
        *thread = aex_counts;
    if (process)
        *process = aex_counts;
}

void aex_upcall_want(bool wanted)
{
    fake_upcall_wanted = wanted;
}

void aex_stub_want(void)
{
    fake_stub_wanted = true;
}

const struct start_info *start_info(void)
{
    return &start;
}

/* ---- leaving the enclave ---------------------------------------------------------------------------------------- */
static bool in_app(uint64_t p, size_t n)
{
    return p >= boot.app_start && p <= boot.app_end && n <= boot.app_end - p;
}

static void check_argument(long value)
{
    char here;
    uint64_t p = (uint64_t)value, stack = (uint64_t)&here;

    if (boot.app_start && p >= boot.app_start && p < boot.app_end)
        die("an OCALL argument points into application memory");
    if (p >= stack && p < stack + (64 << 10))
        die("an OCALL argument points into the stack");
}

static long do_ocall(long nr, const long a[6])
{
    for (int i = 0; i < 6; i++)
        check_argument(a[i]);
    if (fake_host)
        return fake_host(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    long result = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    return result == -1 ? -errno : result;
}

long ocall_syscall(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    return do_ocall(nr, (long[]){a0, a1, a2, a3, a4, a5});
}

long ocall_syscall_intr(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
    if (!fake_begin_wait())
        return -EINTR;
    long result = do_ocall(nr, (long[]){a0, a1, a2, a3, a4, a5});
    fake_end_wait();
    return result;
}

void mitigation_code_loaded(uint64_t start, uint64_t end)
{
    (void)start, (void)end;
}

void mitigation_memory_changed(void)
{
}

int ocall_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
    return 0;
}

int ocall_protect(uint64_t address, uint64_t length, int prot)
{
    if ((address | length) & (VIGIL_PAGE - 1) || !length || !in_app(address, length))
        die("ocall_protect: bad range");
    if (fake_protect_error)
        return fake_protect_error;
    return mprotect((void *)address, length, prot) ? -errno : 0;
}

int ocall_watch(int sig, int how)
{
    if (sig < 1 || sig > 64 || how < 0 || how > 2)
        die("ocall_watch: bad arguments");
    watched[sig] = how;
    return 0;
}

int fake_watched(int sig)
{
    return watched[sig];
}

int fake_catch_exit(void (*function)(void *), void *arg)
{
    jmp_buf here;
    size_t before = abandoned_count;

    if (setjmp(here) == 0) {
        exit_status = -1;
        exit_jump = &here;
        function(arg);
        memset(abandoned + before, 0, (abandoned_count - before) * sizeof(abandoned[0]));
        abandoned_count = before; /* it lives on and answers for its memory itself */
    }
    exit_jump = NULL;
    return exit_status;
}

_Noreturn static void leave(int status)
{
    if (!exit_jump)
        die("the process ended outside fake_catch_exit");
    exit_status = status;
    longjmp(*exit_jump, 1);
}

_Noreturn void ocall_exit(int wait_status)
{
    enclave_print_exit_lines();
    leave(wait_status);
}

_Noreturn void runtime_fail(const char *why)
{
    log_line(VIGIL_LOG_ERROR, "%s", why);
    leave(-2);
}

void enclave_print_exit_lines(void)
{
}

/* ---- bounce memory ----------------------------------------------------------------------------------------------- */
static __thread char *bounce;
static __thread size_t bounce_used;


static void bounce_free(void *p)
{
    free(p);
}

static pthread_key_t bounce_key;
static pthread_once_t bounce_once = PTHREAD_ONCE_INIT;

static void bounce_key_init(void)
{
    pthread_key_create(&bounce_key, bounce_free);
}

size_t bounce_mark(void)
{
    return bounce_used;
}

void bounce_release(size_t mark)
{
    bounce_used = mark;
}

void bounce_reset(void)
{
    bounce_used = 0;
}

void *bounce_alloc(size_t size)
{
    pthread_once(&bounce_once, bounce_key_init);
    if (!bounce) {
        bounce = aligned_alloc(4096, BOUNCE_SIZE);
        if (!bounce)
            die("out of memory");
        pthread_setspecific(bounce_key, bounce);
    }
    if (size > BOUNCE_SIZE - bounce_used)
        return NULL;
    void *p = bounce + bounce_used;
    bounce_used = (bounce_used + size + 15) & ~15ul;
    return p;
}

size_t bounce_left(void)
{
    return BOUNCE_SIZE - bounce_used;
}

bool outside_enclave(const void *p, size_t n)
{
    uint64_t start_address = (uint64_t)p, end;

    if (__builtin_add_overflow(start_address, n, &end))
        return false;
    return end <= boot.base || start_address >= boot.base + boot.size;
}

static void must_be_outside(const void *p, size_t n)
{
    if (!outside_enclave(p, n))
        die("an untrusted pointer touches the enclave");
}

void untrusted_write(void *untrusted_dst, const void *src, size_t n)
{
    must_be_outside(untrusted_dst, n);
    memcpy(untrusted_dst, src, n);
}

void untrusted_read(void *dst, const void *untrusted_src, size_t n)
{
    must_be_outside(untrusted_src, n);
    memcpy(dst, untrusted_src, n);
}

/* ---- application memory ------------------------------------------------------------------------------------------ */
/* The kernel copies, so that a page without permission gives EFAULT instead of a signal. */
static int vm_copy(void *remote, void *local, size_t n, bool write)
{
    for (size_t done = 0; done < n;) {
        struct iovec l = {(char *)local + done, n - done}, r = {(char *)remote + done, n - done};
        ssize_t k = write ? process_vm_writev(getpid(), &l, 1, &r, 1, 0) : process_vm_readv(getpid(), &l, 1, &r, 1, 0);
        if (k <= 0)
            return -EFAULT;
        done += (size_t)k;
    }
    return 0;
}

bool user_range_ok(const void *p, size_t n)
{
    return in_app((uint64_t)p, n);
}

int copy_from_user(void *dst, const void *user_src, size_t n)
{
    return user_range_ok(user_src, n) ? vm_copy((void *)user_src, dst, n, false) : -EFAULT;
}

int copy_to_user(void *user_dst, const void *src, size_t n)
{
    return user_range_ok(user_dst, n) ? vm_copy(user_dst, (void *)src, n, true) : -EFAULT;
}

int clear_user(void *user_dst, size_t n)
{
    static const char zeros[64 << 10];

    if (!user_range_ok(user_dst, n))
        return -EFAULT;
    for (size_t done = 0; done < n;) {
        size_t k = n - done < sizeof(zeros) ? n - done : sizeof(zeros);
        if (copy_to_user((char *)user_dst + done, zeros, k))
            return -EFAULT;
        done += k;
    }
    return 0;
}

int wipe_user(void *user_dst, size_t n)
{
    return clear_user(user_dst, n);
}

long strncpy_from_user(char *dst, const void *user_src, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (copy_from_user(dst + i, (const char *)user_src + i, 1))
            return -EFAULT;
        if (!dst[i])
            return (long)i;
    }
    return -ENAMETOOLONG;
}

int copy_untrusted_to_user(void *user_dst, const void *untrusted_src, size_t n)
{
    must_be_outside(untrusted_src, n);
    return copy_to_user(user_dst, untrusted_src, n);
}

int copy_user_to_untrusted(void *untrusted_dst, const void *user_src, size_t n)
{
    must_be_outside(untrusted_dst, n);
    return copy_from_user(untrusted_dst, user_src, n);
}

int user_load32(const uint32_t *user, uint32_t *value)
{
    if (copy_from_user(value, user, sizeof(*value)))
        return -EFAULT;
    *value = __atomic_load_n(user, __ATOMIC_SEQ_CST);
    return 0;
}

int user_cmpxchg32(uint32_t *user, uint32_t *old, uint32_t desired)
{
    void *page = (void *)((uint64_t)user & ~(uint64_t)(VIGIL_PAGE - 1));

    if (!user_range_ok(user, sizeof(*user)) || madvise(page, VIGIL_PAGE, MADV_POPULATE_WRITE))
        return -EFAULT;
    __atomic_compare_exchange_n(user, old, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return 0;
}

/* ---- log, heap, random ------------------------------------------------------------------------------------------- */
bool log_enabled(enum vigil_log_level level)
{
    return (uint32_t)level <= blob.config.log_level;
}

void log_line(enum vigil_log_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(last_log, sizeof(last_log), fmt, args);
    va_end(args);
    if (log_enabled(level))
        fprintf(stderr, "vigil: %s\n", last_log);
}

const char *fake_last_log(void)
{
    return last_log;
}

int format(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(buf, size, fmt, args);
    va_end(args);
    return n;
}

void *kmalloc(size_t size)
{
    if (fake_kmalloc_budget == 0)
        return NULL;
    if (fake_kmalloc_budget > 0)
        fake_kmalloc_budget--;
    void *p = malloc(size);
    if (exit_jump && abandoned_count < sizeof(abandoned) / sizeof(abandoned[0]))
        abandoned[__atomic_fetch_add(&abandoned_count, 1, __ATOMIC_RELAXED)] = p;
    return p;
}

void *kzalloc(size_t size)
{
    void *p = kmalloc(size);
    return p ? memset(p, 0, size) : NULL;
}

void kfree(void *p)
{
    free(p);
}

int random_bytes(void *buf, size_t n)
{
    return getrandom(buf, n, 0) == (ssize_t)n ? 0 : -EIO;
}

uint64_t syscall_gate_address(void)
{
    return 0;
}

/* ---- the time stamp counter: none, unless a test has one ---------------------------------------------------------- */
uint64_t (*fake_tsc)(void);

bool tsc_read(uint64_t *value)
{
    if (fake_tsc)
        *value = fake_tsc();
    return fake_tsc;
}

/* ---- debugger ---- */

void debugger_loaded(int host_fd, uint64_t bias)
{
    (void)host_fd;
    (void)bias;
}

/* ---- dynamic memory: off ------------------------------------------------------------------------------------------ */
bool edmm_on(void)
{
    return false;
}

bool page_present(uint64_t address)
{
    (void)address;
    return true;
}

uint64_t pages_find(uint64_t at, uint64_t end, bool present)
{
    return present ? at : end;
}

int pages_commit(uint64_t start, uint64_t end, int prot, bool faulted)
{
    (void)start, (void)end, (void)prot, (void)faulted;
    return 0;
}

int pages_protect(uint64_t start, uint64_t end, int from, int to)
{
    (void)start, (void)end, (void)from, (void)to;
    return 0;
}

int pages_trim(uint64_t start, uint64_t end)
{
    (void)start, (void)end;
    return 0;
}

void page_discard(uint64_t address)
{
    (void)address;
}

uint32_t thread_slots(void)
{
    return FAKE_SLOTS;
}
