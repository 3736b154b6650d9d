/* SPDX-License-Identifier: Apache-2.0
 *
 * What a kernel does with the privileged leaves: the ioctls of Linux's SGX driver, its page faults, its EPC. */
#include "softsgx/enclave.h"

#include <asm/sgx.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

/* ---- the EPC: pages in use by all enclaves ---- */

static uint64_t epc_limit, epc_used; /* pages; limit 0: none */

void softsgx_set_epc_limit(uint64_t bytes)
{
    __atomic_store_n(&epc_limit, bytes / SGX_PAGE_SIZE, __ATOMIC_RELAXED);
}

bool sgx_epc_take_pages(uint64_t pages)
{
    uint64_t used = __atomic_add_fetch(&epc_used, pages, __ATOMIC_RELAXED);
    uint64_t limit = __atomic_load_n(&epc_limit, __ATOMIC_RELAXED);

    if (!limit || used <= limit)
        return true;
    sgx_epc_give_pages(pages);
    return false;
}

void sgx_epc_give_pages(uint64_t pages)
{
    __atomic_sub_fetch(&epc_used, pages, __ATOMIC_RELAXED);
}

void softsgx_get_epc(const struct softsgx_enclave *e, struct softsgx_epc *out)
{
    *out = (struct softsgx_epc){
        .valid = __atomic_load_n(&e->valid, __ATOMIC_RELAXED),
        .pending = __atomic_load_n(&e->pending, __ATOMIC_RELAXED),
        .trimmed = __atomic_load_n(&e->trimmed, __ATOMIC_RELAXED),
        .added = __atomic_load_n(&e->added, __ATOMIC_RELAXED),
        .removed = __atomic_load_n(&e->removed, __ATOMIC_RELAXED),
    };
}

static uint64_t read_lowest_mappable(void)
{
    unsigned long value = 65536;
    FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "re");

    if (f && fscanf(f, "%lu", &value) != 1)
        value = 65536;
    if (f)
        fclose(f);
    return (value + SGX_PAGE_SIZE - 1) & -(uint64_t)SGX_PAGE_SIZE;
}

uint64_t sgx_lowest_mappable(void)
{
    static uint64_t lowest_plus_one;
    uint64_t value = __atomic_load_n(&lowest_plus_one, __ATOMIC_RELAXED);

    if (!value) {
        value = read_lowest_mappable() + 1;
        __atomic_store_n(&lowest_plus_one, value, __ATOMIC_RELAXED);
    }
    return value - 1;
}

/* ---- page faults ---- */

static bool augmentable(const struct softsgx_enclave *e, uint64_t page)
{
    return (__atomic_load_n(&e->secs.attributes.flags, __ATOMIC_ACQUIRE) & SGX_ATTR_INIT) && sgx_in_elrange(e, page) &&
           (!e->mapped || page >= sgx_lowest_mappable()) && !(sgx_epcm_get(e, page) & EPCM_VALID);
}

bool sgx_augment_fault(struct softsgx_enclave *e, uint64_t address, uint32_t error_code, bool *no_memory)
{
    uint64_t page = address & -(uint64_t)SGX_PAGE_SIZE;
    uint32_t access = error_code & SGX_PFEC_I ? EPCM_X : error_code & SGX_PFEC_W ? EPCM_W : EPCM_R;
    int ret;

    *no_memory = false;
    if (!sgx_in_elrange(e, page) || !(sgx_page_table(sgx_epcm_get(e, page)) & access) || !augmentable(e, page))
        return false;
    ret = sgx_eaug(e, page);
    *no_memory = ret == -ENOMEM;
    return ret != -ENOMEM; /* conflict, or VALID by now: another thread was faster */
}

int softsgx_augment(struct softsgx_enclave *e, uint64_t address, uint64_t length)
{
    if (address % SGX_PAGE_SIZE || length % SGX_PAGE_SIZE || address - e->base >= e->size ||
        length > e->size - (address - e->base))
        return -EINVAL;
    for (uint64_t at = address; at < address + length; at += SGX_PAGE_SIZE)
        if (augmentable(e, at) && sgx_page_table(sgx_epcm_get(e, at)) && sgx_eaug(e, at) == -ENOMEM)
            return -ENOMEM;
    return 0;
}

/* ---- the ioctls ---- */

static bool legal_range(const struct softsgx_enclave *e, uint64_t offset, uint64_t length)
{
    return length && !(offset % SGX_PAGE_SIZE) && !(length % SGX_PAGE_SIZE) && offset < e->size &&
           length <= e->size - offset && (e->secs.attributes.flags & SGX_ATTR_INIT);
}

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
}

/* Interrupts every thread that is inside and waits until those of the epoch before the current are out. */
static void drain(struct softsgx_enclave *e)
{
    const struct sgx_mapping_ops *ops = sgx_mapping();
    uint32_t before = __atomic_load_n(&e->epoch, __ATOMIC_SEQ_CST) - 1;

    for (unsigned tries = 0; __atomic_load_n(&e->inside[before & 1], __ATOMIC_SEQ_CST); tries++) {
        if (!e->mapped || !ops || !ops->interrupt)
            return; /* nobody to interrupt them: EACCEPT will say NOT_TRACKED */
        if (tries % 64 == 0) /* again and again, should the signal queue have been full */
            ops->interrupt(e);
        pause_a_little();
    }
}

static int flush(struct softsgx_enclave *e)
{
    if (sgx_etrack(e)) { /* another flush has begun, or one was never finished */
        drain(e);
        if (sgx_etrack(e))
            return -EFAULT;
    }
    drain(e);
    return 0;
}

/* One page's result: 0, or the ioctl's, with the SGX error code in *result. */
static int page_result(int ret, uint64_t *result)
{
    if (ret <= 0)
        return ret == -EINVAL ? -EFAULT : ret;
    *result = (uint64_t)ret;
    return -EFAULT;
}

static int change(struct softsgx_enclave *e, uint64_t offset, uint64_t length, const struct sgx_secinfo *secinfo,
                  int (*leaf)(struct softsgx_enclave *, uint64_t, const struct sgx_secinfo *), __u64 *untrusted_result,
                  __u64 *untrusted_count)
{
    uint64_t done = 0, result = 0;
    int ret = 0, flushed;

    pthread_mutex_lock(&e->lock);
    while (done < length && !ret) {
        ret = page_result(leaf(e, e->base + offset + done, secinfo), &result);
        if (!ret)
            done += SGX_PAGE_SIZE;
    }
    flushed = done ? flush(e) : 0;
    pthread_mutex_unlock(&e->lock);
    *untrusted_result = result;
    *untrusted_count = done;
    return ret ? ret : flushed;
}

int softsgx_restrict_permissions(struct softsgx_enclave *e, struct sgx_enclave_restrict_permissions *untrusted)
{
    struct sgx_enclave_restrict_permissions p = *untrusted;
    struct sgx_secinfo secinfo = { .flags = p.permissions };

    if (!legal_range(e, p.offset, p.length) || (p.permissions & ~(uint64_t)EPCM_RWX) ||
        ((p.permissions & EPCM_W) && !(p.permissions & EPCM_R)) || p.result || p.count)
        return -EINVAL;
    return change(e, p.offset, p.length, &secinfo, sgx_emodpr, &untrusted->result, &untrusted->count);
}

int softsgx_modify_types(struct softsgx_enclave *e, struct sgx_enclave_modify_types *untrusted)
{
    struct sgx_enclave_modify_types p = *untrusted;
    struct sgx_secinfo secinfo = { .flags = p.page_type << SGX_SECINFO_PT_SHIFT };

    if (!legal_range(e, p.offset, p.length) || (p.page_type != SGX_PT_TCS && p.page_type != SGX_PT_TRIM) || p.result ||
        p.count)
        return -EINVAL;
    return change(e, p.offset, p.length, &secinfo, sgx_emodt, &untrusted->result, &untrusted->count);
}

/* Trimmed, and accepted by the enclave? */
static int remove_page(struct softsgx_enclave *e, uint64_t address)
{
    uint32_t entry = sgx_epcm_get(e, address);

    if (!(entry & EPCM_VALID))
        return -EFAULT;
    if (EPCM_PT(entry) != SGX_PT_TRIM || (entry & EPCM_MODIFIED))
        return -EPERM;
    return sgx_eremove(e, address) ? -EBUSY : 0;
}

int softsgx_remove_pages(struct softsgx_enclave *e, struct sgx_enclave_remove_pages *untrusted)
{
    struct sgx_enclave_remove_pages p = *untrusted;
    uint64_t done = 0;
    int ret = 0;

    if (!legal_range(e, p.offset, p.length) || p.count)
        return -EINVAL;
    pthread_mutex_lock(&e->lock);
    while (done < p.length && !ret) {
        ret = remove_page(e, e->base + p.offset + done);
        if (!ret)
            done += SGX_PAGE_SIZE;
    }
    pthread_mutex_unlock(&e->lock);
    untrusted->count = done;
    return ret;
}
