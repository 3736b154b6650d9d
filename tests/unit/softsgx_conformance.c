/* SPDX-License-Identifier: Apache-2.0
 *
 * Common parts of the conformance tables, and the program. */
#include "softsgx_conformance.h"

#include <stdio.h>
#include <stdlib.h>

unsigned conformance_rows;

const struct fx_options kinds[KIND_COUNT] = {
    [KIND_PLAIN] = { .attributes = FX_ATTR },
    [KIND_NOTIFY] = { .attributes = FX_ATTR | SGX_ATTR_AEXNOTIFY, .tcs_flags = SGX_TCS_AEXNOTIFY },
    [KIND_LARGE] = { .attributes = FX_ATTR, .ssaframesize = 3 },
    [KIND_NOTIFY_LARGE] = { .attributes = FX_ATTR | SGX_ATTR_AEXNOTIFY, .tcs_flags = SGX_TCS_AEXNOTIFY,
                            .ssaframesize = 3 },
    [KIND_KSS] = { .attributes = FX_ATTR | SGX_ATTR_KSS },
    [KIND_EXINFO] = { .attributes = FX_ATTR, .miscselect = SGX_MISC_EXINFO },
    [KIND_XFRM] = { .attributes = FX_ATTR, .xfrm = SGX_XFRM_LEGACY | SGX_XFRM_AVX },
};

void conformance_row(const char *name)
{
    conformance_rows++;
    if (getenv("CONFORMANCE_VERBOSE"))
        printf("row %u: %s\n", conformance_rows, name);
}

struct machine *machine_capture(const struct fx *fx)
{
    struct machine *m = malloc(sizeof(*m));

    assert_non_null(m);
    m->cpu = fx->cpu;
    memcpy(m->xsave, fx->xsave, sizeof(m->xsave));
    memcpy(m->epc, sgx_enclave_alias(fx->enclave), FX_SIZE);
    memcpy(m->epcm, fx->enclave->epcm, sizeof(m->epcm));
    return m;
}

static void expect_bytes(const char *row, const char *what, const void *have, const void *want, size_t length)
{
    const uint8_t *h = have, *w = want;

    for (size_t i = 0; i < length; i++)
        if (h[i] != w[i])
            fail_msg("%s: %s, byte 0x%zx: is 0x%02x, should be 0x%02x", row, what, i, h[i], w[i]);
}

#define EXPECT(row, have, want, field) \
    do { \
        if ((have).field != (want).field) \
            fail_msg("%s: " #field " is 0x%llx, should be 0x%llx", row, (unsigned long long)(have).field, \
                     (unsigned long long)(want).field); \
    } while (0)

void machine_expect(const struct fx *fx, const struct machine *want, const char *row)
{
    const struct sgx_cpu *have = &fx->cpu;

    for (int i = 0; i < SGX_GPR_COUNT; i++)
        if (have->gpr[i] != want->cpu.gpr[i])
            fail_msg("%s: GPR %d is 0x%llx, should be 0x%llx", row, i, (unsigned long long)have->gpr[i],
                     (unsigned long long)want->cpu.gpr[i]);
    EXPECT(row, *have, want->cpu, rip);
    EXPECT(row, *have, want->cpu, rflags);
    EXPECT(row, *have, want->cpu, fsbase);
    EXPECT(row, *have, want->cpu, gsbase);
    EXPECT(row, *have, want->cpu, xcr0);
    EXPECT(row, *have, want->cpu, enclave_mode);
    EXPECT(row, *have, want->cpu, tcs);
    assert_ptr_equal(have->enclave, want->cpu.enclave);
    EXPECT(row, *have, want->cpu, pending_db);
    EXPECT(row, *have, want->cpu, notified);
    EXPECT(row, *have, want->cpu, cr2);
    if (have->enclave_mode) {
        EXPECT(row, *have, want->cpu, saved_fsbase);
        EXPECT(row, *have, want->cpu, saved_gsbase);
        EXPECT(row, *have, want->cpu, saved_xcr0);
        EXPECT(row, *have, want->cpu, dbgoptin);
        EXPECT(row, *have, want->cpu, saved_tf);
    }
    expect_bytes(row, "extended state", fx->xsave, want->xsave, sizeof(want->xsave));
    expect_bytes(row, "EPC", sgx_enclave_alias(fx->enclave), want->epc, FX_SIZE);
    expect_bytes(row, "EPCM", fx->enclave->epcm, want->epcm, sizeof(want->epcm));
}

static void prepare_operands(struct fx *fx)
{
    struct sgx_keyrequest request = { .keyname = SGX_KEY_SEAL, .keypolicy = SGX_KEYPOLICY_MRENCLAVE };

    memcpy(request.cpusvn, sgx_cpusvn, 16);
    memcpy(sgx_enclave_alias(fx->enclave) + OP_KEYREQUEST, &request, sizeof(request));
    fx->cpu.gpr[SGX_RBX] = FX_BASE + OP_RBX;
    fx->cpu.gpr[SGX_RCX] = FX_BASE + OP_RCX;
    fx->cpu.gpr[SGX_RDX] = FX_BASE + OP_RDX;
}

void bring_to(struct fx *fx, int kind, enum situation situation)
{
    fx_open(fx, &kinds[kind]);
    if (situation == OUTSIDE)
        return;
    fx_enter(fx);
    fx_enclave_registers(fx);
    if (situation == INSIDE) {
        prepare_operands(fx);
        return;
    }
    if (situation == NOTIFY)
        fx_gpr(fx, 0)->aexnotify = SGX_AEXNOTIFY_ON;
    fx_interrupt(fx);
    if (situation == INSIDE_1) {
        fx_must(fx, SGX_EENTER);
        fx_enclave_registers(fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fx_test(test_dispatch),   fx_test(test_eenter),         fx_test(test_eresume),
        fx_test(test_eexit_edeccssa), fx_test(test_ereport),    fx_test(test_egetkey),
        fx_test(test_effects),    fx_test(test_aex_events),     fx_test(test_aex_flags),
        fx_test(test_aex_xstate), fx_test(test_ecreate),        fx_test(test_eadd),
        fx_test(test_einit),      fx_test(test_pf_error_code),  fx_test(test_debugger),
        fx_test(test_edmm_eaccept), fx_test(test_edmm_emodpe),  fx_test(test_edmm_eacceptcopy),
        fx_test(test_edmm_encls), fx_test(test_edmm_tracking),  fx_test(test_edmm_conflicts),
        fx_test(test_edmm_ioctls), fx_test(test_edmm_faults),   fx_test(test_edmm_flows),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    printf("conformance: %u rows, of them %u of dynamic memory\n", conformance_rows, conformance_edmm_rows);
    return failed;
}
