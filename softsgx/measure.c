/* SPDX-License-Identifier: Apache-2.0
 *
 * MRENCLAVE: SHA-256 over one 64-byte record for each ECREATE, EADD and EEXTEND, the latter followed by its data.
 *
 * A record is a block of the hash, and so is a quarter of the data: between two of them the state is eight words. What a heap's
 * hundred thousand records do to these words is the same at every start, and the embedder may remember it
 * (softsgx_set_memory). An answer that is wrong makes a wrong MRENCLAVE, which EINIT refuses. */
#define OPENSSL_API_COMPAT 0x10101000L /* the state of a hash is to be seen */
#include "softsgx/enclave.h"
#include "softsgx/softsgx.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#define RECORD 64
#define WORTH_REMEMBERING 4096 /* pages: hashing them takes longer than to open a file */

/* Records wait here until there are enough of them: a call of SHA256_Update costs as much as a block. */
struct measurement {
    SHA256_CTX hash;
    size_t used;
    uint8_t waiting[64 * RECORD];
};

/* All that the state after a run of records depends on. */
struct question {
    uint8_t what[16];
    uint64_t offset, pages, secinfo_flags;
    uint32_t state[8];
};

static struct softsgx_memory memory;

void softsgx_set_memory(const struct softsgx_memory *new)
{
    memory = new ? *new : (struct softsgx_memory){0};
}

static int hash_waiting(SHA256_CTX *hash, const struct measurement *m)
{
    return SHA256_Update(hash, m->waiting, m->used) == 1 ? 0 : -ENOMEM;
}

static int flush(struct measurement *m)
{
    int ret = hash_waiting(&m->hash, m);

    if (!ret)
        m->used = 0;
    return ret;
}

static int update(struct softsgx_enclave *e, const void *data, size_t length)
{
    struct measurement *m = e->measurement;

    if (length > sizeof(m->waiting) - m->used) {
        int ret = flush(m);
        if (ret)
            return ret;
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
    if (!m || SHA256_Init(&m->hash) != 1)
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

static int each_page(struct softsgx_enclave *e, uint64_t offset, uint64_t pages, uint64_t secinfo_flags)
{
    int ret = 0;

    for (; pages && !ret; pages--, offset += SGX_PAGE_SIZE)
        ret = sgx_measure_eadd(e, offset, secinfo_flags);
    return ret;
}

/* SHA256_CTX counts bits, in two words. */
static void add_length(SHA256_CTX *hash, uint64_t bytes)
{
    uint64_t bits = ((uint64_t)hash->Nh << 32 | hash->Nl) + bytes * 8;

    hash->Nl = (uint32_t)bits;
    hash->Nh = (uint32_t)(bits >> 32);
}

int sgx_measure_run(struct softsgx_enclave *e, uint64_t offset, uint64_t pages, uint64_t secinfo_flags)
{
    struct question question = {.what = "EADD SHA-256", .offset = offset, .pages = pages, .secinfo_flags = secinfo_flags};
    struct measurement *m = e->measurement;
    uint32_t state[8];
    int ret;

    _Static_assert(sizeof(state) == sizeof(m->hash.h), "SHA256_CTX is OpenSSL's");
    if (!memory.recall || pages < WORTH_REMEMBERING)
        return each_page(e, offset, pages, secinfo_flags);
    ret = flush(m);
    if (ret)
        return ret;
    memcpy(question.state, m->hash.h, sizeof(question.state));
    if (memory.recall(&question, sizeof(question), state, sizeof(state))) {
        memcpy(m->hash.h, state, sizeof(state));
        add_length(&m->hash, pages * RECORD);
        return 0;
    }
    ret = each_page(e, offset, pages, secinfo_flags);
    if (!ret)
        ret = flush(m);
    if (ret)
        return ret;
    memcpy(state, m->hash.h, sizeof(state));
    memory.remember(&question, sizeof(question), state, sizeof(state));
    return 0;
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
    SHA256_CTX copy = m->hash;

    return !hash_waiting(&copy, m) && SHA256_Final(mrenclave, &copy) == 1 ? 0 : -ENOMEM;
}

void sgx_measure_free(struct softsgx_enclave *e)
{
    free(e->measurement);
    e->measurement = NULL;
}
