/* SPDX-License-Identifier: Apache-2.0
 *
 * EREPORT: a report about the running enclave that only the target enclave (and this processor) can verify. */
#include "softsgx/enclave.h"
#include "softsgx/keys.h"

#include <string.h>

static bool reserved_clear(const struct sgx_targetinfo *target)
{
    return !target->cet_attributes && !target->reserved1 &&
           sgx_all_zero(target->reserved2, sizeof(target->reserved2)) &&
           sgx_all_zero(target->reserved3, sizeof(target->reserved3));
}

static void describe(const struct softsgx_enclave *e, struct sgx_report *report)
{
    const struct sgx_secs *secs = &e->secs;

    memcpy(report->cpusvn, sgx_cpusvn, sizeof(report->cpusvn));
    report->miscselect = secs->miscselect;
    memcpy(report->isvextprodid, e->isvextprodid, sizeof(report->isvextprodid));
    report->attributes = secs->attributes;
    memcpy(report->mrenclave, secs->mrenclave, sizeof(report->mrenclave));
    memcpy(report->mrsigner, secs->mrsigner, sizeof(report->mrsigner));
    memcpy(report->configid, secs->configid, sizeof(report->configid));
    report->isvprodid = secs->isvprodid;
    report->isvsvn = secs->isvsvn;
    report->configsvn = secs->configsvn;
    memcpy(report->isvfamilyid, e->isvfamilyid, sizeof(report->isvfamilyid));
    memcpy(report->keyid, sgx_report_keyid(), sizeof(report->keyid));
}

static void authenticate(struct sgx_report *report, const struct sgx_targetinfo *target)
{
    struct sgx_keydependencies dependencies = {
        .keyname = SGX_KEY_REPORT,
        .configsvn = target->configsvn,
        .miscselect = target->miscselect,
        .attributes = target->attributes,
    };
    uint8_t key[SGX_KEY_SIZE];

    memcpy(dependencies.mrenclave, target->measurement, sizeof(dependencies.mrenclave));
    memcpy(dependencies.configid, target->configid, sizeof(dependencies.configid));
    memcpy(dependencies.keyid, report->keyid, sizeof(dependencies.keyid));
    memcpy(dependencies.cpusvn, sgx_cpusvn, sizeof(dependencies.cpusvn));
    sgx_derive_key(&dependencies, key);
    sgx_aes128_cmac(key, report, offsetof(struct sgx_report, keyid), report->mac);
}

bool sgx_ereport(struct sgx_cpu *cpu, struct sgx_fault *fault)
{
    const struct softsgx_enclave *e = cpu->enclave;
    struct sgx_targetinfo target;
    struct sgx_report report = { 0 };

    if (!sgx_check_operand(cpu, SGX_RBX, sizeof(target), EPCM_R, fault))
        return false;
    if (!sgx_epc_read(e, cpu->gpr[SGX_RBX], &target, sizeof(target)) || !reserved_clear(&target))
        return sgx_raise_gp(fault);
    if (!sgx_check_operand(cpu, SGX_RCX, 128, EPCM_R, fault) ||
        !sgx_check_operand(cpu, SGX_RDX, 512, EPCM_R | EPCM_W, fault))
        return false;
    describe(e, &report);
    if (!sgx_epc_read(e, cpu->gpr[SGX_RCX], report.reportdata, sizeof(report.reportdata)))
        return sgx_raise_gp(fault);
    authenticate(&report, &target);
    if (!sgx_epc_write(e, cpu->gpr[SGX_RDX], &report, sizeof(report)))
        return sgx_raise_gp(fault);
    cpu->rip += SGX_ENCLU_LENGTH;
    return true;
}
