/* SPDX-License-Identifier: Apache-2.0
 *
 * The enclave's side of dynamic memory: EACCEPT, EACCEPTCOPY, EMODPE. They make a page what it says it is only if that is
 * what the enclave expects. */
#include "softsgx/enclave.h"

#define RESULT_FLAGS (SGX_FL_CF | SGX_FL_PF | SGX_FL_AF | SGX_FL_ZF | SGX_FL_SF | SGX_FL_OF)
#define COMPARED (EPCM_RWX | EPCM_PENDING | EPCM_MODIFIED | (uint32_t)SGX_SECINFO_PT_MASK)

static bool finish(struct sgx_cpu *cpu, int error)
{
    cpu->gpr[SGX_RAX] = (uint64_t)error;
    cpu->rflags = (cpu->rflags & ~RESULT_FLAGS) | (error ? SGX_FL_ZF : 0);
    cpu->rip += SGX_ENCLU_LENGTH;
    return true;
}

/* The SECINFO at RBX, from a readable page of the enclave's own. */
static bool read_secinfo(const struct sgx_cpu *cpu, struct sgx_secinfo *secinfo, struct sgx_fault *fault)
{
    if (!sgx_check_operand(cpu, SGX_RBX, sizeof(*secinfo), EPCM_R, fault))
        return false;
    if (!sgx_epc_read(cpu->enclave, cpu->gpr[SGX_RBX], secinfo, sizeof(*secinfo)))
        return sgx_raise_gp(fault);
    if ((secinfo->flags & ~SGX_SECINFO_KNOWN) || !sgx_all_zero(secinfo->reserved, sizeof(secinfo->reserved)))
        return sgx_raise_gp(fault);
    return true;
}

static bool target_fault(const struct sgx_cpu *cpu, int reg, struct sgx_fault *fault)
{
    return sgx_raise(fault, SGX_VEC_PF, SGX_PFEC_P | SGX_PFEC_U | SGX_PFEC_SGX, cpu->gpr[reg]);
}

/* The target's page for this leaf alone. It may have changed since it was checked. */
static bool take_target(const struct sgx_cpu *cpu, uint32_t *entry, struct sgx_fault *fault)
{
    if (!sgx_check_target(cpu, SGX_RCX, fault))
        return false;
    if (!sgx_epcm_take(cpu->enclave, cpu->gpr[SGX_RCX], entry))
        return sgx_raise_gp(fault);
    if (!(*entry & EPCM_VALID) || (*entry & EPCM_BLOCKED)) {
        sgx_epcm_give(cpu->enclave, cpu->gpr[SGX_RCX], *entry);
        return target_fault(cpu, SGX_RCX, fault);
    }
    return true;
}

/* Gives the page back with its new entry. A mapping that cannot be made is a #PF: the host is out of something. */
static bool commit(struct sgx_cpu *cpu, uint32_t entry, struct sgx_fault *fault)
{
    if (sgx_epcm_give(cpu->enclave, cpu->gpr[SGX_RCX], entry))
        return target_fault(cpu, SGX_RCX, fault);
    return finish(cpu, 0);
}

static bool refuse(struct sgx_cpu *cpu, uint32_t entry, int error)
{
    sgx_epcm_give(cpu->enclave, cpu->gpr[SGX_RCX], entry);
    return finish(cpu, error);
}

static bool legal_accept(uint64_t flags)
{
    uint64_t type = EPCM_PT(flags), changed = flags & (SGX_SECINFO_PR | SGX_SECINFO_PENDING);

    if (type == SGX_PT_REG)
        return changed && !(flags & SGX_SECINFO_MODIFIED);
    return (type == SGX_PT_TCS || type == SGX_PT_TRIM) && !changed && (flags & SGX_SECINFO_MODIFIED);
}

/* What EADD would have demanded, and that nobody is in it. FLAGS may have AEXNOTIFY. */
static bool legal_tcs(const struct sgx_tcs *tcs)
{
    return !tcs->ocetssa && !tcs->prevssp && sgx_all_zero(tcs->reserved, sizeof(tcs->reserved)) &&
           !(tcs->flags & ~SGX_TCS_AEXNOTIFY) && tcs->cssa < tcs->nssa && !tcs->aep && tcs->state == SGX_TCS_INACTIVE;
}

bool sgx_eaccept(struct sgx_cpu *cpu, struct sgx_fault *fault)
{
    const struct softsgx_enclave *e = cpu->enclave;
    uint64_t address = cpu->gpr[SGX_RCX];
    struct sgx_secinfo secinfo;
    uint32_t entry, type;

    if (!read_secinfo(cpu, &secinfo, fault))
        return false;
    if (!legal_accept(secinfo.flags))
        return sgx_raise_gp(fault);
    if (!take_target(cpu, &entry, fault))
        return false;
    type = EPCM_PT(entry);
    if (type != SGX_PT_REG && type != SGX_PT_TCS && type != SGX_PT_TRIM) {
        sgx_epcm_give(cpu->enclave, address, entry);
        return target_fault(cpu, SGX_RCX, fault);
    }
    if ((entry ^ (uint32_t)secinfo.flags) & COMPARED)
        return refuse(cpu, entry, SGX_PAGE_ATTRIBUTES_MISMATCH);
    if (!(entry & EPCM_PENDING) && (entry & (EPCM_MODIFIED | EPCM_PR)) && !sgx_track_complete(e, address))
        return refuse(cpu, entry, SGX_NOT_TRACKED);
    if (type == SGX_PT_TCS && !legal_tcs((const struct sgx_tcs *)sgx_epc(e, address))) {
        sgx_epcm_give(cpu->enclave, address, entry);
        return sgx_raise_gp(fault);
    }
    return commit(cpu, entry & ~(EPCM_PENDING | EPCM_MODIFIED | EPCM_PR), fault);
}

bool sgx_emodpe(struct sgx_cpu *cpu, struct sgx_fault *fault)
{
    struct sgx_secinfo secinfo;
    uint32_t entry, add;

    if (!read_secinfo(cpu, &secinfo, fault) || !take_target(cpu, &entry, fault))
        return false;
    if ((entry & (EPCM_PENDING | EPCM_MODIFIED)) || EPCM_PT(entry) != SGX_PT_REG) {
        sgx_epcm_give(cpu->enclave, cpu->gpr[SGX_RCX], entry);
        return target_fault(cpu, SGX_RCX, fault);
    }
    add = (uint32_t)secinfo.flags & EPCM_RWX;
    if ((add & EPCM_W) && !((entry | add) & EPCM_R)) {
        sgx_epcm_give(cpu->enclave, cpu->gpr[SGX_RCX], entry);
        return sgx_raise_gp(fault);
    }
    if (sgx_epcm_give(cpu->enclave, cpu->gpr[SGX_RCX], entry | add))
        return target_fault(cpu, SGX_RCX, fault);
    cpu->rip += SGX_ENCLU_LENGTH; /* no error code, no flags */
    return true;
}

bool sgx_eacceptcopy(struct sgx_cpu *cpu, struct sgx_fault *fault)
{
    const uint32_t fresh = EPCM_R | EPCM_W | EPCM_PENDING | (uint32_t)SGX_SECINFO_REG;
    struct softsgx_enclave *e = cpu->enclave;
    uint8_t page[SGX_PAGE_SIZE];
    struct sgx_secinfo secinfo;
    uint32_t entry, rights;

    if (cpu->gpr[SGX_RCX] % SGX_PAGE_SIZE || cpu->gpr[SGX_RDX] % SGX_PAGE_SIZE)
        return sgx_raise_gp(fault);
    if (!read_secinfo(cpu, &secinfo, fault))
        return false;
    rights = (uint32_t)secinfo.flags & EPCM_RWX;
    if ((secinfo.flags & ~(uint64_t)EPCM_RWX) != SGX_SECINFO_REG || ((rights & EPCM_W) && !(rights & EPCM_R)))
        return sgx_raise_gp(fault);
    if (!sgx_check_operand(cpu, SGX_RDX, SGX_PAGE_SIZE, EPCM_R, fault) || !take_target(cpu, &entry, fault))
        return false;
    if ((entry & COMPARED) != fresh)
        return refuse(cpu, entry, SGX_PAGE_ATTRIBUTES_MISMATCH);
    if (!sgx_epc_read(e, cpu->gpr[SGX_RDX], page, sizeof(page)) || !sgx_epc_write(e, cpu->gpr[SGX_RCX], page, sizeof(page))) {
        sgx_epcm_give(e, cpu->gpr[SGX_RCX], entry);
        return sgx_raise_gp(fault);
    }
    return commit(cpu, (entry & ~(EPCM_RWX | EPCM_PENDING)) | rights, fault);
}
