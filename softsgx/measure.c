/* SPDX-License-Identifier: Apache-2.0
 *
 * MRENCLAVE: SHA-256 over one 64-byte record for each ECREATE, EADD and EEXTEND, the latter followed by its data. */
#include "softsgx/enclave.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define RECORD 64

/* Records wait here until there are enough of them: a heap has a hundred thousand, and a call of EVP_DigestUpdate costs as much
 * as a block. */
struct measurement {
    EVP_MD_CTX *hash;
    size_t used;
    uint8_t waiting[64 * RECORD];
};

static int hash_waiting(EVP_MD_CTX *hash, const struct measurement *m)
{
    return EVP_DigestUpdate(hash, m->waiting, m->used) == 1 ? 0 : -ENOMEM;
}

static int update(struct softsgx_enclave *e, const void *data, size_t length)
{
    struct measurement *m = e->measurement;

    if (length > sizeof(m->waiting) - m->used) {
        int ret = hash_waiting(m->hash, m);
        if (ret)
            return ret;
        m->used = 0;
    }
    memcpy(m->waiting + m->used, data, length);
    m->used += length;
    return 0;
}

int sgx_measure_start(struct softsgx_enclave *e)
{
    uint8_t record[RECORD] = "ECREATE";

    memcpy(record + 8, &e->secs.ssaframesize, 4);
    memcpy(record + 12, &e->secs.size, 8);
    memcpy(record + 20, &e->secs.cet_leg_bitmap_offset, 8);
    struct measurement *m = e->measurement = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->hash = EVP_MD_CTX_new();
    if (!m->hash || EVP_DigestInit_ex(m->hash, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    return update(e, record, sizeof(record));
}

int sgx_measure_eadd(struct softsgx_enclave *e, uint64_t offset, uint64_t secinfo_flags)
{
    uint8_t record[RECORD] = "EADD"; /* then 48 bytes of SECINFO, of which only FLAGS may be other than zero */

    memcpy(record + 8, &offset, 8);
    memcpy(record + 16, &secinfo_flags, 8);
    return update(e, record, sizeof(record));
}

int sgx_measure_eextend(struct softsgx_enclave *e, uint64_t offset, const uint8_t page[SGX_PAGE_SIZE])
{
    uint8_t record[RECORD] = "EEXTEND";

    for (uint64_t chunk = 0; chunk < SGX_PAGE_SIZE; chunk += SGX_EEXTEND_SIZE) {
        uint64_t at = offset + chunk;
        int ret;

        memcpy(record + 8, &at, 8);
        ret = update(e, record, sizeof(record));
        if (!ret)
            ret = update(e, page + chunk, SGX_EEXTEND_SIZE);
        if (ret)
            return ret;
    }
    return 0;
}

/* The digest so far; the running hash stays usable, because EINIT may fail and be tried again. */
int sgx_measure_digest(const struct softsgx_enclave *e, uint8_t mrenclave[32])
{
    const struct measurement *m = e->measurement;
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    int ok = copy && EVP_MD_CTX_copy_ex(copy, m->hash) == 1 && !hash_waiting(copy, m) && EVP_DigestFinal_ex(copy, mrenclave, NULL) == 1;

    EVP_MD_CTX_free(copy);
    return ok ? 0 : -ENOMEM;
}

void sgx_measure_free(struct softsgx_enclave *e)
{
    struct measurement *m = e->measurement;

    if (m)
        EVP_MD_CTX_free(m->hash);
    free(m);
    e->measurement = NULL;
}
