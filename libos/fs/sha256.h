/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 (FIPS 180-4). See sha256.c. */
#ifndef VIGIL_SHA256_H
#define VIGIL_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint64_t length;        /* bytes so far */
    uint8_t block[64];
};

void sha256_init(struct sha256 *s);
void sha256_update(struct sha256 *s, const void *data, size_t n);
void sha256_final(struct sha256 *s, uint8_t digest[32]);
/* The compression function alone, in general registers: what there is without SHA extensions. For tests. */
void sha256_blocks_plain(uint32_t state[8], const void *blocks, size_t count);

#endif
