/* SPDX-License-Identifier: Apache-2.0
 *
 * A lot of output, in all buffer sizes, and its hash on standard error: stdio_large [KIBIBYTES]. With standard input,
 * reads that to its end and prints what it got. */
#include "check.h"

#include <unistd.h>

static void read_all(void)
{
    static char buffer[70000];
    uint64_t hash = HASH_START, total = 0;
    size_t n, size = 1;
    while ((n = fread(buffer, 1, size, stdin)) > 0) {
        hash = hash_bytes(hash, buffer, n);
        total += n;
        size = size * 3 % sizeof(buffer) + 1;
    }
    printf("input: %lu bytes, %016lx\n", total, hash);
    CHECK(!ferror(stdin));
}

int main(int argc, char **argv)
{
    size_t kibibytes = argc > 1 ? strtoul(argv[1], NULL, 0) : 512;
    uint64_t state = 1;
    read_all();
    for (size_t written = 0; written < kibibytes * 1024 / 2;)
        written += printf("%zu: %016lx %s %.3f\n", written, random_next(&state), written % 3 ? "odd" : "even", written / 7.0);
    fflush(stdout);
    size_t size = kibibytes * 1024 / 2, done = 0;
    char *block = malloc(size);
    REQUIRE(block);
    for (size_t i = 0; i < size; i++)
        block[i] = i % 64 == 63 ? '\n' : 'A' + random_next(&state) % 26;
    while (done < size) { /* one write, as large as can be */
        ssize_t n = write(1, block + done, size - done);
        REQUIRE(n > 0);
        done += n;
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 0; i < 200; i++)
        printf("%d", i % 10);
    printf("\n");
    free(block);
    return checks_failed != 0;
}
