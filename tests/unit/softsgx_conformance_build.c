/* SPDX-License-Identifier: Apache-2.0
 *
 * ECREATE, EADD, EINIT: every check, one row each. And what faults on enclave memory look like, and the debugger. */
#include "softsgx_conformance.h"

#include <errno.h>
#include <sys/mman.h>

/* A field of a structure set to a value: the edit of these tables. */
struct field { size_t offset, size; uint64_t value; };

static void poke(void *structure, const struct field *f)
{
    memcpy((uint8_t *)structure + f->offset, &f->value, f->size);
}

/* ---- ECREATE ---- */

#define S(member, value) { offsetof(struct sgx_secs, member), sizeof(((struct sgx_secs *)0)->member), value }
#define S1(member, at, value) { offsetof(struct sgx_secs, member) + (at), 1, value }

static const struct {
    const char *name;
    struct field field[2];
    int result;
} ecreate[] = {
    { "ECREATE: nothing broken", { { 0, 0, 0 } }, 0 },
    { "ECREATE: SIZE one page", { S(size, 0x1000) }, -EINVAL },
    { "ECREATE: SIZE two pages", { S(size, 0x2000) }, 0 },
    { "ECREATE: SIZE zero", { S(size, 0) }, -EINVAL },
    { "ECREATE: SIZE not a power of two", { S(size, 0x180000) }, -EINVAL },
    { "ECREATE: SIZE above the limit", { S(size, 1ull << 41), S(baseaddr, 0) }, -EINVAL },
    { "ECREATE: BASEADDR not aligned to SIZE", { S(baseaddr, FX_BASE + 0x1000) }, -EINVAL },
    { "ECREATE: BASEADDR in the kernel's half", { S(baseaddr, 0xffff800000000000ull) }, -EINVAL },
    { "ECREATE: ELRANGE ends behind user space", { S(baseaddr, 0x800000000000ull) }, -EINVAL },
    { "ECREATE: last ELRANGE of user space", { S(baseaddr, 0x7ffffff00000ull) }, 0 },
    { "ECREATE: BASEADDR zero", { S(baseaddr, 0) }, 0 },
    { "ECREATE: 32-bit enclave above 4G", { S(attributes.flags, 0), S(baseaddr, 1ull << 32) }, -EINVAL },
    { "ECREATE: 32-bit enclave of 4G", { S(attributes.flags, 0), S(size, 1ull << 32) }, -EINVAL },
    { "ECREATE: 32-bit enclave", { S(attributes.flags, 0) }, 0 },
    { "ECREATE: ATTRIBUTES.INIT", { S(attributes.flags, SGX_ATTR_MODE64BIT | SGX_ATTR_INIT) }, -EINVAL },
    { "ECREATE: ATTRIBUTES bit 3", { S(attributes.flags, SGX_ATTR_MODE64BIT | 8) }, -EINVAL },
    { "ECREATE: ATTRIBUTES.CET", { S(attributes.flags, SGX_ATTR_MODE64BIT | SGX_ATTR_CET) }, -EINVAL },
    { "ECREATE: ATTRIBUTES bit 63", { S(attributes.flags, SGX_ATTR_MODE64BIT | 1ull << 63) }, -EINVAL },
    { "ECREATE: AEXNOTIFY", { S(attributes.flags, SGX_ATTR_MODE64BIT | SGX_ATTR_AEXNOTIFY) }, 0 },
    { "ECREATE: PROVISIONKEY", { S(attributes.flags, SGX_ATTR_MODE64BIT | SGX_ATTR_PROVISIONKEY) }, 0 },
    { "ECREATE: XFRM without x87", { S(attributes.xfrm, 2) }, -EINVAL },
    { "ECREATE: XFRM without SSE", { S(attributes.xfrm, 1) }, -EINVAL },
    { "ECREATE: XFRM of a feature nobody has", { S(attributes.xfrm, 1ull << 62 | 3) }, -EINVAL },
    { "ECREATE: XFRM with half of AVX-512", { S(attributes.xfrm, 0x27) }, -EINVAL },
    { "ECREATE: XFRM PKRU", { S(attributes.xfrm, 0x203) }, -EINVAL },
    { "ECREATE: MISCSELECT.CPINFO", { S(miscselect, SGX_MISC_CPINFO) }, -EINVAL },
    { "ECREATE: MISCSELECT bit 31", { S(miscselect, 1u << 31) }, -EINVAL },
    { "ECREATE: MISCSELECT.EXINFO", { S(miscselect, SGX_MISC_EXINFO) }, 0 },
    { "ECREATE: SSAFRAMESIZE zero", { S(ssaframesize, 0) }, -EINVAL },
    { "ECREATE: SSAFRAMESIZE huge", { S(ssaframesize, 0xffffffff) }, 0 },
    { "ECREATE: CET_LEG_BITMAP_OFFSET", { S(cet_leg_bitmap_offset, 0x1000) }, -EINVAL },
    { "ECREATE: CET_ATTRIBUTES", { S(cet_attributes, 1) }, -EINVAL },
    { "ECREATE: CONFIGSVN without KSS", { S(configsvn, 1) }, -EINVAL },
    { "ECREATE: CONFIGID without KSS", { S1(configid, 63, 1) }, -EINVAL },
    { "ECREATE: CONFIGSVN and CONFIGID with KSS",
      { S(attributes.flags, SGX_ATTR_MODE64BIT | SGX_ATTR_KSS), S(configsvn, 9) }, 0 },
    { "ECREATE: reserved byte 33", { S1(reserved1, 0, 1) }, -EINVAL },
    { "ECREATE: reserved byte 96", { S1(reserved2, 0, 1) }, -EINVAL },
    { "ECREATE: reserved byte 160", { S1(reserved3, 0, 1) }, -EINVAL },
    { "ECREATE: reserved byte 262", { S1(reserved4, 0, 1) }, -EINVAL },
    { "ECREATE: reserved byte 4095", { S1(reserved4, 3833, 1) }, -EINVAL },
};

static void ecreate_clears_identity(void)
{
    struct softsgx_enclave *enclave;
    struct sgx_secs secs, created;

    conformance_row("ECREATE: MRENCLAVE, MRSIGNER, ISVPRODID and ISVSVN begin as zero");
    fx_secs(&kinds[KIND_PLAIN], &secs);
    memset(secs.mrenclave, 1, 32);
    memset(secs.mrsigner, 2, 32);
    secs.isvprodid = 3;
    secs.isvsvn = 4;
    assert_int_equal(softsgx_create(&secs, &enclave), 0);
    fx_secs(&kinds[KIND_PLAIN], &secs);
    softsgx_secs(enclave, &created);
    assert_memory_equal(&created, &secs, sizeof(secs));
    softsgx_destroy(enclave);
}

void test_ecreate(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ecreate) / sizeof(ecreate[0]); i++) {
        struct softsgx_enclave *enclave = NULL;
        struct sgx_secs secs;
        int result;

        conformance_row(ecreate[i].name);
        fx_secs(&kinds[KIND_PLAIN], &secs);
        poke(&secs, &ecreate[i].field[0]);
        poke(&secs, &ecreate[i].field[1]);
        result = softsgx_create(&secs, &enclave);
        if (result != ecreate[i].result)
            fail_msg("%s: %d, should be %d", ecreate[i].name, result, ecreate[i].result);
        softsgx_destroy(enclave);
    }
    ecreate_clears_identity();
}

/* ---- EADD ---- */

#define TCS(member, value) { offsetof(struct sgx_tcs, member), sizeof(((struct sgx_tcs *)0)->member), value }
#define REG SGX_SECINFO_REG
#define RWX_R SGX_SECINFO_R
#define RWX_W SGX_SECINFO_W
#define RWX_X SGX_SECINFO_X

static const struct {
    const char *name;
    uint64_t offset, length, flags;
    struct field tcs;       /* edit of the page's content, which is a TCS */
    uint8_t reserved;       /* of SECINFO */
    int result;
    uint32_t epcm;          /* after success */
} eadd[] = {
    { "EADD: REG RW", FX_HOLE, 0x1000, REG | RWX_R | RWX_W, { 0 }, 0, 0, EPCM_VALID | 0x203 },
    { "EADD: REG RWX", FX_HOLE, 0x1000, REG | RWX_R | RWX_W | RWX_X, { 0 }, 0, 0, EPCM_VALID | 0x207 },
    { "EADD: REG without rights", FX_HOLE, 0x1000, REG, { 0 }, 0, 0, EPCM_VALID | 0x200 },
    { "EADD: REG X only", FX_HOLE, 0x1000, REG | RWX_X, { 0 }, 0, 0, EPCM_VALID | 0x204 },
    { "EADD: REG W without R", FX_HOLE, 0x1000, REG | RWX_W, { 0 }, 0, -EINVAL, 0 },
    { "EADD: REG WX without R", FX_HOLE, 0x1000, REG | RWX_W | RWX_X, { 0 }, 0, -EINVAL, 0 },
    { "EADD: page type SECS", FX_HOLE, 0x1000, 0 | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: page type VA", FX_HOLE, 0x1000, 3 << 8 | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: page type TRIM", FX_HOLE, 0x1000, 4 << 8 | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: page type SS_FIRST, no CET", FX_HOLE, 0x1000, 5 << 8 | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: page type 255", FX_HOLE, 0x1000, 255 << 8 | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: SECINFO PENDING", FX_HOLE, 0x1000, REG | RWX_R | SGX_SECINFO_PENDING, { 0 }, 0, -EINVAL, 0 },
    { "EADD: SECINFO MODIFIED", FX_HOLE, 0x1000, REG | RWX_R | SGX_SECINFO_MODIFIED, { 0 }, 0, -EINVAL, 0 },
    { "EADD: SECINFO PR", FX_HOLE, 0x1000, REG | RWX_R | SGX_SECINFO_PR, { 0 }, 0, -EINVAL, 0 },
    { "EADD: SECINFO bit 6", FX_HOLE, 0x1000, REG | RWX_R | 0x40, { 0 }, 0, -EINVAL, 0 },
    { "EADD: SECINFO bit 16", FX_HOLE, 0x1000, REG | RWX_R | 0x10000, { 0 }, 0, -EINVAL, 0 },
    { "EADD: SECINFO bit 63", FX_HOLE, 0x1000, REG | RWX_R | 1ull << 63, { 0 }, 0, -EINVAL, 0 },
    { "EADD: SECINFO reserved byte", FX_HOLE, 0x1000, REG | RWX_R, { 0 }, 1, -EINVAL, 0 },
    { "EADD: offset not aligned", FX_HOLE + 0x10, 0x1000, REG | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: length not aligned", FX_HOLE, 0xfff, REG | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: length zero", FX_HOLE, 0, REG | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: offset behind ELRANGE", FX_SIZE, 0x1000, REG | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: end behind ELRANGE", FX_SIZE - 0x1000, 0x2000, REG | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: length wraps", FX_SIZE - 0x1000, -0x1000ull, REG | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: last page", FX_SIZE - 0x1000, 0x1000, REG | RWX_R, { 0 }, 0, 0, EPCM_VALID | 0x201 },
    { "EADD: page there already", FX_DATA, 0x1000, REG | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: second page there already", FX_SSA2 - 0x1000, 0x2000, REG | RWX_R, { 0 }, 0, -EINVAL, 0 },
    { "EADD: TCS", FX_HOLE, 0x1000, SGX_SECINFO_TCS, { 0 }, 0, 0, EPCM_VALID | 0x100 },
    { "EADD: TCS loses RWX", FX_HOLE, 0x1000, SGX_SECINFO_TCS | 7, { 0 }, 0, 0, EPCM_VALID | 0x100 },
    { "EADD: TCS reserved byte 88", FX_HOLE, 0x1000, SGX_SECINFO_TCS, { 88, 1, 1 }, 0, -EINVAL, 0 },
    { "EADD: TCS reserved byte 4095", FX_HOLE, 0x1000, SGX_SECINFO_TCS, { 4095, 1, 1 }, 0, -EINVAL, 0 },
    { "EADD: TCS.OCETSSA, no CET", FX_HOLE, 0x1000, SGX_SECINFO_TCS, TCS(ocetssa, 0x1000), 0, -EINVAL, 0 },
    { "EADD: TCS.PREVSSP, no CET", FX_HOLE, 0x1000, SGX_SECINFO_TCS, TCS(prevssp, 0x1000), 0, -EINVAL, 0 },
    { "EADD: TCS.FLAGS reserved is EENTER's", FX_HOLE, 0x1000, SGX_SECINFO_TCS, TCS(flags, 4), 0, 0,
      EPCM_VALID | 0x100 },
};

static void run_eadd(size_t i)
{
    struct fx_options options = kinds[KIND_PLAIN];
    uint8_t digest[32], after[32], content[2 * SGX_PAGE_SIZE] = { 0 };
    struct sgx_secinfo secinfo = { .flags = eadd[i].flags };
    uint32_t before;
    struct fx fx;
    int result;

    conformance_row(eadd[i].name);
    options.no_init = true;
    fx_open(&fx, &options);
    if (eadd[i].offset + 0x1000 == FX_SSA2) { /* something for the second page to collide with */
        struct sgx_secinfo plain = { .flags = REG | RWX_R };

        assert_int_equal(softsgx_add_pages(fx.enclave, FX_SSA2, NULL, 0x1000, &plain, false), 0);
    }
    if (eadd[i].length > sizeof(content)) { /* never read: the length is refused */
        result = softsgx_add_pages(fx.enclave, eadd[i].offset, content, eadd[i].length, &secinfo, true);
        assert_int_equal(result, eadd[i].result);
        fx_close(&fx);
        return;
    }
    fx_tcs(&options, (struct sgx_tcs *)content);
    poke(content, &eadd[i].tcs);
    secinfo.reserved[55] = eadd[i].reserved;
    assert_int_equal(sgx_measure_digest(fx.enclave, digest), 0);
    before = sgx_epcm_get(fx.enclave, FX_BASE + eadd[i].offset);
    result = softsgx_add_pages(fx.enclave, eadd[i].offset, content, eadd[i].length, &secinfo, true);
    if (result != eadd[i].result)
        fail_msg("%s: %d, should be %d", eadd[i].name, result, eadd[i].result);
    assert_int_equal(sgx_measure_digest(fx.enclave, after), 0);
    if (result) { /* a refused page is neither there nor measured */
        assert_memory_equal(digest, after, 32);
        assert_int_equal(sgx_epcm_get(fx.enclave, FX_BASE + eadd[i].offset), before);
    } else {
        assert_memory_not_equal(digest, after, 32);
        assert_int_equal(sgx_epcm_get(fx.enclave, FX_BASE + eadd[i].offset), eadd[i].epcm);
    }
    fx_close(&fx);
}

static void eadd_forces_tcs_fields(void)
{
    struct fx_options options = kinds[KIND_PLAIN];
    struct sgx_secinfo secinfo = { .flags = SGX_SECINFO_TCS };
    struct sgx_tcs tcs, *added;
    struct fx fx;

    conformance_row("EADD: TCS.STATE, CSSA, AEP and DBGOPTIN are cleared, AEXNOTIFY is kept");
    options.no_init = true;
    fx_open(&fx, &options);
    fx_tcs(&options, &tcs);
    tcs.state = SGX_TCS_ACTIVE;
    tcs.flags = SGX_TCS_DBGOPTIN | SGX_TCS_AEXNOTIFY;
    tcs.cssa = 2;
    tcs.aep = 0x1234;
    assert_int_equal(softsgx_add_pages(fx.enclave, FX_HOLE, &tcs, sizeof(tcs), &secinfo, true), 0);
    added = (struct sgx_tcs *)(sgx_enclave_alias(fx.enclave) + FX_HOLE);
    assert_int_equal(added->state, SGX_TCS_INACTIVE);
    assert_int_equal(added->flags, SGX_TCS_AEXNOTIFY);
    assert_int_equal(added->cssa, 0);
    assert_int_equal(added->aep, 0);
    assert_int_equal(added->nssa, FX_NSSA);
    fx_close(&fx);
}

void test_eadd(void **state)
{
    struct sgx_secinfo secinfo = { .flags = REG | RWX_R };
    struct fx fx;

    (void)state;
    for (size_t i = 0; i < sizeof(eadd) / sizeof(eadd[0]); i++)
        run_eadd(i);
    eadd_forces_tcs_fields();
    conformance_row("EADD: enclave initialised");
    fx_open(&fx, &kinds[KIND_PLAIN]);
    assert_int_equal(softsgx_add_pages(fx.enclave, FX_HOLE, NULL, 0x1000, &secinfo, true), -EINVAL);
    assert_int_equal(sgx_epcm_get(fx.enclave, FX_BASE + FX_HOLE), 0);
    fx_close(&fx);
}

/* ---- EINIT ---- */

#define Q(member, value) { offsetof(struct sgx_sigstruct, member), sizeof(((struct sgx_sigstruct *)0)->member), value }
#define Q1AT(member, at, value) { offsetof(struct sgx_sigstruct, member) + (at), 1, value }
#define FLIP true

static const struct {
    const char *name;
    struct field field[2];
    bool after_signing;     /* edit the signed structure, by XOR, rather than sign the edited one */
    int kind, result;
} einit[] = {
    { "EINIT: nothing broken", { { 0 } }, false, KIND_PLAIN, 0 },
    { "EINIT: HEADER byte 0", { Q1AT(header, 0, 7) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: HEADER byte 15", { Q1AT(header, 15, 1) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: HEADER2 byte 0", { Q1AT(header2, 0, 2) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: HEADER2 byte 12", { Q1AT(header2, 12, 0) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: VENDOR 1", { Q(vendor, 1) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: VENDOR Intel", { Q(vendor, 0x8086) }, false, KIND_PLAIN, 0 },
    { "EINIT: DATE is not checked", { Q(date, 0xffffffff) }, false, KIND_PLAIN, 0 },
    { "EINIT: SWDEFINED is not checked", { Q(swdefined, 0x12345678) }, false, KIND_PLAIN, 0 },
    { "EINIT: EXPONENT 65537", { Q(exponent, 65537) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: reserved byte 44", { Q1AT(reserved1, 0, 1) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: reserved byte 127", { Q1AT(reserved1, 83, 1) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: CET_ATTRIBUTES, no CET", { Q1AT(cet_attributes, 0, 1) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: CET_ATTRIBUTES_MASK, no CET", { Q1AT(cet_attributes_mask, 0, 1) }, false, KIND_PLAIN,
      SGX_INVALID_SIG_STRUCT },
    { "EINIT: reserved byte 910", { Q1AT(reserved2, 0, 1) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: reserved byte 992", { Q1AT(reserved3, 0, 1) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: reserved byte 1039", { Q1AT(reserved4, 11, 1) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: ISVFAMILYID without KSS", { Q1AT(isvfamilyid, 3, 1) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: ISVEXTPRODID without KSS", { Q1AT(isvextprodid, 3, 1) }, false, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: ISVFAMILYID and ISVEXTPRODID with KSS", { Q1AT(isvfamilyid, 3, 1), Q1AT(isvextprodid, 0, 2) }, false,
      KIND_KSS, 0 },
    { "EINIT: SIGNATURE bit", { Q1AT(signature, 7, 1) }, FLIP, KIND_PLAIN, SGX_INVALID_SIGNATURE },
    { "EINIT: SIGNATURE high byte", { Q1AT(signature, 383, 0x80) }, FLIP, KIND_PLAIN, SGX_INVALID_SIGNATURE },
    { "EINIT: MODULUS bit", { Q1AT(modulus, 100, 1) }, FLIP, KIND_PLAIN, SGX_INVALID_SIGNATURE },
    { "EINIT: MODULUS even", { Q1AT(modulus, 0, 1) }, FLIP, KIND_PLAIN, SGX_INVALID_SIGNATURE },
    { "EINIT: Q1 bit", { Q1AT(q1, 0, 1) }, FLIP, KIND_PLAIN, SGX_INVALID_SIGNATURE },
    { "EINIT: Q2 bit", { Q1AT(q2, 383, 1) }, FLIP, KIND_PLAIN, SGX_INVALID_SIGNATURE },
    { "EINIT: signed DATE changed", { Q1AT(date, 0, 1) }, FLIP, KIND_PLAIN, SGX_INVALID_SIGNATURE },
    { "EINIT: signed ENCLAVEHASH changed", { Q1AT(enclavehash, 31, 1) }, FLIP, KIND_PLAIN, SGX_INVALID_SIGNATURE },
    { "EINIT: signed ISVSVN changed", { Q1AT(isvsvn, 1, 1) }, FLIP, KIND_PLAIN, SGX_INVALID_SIGNATURE },
    { "EINIT: signed ATTRIBUTES changed", { Q1AT(attributes, 0, 2) }, FLIP, KIND_PLAIN, SGX_INVALID_SIGNATURE },
    { "EINIT: form before signature", { Q1AT(reserved4, 0, 1) }, FLIP, KIND_PLAIN, SGX_INVALID_SIG_STRUCT },
    { "EINIT: another ENCLAVEHASH", { Q1AT(enclavehash, 0, 0) }, false, KIND_PLAIN, SGX_INVALID_MEASUREMENT },
    { "EINIT: measurement before attributes", { Q1AT(enclavehash, 0, 0), Q(attributes.flags, 0) }, false, KIND_PLAIN,
      SGX_INVALID_MEASUREMENT },
    { "EINIT: DEBUG differs", { Q(attributes.flags, SGX_ATTR_MODE64BIT) }, false, KIND_PLAIN, SGX_INVALID_ATTRIBUTE },
    { "EINIT: DEBUG differs, masked out",
      { Q(attributes.flags, SGX_ATTR_MODE64BIT), Q(attributemask.flags, ~SGX_ATTR_DEBUG) }, false, KIND_PLAIN, 0 },
    { "EINIT: AEXNOTIFY missing in SIGSTRUCT", { Q(attributes.flags, FX_ATTR) }, false, KIND_NOTIFY,
      SGX_INVALID_ATTRIBUTE },
    { "EINIT: AEXNOTIFY missing in SECS", { Q(attributes.flags, FX_ATTR | SGX_ATTR_AEXNOTIFY) }, false, KIND_PLAIN,
      SGX_INVALID_ATTRIBUTE },
    { "EINIT: XFRM differs", { Q(attributes.xfrm, 7) }, false, KIND_PLAIN, SGX_INVALID_ATTRIBUTE },
    { "EINIT: XFRM differs, masked out", { Q(attributes.xfrm, 7), Q(attributemask.xfrm, 3) }, false, KIND_PLAIN, 0 },
    { "EINIT: MISCSELECT differs", { Q(miscselect, 1) }, false, KIND_PLAIN, SGX_INVALID_ATTRIBUTE },
    { "EINIT: MISCSELECT differs, masked out", { Q(miscselect, 1), Q(miscmask, 0) }, false, KIND_PLAIN, 0 },
};

static void flip(void *structure, const struct field *f)
{
    uint64_t value = 0;

    memcpy(&value, (uint8_t *)structure + f->offset, f->size);
    value ^= f->value;
    memcpy((uint8_t *)structure + f->offset, &value, f->size);
}

static void run_einit(size_t i)
{
    struct fx_options options = kinds[einit[i].kind];
    struct sgx_sigstruct sig;
    struct sgx_secs before, secs;
    struct fx fx;
    int result;

    conformance_row(einit[i].name);
    options.no_init = true;
    fx_open(&fx, &options);
    fx_sigstruct(fx.enclave, &sig);
    sig.enclavehash[0] |= einit[i].result == SGX_INVALID_MEASUREMENT; /* the row clears this byte: never the same */
    for (int f = 0; f < 2 && !einit[i].after_signing; f++)
        poke(&sig, &einit[i].field[f]);
    fx_sign(&sig);
    for (int f = 0; f < 2 && einit[i].after_signing; f++)
        flip(&sig, &einit[i].field[f]);
    softsgx_secs(fx.enclave, &before);
    result = softsgx_init(fx.enclave, &sig);
    if (result != einit[i].result)
        fail_msg("%s: %d, should be %d", einit[i].name, result, einit[i].result);
    softsgx_secs(fx.enclave, &secs);
    if (result) {
        assert_memory_equal(&secs, &before, sizeof(secs)); /* and it can be tried again: */
        fx_sigstruct(fx.enclave, &sig);
        fx_sign(&sig);
        assert_int_equal(softsgx_init(fx.enclave, &sig), 0);
        softsgx_secs(fx.enclave, &secs);
    }
    assert_int_equal(secs.attributes.flags, before.attributes.flags | SGX_ATTR_INIT);
    assert_memory_equal(secs.mrenclave, sig.enclavehash, 32);
    assert_int_equal(secs.isvprodid, 7);
    assert_int_equal(secs.isvsvn, 4);
    assert_int_equal(softsgx_init(fx.enclave, &sig), -EINVAL); /* once is enough */
    fx_close(&fx);
}

void test_einit(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(einit) / sizeof(einit[0]); i++)
        run_einit(i);
}

/* ---- #PF error codes of the enclave's own accesses ---- */

#define P SGX_PFEC_P
#define W SGX_PFEC_W
#define U SGX_PFEC_U
#define I SGX_PFEC_I
#define X SGX_PFEC_SGX
#define ANY (-1)

static const struct {
    const char *name;
    uint64_t page;
    uint32_t set;           /* EPCM bits */
    int table;              /* page table permission, or ANY */
    uint32_t host, expected;
} faults[] = {
    { "read of a page never added", FX_HOLE, 0, ANY, U, U },
    { "write of a page never added", FX_HOLE, 0, ANY, U | W, U | W },
    { "fetch from a page never added", FX_HOLE, 0, ANY, U | I | P, U | I },
    { "read of a TCS", FX_TCS, 0, ANY, U, U | P | X },
    { "write of a TCS", FX_TCS, 0, ANY, U | W, U | W | P | X },
    { "write of a read-only page", FX_RO, 0, ANY, U | W | P, U | W | P | X },
    { "fetch from a data page", FX_DATA, 0, ANY, U | I | P, U | I | P | X },
    { "read of a page without rights", FX_NONE, 0, ANY, U, U | P | X },
    { "read of a PENDING page", FX_DATA, EPCM_PENDING, ANY, U, U | P | X },
    { "write of a MODIFIED page", FX_DATA, EPCM_MODIFIED, ANY, U | W, U | W | P | X },
    { "read of a BLOCKED page", FX_DATA, EPCM_BLOCKED, ANY, U, U | P | X },
    { "read, page table none", FX_DATA, 0, PROT_NONE, U, U },
    { "write, page table none", FX_DATA, 0, PROT_NONE, U | W, U | W },
    { "write, page table read-only", FX_DATA, 0, PROT_READ, U | W | P, U | W | P },
    { "write, page table and EPCM read-only", FX_RO, 0, PROT_READ, U | W | P, U | W | P },
    { "fetch, page table without X, EPCM without X", FX_DATA, 0, PROT_READ | PROT_WRITE, U | I | P, U | I | P },
    { "read of a PENDING page, page table none", FX_DATA, EPCM_PENDING, PROT_NONE, U, U },
    { "access that both allow is not SGX's", FX_DATA, 0, ANY, U | W | P, U | W | P },
};

void test_pf_error_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        uint64_t address = FX_BASE + faults[i].page;
        uint32_t code;
        struct fx fx;

        conformance_row(faults[i].name);
        fx_open(&fx, &kinds[KIND_PLAIN]);
        sgx_epcm_update(fx.enclave, address, 0, faults[i].set);
        if (faults[i].table != ANY)
            assert_int_equal(softsgx_protect(fx.enclave, address, 0x1000, faults[i].table), 0);
        code = sgx_pf_error_code(fx.enclave, address + 0x123, faults[i].host);
        if (code != faults[i].expected)
            fail_msg("%s: 0x%x, should be 0x%x", faults[i].name, code, faults[i].expected);
        fx_close(&fx);
    }
}

/* ---- the debugger ---- */

static const struct {
    const char *name;
    bool write;
    uint64_t offset, length, value;
    int result;
} debugger[] = {
    { "EDBGRD: data", false, FX_DATA + 5, 8, 0, 0 },
    { "EDBGRD: page without rights", false, FX_NONE, 8, 0, 0 },
    { "EDBGRD: TCS", false, FX_TCS + 24, 4, 0, 0 },
    { "EDBGRD: page never added", false, FX_HOLE, 8, 0, -EFAULT },
    { "EDBGRD: into a page never added", false, FX_HEAP + 0x3ffc, 8, 0, -EFAULT },
    { "EDBGRD: behind ELRANGE", false, FX_SIZE - 4, 8, 0, -EFAULT },
    { "EDBGWR: code", true, FX_CODE + 1, 8, 0xcc, 0 },
    { "EDBGWR: TCS.FLAGS", true, FX_TCS + 8, 8, SGX_TCS_DBGOPTIN, 0 },
    { "EDBGWR: TCS.FLAGS.AEXNOTIFY", true, FX_TCS + 8, 8, SGX_TCS_AEXNOTIFY, 0 },
    { "EDBGWR: TCS.FLAGS reserved", true, FX_TCS + 8, 8, 4, -EINVAL },
    { "EDBGWR: TCS.CSSA", true, FX_TCS + 24, 8, 0, -EINVAL },
    { "EDBGWR: part of TCS.FLAGS", true, FX_TCS + 8, 4, 1, -EINVAL },
    { "EDBGWR: over the edge of a TCS", true, FX_RO + 0xffc, 8, 1, -EINVAL },
};

void test_debugger(void **state)
{
    const struct fx_options production = { .attributes = SGX_ATTR_MODE64BIT };
    uint64_t value;
    struct fx fx;

    (void)state;
    for (size_t i = 0; i < sizeof(debugger) / sizeof(debugger[0]); i++) {
        uint64_t address = FX_BASE + debugger[i].offset, length = debugger[i].length;
        int result;

        conformance_row(debugger[i].name);
        fx_open(&fx, &kinds[KIND_PLAIN]);
        value = debugger[i].value;
        result = debugger[i].write ? softsgx_debug_write(fx.enclave, address, &value, length)
                                   : softsgx_debug_read(fx.enclave, address, &value, length);
        if (result != debugger[i].result)
            fail_msg("%s: %d, should be %d", debugger[i].name, result, debugger[i].result);
        if (!result)
            assert_memory_equal(&value, sgx_enclave_alias(fx.enclave) + debugger[i].offset, length);
        fx_close(&fx);
    }
    conformance_row("EDBGRD and EDBGWR: PENDING page");
    fx_open(&fx, &kinds[KIND_PLAIN]);
    sgx_epcm_update(fx.enclave, FX_BASE + FX_DATA, 0, EPCM_PENDING);
    assert_int_equal(softsgx_debug_read(fx.enclave, FX_BASE + FX_DATA, &value, 8), -EFAULT);
    assert_int_equal(softsgx_debug_write(fx.enclave, FX_BASE + FX_DATA, &value, 8), -EFAULT);
    fx_close(&fx);
    conformance_row("EDBGRD and EDBGWR: production enclave");
    fx_open(&fx, &production);
    assert_int_equal(softsgx_debug_read(fx.enclave, FX_BASE + FX_DATA, &value, 8), -EACCES);
    assert_int_equal(softsgx_debug_write(fx.enclave, FX_BASE + FX_DATA, &value, 8), -EACCES);
    fx_close(&fx);
}
