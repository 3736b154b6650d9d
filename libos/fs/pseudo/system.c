/* SPDX-License-Identifier: Apache-2.0
 *
 * What /proc and /sys say of the system: the enclave's memory, the processors the program may run on, and a system that
 * started when the host's did and on which this is the only process. */
#include "libos/fs/pseudo/pseudo.h"
#include "libos/fs/store.h"
#include "libos/mm/mm.h"
#include "libos/process/process.h"

#include <linux/resource.h>
#include <linux/time.h>
#include <linux/utsname.h>

#define NS_PER_TICK 10000000 /* AT_CLKTCK is 100 */

static int64_t started, started_realtime;

int64_t system_start_ns(void)
{
    return started;
}

int64_t system_start_realtime_ns(void)
{
    return started_realtime;
}

int pseudo_init(void)
{
    started_realtime = time_now(CLOCK_REALTIME);
    started = time_now(CLOCK_BOOTTIME);
    return 0;
}

struct memory system_memory(void)
{
    const struct vigil_boot_info *boot = boot_info();
    uint64_t total = boot->app_end - boot->app_start, mapped = mm_mapped_bytes();

    return (struct memory){.total = total, .free = total > mapped ? total - mapped : 0,
                           .shared = store_pages_used() * VIGIL_PAGE};
}

void system_processors(struct processors *p)
{
    memset(p, 0, sizeof(*p));
    if (process_affinity(p->mask, sizeof(p->mask)) <= 0)
        p->mask[0] = 1;
    for (uint32_t i = 0; i < PROCESSORS_MAX; i++) {
        if (p->mask[i / 64] >> i % 64 & 1) {
            p->count++;
            p->last = i;
        }
    }
}

/* ---- processors -------------------------------------------------------------------------------------------------- */
static unsigned long time_ticks(const struct __kernel_old_timeval *t)
{
    return (unsigned long)t->tv_sec * 100 + (unsigned long)t->tv_usec / 10000;
}

static unsigned long uptime_ticks(void)
{
    return (unsigned long)(time_now(CLOCK_BOOTTIME) / NS_PER_TICK);
}

/* The process's time, spread over its processors; they were idle for the rest. */
static void show_times(struct text *text, const char *name, uint32_t share, uint32_t processors,
                       const struct rusage *usage)
{
    unsigned long user = time_ticks(&usage->ru_utime) * share / processors;
    unsigned long system = time_ticks(&usage->ru_stime) * share / processors;
    unsigned long all = uptime_ticks() * share, idle = all > user + system ? all - user - system : 0;

    text_add(text, "%s %lu 0 %lu %lu 0 0 0 0 0 0\n", name, user, system, idle);
}

long show_system_stat(const struct pseudo_at *at, struct text *text)
{
    struct processors *p = kmalloc(sizeof(*p));
    struct rusage usage = {0};
    char name[16];

    (void)at;
    if (!p)
        return -ENOMEM;
    system_processors(p);
    (void)process_usage(RUSAGE_SELF, &usage);
    show_times(text, "cpu ", p->count, p->count, &usage);
    for (uint32_t i = 0; i <= p->last; i++) {
        if (!(p->mask[i / 64] >> i % 64 & 1))
            continue;
        format(name, sizeof(name), "cpu%u", i);
        show_times(text, name, 1, p->count, &usage);
    }
    kfree(p);
    int64_t boot = time_now(CLOCK_REALTIME) - time_now(CLOCK_BOOTTIME);
    text_add(
        text,
        "intr 0\nctxt %ld\nbtime %ld\nprocesses %u\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
        usage.ru_nvcsw + usage.ru_nivcsw, (long)(boot / 1000000000), threads_count());
    return 0;
}

static void text_seconds(struct text *text, unsigned long ticks, const char *behind)
{
    text_add(text, "%lu.%02lu%s", ticks / 100, ticks % 100, behind);
}

long show_uptime(const struct pseudo_at *at, struct text *text)
{
    struct processors *p = kmalloc(sizeof(*p));
    struct rusage usage = {0};
    unsigned long now = uptime_ticks();

    (void)at;
    if (!p)
        return -ENOMEM;
    system_processors(p);
    (void)process_usage(RUSAGE_SELF, &usage);
    unsigned long busy = time_ticks(&usage.ru_utime) + time_ticks(&usage.ru_stime), all = now * p->count;
    kfree(p);
    text_seconds(text, now, " ");
    text_seconds(text, all > busy ? all - busy : 0, "\n");
    return 0;
}

/* There is no average to tell: the host's load is not the program's business, and sysinfo says none either. */
long show_loadavg(const struct pseudo_at *at, struct text *text)
{
    uint32_t last = process_pid();

    (void)at;
    lock(&threads_lock);
    for (const struct thread *t = threads_first(); t; t = t->next)
        last = t->tid > last ? t->tid : last;
    unlock(&threads_lock);
    text_add(text, "0.00 0.00 0.00 1/%u %u\n", threads_count(), last);
    return 0;
}

long show_version(const struct pseudo_at *at, struct text *text)
{
    const struct new_utsname *name = process_system_name();

    (void)at;
    text_add(text, "%s version %s (vigil@%s) %s\n", name->sysname, name->release, name->nodename, name->version);
    return 0;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */
static void text_kilobytes(struct text *text, const char *name, uint64_t bytes)
{
    char label[24];

    format(label, sizeof(label), "%s:", name);
    text_add(text, "%-15s %8lu kB\n", label, (unsigned long)(bytes >> 10));
}

long show_meminfo(const struct pseudo_at *at, struct text *text)
{
    static const char *const none[] = {"SwapTotal", "SwapFree", "Dirty", "Writeback"};
    struct memory m = system_memory();
    uint64_t used = m.total - m.free;

    (void)at;
    text_kilobytes(text, "MemTotal", m.total);
    text_kilobytes(text, "MemFree", m.free);
    text_kilobytes(text, "MemAvailable", m.free);
    text_kilobytes(text, "Buffers", 0);
    text_kilobytes(text, "Cached", m.shared);
    text_kilobytes(text, "SwapCached", 0);
    text_kilobytes(text, "Active", used);
    text_kilobytes(text, "Inactive", 0);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        text_kilobytes(text, none[i], 0);
    text_kilobytes(text, "AnonPages", used > m.shared ? used - m.shared : 0);
    text_kilobytes(text, "Mapped", 0);
    text_kilobytes(text, "Shmem", m.shared);
    text_kilobytes(text, "Slab", 0);
    text_kilobytes(text, "CommitLimit", m.total);
    text_kilobytes(text, "Committed_AS", used);
    text_kilobytes(text, "VmallocTotal", 0);
    text_kilobytes(text, "VmallocUsed", 0);
    text_add(text,
             "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\n"
             "Hugepagesize:       2048 kB\n");
    return 0;
}
