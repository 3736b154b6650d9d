/* SPDX-License-Identifier: Apache-2.0
 *
 * MRENCLAVE: SHA-256 over one 64-byte record for each ECREATE, EADD and EEXTEND, the latter followed by its data. */
#include "softsgx/enclave.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#define RECORD 64

static int update(struct softsgx_enclave *e, const void *data, size_t length)
{
    return EVP_DigestUpdate(e->measurement, data, length) == 1 ? 0 : -ENOMEM;
}

int sgx_measure_start(struct softsgx_enclave *e)
{
    uint8_t record[RECORD] = "ECREATE";

    memcpy(record + 8, &e->secs.ssaframesize, 4);
    memcpy(record + 12, &e->secs.size, 8);
    memcpy(record + 20, &e->secs.cet_leg_bitmap_offset, 8);
    e->measurement = EVP_MD_CTX_new();
    if (!e->measurement || EVP_DigestInit_ex(e->measurement, EVP_sha256(), NULL) != 1)
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
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    int ok = copy && EVP_MD_CTX_copy_ex(copy, e->measurement) == 1 && EVP_DigestFinal_ex(copy, mrenclave, NULL) == 1;

    EVP_MD_CTX_free(copy);
    return ok ? 0 : -ENOMEM;
}

void sgx_measure_free(struct softsgx_enclave *e)
{
    EVP_MD_CTX_free(e->measurement);
    e->measurement = NULL;
}
