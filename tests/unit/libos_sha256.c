/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 against libcrypto's, for every length up to three blocks, in pieces of every size, and on what FIPS publishes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "enclave/enclave.h"
#include "libos/fs/sha256.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

static void published(void **state)
{
    static const uint8_t abc[32] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    struct sha256 s;
    uint8_t digest[32];

    (void)state;
    sha256_init(&s);
    sha256_update(&s, "abc", 3);
    sha256_final(&s, digest);
    assert_memory_equal(digest, abc, sizeof(abc));
}

static void the_same_as_another_one(void **state)
{
    static uint8_t data[100000];
    uint8_t digest[32], expected[32];

    (void)state;
    srandom(1);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)random();
    for (size_t length = 0; length < 200; length++) {
        SHA256(data, length, expected);
        for (size_t piece = 1; piece <= 130; piece += 3) {
            struct sha256 s;
            sha256_init(&s);
            for (size_t at = 0; at < length; at += piece)
                sha256_update(&s, data + at, length - at < piece ? length - at : piece);
            sha256_final(&s, digest);
            assert_memory_equal(digest, expected, sizeof(digest));
        }
    }
    struct sha256 s;
    sha256_init(&s);
    sha256_update(&s, data, sizeof(data));
    sha256_final(&s, digest);
    SHA256(data, sizeof(data), expected);
    assert_memory_equal(digest, expected, sizeof(digest));
}

/* Whichever the processor has: sha256_update takes that, and the other one must say the same. */
static void with_and_without_extensions(void **state)
{
    static uint8_t data[64 * 33];
    uint32_t plain[8], used[8];

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t blocks = 1; blocks <= 33; blocks++) {
        struct sha256 s;
        sha256_init(&s);
        memcpy(plain, s.state, sizeof(plain));
        sha256_update(&s, data, 64 * blocks);
        memcpy(used, s.state, sizeof(used));
        sha256_blocks_plain(plain, data, blocks);
        assert_memory_equal(used, plain, sizeof(plain));
    }
}

/* The application's vector registers are live meanwhile. */
static void registers_are_kept(void **state)
{
    static uint8_t data[256];
    uint8_t before[16][16], after[16][16];
    uint32_t s[8] = {0};

    (void)state;
    if (!sha_extensions())
        skip();
    for (size_t i = 0; i < sizeof(before); i++)
        before[i / 16][i % 16] = (uint8_t)(i + 1);
    register uint32_t *a0 __asm__("rdi") = s;
    register const void *a1 __asm__("rsi") = data;
    register size_t a2 __asm__("rdx") = sizeof(data) / 64;
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
#define LOAD(r) "movdqu 16*" #r "(%[before]), %%xmm" #r "\n"
#define STORE(r) "movdqu %%xmm" #r ", 16*" #r "(%[after])\n"
    __asm__ volatile("mov %%rsp, %%r12\n and $-16, %%rsp\n sub $128, %%rsp\n" EACH(LOAD) "call sha256_blocks_ni\n" EACH(STORE)
                     "mov %%r12, %%rsp\n"
                     : "+r"(a0), "+r"(a1), "+r"(a2)
                     : [before] "r"(before), [after] "b"(after)
                     : "rax", "rcx", "r8", "r9", "r10", "r11", "r12", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
                       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    assert_memory_equal(before, after, sizeof(before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published),
        cmocka_unit_test(the_same_as_another_one),
        cmocka_unit_test(with_and_without_extensions),
        cmocka_unit_test(registers_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
