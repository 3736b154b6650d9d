/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc/PID: the process, and below task/ its threads. /proc/TID is there for each thread, too, but is not listed. */
#include "libos/process/process.h"
#include "libos/fs/pseudo/pseudo.h"

#include <linux/resource.h>

#define COPY_CHUNK 1024
#define ARGUMENTS_MAX (4u << 20)

/* ---- threads as directories -------------------------------------------------------------------------------------- */
static bool find_thread(struct pseudo_at *at, const char *name)
{
    return pseudo_number(name, &at->tid) && process_has_thread(at->tid);
}

static bool find_task(struct pseudo_at *at, const char *name)
{
    at->number = 0; /* a thread's files, not the process's */
    return find_thread(at, name);
}

static bool next_process(const struct pseudo_at *at, int64_t *position, char name[32])
{
    (void)at;
    if (*position > process_pid())
        return false;
    *position = process_pid();
    return format(name, 32, "%u", process_pid()) > 0;
}

static bool next_task(const struct pseudo_at *at, int64_t *position, char name[32])
{
    uint32_t best = 0;

    (void)at;
    lock(&threads_lock);
    for (const struct thread *t = threads_first(); t; t = t->next)
        if (t->tid >= *position && (!best || t->tid < best))
            best = t->tid;
    unlock(&threads_lock);
    *position = best;
    return best && format(name, 32, "%u", best) > 0;
}

/* ---- links ------------------------------------------------------------------------------------------------------- */
long link_process_self(const struct pseudo_at *at, char target[PATH_SIZE])
{
    (void)at;
    return format(target, PATH_SIZE, "%u", process_pid());
}

long link_process_thread_self(const struct pseudo_at *at, char target[PATH_SIZE])
{
    (void)at;
    return format(target, PATH_SIZE, "%u/task/%u", process_pid(), current_thread()->tid);
}

/* A relative name, which a manifest may have, starts at the program's first directory. */
static long link_exe(const struct pseudo_at *at, char target[PATH_SIZE])
{
    const char *start =
        config()->flags & VIGIL_FLAG_NO_MANIFEST ? start_info()->cwd : config_string(config()->start_dir);

    (void)at;
    return path_normalise(target, PATH_SIZE, start ? start : "/", process_exe()) ? (long)strlen(target) : -ENAMETOOLONG;
}

static long link_cwd(const struct pseudo_at *at, char target[PATH_SIZE])
{
    (void)at;
    path_get_cwd(target);
    return (long)strlen(target);
}

static long link_root(const struct pseudo_at *at, char target[PATH_SIZE])
{
    (void)at;
    return format(target, PATH_SIZE, "/");
}

/* ---- what lies in the program's memory --------------------------------------------------------------------------- */
static long show_memory_range(uint64_t from, uint64_t to, struct text *text)
{
    char chunk[COPY_CHUNK];

    if (to < from || to - from > ARGUMENTS_MAX)
        return -EIO;
    while (from < to) {
        size_t n = to - from < sizeof(chunk) ? to - from : sizeof(chunk);
        if (copy_from_user(chunk, (void *)from, n))
            return -EFAULT;
        text_bytes(text, chunk, n);
        from += n;
    }
    return 0;
}

/* A program that writes a title over its arguments may go on into the environment, up to the first NUL. */
static long show_cmdline(const struct pseudo_at *at, struct text *text)
{
    const struct process_image *image = process_image();
    long status = show_memory_range(image->arguments, image->arguments_end, text);

    (void)at;
    if (status || text->failed || !text->used || !text->data[text->used - 1])
        return status;
    size_t n = text->used;
    status = show_memory_range(image->environment, image->environment_end, text);
    if (!status && !text->failed)
        text->used = n + strnlen(text->data + n, text->used - n);
    for (n = 0; n < text->used && text->data[n]; n++)
        ;
    text->used = n;
    return status;
}

static long show_environ(const struct pseudo_at *at, struct text *text)
{
    (void)at;
    return show_memory_range(process_image()->environment, process_image()->environment_end, text);
}

static long show_auxv(const struct pseudo_at *at, struct text *text)
{
    (void)at;
    text_bytes(text, process_image()->auxv, process_image()->auxv_size);
    return 0;
}

/* ---- small things ------------------------------------------------------------------------------------------------ */
static struct thread *thread_with(uint32_t tid)
{
    struct thread *t = threads_first();

    while (t && t->tid != tid)
        t = t->next;
    return t;
}

static long show_comm(const struct pseudo_at *at, struct text *text)
{
    char name[16] = "";

    lock(&threads_lock);
    const struct thread *t = thread_with(at->tid);
    if (t)
        memcpy(name, t->name, sizeof(name));
    unlock(&threads_lock);
    name[sizeof(name) - 1] = 0;
    text_add(text, "%s\n", name);
    return t ? 0 : -ESRCH;
}

static long store_comm(const struct pseudo_at *at, char *data, size_t n)
{
    if (n > 15)
        n = 15;
    lock(&threads_lock);
    struct thread *t = thread_with(at->tid);
    if (t) {
        memset(t->name, 0, sizeof(t->name));
        memcpy(t->name, data, n);
    }
    unlock(&threads_lock);
    return t ? 0 : -ESRCH;
}

static long show_limits(const struct pseudo_at *at, struct text *text)
{
    static const struct { int resource; const char *name, *unit; } rows[] = {
        {RLIMIT_CPU, "Max cpu time", "seconds"},          {RLIMIT_FSIZE, "Max file size", "bytes"},
        {RLIMIT_DATA, "Max data size", "bytes"},          {RLIMIT_STACK, "Max stack size", "bytes"},
        {RLIMIT_CORE, "Max core file size", "bytes"},     {RLIMIT_RSS, "Max resident set", "bytes"},
        {RLIMIT_NPROC, "Max processes", "processes"},     {RLIMIT_NOFILE, "Max open files", "files"},
        {RLIMIT_MEMLOCK, "Max locked memory", "bytes"},   {RLIMIT_AS, "Max address space", "bytes"},
        {RLIMIT_LOCKS, "Max file locks", "locks"},        {RLIMIT_SIGPENDING, "Max pending signals", "signals"},
        {RLIMIT_MSGQUEUE, "Max msgqueue size", "bytes"},  {RLIMIT_NICE, "Max nice priority", ""},
        {RLIMIT_RTPRIO, "Max realtime priority", ""},     {RLIMIT_RTTIME, "Max realtime timeout", "us"},
    };
    char soft[24], hard[24];

    (void)at;
    text_add(text, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct limit l = process_limit(rows[i].resource);
        format(soft, sizeof(soft), l.soft == RLIM_INFINITY ? "unlimited" : "%lu", (unsigned long)l.soft);
        format(hard, sizeof(hard), l.hard == RLIM_INFINITY ? "unlimited" : "%lu", (unsigned long)l.hard);
        text_add(text, "%-25s %-20s %-20s %-10s\n", rows[i].name, soft, hard, rows[i].unit);
    }
    return 0;
}

static int oom_adjustment; /* remembered: nobody here chooses by it */

static long show_oom_score_adj(const struct pseudo_at *at, struct text *text)
{
    (void)at;
    text_add(text, "%d\n", __atomic_load_n(&oom_adjustment, __ATOMIC_RELAXED));
    return 0;
}

static long store_oom_score_adj(const struct pseudo_at *at, char *data, size_t n)
{
    bool negative = n && data[0] == '-';
    uint32_t value;

    (void)at;
    if (n && data[n - 1] == '\n')
        data[--n] = 0;
    if (!pseudo_number(data + negative, &value) || value > 1000)
        return -EINVAL;
    if (negative && value)
        return -EACCES; /* no CAP_SYS_RESOURCE, as capget says */
    __atomic_store_n(&oom_adjustment, (int)value, __ATOMIC_RELAXED);
    return 0;
}

static long show_io(const struct pseudo_at *at, struct text *text)
{
    struct io_counts c = io_counts();

    (void)at;
    text_add(
        text,
        "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n",
        (unsigned long)c.read_bytes, (unsigned long)c.written_bytes, (unsigned long)c.reads, (unsigned long)c.writes);
    return 0;
}

#define WRITABLE(name_, mode_, show_, store_) {.name = name_, .mode = S_IFREG | (mode_), .show = show_, .store = store_}
#define PRIVATE(name_, show_) {.name = name_, .mode = S_IFREG | 0400, .show = show_}

/* What a thread has as well as the process. */
#define COMMON                                                                                                         \
    PSEUDO_TEXT("stat", show_stat), PSEUDO_TEXT("statm", show_statm), PSEUDO_TEXT("status", show_status),              \
        WRITABLE("comm", 0644, show_comm, store_comm), PSEUDO_TEXT("maps", show_maps),                                 \
        PSEUDO_TEXT("smaps", show_smaps), PSEUDO_TEXT("smaps_rollup", show_smaps_rollup),                              \
        PSEUDO_TEXT("cmdline", show_cmdline), PRIVATE("environ", show_environ), PRIVATE("auxv", show_auxv),            \
        PSEUDO_TEXT("limits", show_limits), PSEUDO_LINK("exe", link_exe), PSEUDO_LINK("cwd", link_cwd),                \
        PSEUDO_LINK("root", link_root), {.name = "fd", .mode = S_IFDIR | 0500, .each = &each_fd},                      \
        {.name = "fdinfo", .mode = S_IFDIR | 0500, .each = &each_fdinfo}, PSEUDO_TEXT("mounts", show_mounts),          \
        PSEUDO_TEXT("mountinfo", show_mountinfo), PSEUDO_FIXED("cgroup", "0::/\n"), PSEUDO_FIXED("oom_score", "0\n"),  \
        WRITABLE("oom_score_adj", 0644, show_oom_score_adj, store_oom_score_adj),                                      \
        PSEUDO_FIXED("loginuid", "4294967295"), PSEUDO_FIXED("sessionid", "4294967295"), PSEUDO_FIXED("wchan", "0"),   \
        PSEUDO_FIXED("personality", "00000000\n"), PRIVATE("io", show_io),                                             \
        PSEUDO_FIXED("uid_map", "         0          0 4294967295\n"),                                                 \
        PSEUDO_FIXED("gid_map", "         0          0 4294967295\n")

static const struct pseudo_entry task_files[] = {COMMON, {0}};
static const struct pseudo_entry task = {.mode = S_IFDIR | 0555, .children = task_files};
static const struct pseudo_each each_task = {&task, find_task, next_task};

static const struct pseudo_entry process_files[] = {
    COMMON,
    {.name = "task", .mode = S_IFDIR | 0555, .each = &each_task},
    {0},
};
static const struct pseudo_entry process = {.mode = S_IFDIR | 0555, .children = process_files};
const struct pseudo_each each_process = {&process, find_thread, next_process};
