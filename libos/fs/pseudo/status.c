/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc/PID/status, stat and statm: of the process, and of each of its threads. */
#include "libos/fs/pseudo/pseudo.h"
#include "libos/mm/mm.h"
#include "libos/mm/vma.h"
#include "libos/process/process.h"
#include "libos/signal/signal.h"

#include <linux/resource.h>

#define NS_PER_TICK 10000000 /* AT_CLKTCK is 100 */

struct usage { uint64_t mapped, present, data, stack, code, files; };

static struct usage measure(void)
{
    uint64_t stack = process_image()->stack;
    struct usage u = {0};
    struct mm_area a;

    for (uint64_t at = 0; mm_next_area(at, &a); at = a.end) {
        uint64_t size = a.end - a.start;
        u.mapped += size;
        u.present += a.present;
        if (stack >= a.start && stack < a.end)
            u.stack += size;
        else if (a.prot & PROT_WRITE)
            u.data += size;
        if (a.prot & PROT_EXEC)
            u.code += size;
        if (a.name)
            u.files += a.present;
        kfree(a.name);
    }
    return u;
}

/* What /proc tells of a thread, copied while it cannot end. */
struct thread_facts {
    char name[16], state;
    uint64_t mask, pending;
};

/* A thread in a system call sleeps, as far as we know; who asks runs. */
static bool look_up(uint32_t tid, struct thread_facts *facts)
{
    bool found = false;

    lock(&threads_lock);
    for (const struct thread *t = threads_first(); t && !found; t = t->next) {
        if (t->tid != tid)
            continue;
        found = true;
        memcpy(facts->name, t->name, sizeof(facts->name));
        facts->name[sizeof(facts->name) - 1] = 0;
        facts->state = t == current_thread() || t->syscall_nr < 0 ? 'R' : 'S';
        facts->mask = t->signals ? t->signals->mask : 0;
        facts->pending = t->signals ? t->signals->pending.set : 0;
    }
    unlock(&threads_lock);
    return found;
}

static void dispositions(uint64_t *ignored, uint64_t *caught)
{
    *ignored = *caught = 0;
    lock(&signals_lock);
    for (int sig = 1; sig <= SIGNAL_MAX; sig++) {
        if (actions[sig].handler == HANDLER_IGNORE)
            *ignored |= SIG_BIT(sig);
        else if (actions[sig].handler != HANDLER_DEFAULT)
            *caught |= SIG_BIT(sig);
    }
    unlock(&signals_lock);
}

static void show_signals(const struct thread_facts *facts, struct text *text)
{
    uint64_t ignored, caught;

    dispositions(&ignored, &caught);
    text_add(text,
             "SigQ:\t0/%lu\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
             (unsigned long)process_limit(RLIMIT_SIGPENDING).soft, (unsigned long)facts->pending,
             (unsigned long)__atomic_load_n(&shared_pending.set, __ATOMIC_RELAXED), (unsigned long)facts->mask,
             (unsigned long)ignored, (unsigned long)caught);
}

/* The most that was there at a time: as far as anybody has asked. */
static uint64_t most_present(uint64_t now)
{
    static uint64_t most;
    uint64_t seen = __atomic_load_n(&most, __ATOMIC_RELAXED);

    while (now > seen && !__atomic_compare_exchange_n(&most, &seen, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return now > seen ? now : seen;
}

static uint64_t peak(uint64_t mapped)
{
    uint64_t most = mm_peak_bytes(), runtime = mm_runtime_bytes();

    return most > runtime && most - runtime > mapped ? most - runtime : mapped;
}

static void show_memory(struct text *text)
{
    struct usage u = measure();

    text_add(text,
             "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t       0 kB\nVmPin:\t       0 kB\nVmHWM:\t%8lu "
             "kB\nVmRSS:\t%8lu kB\n",
             (unsigned long)(peak(u.mapped) >> 10), (unsigned long)(u.mapped >> 10),
             (unsigned long)(most_present(u.present) >> 10), (unsigned long)(u.present >> 10));
    text_add(text,
             "RssAnon:\t%8lu kB\nRssFile:\t%8lu kB\nRssShmem:\t       0 kB\nVmData:\t%8lu kB\nVmStk:\t%8lu "
             "kB\nVmExe:\t%8lu kB\n"
             "VmLib:\t       0 kB\nVmPTE:\t       0 kB\nVmSwap:\t       0 kB\n",
             (unsigned long)((u.present - u.files) >> 10), (unsigned long)(u.files >> 10),
             (unsigned long)(u.data >> 10), (unsigned long)(u.stack >> 10), (unsigned long)(u.code >> 10));
}

static void show_processors(struct text *text)
{
    struct processors *p = kmalloc(sizeof(*p));

    if (!p) {
        text->failed = true;
        return;
    }
    system_processors(p);
    text_add(text, "Cpus_allowed:\t");
    text_mask(text, p->mask, p->last + 1);
    text_add(text, "\nCpus_allowed_list:\t");
    text_list(text, p->mask, p->last + 1);
    text_add(text, "\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
    kfree(p);
}

static uint32_t descriptors(void)
{
    uint32_t size = fd_table_size();
    return size ? size : 64;
}

long show_status(const struct pseudo_at *at, struct text *text)
{
    const uint32_t uid = process_uid(), gid = process_gid();
    struct thread_facts facts;
    struct rusage usage = {0};

    if (!look_up(at->tid, &facts))
        return -ESRCH;
    (void)process_usage(RUSAGE_SELF, &usage);
    text_add(text, "Name:\t%s\nUmask:\t0022\nState:\t%c (%s)\nTgid:\t%u\nNgid:\t0\nPid:\t%u\nPPid:\t0\nTracerPid:\t0\n",
             facts.name, facts.state, facts.state == 'R' ? "running" : "sleeping", process_pid(), at->tid);
    text_add(text,
             "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t%u\nGroups:\t "
             "\nNStgid:\t%u\nNSpid:\t%u\nNSpgid:\t%u\nNSsid:\t%u\n",
             uid, uid, uid, uid, gid, gid, gid, gid, descriptors(), process_pid(), at->tid, process_pid(),
             process_pid());
    show_memory(text);
    text_add(text, "CoreDumping:\t0\nThreads:\t%u\n", threads_count());
    show_signals(&facts, text);
    text_add(
        text,
        "CapInh:\t%016x\nCapPrm:\t%016x\nCapEff:\t%016x\nCapBnd:\t%016x\nCapAmb:\t%016x\nNoNewPrivs:\t0\nSeccomp:\t0\n",
        0, 0, 0, 0, 0);
    show_processors(text);
    text_add(text, "voluntary_ctxt_switches:\t%ld\nnonvoluntary_ctxt_switches:\t%ld\n", usage.ru_nvcsw,
             usage.ru_nivcsw);
    return 0;
}

/* ---- stat -------------------------------------------------------------------------------------------------------- */
static unsigned long ticks(const struct __kernel_old_timeval *t)
{
    return (unsigned long)t->tv_sec * 100 + (unsigned long)t->tv_usec / 10000;
}

/* Of a thread the host's figures are known only to itself; the main thread's files are the process's. */
static void usage_of(const struct pseudo_at *at, struct rusage *usage)
{
    bool thread = at->number >= 0;

    memset(usage, 0, sizeof(*usage));
    if (!thread)
        (void)process_usage(RUSAGE_SELF, usage);
    else if (at->tid == current_thread()->tid)
        (void)process_usage(RUSAGE_THREAD, usage);
}

long show_stat(const struct pseudo_at *at, struct text *text)
{
    const struct process_image *image = process_image();
    struct usage u = measure();
    struct thread_facts facts;
    struct rusage usage;
    uint64_t ignored, caught;

    if (!look_up(at->tid, &facts))
        return -ESRCH;
    usage_of(at, &usage);
    dispositions(&ignored, &caught);
    text_add(text, "%u (%s) %c 0 %u %u 0 -1 4194304 %ld 0 %ld 0 %lu %lu 0 0 20 0 %u 0 %lu ", at->tid, facts.name,
             facts.state, process_pid(), process_pid(), usage.ru_minflt, usage.ru_majflt, ticks(&usage.ru_utime),
             ticks(&usage.ru_stime), threads_count(), (unsigned long)(system_start_ns() / NS_PER_TICK));
    text_add(text, "%lu %lu %lu 0 0 %lu 0 0 %lu %lu %lu %lu 0 0 0 17 0 0 0 0 0 0 0 0 0 %lu %lu %lu %lu 0\n",
             (unsigned long)u.mapped, (unsigned long)(u.present / VIGIL_PAGE),
             (unsigned long)process_limit(RLIMIT_RSS).soft, (unsigned long)image->stack,
             (unsigned long)(facts.pending & 0x7fffffff), (unsigned long)(facts.mask & 0x7fffffff),
             (unsigned long)(ignored & 0x7fffffff), (unsigned long)(caught & 0x7fffffff),
             (unsigned long)image->arguments, (unsigned long)image->arguments_end, (unsigned long)image->environment,
             (unsigned long)image->environment_end);
    return 0;
}

long show_statm(const struct pseudo_at *at, struct text *text)
{
    struct usage u = measure();

    (void)at;
    text_add(text, "%lu %lu %lu %lu 0 %lu 0\n", (unsigned long)(u.mapped / VIGIL_PAGE),
             (unsigned long)(u.present / VIGIL_PAGE), (unsigned long)(u.files / VIGIL_PAGE),
             (unsigned long)(u.code / VIGIL_PAGE), (unsigned long)((u.data + u.stack) / VIGIL_PAGE));
    return 0;
}
