/* SPDX-License-Identifier: Apache-2.0
 *
 * A small enclave for the unit tests of the software processor, built through the public interface and run on an
 * invented register file. Nothing is mapped at the linear addresses. */
#ifndef SOFTSGX_FIXTURE_H
#define SOFTSGX_FIXTURE_H

#include "softsgx/enclave.h"
#include "softsgx/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FX_BASE 0x10000000ull
#define FX_SIZE 0x100000ull
#define FX_NSSA 3

/* Pages of the enclave, by offset. */
enum {
    FX_TCS = 0x0000,
    FX_SSA = 0x1000,       /* FX_NSSA frames of one page */
    FX_TLS = 0x4000,
    FX_DATA = 0x5000,      /* RW */
    FX_CODE = 0x6000,      /* RX */
    FX_RO = 0x7000,        /* R */
    FX_TCS2 = 0x8000,      /* same frames as the first: only one of the two is ever interrupted */
    FX_NONE = 0x9000,      /* REG without any right */
    FX_HEAP = 0xa000,      /* 4 pages, added without content or measurement */
    FX_HOLE = 0xf000,      /* never added */
    FX_SSA2 = 0x20000,     /* FX_NSSA frames of more than one page */
    FX_END = 0xe000,
};

struct fx_options {
    uint64_t attributes, xfrm;   /* XFRM 0: x87 and SSE */
    uint64_t base;               /* 0: FX_BASE, FX_AT_ZERO: really 0 */
    uint32_t miscselect, ssaframesize /* 0: 1 */;
    uint64_t tcs_flags;
    bool no_init;
    void (*edit_secs)(struct sgx_secs *secs);
    void (*edit_sigstruct)(struct sgx_sigstruct *sig);  /* before it is signed */
};
#define FX_AT_ZERO 1ull

/* ATTRIBUTES most tests use. */
#define FX_ATTR (SGX_ATTR_MODE64BIT | SGX_ATTR_DEBUG)

struct fx {
    struct softsgx_enclave *enclave;
    struct sgx_cpu cpu;
    struct sgx_fault fault;
    uint8_t xsave[4096] __attribute__((aligned(64)));
};

void fx_secs(const struct fx_options *options, struct sgx_secs *secs);
void fx_tcs(const struct fx_options *options, struct sgx_tcs *tcs);
/* Enclave and register file; asserts that every step succeeds. */
void fx_open(struct fx *fx, const struct fx_options *options);
void fx_close(struct fx *fx);
/* A test that fails leaves no enclave behind for the next one to trip over. */
int fx_teardown(void **state);
#define fx_test(function) cmocka_unit_test_teardown(function, fx_teardown)
/* Host registers, every one a different value; RBX and RCX are TCS and AEP, ready for EENTER. */
void fx_host(struct fx *fx);
/* The live extended state: every byte of every feature in the machine's XCR0 filled. */
void fx_fill_xsave(struct fx *fx, uint8_t seed);

bool fx_leaf(struct fx *fx, uint32_t leaf);
void fx_must(struct fx *fx, uint32_t leaf);             /* the leaf must succeed */
void fx_enter(struct fx *fx);                           /* fx_host + EENTER */
void fx_enclave_registers(struct fx *fx);               /* every GPR, RIP, RFLAGS, bases: values of the enclave's own */
void fx_interrupt(struct fx *fx);                       /* AEX by an interrupt */

struct sgx_tcs *fx_tcs_of(struct fx *fx);
struct sgx_gprsgx *fx_gpr(struct fx *fx, unsigned frame);
uint8_t *fx_frame(struct fx *fx, unsigned frame);

/* Form, Q1, Q2 and signature with a key made for this run. */
void fx_sign(struct sgx_sigstruct *sig);
void fx_sigstruct(struct softsgx_enclave *enclave, struct sgx_sigstruct *sig); /* unsigned, measurement filled in */

#define FX_AEP 0x555500001230ull
#define FX_RIP 0x555500002340ull
#define FX_OENTRY (FX_CODE + 0x40)

#endif
