/* SPDX-License-Identifier: Apache-2.0
 *
 * The enclaves of this process: finding, building and destroying them. What ECREATE, EADD, EEXTEND and EINIT do. */
#include "softsgx/enclave.h"
#include "softsgx/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_ENCLAVES 1024
#define USER_SPACE_END (1ull << 47)

/* ---- the list: writers hold the lock, readers are signal handlers ---- */

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct softsgx_enclave *enclaves[MAX_ENCLAVES];
static unsigned slots_used; /* high-water mark */
/* Enclave structures are recycled and never freed, so that a reader that races with a destroyer reads a structure. */
static struct softsgx_enclave *free_enclaves;
static const struct sgx_mapping_ops *mapping_ops;

void sgx_set_mapping_ops(const struct sgx_mapping_ops *ops)
{
    mapping_ops = ops;
}

const struct sgx_mapping_ops *sgx_mapping(void)
{
    return mapping_ops;
}

struct softsgx_enclave *sgx_enclave_at(uint64_t address)
{
    unsigned used = __atomic_load_n(&slots_used, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; i < used; i++) {
        struct softsgx_enclave *e = __atomic_load_n(&enclaves[i], __ATOMIC_ACQUIRE);

        if (e && sgx_in_elrange(e, address))
            return e;
    }
    return NULL;
}

uint64_t sgx_enclave_base(const struct softsgx_enclave *e)
{
    return e->base;
}

uint64_t sgx_enclave_size(const struct softsgx_enclave *e)
{
    return e->size;
}

uint8_t *sgx_enclave_alias(const struct softsgx_enclave *e)
{
    return e->alias;
}

void *sgx_enclave_mapping(const struct softsgx_enclave *e)
{
    return e->mapping;
}

void sgx_enclave_set_mapping(struct softsgx_enclave *e, void *mapping)
{
    e->mapping = mapping;
}

bool sgx_enclave_initialised(const struct softsgx_enclave *e)
{
    return __atomic_load_n(&e->secs.attributes.flags, __ATOMIC_ACQUIRE) & SGX_ATTR_INIT;
}

/* ELRANGEs of one address space are disjoint: the enclave is found by address alone. */
static int publish(struct softsgx_enclave *e)
{
    int slot = -1, ret = 0;

    pthread_mutex_lock(&list_lock);
    for (unsigned i = 0; i < slots_used; i++) {
        const struct softsgx_enclave *other = enclaves[i];

        if (!other && slot < 0)
            slot = (int)i;
        if (other && e->base < other->base + other->size && other->base < e->base + e->size)
            ret = -EEXIST;
    }
    if (slot < 0)
        slot = (int)slots_used;
    if (!ret && slot == MAX_ENCLAVES)
        ret = -ENOSPC;
    if (!ret) {
        __atomic_store_n(&enclaves[slot], e, __ATOMIC_RELEASE);
        if ((unsigned)slot == slots_used)
            __atomic_store_n(&slots_used, (unsigned)slot + 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&list_lock);
    return ret;
}

static void unpublish(const struct softsgx_enclave *e)
{
    pthread_mutex_lock(&list_lock);
    for (unsigned i = 0; i < slots_used; i++)
        if (enclaves[i] == e)
            __atomic_store_n(&enclaves[i], NULL, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&list_lock);
}

static struct softsgx_enclave *allocate(void)
{
    struct softsgx_enclave *e;

    pthread_mutex_lock(&list_lock);
    e = free_enclaves;
    if (e)
        free_enclaves = e->next_free;
    pthread_mutex_unlock(&list_lock);
    if (!e)
        e = malloc(sizeof(*e));
    if (e) {
        memset(e, 0, sizeof(*e));
        pthread_mutex_init(&e->lock, NULL);
        e->file = e->memory = -1;
    }
    return e;
}

static uint64_t epcm_bytes(const struct softsgx_enclave *e)
{
    return e->size / SGX_PAGE_SIZE * sizeof(e->epcm[0]);
}

static void release(struct softsgx_enclave *e)
{
    if (e->mapped && mapping_ops)
        mapping_ops->release(e);
    sgx_measure_free(e);
    sgx_epc_give_pages(e->valid);
    sgx_private_close(e);
    if (e->alias)
        munmap(e->alias, e->size);
    if (e->epcm)
        munmap(e->epcm, epcm_bytes(e));
    if (e->page_epoch)
        munmap(e->page_epoch, epcm_bytes(e));
    pthread_mutex_destroy(&e->lock);
    pthread_mutex_lock(&list_lock);
    e->size = 0; /* contains no address any more */
    e->next_free = free_enclaves;
    free_enclaves = e;
    pthread_mutex_unlock(&list_lock);
}

/* ---- ECREATE ---- */

static uint64_t misc_size(uint32_t miscselect)
{
    return miscselect & SGX_MISC_EXINFO ? sizeof(struct sgx_exinfo) : 0;
}

static bool legal_xfrm(uint64_t xfrm)
{
    uint64_t avx512 = xfrm & SGX_XFRM_AVX512;

    if ((xfrm & SGX_XFRM_LEGACY) != SGX_XFRM_LEGACY || (xfrm & ~softsgx_xfrm()))
        return false;
    return !avx512 || (avx512 == SGX_XFRM_AVX512 && (xfrm & SGX_XFRM_AVX));
}

static bool legal_secs(const struct sgx_secs *s)
{
    bool mode64 = s->attributes.flags & SGX_ATTR_MODE64BIT, kss = s->attributes.flags & SGX_ATTR_KSS;
    unsigned log2_max = mode64 ? SGX_LOG2_MAX_SIZE_64 : SGX_LOG2_MAX_SIZE_32;
    uint64_t space = mode64 ? USER_SPACE_END : 1ull << 32;

    if ((s->attributes.flags & ~sgx_settable_attributes()) || !legal_xfrm(s->attributes.xfrm))
        return false;
    if (s->size < 2 * SGX_PAGE_SIZE || (s->size & (s->size - 1)) || s->size > 1ull << log2_max)
        return false;
    if ((s->baseaddr & (s->size - 1)) || s->baseaddr >= space || s->size > space - s->baseaddr)
        return false;
    if (s->miscselect & ~SGX_SETTABLE_MISC)
        return false;
    if ((uint64_t)s->ssaframesize * SGX_PAGE_SIZE <
        sgx_xsave_size(s->attributes.xfrm) + sizeof(struct sgx_gprsgx) + misc_size(s->miscselect))
        return false;
    if (!kss && (s->configsvn || !sgx_all_zero(s->configid, sizeof(s->configid))))
        return false;
    return !s->cet_leg_bitmap_offset && !s->cet_attributes && sgx_all_zero(s->reserved1, sizeof(s->reserved1)) &&
           sgx_all_zero(s->reserved2, sizeof(s->reserved2)) && sgx_all_zero(s->reserved3, sizeof(s->reserved3)) &&
           sgx_all_zero(s->reserved4, sizeof(s->reserved4));
}

/* The EPC is a sparse memory file: mapped once here for the processor's own accesses and once by the trap driver, with
 * the EPCM's permissions, at the linear address. But for pages that private.c is about. */
static int map_private(uint64_t length, uint32_t **out)
{
    void *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return -errno;
    *out = p;
    return 0;
}

static int map_alias(struct softsgx_enclave *e, int memfd)
{
    void *alias = mmap(NULL, e->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memfd, 0);

    if (alias == MAP_FAILED)
        return -errno;
    e->alias = alias;
    return 0;
}

static int create_epc(struct softsgx_enclave *e)
{
    int memfd = memfd_create("softsgx-epc", MFD_CLOEXEC), ret;

    if (memfd < 0)
        return -errno;
    e->file = memfd;
    ret = ftruncate(memfd, (off_t)e->size) < 0 ? -errno : map_alias(e, memfd);
    if (!ret)
        ret = map_private(epcm_bytes(e), &e->epcm);
    if (!ret)
        ret = map_private(epcm_bytes(e), &e->page_epoch);
    if (!ret && mapping_ops) {
        ret = mapping_ops->reserve(e, memfd);
        e->mapped = !ret;
    }
    return ret;
}

int softsgx_create(const struct sgx_secs *secs, struct softsgx_enclave **out)
{
    struct softsgx_enclave *e;
    int ret;

    sgx_xstate_init();
    if (!legal_secs(secs))
        return -EINVAL;
    ret = sgx_keys_init();
    if (ret)
        return ret;
    e = allocate();
    if (!e)
        return -ENOMEM;
    e->secs = *secs;
    e->base = secs->baseaddr;
    e->size = secs->size;
    e->xsave_size = sgx_xsave_size(secs->attributes.xfrm);
    memset(e->secs.mrenclave, 0, sizeof(e->secs.mrenclave));
    memset(e->secs.mrsigner, 0, sizeof(e->secs.mrsigner));
    e->secs.isvprodid = e->secs.isvsvn = 0;

    ret = sgx_measure_start(e);
    if (!ret)
        ret = create_epc(e);
    if (!ret)
        ret = publish(e);
    if (ret) {
        release(e);
        return ret;
    }
    *out = e;
    return 0;
}

/* The caller sees to it that no thread is inside, as the Linux driver does with its references. */
void softsgx_destroy(struct softsgx_enclave *e)
{
    if (!e)
        return;
    unpublish(e);
    release(e);
}

/* ---- EADD, EEXTEND ---- */

static bool legal_range(const struct softsgx_enclave *e, uint64_t offset, uint64_t length)
{
    return length && !(offset % SGX_PAGE_SIZE) && !(length % SGX_PAGE_SIZE) && offset < e->size &&
           length <= e->size - offset;
}

static bool legal_secinfo(const struct sgx_secinfo *secinfo)
{
    uint64_t f = secinfo->flags, pt = f & SGX_SECINFO_PT_MASK;

    if ((f & ~(SGX_SECINFO_R | SGX_SECINFO_W | SGX_SECINFO_X | SGX_SECINFO_PT_MASK)) ||
        !sgx_all_zero(secinfo->reserved, sizeof(secinfo->reserved)))
        return false;
    if (pt == SGX_SECINFO_REG)
        return (f & SGX_SECINFO_R) || !(f & SGX_SECINFO_W);
    return pt == SGX_SECINFO_TCS;
}

/* Without CET the fields behind GSLIMIT are reserved too. FLAGS is looked at by EENTER. */
static bool legal_tcs(const struct sgx_tcs *tcs)
{
    return !tcs->ocetssa && !tcs->prevssp && sgx_all_zero(tcs->reserved, sizeof(tcs->reserved));
}

static bool addable(const struct softsgx_enclave *e, uint64_t offset, const uint8_t *src, uint64_t length, bool tcs)
{
    const uint32_t *entry = &e->epcm[offset / SGX_PAGE_SIZE];

    for (uint64_t i = 0; i < length / SGX_PAGE_SIZE; i++)
        if (__atomic_load_n(&entry[i], __ATOMIC_RELAXED) & EPCM_VALID)
            return false;
    for (uint64_t at = 0; tcs && src && at < length; at += SGX_PAGE_SIZE) {
        struct sgx_tcs page;

        memcpy(&page, src + at, sizeof(page));
        if (!legal_tcs(&page))
            return false;
    }
    return true;
}

/* The content of an invalid page is zero (the memory file is sparse), so zero pages need no writing. */
static void copy_in(struct softsgx_enclave *e, uint64_t offset, const uint8_t *src, uint64_t length, bool is_tcs)
{
    for (uint64_t at = 0; at < length; at += SGX_PAGE_SIZE) {
        uint8_t *page = e->alias + offset + at;

        if (sgx_all_zero(src + at, SGX_PAGE_SIZE))
            continue;
        memcpy(page, src + at, SGX_PAGE_SIZE);
        if (is_tcs) {
            struct sgx_tcs *tcs = (struct sgx_tcs *)page;

            tcs->state = SGX_TCS_INACTIVE;
            tcs->flags &= ~SGX_TCS_DBGOPTIN;
            tcs->cssa = 0;
            tcs->aep = 0;
        }
    }
}

static int measure_pages(struct softsgx_enclave *e, uint64_t offset, bool zero, uint64_t length, uint64_t flags,
                         bool measure)
{
    static const uint8_t zero_page[SGX_PAGE_SIZE];

    if (!measure)
        return sgx_measure_run(e, offset, length / SGX_PAGE_SIZE, flags);
    for (uint64_t at = offset; at < offset + length; at += SGX_PAGE_SIZE) {
        int ret = sgx_measure_eadd(e, at, flags);

        if (!ret)
            ret = sgx_measure_eextend(e, at, zero ? zero_page : e->alias + at);
        if (ret)
            return ret;
    }
    return 0;
}

int sgx_settle(struct softsgx_enclave *e)
{
    int ret = e->unapplied_end ? sgx_epcm_apply(e, e->unapplied, e->unapplied_end - e->unapplied) : 0;

    if (!ret)
        e->unapplied = e->unapplied_end = 0;
    return ret;
}

/* What lies close together is done with few calls. What lies far apart is not, since that would touch the entries of all that
 * is between. */
#define CLOSE (1u << 20)
static int apply_later(struct softsgx_enclave *e, uint64_t address, uint64_t length)
{
    if (e->unapplied_end && (address < e->unapplied || address > e->unapplied_end + CLOSE)) {
        int ret = sgx_settle(e);

        if (ret)
            return ret;
    }
    if (!e->unapplied_end)
        e->unapplied = address;
    if (address + length > e->unapplied_end)
        e->unapplied_end = address + length;
    return 0;
}

static int enter_pages(struct softsgx_enclave *e, uint64_t address, uint64_t length, uint32_t bits)
{
    sgx_epcm_update_range(e, address, length, EPCM_SGX | EPCM_PRIVATE, bits);
    return apply_later(e, address, length);
}

static int add_pages_locked(struct softsgx_enclave *e, uint64_t offset, const void *src, uint64_t length,
                            const struct sgx_secinfo *secinfo, bool measure)
{
    bool tcs = (secinfo->flags & SGX_SECINFO_PT_MASK) == SGX_SECINFO_TCS;
    uint64_t address = e->base + offset, flags = secinfo->flags;
    uint32_t private = 0;
    int ret;

    if ((e->secs.attributes.flags & SGX_ATTR_INIT) || !addable(e, offset, src, length, tcs))
        return -EINVAL;
    if (tcs)
        flags &= ~(uint64_t)EPCM_RWX;
    if (!sgx_epc_take_pages(length / SGX_PAGE_SIZE))
        return -ENOMEM;
    if (src)
        copy_in(e, offset, src, length, tcs);
    else if (!tcs && !measure && sgx_private_back(e, address, length))
        private = EPCM_PRIVATE;
    ret = enter_pages(e, address, length, (uint32_t)flags | EPCM_VALID | private);
    /* A host that limits private memory (RLIMIT_DATA, overcommitment) says so when it becomes writable; it may have some of
     * the other kind. */
    if (!ret && private)
        ret = sgx_settle(e);
    if (ret && private && !mapping_ops->back(e, address, length, e->file))
        ret = enter_pages(e, address, length, (uint32_t)flags | EPCM_VALID);
    if (ret) {
        sgx_epcm_update_range(e, address, length, EPCM_SGX | EPCM_PRIVATE, 0);
        madvise(e->alias + offset, length, MADV_REMOVE);
        sgx_epc_give_pages(length / SGX_PAGE_SIZE);
        return ret;
    }
    e->valid += length / SGX_PAGE_SIZE;
    return measure_pages(e, offset, !src, length, flags, measure);
}

int softsgx_add_pages(struct softsgx_enclave *e, uint64_t offset, const void *src, uint64_t length,
                      const struct sgx_secinfo *secinfo, bool measure)
{
    int ret;

    if (!legal_range(e, offset, length) || !legal_secinfo(secinfo))
        return -EINVAL;
    if (e->mapped && e->base + offset < sgx_lowest_mappable())
        return -EINVAL;
    pthread_mutex_lock(&e->lock);
    ret = add_pages_locked(e, offset, src, length, secinfo, measure);
    pthread_mutex_unlock(&e->lock);
    return ret;
}

/* ---- EINIT ---- */

/* The order is the processor's, so that a SIGSTRUCT with two faults gives the same code as on silicon. The launch
 * control hash is what Linux makes of it on processors that let it: always the signer's. */
static int init_locked(struct softsgx_enclave *e, const struct sgx_sigstruct *sig)
{
    const struct sgx_attributes *want = &sig->attributes, *mask = &sig->attributemask, *have = &e->secs.attributes;
    uint8_t mrenclave[32], mrsigner[32];
    int ret;

    if (have->flags & SGX_ATTR_INIT)
        return -EINVAL;
    ret = sgx_settle(e);
    if (!ret)
        ret = sgx_sigstruct_check(sig);
    if (!ret)
        ret = sgx_sigstruct_verify(sig);
    if (ret)
        return ret;
    if (!(have->flags & SGX_ATTR_KSS) && (!sgx_all_zero(sig->isvfamilyid, 16) || !sgx_all_zero(sig->isvextprodid, 16)))
        return SGX_INVALID_SIG_STRUCT;
    ret = sgx_measure_digest(e, mrenclave);
    if (!ret)
        ret = sgx_sigstruct_mrsigner(sig, mrsigner);
    if (ret)
        return ret;
    if (memcmp(mrenclave, sig->enclavehash, sizeof(mrenclave)) != 0)
        return SGX_INVALID_MEASUREMENT;
    if ((have->flags & mask->flags) != (want->flags & mask->flags) ||
        (have->xfrm & mask->xfrm) != (want->xfrm & mask->xfrm) ||
        (e->secs.miscselect & sig->miscmask) != (sig->miscselect & sig->miscmask))
        return SGX_INVALID_ATTRIBUTE;

    memcpy(e->secs.mrenclave, mrenclave, sizeof(mrenclave));
    memcpy(e->secs.mrsigner, mrsigner, sizeof(mrsigner));
    memcpy(e->isvfamilyid, sig->isvfamilyid, sizeof(e->isvfamilyid));
    memcpy(e->isvextprodid, sig->isvextprodid, sizeof(e->isvextprodid));
    e->secs.isvprodid = sig->isvprodid;
    e->secs.isvsvn = sig->isvsvn;
    __atomic_fetch_or(&e->secs.attributes.flags, SGX_ATTR_INIT, __ATOMIC_RELEASE);
    sgx_measure_free(e);
    return 0;
}

int softsgx_init(struct softsgx_enclave *e, const struct sgx_sigstruct *untrusted_sig)
{
    struct sgx_sigstruct sig = *untrusted_sig;
    int ret;

    pthread_mutex_lock(&e->lock);
    ret = init_locked(e, &sig);
    pthread_mutex_unlock(&e->lock);
    return ret;
}

/* ---- what the host may do with a built enclave ---- */

int softsgx_protect(struct softsgx_enclave *e, uint64_t address, uint64_t length, int prot)
{
    uint32_t allow = (prot ? EPCM_R : 0) | (prot & PROT_WRITE ? EPCM_W : 0) | (prot & PROT_EXEC ? EPCM_X : 0);
    uint32_t deny = EPCM_RWX & ~allow; /* what is writable or executable is readable: x86 page tables know no less */
    int ret;

    if (!legal_range(e, address - e->base, length) || (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)))
        return -EINVAL;
    pthread_mutex_lock(&e->lock);
    sgx_epcm_update_range(e, address, length, EPCM_DENY_MASK, deny << EPCM_DENY_SHIFT);
    ret = e->secs.attributes.flags & SGX_ATTR_INIT ? sgx_epcm_apply(e, address, length) : apply_later(e, address, length);
    pthread_mutex_unlock(&e->lock);
    return ret;
}

void softsgx_secs(const struct softsgx_enclave *e, struct sgx_secs *out)
{
    *out = e->secs;
}
