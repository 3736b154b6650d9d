/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of the software processor. Only sgx_keys_init() may allocate or block; the rest runs in signal handlers. */
#ifndef SOFTSGX_KEYS_H
#define SOFTSGX_KEYS_H

#include "sgx/arch.h"

#include <stddef.h>
#include <stdint.h>

#define SGX_KEY_SIZE 16

/* Every software processor has this version, whatever machine it runs on, so that nobody mistakes it for silicon. */
extern const uint8_t sgx_cpusvn[16];

/* What a key depends on: the KEYDEPENDENCIES of the SDM. The layout and the cipher are not architectural. */
struct sgx_keydependencies {
    uint16_t keyname, keypolicy, isvprodid, isvsvn, configsvn, reserved;
    uint32_t miscselect, miscmask;
    struct sgx_attributes attributes, attributesmask;
    uint8_t mrenclave[32], mrsigner[32], keyid[32], cpusvn[16], configid[64], isvfamilyid[16], isvextprodid[16];
};
SGX_STATIC_ASSERT(sizeof(struct sgx_keydependencies) == 264, "no padding that could differ between derivations");

/* Reads or makes the machine's root key and draws this processor's report KEYID. 0 or -errno. */
int sgx_keys_init(void);
const uint8_t *sgx_report_keyid(void); /* 32 bytes */
void sgx_derive_key(const struct sgx_keydependencies *dependencies, uint8_t key[SGX_KEY_SIZE]);

/* aes.c */
void sgx_aes128_encrypt(const uint8_t key[16], const uint8_t in[16], uint8_t out[16]);
void sgx_aes128_cmac(const uint8_t key[16], const void *message, size_t length, uint8_t mac[16]);

#endif
