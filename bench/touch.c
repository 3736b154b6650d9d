/* SPDX-License-Identifier: Apache-2.0
 *
 * What a page costs: touch [PAGES]. Nanoseconds a page, each figure for pages never used before: one after the other, at random,
 * one in 64, all at once (MAP_POPULATE); used again; given back. With 0 pages it does nothing. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096ul

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static char *map(size_t pages, int flags)
{
    char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (p == MAP_FAILED) {
        perror("touch: mmap");
        exit(1);
    }
    if (!(flags & MAP_POPULATE))
        madvise(p, pages * PAGE, MADV_NOHUGEPAGE);
    return p;
}

static void report(const char *what, int64_t begin, size_t pages)
{
    printf("%s %ld\n", what, (long)((now() - begin) / (int64_t)pages));
}

/* Touches pages in the order 0, step, 2 * step, ... modulo `among`; with an odd step and a power of two that is all of them. */
static void touch(volatile char *p, size_t pages, size_t step, size_t among)
{
    for (size_t i = 0; i < pages; i++)
        p[i * step % among * PAGE] = 1;
}

int main(int argc, char **argv)
{
    size_t wanted = argc > 1 ? strtoul(argv[1], NULL, 0) : 4096, pages = 1;
    int64_t begin;
    char *p;

    if (!wanted)
        return 0;
    while (pages < wanted)
        pages *= 2;
    p = map(pages, 0);
    begin = now();
    touch(p, pages, 1, pages);
    report("sequential", begin, pages);
    begin = now();
    touch(p, pages, 1, pages);
    report("again", begin, pages);
    begin = now();
    munmap(p, pages * PAGE);
    report("munmap", begin, pages);

    p = map(pages, 0);
    begin = now();
    touch(p, pages, 40503, pages);
    report("random", begin, pages);
    begin = now();
    madvise(p, pages * PAGE, MADV_DONTNEED);
    report("discard", begin, pages);
    munmap(p, pages * PAGE);

    p = map(pages * 64, MAP_NORESERVE);
    begin = now();
    touch(p, pages, 64, pages * 64);
    report("one-in-64", begin, pages);
    munmap(p, pages * 64 * PAGE);

    begin = now();
    p = map(pages, MAP_POPULATE);
    report("populate", begin, pages);
    munmap(p, pages * PAGE);
    return 0;
}
