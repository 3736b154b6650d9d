/* SPDX-License-Identifier: Apache-2.0
 *
 * The conformance tables: each row breaks one precondition of one leaf (or describes one event) and says what the
 * processor must do. A row is data. */
#ifndef SOFTSGX_CONFORMANCE_H
#define SOFTSGX_CONFORMANCE_H

#include "softsgx_fixture.h"

/* Everything software can observe, to say "and nothing else changed". */
struct machine {
    struct sgx_cpu cpu;
    uint8_t xsave[4096];
    uint8_t epc[FX_SIZE];
    uint32_t epcm[FX_SIZE / SGX_PAGE_SIZE];
};
struct machine *machine_capture(const struct fx *fx);
/* Fails the test, naming the row and the first difference, unless the machine looks like this now. */
void machine_expect(const struct fx *fx, const struct machine *want, const char *row);

/* In what situation the leaf is executed. */
enum situation {
    OUTSIDE,      /* host registers, RBX = TCS, RCX = AEP, CSSA = 0 */
    INTERRUPTED,  /* after an AEX from CSSA 0: the synthetic state, CSSA = 1 */
    NOTIFY,       /* the same, and the enclave had set AEXNOTIFY */
    INSIDE,       /* in the enclave, CSSA = 0, operands of EREPORT and EGETKEY prepared */
    INSIDE_1,     /* in the enclave, CSSA = 1: entered again after an AEX */
};
enum { KIND_PLAIN, KIND_NOTIFY, KIND_LARGE, KIND_NOTIFY_LARGE, KIND_KSS, KIND_XFRM, KIND_EXINFO, KIND_COUNT };
extern const struct fx_options kinds[KIND_COUNT];

/* The operands of EREPORT (RBX TARGETINFO, RCX REPORTDATA, RDX output); EGETKEY has its RBX on a page of its own. */
enum { OP_RBX = FX_HEAP, OP_RCX = FX_HEAP + 0x1000, OP_RDX = FX_HEAP + 0x2000, OP_KEYREQUEST = FX_HEAP + 0x3000 };

void bring_to(struct fx *fx, int kind, enum situation situation);

extern unsigned conformance_rows;
/* Counts the row and names it, so that a failure inside helpers can be placed. */
void conformance_row(const char *name);

void test_dispatch(void **state);
void test_eenter(void **state);
void test_eresume(void **state);
void test_eexit_edeccssa(void **state);
void test_ereport(void **state);
void test_egetkey(void **state);
void test_effects(void **state);
void test_aex_events(void **state);
void test_aex_flags(void **state);
void test_aex_xstate(void **state);
void test_ecreate(void **state);
void test_eadd(void **state);
void test_einit(void **state);
void test_pf_error_code(void **state);
void test_debugger(void **state);


/* softsgx_conformance_edmm.c, softsgx_conformance_driver.c: dynamic memory. */
extern unsigned conformance_edmm_rows;
void test_edmm_eaccept(void **state);
void test_edmm_emodpe(void **state);
void test_edmm_eacceptcopy(void **state);
void test_edmm_encls(void **state);
void test_edmm_tracking(void **state);
void test_edmm_conflicts(void **state);
void test_edmm_ioctls(void **state);
void test_edmm_faults(void **state);
void test_edmm_flows(void **state);

#endif
