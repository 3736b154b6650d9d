/* SPDX-License-Identifier: Apache-2.0
 *
 * EGETKEY: keys derived from the root key and from what the enclave is. */
#include "softsgx/enclave.h"
#include "softsgx/keys.h"

#include <string.h>

#define POLICY_KSS (SGX_KEYPOLICY_NOISVPRODID | SGX_KEYPOLICY_CONFIGID | SGX_KEYPOLICY_ISVFAMILYID | \
                    SGX_KEYPOLICY_ISVEXTPRODID)
#define POLICY_KNOWN (SGX_KEYPOLICY_MRENCLAVE | SGX_KEYPOLICY_MRSIGNER | POLICY_KSS)
/* INIT and DEBUG always go into a key, so that a debug enclave never gets a production enclave's. */
#define REQUIRED_SEALING_MASK (SGX_ATTR_INIT | SGX_ATTR_DEBUG)

static bool legal_request(const struct softsgx_enclave *e, const struct sgx_keyrequest *r)
{
    bool kss = e->secs.attributes.flags & SGX_ATTR_KSS;

    return sgx_all_zero(r->reserved2, sizeof(r->reserved2)) && !r->reserved1 && !(r->keypolicy & ~POLICY_KNOWN) &&
           (kss || (!(r->keypolicy & POLICY_KSS) && !r->configsvn));
}

/* A key of an older platform may be had, one of a newer may not. Software has one version; all zeros is older. */
static bool known_cpusvn(const uint8_t cpusvn[16])
{
    static const uint8_t oldest[16];

    return memcmp(cpusvn, sgx_cpusvn, 16) == 0 || memcmp(cpusvn, oldest, 16) == 0;
}

static int check_versions(const struct softsgx_enclave *e, const struct sgx_keyrequest *r)
{
    if (!known_cpusvn(r->cpusvn))
        return SGX_INVALID_CPUSVN;
    return r->isvsvn > e->secs.isvsvn || r->configsvn > e->secs.configsvn ? SGX_INVALID_ISVSVN : 0;
}

/* What all keys but the report key have in common. */
static void common_dependencies(const struct softsgx_enclave *e, const struct sgx_keyrequest *r,
                                struct sgx_keydependencies *d)
{
    d->isvprodid = e->secs.isvprodid;
    d->isvsvn = r->isvsvn;
    d->attributes.flags = (r->attributemask.flags | REQUIRED_SEALING_MASK) & e->secs.attributes.flags;
    d->attributes.xfrm = r->attributemask.xfrm & e->secs.attributes.xfrm;
    d->attributesmask = r->attributemask;
    d->miscselect = r->miscmask & e->secs.miscselect;
    d->miscmask = ~r->miscmask;
    memcpy(d->mrsigner, e->secs.mrsigner, sizeof(d->mrsigner));
    memcpy(d->cpusvn, r->cpusvn, sizeof(d->cpusvn));
}

static void seal_dependencies(const struct softsgx_enclave *e, const struct sgx_keyrequest *r,
                              struct sgx_keydependencies *d)
{
    common_dependencies(e, r, d);
    d->keypolicy = r->keypolicy;
    memcpy(d->keyid, r->keyid, sizeof(d->keyid));
    if (r->keypolicy & SGX_KEYPOLICY_MRENCLAVE)
        memcpy(d->mrenclave, e->secs.mrenclave, sizeof(d->mrenclave));
    if (!(r->keypolicy & SGX_KEYPOLICY_MRSIGNER))
        memset(d->mrsigner, 0, sizeof(d->mrsigner));
    if (r->keypolicy & SGX_KEYPOLICY_NOISVPRODID)
        d->isvprodid = 0;
    if (r->keypolicy & SGX_KEYPOLICY_CONFIGID) {
        memcpy(d->configid, e->secs.configid, sizeof(d->configid));
        d->configsvn = r->configsvn;
    }
    if (r->keypolicy & SGX_KEYPOLICY_ISVFAMILYID)
        memcpy(d->isvfamilyid, e->isvfamilyid, sizeof(d->isvfamilyid));
    if (r->keypolicy & SGX_KEYPOLICY_ISVEXTPRODID)
        memcpy(d->isvextprodid, e->isvextprodid, sizeof(d->isvextprodid));
}

/* The key that EREPORT used if this enclave was its target. */
static void report_dependencies(const struct softsgx_enclave *e, const struct sgx_keyrequest *r,
                                struct sgx_keydependencies *d)
{
    d->configsvn = e->secs.configsvn;
    d->miscselect = e->secs.miscselect;
    d->attributes = e->secs.attributes;
    memcpy(d->mrenclave, e->secs.mrenclave, sizeof(d->mrenclave));
    memcpy(d->configid, e->secs.configid, sizeof(d->configid));
    memcpy(d->keyid, r->keyid, sizeof(d->keyid));
    memcpy(d->cpusvn, sgx_cpusvn, sizeof(d->cpusvn));
}

static int privileged_dependencies(const struct softsgx_enclave *e, const struct sgx_keyrequest *r,
                                   struct sgx_keydependencies *d)
{
    uint64_t needed = r->keyname == SGX_KEY_EINITTOKEN ? SGX_ATTR_EINITTOKENKEY : SGX_ATTR_PROVISIONKEY;
    int error;

    if (!(e->secs.attributes.flags & needed))
        return SGX_INVALID_ATTRIBUTE;
    error = check_versions(e, r);
    if (error)
        return error;
    common_dependencies(e, r, d);
    if (r->keyname == SGX_KEY_EINITTOKEN) /* provisioning keys are the same for every KEYID */
        memcpy(d->keyid, r->keyid, sizeof(d->keyid));
    return 0;
}

static int dependencies(const struct softsgx_enclave *e, const struct sgx_keyrequest *r,
                        struct sgx_keydependencies *d)
{
    int error;

    d->keyname = r->keyname;
    switch (r->keyname) {
    case SGX_KEY_SEAL:
        error = check_versions(e, r);
        if (!error)
            seal_dependencies(e, r, d);
        return error;
    case SGX_KEY_REPORT:
        report_dependencies(e, r, d);
        return 0;
    case SGX_KEY_EINITTOKEN:
    case SGX_KEY_PROVISION:
    case SGX_KEY_PROVISION_SEAL:
        return privileged_dependencies(e, r, d);
    default:
        return SGX_INVALID_KEYNAME;
    }
}

bool sgx_egetkey(struct sgx_cpu *cpu, struct sgx_fault *fault)
{
    const uint64_t cleared = SGX_FL_CF | SGX_FL_PF | SGX_FL_AF | SGX_FL_ZF | SGX_FL_SF | SGX_FL_OF;
    const struct softsgx_enclave *e = cpu->enclave;
    struct sgx_keydependencies d = { 0 };
    struct sgx_keyrequest request;
    uint8_t key[SGX_KEY_SIZE];
    int error;

    if (!sgx_check_operand(cpu, SGX_RBX, sizeof(request), EPCM_R, fault) ||
        !sgx_check_operand(cpu, SGX_RCX, SGX_KEY_SIZE, EPCM_R | EPCM_W, fault))
        return false;
    if (!sgx_epc_read(e, cpu->gpr[SGX_RBX], &request, sizeof(request)) || !legal_request(e, &request))
        return sgx_raise_gp(fault);

    error = dependencies(e, &request, &d);
    if (!error) {
        sgx_derive_key(&d, key);
        if (!sgx_epc_write(e, cpu->gpr[SGX_RCX], key, sizeof(key)))
            return sgx_raise_gp(fault);
    }
    cpu->gpr[SGX_RAX] = (uint64_t)error;
    cpu->rflags = (cpu->rflags & ~cleared) | (error ? SGX_FL_ZF : 0);
    cpu->rip += SGX_ENCLU_LENGTH;
    return true;
}
