/* SPDX-License-Identifier: Apache-2.0
 *
 * Who an enclave is: the lines that `vigil sign` and `vigil info` print. */
#include "cli/cli.h"

#include <openssl/evp.h>
#include <stdio.h>

static void print_hex(const char *name, const uint8_t *bytes, size_t n)
{
    printf("%-12s", name);
    for (size_t i = 0; i < n; i++)
        printf("%02x", bytes[i]);
    putchar('\n');
}

void print_identity(const struct image *image)
{
    const struct sgx_sigstruct *s = &image->sigstruct;
    uint8_t mrsigner[32];

    print_hex("MRENCLAVE", s->enclavehash, sizeof(s->enclavehash));
    if (EVP_Digest(s->modulus, sizeof(s->modulus), mrsigner, NULL, EVP_sha256(), NULL))
        print_hex("MRSIGNER", mrsigner, sizeof(mrsigner));
    printf("%-12s0x%lx%s%s\n", "ATTRIBUTES", s->attributes.flags, s->attributes.flags & SGX_ATTR_DEBUG ? " DEBUG" : "",
           s->attributes.flags & SGX_ATTR_AEXNOTIFY ? " AEXNOTIFY" : "");
    printf("%-12s0x%x%s\n", "MISCSELECT", s->miscselect, s->miscselect & SGX_MISC_EXINFO ? " EXINFO" : "");
}
