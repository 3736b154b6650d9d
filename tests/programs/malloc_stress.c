/* SPDX-License-Identifier: Apache-2.0
 *
 * Allocation of all sizes from several threads; every block keeps its contents: malloc_stress [ROUNDS]. */
#include "check.h"

#include <malloc.h>
#include <pthread.h>

#define SLOTS 200

static long rounds = 15000;

static size_t pick_size(uint64_t *state)
{
    uint64_t r = random_next(state);
    switch (r % 20) {
    case 0:
        return 1 + r % 400000; /* some by mmap */
    case 1: case 2: case 3:
        return 1 + r % 20000;
    default:
        return r % 600;
    }
}

static bool filled(const unsigned char *p, size_t size, unsigned char with)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != with)
            return false;
    return true;
}

static void *work(void *seed)
{
    unsigned char *blocks[SLOTS] = { NULL };
    size_t sizes[SLOTS] = { 0 };
    uint64_t state = (uintptr_t)seed, hash = HASH_START;
    for (long i = 0; i < rounds; i++) {
        int slot = random_next(&state) % SLOTS;
        unsigned char mark = slot + (uintptr_t)seed;
        size_t size = pick_size(&state);
        size_t kept = sizes[slot] < size ? sizes[slot] : size;
        if (!blocks[slot]) {
            blocks[slot] = random_next(&state) % 2 ? malloc(size) : memalign(64, size);
        } else if (random_next(&state) % 3 == 0) {
            blocks[slot] = realloc(blocks[slot], size ? size : 1);
            REQUIRE(blocks[slot]);
            CHECK(filled(blocks[slot], kept, mark));
        } else {
            CHECK(filled(blocks[slot], sizes[slot], mark));
            free(blocks[slot]);
            blocks[slot] = calloc(1, size);
            REQUIRE(blocks[slot]);
            CHECK(filled(blocks[slot], size, 0));
        }
        REQUIRE(blocks[slot]);
        memset(blocks[slot], mark, size);
        sizes[slot] = size;
        hash = hash_bytes(hash, &size, sizeof(size));
    }
    for (int i = 0; i < SLOTS; i++) {
        CHECK(filled(blocks[i], sizes[i], i + (uintptr_t)seed));
        free(blocks[i]);
    }
    return (void *)hash;
}

int main(int argc, char **argv)
{
    pthread_t threads[3];
    if (argc > 1)
        rounds = atol(argv[1]);
    for (intptr_t i = 0; i < 3; i++)
        REQUIRE(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
    for (int i = 0; i < 3; i++) {
        void *hash = NULL;
        pthread_join(threads[i], &hash);
        printf("thread %d: %016lx\n", i, (uint64_t)hash);
    }
    CHECK(malloc((size_t)1 << 62) == NULL);
    printf("checks: %s\n", checks_failed ? "FAILED" : "ok");
    return checks_failed != 0;
}
