/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths whose memory the host is asked for. */
#include "tests/hostile/target.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096
#define PAGES 64

static char *map(size_t pages, int prot)
{
    char *p = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        say_errno("mmap");
    return p;
}

static uint64_t any(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((const volatile char *)p)[i])
            return 1;
    return 0;
}

static void fill(char *p, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        memset(p + i * PAGE, (int)(i + 1), PAGE);
}

void path_hello(void)
{
    begin();
    end();
    say(0, 0);
}

void path_touch(void)
{
    begin();
    char *p = map(PAGES, PROT_READ | PROT_WRITE);
    fill(p, PAGES);
    uint64_t s = sum(p, (size_t)PAGES * PAGE);
    end();
    say(0, s);
}

static char untouched[3 * PAGE + 77]; /* .bss */

/* Everything that has to be zeroes when the program sees it first: 0 if it is. */
void path_fresh(void)
{
    uint64_t s = 0;

    begin();
    char *p = map(PAGES, PROT_READ | PROT_WRITE), *none = map(PAGES, PROT_NONE), *half = map(PAGES, PROT_NONE);
    s |= any(p, PAGES * PAGE) << 0;
    if (mprotect(none, PAGES * PAGE, PROT_READ) || mprotect(half + 5 * PAGE, 7 * PAGE, PROT_READ | PROT_WRITE))
        say_errno("mprotect");
    s |= any(none, PAGES * PAGE) << 1 | any(half + 5 * PAGE, 7 * PAGE) << 2;
    memset(half + 5 * PAGE, 1, 7 * PAGE);
    if (mprotect(half, PAGES * PAGE, PROT_READ | PROT_WRITE))
        say_errno("mprotect");
    s |= any(half, 5 * PAGE) << 3 | any(half + 12 * PAGE, (PAGES - 12) * PAGE) << 4;
    s |= (uint64_t)!(any(half + 5 * PAGE, PAGE) && any(half + 11 * PAGE, PAGE)) << 5; /* kept */
    memset(half, 2, PAGES * PAGE);
    if (madvise(half + PAGE, 9 * PAGE, MADV_DONTNEED))
        say_errno("madvise");
    s |= any(half + PAGE, 9 * PAGE) << 6;
    p = mremap(p, PAGES * PAGE, 3 * PAGES * PAGE, MREMAP_MAYMOVE);
    if (p == MAP_FAILED)
        say_errno("mremap");
    s |= any(p, 3 * PAGES * PAGE) << 7;
    char *low = sbrk(0), *heap = sbrk(20 * PAGE + 5);
    if (heap == (char *)-1 || heap != low)
        say_errno("sbrk");
    s |= any(heap, 20 * PAGE + 5) << 8;
    memset(heap, 3, 20 * PAGE + 5);
    if (brk(low) || sbrk(20 * PAGE) != low)
        say_errno("brk");
    low = (char *)(((uint64_t)low + PAGE - 1) & -(uint64_t)PAGE);
    s |= any(low, 19 * PAGE) << 9 | any(untouched, sizeof(untouched)) << 10;
    end();
    say(0, s);
}

/* What was unmapped and is mapped again is zeroes. */
void path_again(void)
{
    char *p = map(PAGES, PROT_READ | PROT_WRITE);

    fill(p, PAGES);
    begin();
    long n = munmap(p, PAGES * PAGE);
    if (!n && mmap(p, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
        n = -1;
    uint64_t s = n ? 0 : sum(p, (size_t)PAGES * PAGE);
    end();
    say(n, s);
}

void path_dontneed(void)
{
    char *p = map(PAGES, PROT_READ | PROT_WRITE);

    fill(p, PAGES);
    begin();
    long n = madvise(p, PAGES * PAGE, MADV_DONTNEED);
    uint64_t s = n ? 0 : sum(p, (size_t)PAGES * PAGE);
    end();
    say(n, s);
}

static sigjmp_buf away;

static void on_fault(int sig)
{
    siglongjmp(away, sig);
}

/* The signal that a write there gives, 0: none. */
static int try_write(char *p)
{
    int sig = sigsetjmp(away, 1);

    if (!sig)
        *(volatile char *)p = 'x';
    return sig;
}

static void catch_faults(void)
{
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
}

/* Rights that mprotect has taken are gone. */
void path_mprotect(void)
{
    char *p = map(PAGES, PROT_READ | PROT_WRITE);

    fill(p, PAGES);
    catch_faults();
    begin();
    long n = mprotect(p, PAGES * PAGE, PROT_READ);
    int sig = n ? 0 : try_write(p + 5 * PAGE);
    uint64_t s = n ? 0 : sum(p, (size_t)PAGES * PAGE);
    end();
    say(n, s + (uint64_t)sig);
}

/* Memory that was never writable, touched by a read first. */
void path_readonly(void)
{
    char *p = map(PAGES, PROT_READ);

    catch_faults();
    begin();
    int first = sigsetjmp(away, 1);
    uint64_t s = 0;
    if (!first)
        s = sum(p, (size_t)PAGES * PAGE);
    int sig = first ? first : try_write(p + 5 * PAGE);
    end();
    say(0, s + (uint64_t)sig + (uint64_t)first * 1000);
}

void path_mremap(void)
{
    char *p = map(PAGES, PROT_READ | PROT_WRITE), *room = map(4 * PAGES, PROT_NONE);

    fill(p, PAGES);
    begin();
    char *q = mremap(p, PAGES * PAGE, 2 * PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    uint64_t s = q == MAP_FAILED ? 0 : sum(q, (size_t)2 * PAGES * PAGE);
    end();
    say(q == MAP_FAILED ? -1 : 0, s);
}

/* A system call writes to memory that is not there yet. */
void path_into(void)
{
    int fd = open("data", O_RDONLY);
    char *p = map(PAGES, PROT_READ | PROT_WRITE);

    begin();
    long n = read(fd, p + 100, 10000);
    uint64_t s = n < 0 ? 0 : sum(p, (size_t)4 * PAGE);
    end();
    say(n, s);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *square(void *arg)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return (void *)((long)arg * (long)arg);
}

/* More threads than there are thread blocks at the start. */
void path_threads(void)
{
    enum { N = 8 };
    pthread_t id[N];
    long total = 0;
    int made = 0;

    begin();
    pthread_mutex_lock(&gate); /* all of them at once */
    for (; made < N; made++) {
        int error = pthread_create(&id[made], NULL, square, (void *)(long)(made + 1));
        if (error) {
            errno = error;
            break;
        }
    }
    int error = errno;
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < made; i++) {
        void *result;
        pthread_join(id[i], &result);
        total += (long)result;
    }
    end();
    errno = error;
    say(made < N ? -1 : 0, (uint64_t)total);
}

/* ---- threads that change one address space ---- */
#define RACE_PAGES 16
static char *arena;
static volatile long wrong;

/* Each thread has its own part of the arena and does to it what memory can be done to. */
static void *racer(void *arg)
{
    char *mine = arena + (long)arg * RACE_PAGES * PAGE;
    unsigned seed = (unsigned)(long)arg + 1;

    for (int i = 0; i < 150; i++) {
        size_t page = (size_t)rand_r(&seed) % RACE_PAGES;
        char *p = mine + page * PAGE;
        memset(mine, 7, RACE_PAGES * PAGE);
        switch (rand_r(&seed) % 4) {
        case 0:
            if (madvise(p, PAGE, MADV_DONTNEED) || *p)
                __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
            break;
        case 1:
            if (mprotect(p, PAGE, PROT_READ) || *p != 7 || mprotect(p, PAGE, PROT_READ | PROT_WRITE))
                __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
            break;
        case 2:
            if (mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p || *p)
                __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
            break;
        default:
            if (munmap(p, PAGE) || mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p || *p)
                __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
        }
        if (mine[(page + 1) % RACE_PAGES * PAGE] != 7)
            __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

void path_race(void)
{
    pthread_t id[3];

    arena = map(4 * RACE_PAGES, PROT_READ | PROT_WRITE);
    begin();
    for (long i = 0; i < 3; i++)
        if (pthread_create(&id[i], NULL, racer, (void *)i))
            say_errno("pthread_create");
    racer((void *)3l);
    for (int i = 0; i < 3; i++)
        pthread_join(id[i], NULL);
    end();
    say(0, (uint64_t)wrong);
}
