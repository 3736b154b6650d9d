/* SPDX-License-Identifier: Apache-2.0
 *
 * AEX: every vector with and without EXINFO, flags, extended state. The expected machine is computed here, from the
 * rows, and compared in full: registers, live extended state, EPC, EPCM. */
#include "softsgx_conformance.h"

#include <cpuid.h>
#include <stdlib.h>

struct event_row {
    const char *name;
    struct sgx_event event;
    uint32_t exitinfo_plain, exitinfo;  /* without and with MISCSELECT.EXINFO */
    bool writes_exinfo;
    uint64_t maddr;
    bool sets_rf;
    uint16_t fcw, fsw;
    uint32_t mxcsr;
    uint64_t cr2;
};

#define HW(vector) (1u << 31 | 3u << 8 | (vector))
#define QUIET .fcw = 0x37f, .fsw = 0, .mxcsr = 0x1fb0
#define USER_FAULT 7u

static const struct event_row events[] = {
    { "interrupt", { -1, 0, 0 }, 0, 0, QUIET },
    { "interrupt vector 32", { 32, 0, 0 }, 0, 0, QUIET },
    { "interrupt vector 0xff", { 255, 0, 0 }, 0, 0, QUIET },
    { "#DE", { 0, 0, 0 }, HW(0), HW(0), .sets_rf = true, QUIET },
    { "#DB", { 1, 0, 0 }, HW(1), HW(1), QUIET },
    { "NMI", { 2, 0, 0 }, 0, 0, QUIET },
    { "#BP", { 3, 0, 0 }, 1u << 31 | 6u << 8 | 3, 1u << 31 | 6u << 8 | 3, QUIET },
    { "#OF", { 4, 0, 0 }, 0, 0, QUIET },
    { "#BR", { 5, 0, 0 }, HW(5), HW(5), .sets_rf = true, QUIET },
    { "#UD", { 6, 0, 0 }, HW(6), HW(6), .sets_rf = true, QUIET },
    { "#NM", { 7, 0, 0 }, 0, 0, .sets_rf = true, QUIET },
    { "#DF", { 8, 0, 0 }, 0, 0, QUIET },
    { "#TS", { 10, 0, 0 }, 0, 0, .sets_rf = true, QUIET },
    { "#NP", { 11, 0, 0 }, 0, 0, .sets_rf = true, QUIET },
    { "#SS", { 12, 0, 0 }, 0, 0, .sets_rf = true, QUIET },
    { "#GP", { 13, 0, 0x1234567 }, 0, HW(13), .writes_exinfo = true, .maddr = 0, .sets_rf = true, QUIET },
    { "#GP with error code", { 13, 0x58, 0 }, 0, HW(13), .writes_exinfo = true, .maddr = 0, .sets_rf = true, QUIET },
    { "#PF in the enclave", { 14, USER_FAULT, FX_BASE + 0x5678 }, 0, HW(14), .writes_exinfo = true,
      .maddr = FX_BASE + 0x5678, .sets_rf = true, QUIET, .cr2 = FX_BASE + 0x5000 },
    { "#PF, SGX", { 14, 0x8005, FX_BASE + 0x9fff }, 0, HW(14), .writes_exinfo = true, .maddr = FX_BASE + 0x9fff,
      .sets_rf = true, QUIET, .cr2 = FX_BASE + 0x9000 },
    { "#PF on host memory", { 14, 4, 0x7fff12345678ull }, 0, HW(14), .writes_exinfo = true, .maddr = 0x7fff12345678ull,
      .sets_rf = true, QUIET, .cr2 = 0x7fff12345000ull },
    { "#PF of the kernel", { 14, 3, FX_BASE + 0x5678 }, 0, 0, .sets_rf = true, QUIET, .cr2 = FX_BASE + 0x5000 },
    { "#MF", { 16, 0, 0 }, HW(16), HW(16), .sets_rf = true, .fcw = 0x37e, .fsw = 0x8081, .mxcsr = 0x1fb0 },
    { "#AC", { 17, 0, 0 }, HW(17), HW(17), .sets_rf = true, QUIET },
    { "#MC", { 18, 0, 0 }, 0, 0, QUIET },
    { "#XM", { 19, 0, 0 }, HW(19), HW(19), .sets_rf = true, .fcw = 0x37f, .fsw = 0, .mxcsr = 0x1f01 },
    { "#VE", { 20, 0, 0 }, 0, 0, .sets_rf = true, QUIET },
    { "#CP without CPINFO", { 21, 1, 0 }, 0, 0, .sets_rf = true, QUIET },
};

static void zero_extended(uint8_t *image, uint64_t features)
{
    for (uint32_t i = 2; i < 8; i++) {
        uint32_t size, offset, ecx, edx;

        if ((features & (1ull << i)) && __get_cpuid_count(0xd, i, &size, &offset, &ecx, &edx))
            memset(image + offset, 0, size);
    }
}

static void expect_frame(struct machine *want, const struct sgx_cpu *cpu, const struct event_row *row, bool exinfo)
{
    uint8_t *frame = want->epc + FX_SSA;
    struct sgx_gprsgx *gpr = (struct sgx_gprsgx *)(frame + 4096 - 184);

    gpr->rax = cpu->gpr[0], gpr->rcx = cpu->gpr[1], gpr->rdx = cpu->gpr[2], gpr->rbx = cpu->gpr[3];
    gpr->rsp = cpu->gpr[4], gpr->rbp = cpu->gpr[5], gpr->rsi = cpu->gpr[6], gpr->rdi = cpu->gpr[7];
    gpr->r8 = cpu->gpr[8], gpr->r9 = cpu->gpr[9], gpr->r10 = cpu->gpr[10], gpr->r11 = cpu->gpr[11];
    gpr->r12 = cpu->gpr[12], gpr->r13 = cpu->gpr[13], gpr->r14 = cpu->gpr[14], gpr->r15 = cpu->gpr[15];
    gpr->rip = cpu->rip;
    gpr->rflags = (cpu->rflags & ~0x100ull) | (row->sets_rf ? 0x10000 : 0);
    gpr->fsbase = cpu->fsbase;
    gpr->gsbase = cpu->gsbase;
    gpr->exitinfo = exinfo ? row->exitinfo : row->exitinfo_plain;
    if (exinfo && row->writes_exinfo) {
        struct sgx_exinfo info = { row->maddr, row->event.error_code, 0 };

        memcpy(frame + 4096 - 184 - 16, &info, sizeof(info));
    }
    memcpy(frame, want->xsave, 416);
    memset(frame + 512, 0, 24);
    frame[512] = 3;
}

static void expect_host(struct machine *want, const struct event_row *row)
{
    struct sgx_cpu *cpu = &want->cpu;
    uint8_t kept_mask[4];

    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[0] = 3;
    cpu->gpr[1] = FX_AEP;
    cpu->gpr[3] = FX_BASE + FX_TCS;
    cpu->gpr[4] = 0x7ffc00001000ull;
    cpu->gpr[5] = 0x7ffc00001040ull;
    cpu->rip = FX_AEP;
    cpu->rflags &= ~0x108d5ull; /* RF OF SF ZF AF PF CF */
    cpu->fsbase = 0x7f0000001000ull;
    cpu->gsbase = 0x7f0000002000ull;
    cpu->xcr0 = softsgx_xfrm();
    cpu->enclave_mode = false;
    cpu->enclave = NULL;
    cpu->tcs = 0;
    cpu->cr2 = row->cr2;

    memcpy(kept_mask, want->xsave + 28, 4);
    memset(want->xsave, 0, 416);
    memcpy(want->xsave, &row->fcw, 2);
    memcpy(want->xsave + 2, &row->fsw, 2);
    memcpy(want->xsave + 24, &row->mxcsr, 4);
    memcpy(want->xsave + 28, kept_mask, 4);
    zero_extended(want->xsave, softsgx_xfrm());
    want->xsave[512] = row->event.vector == 16 ? 3 : 2; /* MXCSR is not the initial one; x87 only for #MF */
}

static void run_event(const struct event_row *row, int kind)
{
    struct machine *want;
    struct sgx_tcs *tcs;
    struct fx fx;

    conformance_row(row->name);
    bring_to(&fx, kind, INSIDE);
    memset(fx_frame(&fx, 0) + 4096 - 184 - 16, 0xee, 16);
    memset(fx_frame(&fx, 0), 0xdd, SGX_XSAVE_MIN); /* an old image that must not shine through */
    fx.cpu.rflags = 0x254cd7; /* IF off, DF on, all arithmetic flags, RF on */
    if (row->sets_rf)
        fx.cpu.rflags &= ~SGX_FL_RF;
    want = machine_capture(&fx);
    expect_frame(want, &fx.cpu, row, kind == KIND_EXINFO);
    expect_host(want, row);
    tcs = (struct sgx_tcs *)(want->epc + FX_TCS);
    tcs->cssa = 1;
    tcs->state = SGX_TCS_INACTIVE;
    sgx_aex(&fx.cpu, &row->event);
    machine_expect(&fx, want, row->name);
    free(want);
    fx_close(&fx);
}

void test_aex_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        run_event(&events[i], KIND_PLAIN);
        run_event(&events[i], KIND_EXINFO);
    }
}

/* ---- flags and frames ---- */

struct flag_row {
    const char *name;
    bool optin, saved_tf;
    uint64_t rflags, host, saved;
};

static const struct flag_row flags[] = {
    { "AEX flags: none", false, false, 0x202, 0x202, 0x202 },
    { "AEX flags: arithmetic are cleared", false, false, 0x2 | 0x8d5, 0x2, 0x2 | 0x8d5 },
    { "AEX flags: DF is not cleared", false, false, 0x602, 0x602, 0x602 },
    { "AEX flags: NT, AC, ID stay", false, false, 0x244202, 0x244202, 0x244202 },
    { "AEX flags: IOPL stays", false, false, 0x3202, 0x3202, 0x3202 },
    { "AEX flags: RF of an interrupted REP is saved", false, false, 0x10202, 0x202, 0x10202 },
    { "AEX flags: TF of the entry comes back, opt-out", false, true, 0x202, 0x302, 0x202 },
    { "AEX flags: the enclave's TF goes, opt-out", false, false, 0x302, 0x202, 0x202 },
    { "AEX flags: TF stays, opt-in", true, false, 0x302, 0x302, 0x202 },
    { "AEX flags: saved TF is not used, opt-in", true, true, 0x202, 0x202, 0x202 },
};

void test_aex_flags(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        const struct flag_row *row = &flags[i];
        struct fx fx;

        conformance_row(row->name);
        bring_to(&fx, KIND_PLAIN, INSIDE);
        fx.cpu.rflags = row->rflags;
        fx.cpu.dbgoptin = row->optin;
        fx.cpu.saved_tf = row->saved_tf;
        fx_interrupt(&fx);
        if (fx.cpu.rflags != row->host || fx_gpr(&fx, 0)->rflags != row->saved)
            fail_msg("%s: host 0x%llx, frame 0x%llx", row->name, (unsigned long long)fx.cpu.rflags,
                     (unsigned long long)fx_gpr(&fx, 0)->rflags);
        fx_close(&fx);
    }
    for (uint8_t bit = 0; bit < 2; bit++) {
        struct fx fx;

        conformance_row(bit ? "AEX leaves AEXNOTIFY 0xff" : "AEX leaves AEXNOTIFY 0");
        bring_to(&fx, KIND_NOTIFY, INSIDE);
        fx_gpr(&fx, 0)->aexnotify = (uint8_t)-bit;
        fx_interrupt(&fx);
        assert_int_equal(fx_gpr(&fx, 0)->aexnotify, (uint8_t)-bit);
        fx_close(&fx);
    }
    for (unsigned frame = 0; frame < FX_NSSA; frame++) {
        struct fx fx;

        conformance_row("AEX saves into the frame CSSA names");
        bring_to(&fx, KIND_PLAIN, OUTSIDE);
        fx_tcs_of(&fx)->cssa = frame;
        fx.cpu.gpr[SGX_RSP] = 0x7ffc00001000ull + frame;
        fx_must(&fx, SGX_EENTER);
        fx_enclave_registers(&fx);
        fx_interrupt(&fx);
        assert_int_equal(fx_tcs_of(&fx)->cssa, frame + 1);
        assert_int_equal(fx_gpr(&fx, frame)->rip, FX_BASE + FX_CODE + 0x123);
        assert_int_equal(fx.cpu.gpr[SGX_RSP], 0x7ffc00001000ull + frame);
        fx_close(&fx);
    }
}

/* ---- extended state ---- */

enum { AVX_OFFSET = 576, AVX_SIZE = 256, PKRU_BIT = 9 };

static void header(struct fx *fx, uint64_t bv)
{
    memcpy(fx->xsave + 512, &bv, 8);
}

static uint64_t header_of(const uint8_t *area)
{
    uint64_t bv;

    memcpy(&bv, area + 512, 8);
    return bv;
}

static bool zero(const uint8_t *p, size_t length)
{
    return length == 0 || (p[0] == 0 && memcmp(p, p + 1, length - 1) == 0);
}

static void avx_in_xfrm(void)
{
    uint8_t live[AVX_SIZE];
    struct fx fx;

    conformance_row("AEX saves AVX when XFRM names it, ERESUME loads it");
    bring_to(&fx, KIND_XFRM, INSIDE);
    memcpy(live, fx.xsave + AVX_OFFSET, AVX_SIZE);
    fx_interrupt(&fx);
    assert_memory_equal(fx_frame(&fx, 0) + AVX_OFFSET, live, AVX_SIZE);
    assert_int_equal(header_of(fx_frame(&fx, 0)), 7);
    assert_true(zero(fx.xsave + AVX_OFFSET, AVX_SIZE));
    fx_must(&fx, SGX_ERESUME);
    assert_memory_equal(fx.xsave + AVX_OFFSET, live, AVX_SIZE);
    assert_int_equal(header_of(fx.xsave), 7);
    fx_close(&fx);
}

static void avx_not_in_xfrm(void)
{
    struct fx fx;

    conformance_row("AEX neither saves nor leaks AVX when XFRM does not name it");
    bring_to(&fx, KIND_PLAIN, INSIDE);
    fx_interrupt(&fx);
    assert_true(zero(fx_frame(&fx, 0) + AVX_OFFSET, AVX_SIZE));
    assert_true(zero(fx.xsave + AVX_OFFSET, AVX_SIZE));
    assert_false(header_of(fx.xsave) & 4);
    fx_close(&fx);
}

static void avx_initial(void)
{
    struct fx fx;

    conformance_row("AEX saves AVX in its initial configuration when XSTATE_BV says so");
    bring_to(&fx, KIND_XFRM, INSIDE);
    header(&fx, 3);
    memset(fx_frame(&fx, 0) + AVX_OFFSET, 0x77, AVX_SIZE);
    fx_interrupt(&fx);
    assert_int_equal(header_of(fx_frame(&fx, 0)), 3);
    assert_true(zero(fx_frame(&fx, 0) + AVX_OFFSET, AVX_SIZE));
    fx_close(&fx);
}

static void no_room_for_avx(void)
{
    struct fx fx;

    conformance_row("AEX never reads or writes beyond the live image");
    bring_to(&fx, KIND_XFRM, INSIDE);
    fx.cpu.xsave_size = SGX_XSAVE_MIN;
    memset(fx.xsave + SGX_XSAVE_MIN, 0x77, AVX_SIZE);
    fx_interrupt(&fx);
    assert_true(zero(fx_frame(&fx, 0) + AVX_OFFSET, AVX_SIZE));
    assert_int_equal(fx.xsave[AVX_OFFSET], 0x77);
    fx_close(&fx);
}

static void foreign_feature(void)
{
    struct fx fx;

    conformance_row("AEX and ERESUME leave PKRU to the host");
    bring_to(&fx, KIND_PLAIN, INSIDE);
    header(&fx, 3 | 1 << PKRU_BIT);
    fx_interrupt(&fx);
    assert_int_equal(header_of(fx_frame(&fx, 0)), 3);
    assert_int_equal(header_of(fx.xsave), 2 | 1 << PKRU_BIT);
    fx_must(&fx, SGX_ERESUME);
    assert_int_equal(header_of(fx.xsave), 3 | 1 << PKRU_BIT);
    fx_close(&fx);
}

static void resume_initial(void)
{
    const uint32_t mxcsr = 0x1d80;
    uint32_t now;
    struct fx fx;

    conformance_row("ERESUME with XSTATE_BV 0: initial registers, MXCSR from the frame");
    bring_to(&fx, KIND_PLAIN, INTERRUPTED);
    memset(fx_frame(&fx, 0) + 512, 0, 8);
    memcpy(fx_frame(&fx, 0) + 24, &mxcsr, 4);
    fx_fill_xsave(&fx, 0x33); /* what the host computed meanwhile */
    fx_must(&fx, SGX_ERESUME);
    memcpy(&now, fx.xsave + 24, 4);
    assert_int_equal(now, mxcsr);
    assert_true(zero(fx.xsave + 160, 256));
    assert_true(zero(fx.xsave + 32, 128));
    assert_false(header_of(fx.xsave) & 1);
    if (softsgx_xfrm() & SGX_XFRM_AVX) {
        assert_true(zero(fx.xsave + AVX_OFFSET, AVX_SIZE));
        assert_false(header_of(fx.xsave) & 4);
    }
    fx_close(&fx);
}

static void entry_keeps(void)
{
    uint8_t live[4096];
    struct fx fx;

    conformance_row("EENTER and EEXIT hand the extended state over as it is");
    bring_to(&fx, KIND_PLAIN, OUTSIDE);
    memcpy(live, fx.xsave, sizeof(live));
    fx_must(&fx, SGX_EENTER);
    assert_memory_equal(fx.xsave, live, sizeof(live));
    fx.cpu.gpr[SGX_RBX] = FX_RIP;
    fx_must(&fx, SGX_EEXIT);
    assert_memory_equal(fx.xsave, live, sizeof(live));
    fx_close(&fx);
}

void test_aex_xstate(void **state)
{
    (void)state;
    if (softsgx_xfrm() & SGX_XFRM_AVX) {
        avx_in_xfrm();
        avx_not_in_xfrm();
        avx_initial();
        no_room_for_avx();
    }
    foreign_feature();
    resume_initial();
    entry_keeps();
}
