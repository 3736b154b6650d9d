/* SPDX-License-Identifier: Apache-2.0
 *
 * MRENCLAVE as the signer computes it: the sequence of ECREATE, EADD and EEXTEND records (SDM vol. 3D, 37.4.1.2). Written
 * apart from softsgx on purpose: EINIT compares the two. */
#include "image/internal.h"

#include <openssl/evp.h>
#include <string.h>

#define BLOCK 64

/* Records are collected: a heap has a hundred thousand of them, and a call of EVP_DigestUpdate costs as much as a block. */
struct measurement {
    EVP_MD_CTX *hash;
    size_t used;
    uint8_t collected[64 * BLOCK];
};

static int put_collected(struct measurement *m)
{
    size_t n = m->used;

    m->used = 0;
    return EVP_DigestUpdate(m->hash, m->collected, n) ? 0 : -1;
}

static int put_record(struct measurement *m, const char tag[8], const void *a, size_t a_size, const void *b, size_t b_size)
{
    if (m->used == sizeof(m->collected) && put_collected(m))
        return -1;
    uint8_t *block = m->collected + m->used;
    memset(block, 0, BLOCK);
    memcpy(block, tag, 8);
    memcpy(block + 8, a, a_size);
    if (b_size)
        memcpy(block + 8 + a_size, b, b_size);
    m->used += BLOCK;
    return 0;
}

static int put_content(struct measurement *m, uint64_t offset, const uint8_t *page)
{
    for (uint64_t chunk = 0; chunk < VIGIL_PAGE; chunk += SGX_EEXTEND_SIZE) {
        uint64_t where = offset + chunk;
        if (put_record(m, "EEXTEND\0", &where, sizeof(where), NULL, 0) || put_collected(m) ||
            !EVP_DigestUpdate(m->hash, page + chunk, SGX_EEXTEND_SIZE))
            return -1;
    }
    return 0;
}

static int put_range(struct measurement *m, const struct image_range *range)
{
    static const uint8_t zero[VIGIL_PAGE];
    struct sgx_secinfo secinfo = {.flags = range->secinfo_flags};

    for (uint64_t done = 0; done < range->length; done += VIGIL_PAGE) {
        uint64_t offset = range->offset + done;
        if (put_record(m, "EADD\0\0\0\0", &offset, sizeof(offset), &secinfo, 48))
            return -1;
        const uint8_t *page = range->content ? (const uint8_t *)range->content + done : zero;
        if (range->measured && put_content(m, offset, page))
            return -1;
    }
    return 0;
}

int image_measure(const struct image *image, uint8_t mrenclave[32], struct image_error *error)
{
    struct measurement m = {.hash = EVP_MD_CTX_new()};
    int status = -1;

    if (!m.hash || !EVP_DigestInit_ex(m.hash, EVP_sha256(), NULL) ||
        put_record(&m, "ECREATE\0", &image->secs.ssaframesize, 4, &image->secs.size, 8))
        goto out;
    for (size_t i = 0; i < image->range_count; i++)
        if (put_range(&m, &image->ranges[i]))
            goto out;
    status = !put_collected(&m) && EVP_DigestFinal_ex(m.hash, mrenclave, NULL) ? 0 : -1;
out:
    EVP_MD_CTX_free(m.hash);
    return status ? image_fail(error, "SHA-256 failed: is OpenSSL installed completely?") : 0;
}
