/* SPDX-License-Identifier: Apache-2.0
 *
 * The privileged leaves of dynamic memory: EAUG, EMODPR, EMODT, EREMOVE (ETRACK: track.c). What a kernel executes; here
 * driver.c does, in place of Linux. Checks in the order of the SDM. */
#include "softsgx/enclave.h"

#include <errno.h>
#include <sys/mman.h>

#define NOT_MODIFIABLE (EPCM_PENDING | EPCM_MODIFIED)

static bool initialised(const struct softsgx_enclave *e)
{
    return __atomic_load_n(&e->secs.attributes.flags, __ATOMIC_ACQUIRE) & SGX_ATTR_INIT;
}

static bool names_a_page(const struct softsgx_enclave *e, uint64_t address)
{
    return address % SGX_PAGE_SIZE == 0 && sgx_in_elrange(e, address);
}

/* Takes a VALID page for a leaf: 0, or what the leaf ends with. */
static int take(struct softsgx_enclave *e, uint64_t address, uint32_t *entry)
{
    if (!(sgx_epcm_get(e, address) & EPCM_VALID))
        return -EFAULT;
    if (!sgx_epcm_take(e, address, entry))
        return SGX_EPC_PAGE_CONFLICT;
    return 0;
}

/* The entry as it was, and the leaf's result. */
static int refuse(struct softsgx_enclave *e, uint64_t address, uint32_t entry, int result)
{
    sgx_epcm_give(e, address, entry);
    return result;
}

int sgx_eaug(struct softsgx_enclave *e, uint64_t address)
{
    uint32_t entry;

    if (!names_a_page(e, address) || !initialised(e))
        return -EINVAL;
    if (!sgx_epcm_take(e, address, &entry))
        return SGX_EPC_PAGE_CONFLICT;
    if (entry & EPCM_VALID)
        return refuse(e, address, entry, -EFAULT);
    if (!sgx_epc_take_pages(1))
        return refuse(e, address, entry, -ENOMEM);
    /* Inaccessible until it is accepted: the linear mapping does not change. EREMOVE has left its content zero. */
    return sgx_epcm_give(e, address, (uint32_t)SGX_SECINFO_REG | EPCM_R | EPCM_W | EPCM_PENDING | EPCM_VALID);
}

int sgx_emodpr(struct softsgx_enclave *e, uint64_t address, const struct sgx_secinfo *secinfo)
{
    uint32_t keep = (uint32_t)secinfo->flags & EPCM_RWX, entry;
    int ret;

    if ((secinfo->flags & ~SGX_SECINFO_KNOWN) || !sgx_all_zero(secinfo->reserved, sizeof(secinfo->reserved)) ||
        ((keep & EPCM_W) && !(keep & EPCM_R)) || !names_a_page(e, address) || !initialised(e))
        return -EINVAL;
    ret = take(e, address, &entry);
    if (ret)
        return ret;
    if (entry & NOT_MODIFIABLE)
        return refuse(e, address, entry, SGX_PAGE_NOT_MODIFIABLE);
    if (EPCM_PT(entry) != SGX_PT_REG)
        return refuse(e, address, entry, -EFAULT);
    sgx_track_stamp(e, address);
    return sgx_epcm_give(e, address, (entry & ~(EPCM_RWX & ~keep)) | EPCM_PR);
}

int sgx_emodt(struct softsgx_enclave *e, uint64_t address, const struct sgx_secinfo *secinfo)
{
    uint32_t type = EPCM_PT(secinfo->flags), entry;
    int ret;

    if ((secinfo->flags & ~SGX_SECINFO_KNOWN) || !sgx_all_zero(secinfo->reserved, sizeof(secinfo->reserved)) ||
        (type != SGX_PT_TCS && type != SGX_PT_TRIM) || !names_a_page(e, address) || !initialised(e))
        return -EINVAL;
    ret = take(e, address, &entry);
    if (ret)
        return ret;
    if (EPCM_PT(entry) != SGX_PT_REG && !(EPCM_PT(entry) == SGX_PT_TCS && type == SGX_PT_TRIM))
        return refuse(e, address, entry, -EFAULT);
    if (entry & NOT_MODIFIABLE)
        return refuse(e, address, entry, SGX_PAGE_NOT_MODIFIABLE);
    if (type == SGX_PT_TCS && sgx_private_share(e, address))
        return refuse(e, address, entry, -ENOMEM);
    sgx_track_stamp(e, address);
    entry &= ~((uint32_t)SGX_SECINFO_PT_MASK | EPCM_RWX | EPCM_PR);
    return sgx_epcm_give(e, address, entry | EPCM_MODIFIED | type << SGX_SECINFO_PT_SHIFT);
}

/* Of a page that is not VALID it does nothing, successfully. */
int sgx_eremove(struct softsgx_enclave *e, uint64_t address)
{
    uint32_t entry;

    if (!names_a_page(e, address))
        return -EINVAL;
    if (!sgx_epcm_take(e, address, &entry))
        return SGX_EPC_PAGE_CONFLICT;
    if (!(entry & EPCM_VALID))
        return refuse(e, address, entry, 0);
    /* A trimmed page that the enclave has accepted is nobody's any more. */
    if (!(EPCM_PT(entry) == SGX_PT_TRIM && !(entry & EPCM_MODIFIED)) && sgx_track_inside(e))
        return refuse(e, address, entry, SGX_ENCLAVE_ACT);
    sgx_epc_clear(e, address);
    sgx_epc_give_pages(1);
    return sgx_epcm_give(e, address, 0);
}
