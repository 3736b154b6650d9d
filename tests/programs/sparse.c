/* SPDX-License-Identifier: Apache-2.0
 *
 * A large, sparsely used address range: sparse [GIGABYTES [THREADS [ROUNDS]]]. One page in 64 is in use, at a random place
 * of each 256 KiB block. Blocks are dealt to the threads like cards, so that neighbours are changed at the same time: filled,
 * compared, discarded, unmapped in pieces and mapped again. What a thread does follows from its own seed alone, so what is
 * printed does not depend on how the threads are scheduled. */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE        4096ul
#define BLOCK_PAGES 64u
#define BLOCK       (BLOCK_PAGES * PAGE)
#define WORDS       (PAGE / sizeof(uint64_t))
#define NO_PAGE     255

/* Pages [hole, hole_end) of the block are unmapped. Version 0 of the page in use is all zeros. `lost` was in use when it was
 * given back: likely to be used next. */
struct block {
    uint8_t page, lost, hole, hole_end;
    uint32_t version;
};

struct worker {
    pthread_t thread;
    unsigned number;
    uint64_t random, checksum, filled, discarded, unmapped, compared;
    int pipe[2];
};

static char *region;
static struct block *blocks;
static size_t block_count;
static unsigned worker_count = 4, rounds = 2;
static pthread_barrier_t barrier;

static uint64_t xorshift(struct worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random * 0x2545f4914f6cdd1dull >> 11;
}

static uint64_t below(struct worker *w, uint64_t limit)
{
    return xorshift(w) % limit;
}

static uint64_t *page_at(size_t block, unsigned page)
{
    return (uint64_t *)(region + block * BLOCK + page * PAGE);
}

/* Something else for each page, version and word. */
static uint64_t word_of(size_t block, const struct block *b, size_t word)
{
    uint64_t first = (block * BLOCK_PAGES + b->page + 1) * 0x9e3779b97f4a7c15ull + b->version * 0xd6e8feb86659fd93ull;
    return b->version ? first ^ word * 0xff51afd7ed558ccdull : 0;
}

static void wrong(size_t block, unsigned page, size_t word, uint64_t got, uint64_t want)
{
    printf("block %zu page %u word %zu is %lx, not %lx\n", block, page, word, got, want);
    fflush(stdout);
    _exit(1);
}

static void compare(struct worker *w, size_t block)
{
    struct block *b = &blocks[block];
    const uint64_t *page = page_at(block, b->page);
    for (size_t i = 0; i < WORDS; i++)
        if (page[i] != word_of(block, b, i))
            wrong(block, b->page, i, page[i], word_of(block, b, i));
    w->checksum = w->checksum * 31 + page[block % WORDS];
    w->compared++;
}

/* A page that was never used, or not since it was given back. */
static void expect_zero(size_t block, unsigned page)
{
    const uint64_t *words = page_at(block, page);
    for (size_t i = 0; i < WORDS; i++)
        if (words[i])
            wrong(block, page, i, words[i], 0);
}

static void fill(struct worker *w, size_t block)
{
    struct block *b = &blocks[block];
    uint64_t *page = page_at(block, b->page);
    b->version++;
    for (size_t i = 0; i < WORDS; i++)
        page[i] = word_of(block, b, i);
    w->checksum += page[0];
    w->filled++;
}

static bool in_hole(const struct block *b, unsigned page)
{
    return page >= b->hole && page < b->hole_end;
}

static void discard(struct worker *w, size_t block, unsigned first, unsigned count)
{
    struct block *b = &blocks[block];
    REQUIRE(madvise(page_at(block, first), count * PAGE, MADV_DONTNEED) == 0);
    w->discarded += count;
    if (b->page < first || b->page >= first + count || b->page == NO_PAGE)
        return;
    if (xorshift(w) & 1) {
        expect_zero(block, b->page);
        b->version = 0;
    } else {
        b->lost = b->page; /* not looked at until it is used again */
        b->page = NO_PAGE;
    }
}

static void unmap(struct worker *w, size_t block, unsigned first, unsigned count)
{
    struct block *b = &blocks[block];
    REQUIRE(munmap(page_at(block, first), count * PAGE) == 0);
    w->unmapped += count;
    b->hole = first;
    b->hole_end = first + count;
    if (b->page != NO_PAGE && in_hole(b, b->page)) {
        b->lost = b->page;
        b->page = NO_PAGE;
    }
    if (below(w, 8) == 0)
        REQUIRE(write(w->pipe[1], page_at(block, first + below(w, count)), 1) == -1 && errno == EFAULT);
}

/* Gives a random piece of a block back. There is one hole in a block at most. */
static void give_back(struct worker *w, size_t block)
{
    struct block *b = &blocks[block];
    bool has_hole = b->hole < b->hole_end, behind = has_hole && b->hole_end < BLOCK_PAGES;
    unsigned low = behind ? b->hole_end : 0, high = has_hole && !behind ? b->hole : BLOCK_PAGES;
    if (low == high)
        return;
    unsigned first = low + below(w, high - low), count = 1 + below(w, high - first);
    if (!has_hole && xorshift(w) & 1)
        unmap(w, block, first, count);
    else
        discard(w, block, first, count);
}

static void visit(struct worker *w, size_t block)
{
    struct block *b = &blocks[block];
    if (b->page != NO_PAGE)
        compare(w, block);
    if (b->hole < b->hole_end && xorshift(w) & 1) {
        void *hole = page_at(block, b->hole);
        REQUIRE(mmap(hole, (b->hole_end - b->hole) * PAGE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == hole);
        b->hole = b->hole_end = 0;
    }
    if (b->hole == 0 && b->hole_end == BLOCK_PAGES)
        return;
    unsigned page;
    do
        page = below(w, BLOCK_PAGES);
    while (in_hole(b, page));
    if (b->page == NO_PAGE && b->lost != NO_PAGE && !in_hole(b, b->lost) && xorshift(w) & 1)
        page = b->lost;
    if (b->page != NO_PAGE && (page & 1) && page != b->page) { /* moves: no more than one page in 64 is in use */
        REQUIRE(madvise(page_at(block, b->page), PAGE, MADV_DONTNEED) == 0);
        b->lost = b->page;
        b->page = NO_PAGE;
    }
    if (b->page == NO_PAGE) {
        expect_zero(block, page);
        b->page = page;
    }
    fill(w, block);
}

static size_t common_divisor(size_t a, size_t b)
{
    return b ? common_divisor(b, a % b) : a;
}

/* The i-th of the thread's own blocks, in an order that jumps about. */
static size_t own_block(const struct worker *w, size_t i, size_t own, size_t step)
{
    return (i * step % own) * worker_count + w->number;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    size_t own = (block_count - w->number + worker_count - 1) / worker_count, step = 7919;
    while (common_divisor(step, own) != 1)
        step++;
    pthread_barrier_wait(&barrier);
    for (unsigned round = 0; round < rounds; round++)
        for (size_t i = 0; i < own; i++) {
            visit(w, own_block(w, i, own, step));
            size_t earlier = own_block(w, below(w, i + 1), own, step);
            if (below(w, 8) == 0)
                give_back(w, earlier);
            else if (blocks[earlier].page != NO_PAGE && (i & 1))
                compare(w, earlier);
        }
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < own; i++)
        if (blocks[own_block(w, i, own, step)].page != NO_PAGE)
            compare(w, own_block(w, i, own, step));
    return NULL;
}

static void *reserve(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        printf("cannot map %zu bytes: %s\n", size, strerror(errno));
        exit(1);
    }
    madvise(p, size, MADV_NOHUGEPAGE); /* natively one page in 64 would be all of them otherwise */
    return p;
}

int main(int argc, char **argv)
{
    double gigabytes = argc > 1 ? atof(argv[1]) : 0.25;
    worker_count = argc > 2 ? (unsigned)atoi(argv[2]) : worker_count;
    rounds = argc > 3 ? (unsigned)atoi(argv[3]) : rounds;
    block_count = gigabytes * (1ul << 30) / BLOCK;
    if (worker_count < 1 || worker_count > 64 || rounds < 1 || block_count < worker_count) {
        fputs("usage: sparse [GIGABYTES [THREADS [ROUNDS]]]\n", stderr);
        return 2;
    }
    size_t table_size = (block_count * sizeof(*blocks) + PAGE - 1) & -PAGE;
    blocks = reserve(table_size);
    for (size_t i = 0; i < block_count; i++)
        blocks[i].page = blocks[i].lost = NO_PAGE;
    region = reserve(block_count * BLOCK);
    static struct worker workers[64];
    struct worker all = { 0 };
    REQUIRE(pthread_barrier_init(&barrier, NULL, worker_count) == 0);
    REQUIRE(pipe(all.pipe) == 0);
    for (unsigned i = 0; i < worker_count; i++) {
        struct worker *w = &workers[i];
        *w = (struct worker){ .number = i, .random = (i + 1) * 0x9e3779b97f4a7c15ull, .pipe = { all.pipe[0], all.pipe[1] } };
        REQUIRE(pthread_create(&w->thread, NULL, work, w) == 0);
    }
    for (unsigned i = 0; i < worker_count; i++) {
        struct worker *w = &workers[i];
        REQUIRE(pthread_join(w->thread, NULL) == 0);
        all.checksum ^= w->checksum * (2 * i + 1);
        all.filled += w->filled;
        all.discarded += w->discarded;
        all.unmapped += w->unmapped;
        all.compared += w->compared;
    }
    REQUIRE(munmap(region, block_count * BLOCK) == 0);
    for (size_t i = 0; i < 32; i++) /* nothing is left of it */
        CHECK_ERRNO(write(all.pipe[1], region + block_count / 32 * i * BLOCK, 1), EFAULT);
    REQUIRE(munmap(blocks, table_size) == 0);
    printf("blocks: %zu, threads: %u, rounds: %u\n", block_count, worker_count, rounds);
    printf("pages filled: %lu, compared: %lu, discarded: %lu, unmapped: %lu\n", all.filled, all.compared, all.discarded,
           all.unmapped);
    printf("checksum: %016lx\n", all.checksum);
    return checks_failed != 0;
}
