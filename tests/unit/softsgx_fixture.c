/* SPDX-License-Identifier: Apache-2.0 */
#include "softsgx_fixture.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

void fx_secs(const struct fx_options *o, struct sgx_secs *secs)
{
    memset(secs, 0, sizeof(*secs));
    secs->size = FX_SIZE;
    secs->baseaddr = o->base == FX_AT_ZERO ? 0 : o->base ? o->base : FX_BASE;
    secs->ssaframesize = o->ssaframesize ? o->ssaframesize : 1;
    secs->miscselect = o->miscselect;
    secs->attributes.flags = o->attributes;
    secs->attributes.xfrm = o->xfrm ? o->xfrm : SGX_XFRM_LEGACY;
    if (o->edit_secs)
        o->edit_secs(secs);
}

void fx_tcs(const struct fx_options *o, struct sgx_tcs *tcs)
{
    memset(tcs, 0, sizeof(*tcs));
    tcs->flags = o->tcs_flags;
    tcs->ossa = FX_SSA;
    tcs->nssa = FX_NSSA;
    tcs->oentry = FX_OENTRY;
    tcs->ofsbase = FX_TLS;
    tcs->ogsbase = FX_DATA;
    tcs->fslimit = tcs->gslimit = 0xfff;
}

static struct softsgx_enclave *opened[8];

static void track(struct softsgx_enclave *from, struct softsgx_enclave *to)
{
    for (size_t i = 0; i < sizeof(opened) / sizeof(opened[0]); i++)
        if (opened[i] == from) {
            opened[i] = to;
            return;
        }
    fail_msg("too many enclaves in one test");
}

int fx_teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(opened) / sizeof(opened[0]); i++) {
        softsgx_destroy(opened[i]);
        opened[i] = NULL;
    }
    return 0;
}

static void add(struct fx *fx, uint64_t offset, const void *src, uint64_t length, uint64_t flags, bool measure)
{
    struct sgx_secinfo secinfo = { .flags = flags };

    assert_int_equal(softsgx_add_pages(fx->enclave, offset, src, length, &secinfo, measure), 0);
}

static void add_frames(struct fx *fx, const struct fx_options *o)
{
    const uint64_t rw = SGX_SECINFO_REG | SGX_SECINFO_R | SGX_SECINFO_W;
    uint64_t frame = (o->ssaframesize ? o->ssaframesize : 1) * SGX_PAGE_SIZE;

    if (frame == SGX_PAGE_SIZE) {
        add(fx, FX_SSA, NULL, FX_NSSA * frame, rw, true);
    } else { /* large frames do not fit below FX_TLS */
        struct sgx_tcs *tcs = fx_tcs_of(fx);

        tcs->ossa = FX_SSA2;
        add(fx, FX_SSA2, NULL, FX_NSSA * frame, rw, true);
    }
}

void fx_open(struct fx *fx, const struct fx_options *o)
{
    const uint64_t r = SGX_SECINFO_REG | SGX_SECINFO_R, rw = r | SGX_SECINFO_W;
    uint8_t page[SGX_PAGE_SIZE];
    struct sgx_sigstruct sig;
    struct sgx_secs secs;
    struct sgx_tcs tcs;

    memset(fx, 0, sizeof(*fx));
    fx_secs(o, &secs);
    assert_int_equal(softsgx_create(&secs, &fx->enclave), 0);
    track(NULL, fx->enclave);
    fx_tcs(o, &tcs);
    add(fx, FX_TCS, &tcs, sizeof(tcs), SGX_SECINFO_TCS, true);
    add(fx, FX_TCS2, &tcs, sizeof(tcs), SGX_SECINFO_TCS, true);
    add_frames(fx, o);
    memset(page, 0x5a, sizeof(page));
    add(fx, FX_TLS, page, sizeof(page), rw, true);
    add(fx, FX_DATA, page, sizeof(page), rw, true);
    memset(page, 0x90, sizeof(page));
    add(fx, FX_CODE, page, sizeof(page), r | SGX_SECINFO_X, true);
    add(fx, FX_RO, page, sizeof(page), r, true);
    add(fx, FX_NONE, page, sizeof(page), SGX_SECINFO_REG, true);
    add(fx, FX_HEAP, NULL, 4 * SGX_PAGE_SIZE, rw, false);
    if (!o->no_init) {
        fx_sigstruct(fx->enclave, &sig);
        if (o->edit_sigstruct)
            o->edit_sigstruct(&sig);
        fx_sign(&sig);
        assert_int_equal(softsgx_init(fx->enclave, &sig), 0);
    }
    fx_host(fx);
    /* DBGOPTIN cannot be added, only set by a debugger. */
    if (o->tcs_flags & SGX_TCS_DBGOPTIN)
        fx_tcs_of(fx)->flags |= SGX_TCS_DBGOPTIN;
}

void fx_close(struct fx *fx)
{
    track(fx->enclave, NULL);
    softsgx_destroy(fx->enclave);
    fx->enclave = NULL;
}

static uint64_t base(const struct fx *fx)
{
    return sgx_enclave_base(fx->enclave);
}

void fx_fill_xsave(struct fx *fx, uint8_t seed)
{
    const uint32_t mxcsr = 0x1f80 + (seed & 0x3f), mask = 0xffff;
    uint64_t bv = softsgx_xfrm();
    uint16_t fcw = 0x027f;

    for (size_t i = 0; i < sizeof(fx->xsave); i++)
        fx->xsave[i] = (uint8_t)(seed + 7 * i + i / 256);
    memcpy(fx->xsave + SGX_XSAVE_FCW, &fcw, 2);
    memcpy(fx->xsave + SGX_XSAVE_MXCSR, &mxcsr, 4);
    memcpy(fx->xsave + SGX_XSAVE_MXCSR + 4, &mask, 4);
    memset(fx->xsave + SGX_XSAVE_HEADER, 0, 64);
    memcpy(fx->xsave + SGX_XSAVE_HEADER, &bv, 8);
}

void fx_host(struct fx *fx)
{
    struct sgx_cpu *cpu = &fx->cpu;

    memset(cpu, 0, sizeof(*cpu));
    for (int i = 0; i < SGX_GPR_COUNT; i++)
        cpu->gpr[i] = 0x1111000000000000ull + 0x0101010101ull * (unsigned)i;
    cpu->gpr[SGX_RBX] = base(fx) + FX_TCS;
    cpu->gpr[SGX_RCX] = FX_AEP;
    cpu->gpr[SGX_RSP] = 0x7ffc00001000ull;
    cpu->gpr[SGX_RBP] = 0x7ffc00001040ull;
    cpu->rip = FX_RIP;
    cpu->rflags = 0x202;
    cpu->fsbase = 0x7f0000001000ull;
    cpu->gsbase = 0x7f0000002000ull;
    cpu->xcr0 = softsgx_xfrm();
    cpu->xsave = fx->xsave;
    cpu->xsave_size = sgx_xsave_size(cpu->xcr0);
    fx_fill_xsave(fx, 1);
}

bool fx_leaf(struct fx *fx, uint32_t leaf)
{
    fx->cpu.gpr[SGX_RAX] = leaf;
    memset(&fx->fault, 0, sizeof(fx->fault));
    return sgx_enclu(&fx->cpu, &fx->fault);
}

void fx_must(struct fx *fx, uint32_t leaf)
{
    if (!fx_leaf(fx, leaf))
        fail_msg("leaf %u: fault %u error 0x%x address 0x%llx", leaf, fx->fault.vector, fx->fault.error_code,
                 (unsigned long long)fx->fault.address);
}

void fx_enter(struct fx *fx)
{
    fx_host(fx);
    fx_must(fx, SGX_EENTER);
}

void fx_enclave_registers(struct fx *fx)
{
    struct sgx_cpu *cpu = &fx->cpu;

    for (int i = 0; i < SGX_GPR_COUNT; i++)
        cpu->gpr[i] = 0x2222000000000000ull + 0x0303030303ull * (unsigned)i;
    cpu->rip = base(fx) + FX_CODE + 0x123;
    cpu->rflags = 0x202;
    cpu->fsbase = base(fx) + FX_TLS + 0x10;
    cpu->gsbase = base(fx) + FX_DATA + 0x20;
    fx_fill_xsave(fx, 0x60);
}

void fx_interrupt(struct fx *fx)
{
    const struct sgx_event event = { .vector = -1 };

    sgx_aex(&fx->cpu, &event);
}

struct sgx_tcs *fx_tcs_of(struct fx *fx)
{
    return (struct sgx_tcs *)(sgx_enclave_alias(fx->enclave) + FX_TCS);
}

uint8_t *fx_frame(struct fx *fx, unsigned frame)
{
    return sgx_enclave_alias(fx->enclave) + sgx_frame_offset(fx->enclave, fx_tcs_of(fx), frame);
}

struct sgx_gprsgx *fx_gpr(struct fx *fx, unsigned frame)
{
    return (struct sgx_gprsgx *)(fx_frame(fx, frame) + fx->enclave->secs.ssaframesize * SGX_PAGE_SIZE) - 1;
}

/* ---- signing ---- */

static EVP_PKEY *key_for_this_run(void)
{
    static EVP_PKEY *key;
    EVP_PKEY_CTX *ctx;
    BIGNUM *three;

    if (key)
        return key;
    ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    three = BN_new();
    BN_set_word(three, 3);
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 3072), 1);
    assert_int_equal(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, three), 1);
    assert_int_equal(EVP_PKEY_generate(ctx, &key), 1);
    BN_free(three);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

void fx_sigstruct(struct softsgx_enclave *enclave, struct sgx_sigstruct *sig)
{
    static const uint8_t header[16] = { 6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0 };
    static const uint8_t header2[16] = { 1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0 };
    struct sgx_secs secs;

    softsgx_secs(enclave, &secs);
    memset(sig, 0, sizeof(*sig));
    memcpy(sig->header, header, 16);
    memcpy(sig->header2, header2, 16);
    sig->date = 0x20240131;
    sig->exponent = 3;
    sig->miscselect = secs.miscselect;
    sig->miscmask = ~0u;
    sig->attributes = secs.attributes;
    sig->attributemask.flags = sig->attributemask.xfrm = ~0ull;
    sig->isvprodid = 7;
    sig->isvsvn = 4;
    assert_int_equal(sgx_measure_digest(enclave, sig->enclavehash), 0);
}

void fx_sign(struct sgx_sigstruct *sig)
{
    EVP_PKEY *key = key_for_this_run();
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *m = NULL, *s = BN_new(), *t = BN_new(), *q = BN_new(), *u = BN_new();
    uint8_t signature[384];
    size_t length = sizeof(signature);

    assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &m), 1);
    assert_int_equal(BN_bn2lebinpad(m, sig->modulus, 384), 384);
    assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSignUpdate(md, sig, SGX_SIGNED_1), 1);
    assert_int_equal(EVP_DigestSignUpdate(md, (uint8_t *)sig + SGX_SIGNED_2, SGX_SIGNED_2_END - SGX_SIGNED_2), 1);
    assert_int_equal(EVP_DigestSignFinal(md, signature, &length), 1);
    BN_bin2bn(signature, 384, s);
    assert_int_equal(BN_bn2lebinpad(s, sig->signature, 384), 384);
    /* By the definitions, not by the short cut of the processor: q1 = S^2 / M, q2 = (S^3 - q1 * S * M) / M. */
    BN_sqr(t, s, ctx);
    BN_div(q, NULL, t, m, ctx);
    assert_int_equal(BN_bn2lebinpad(q, sig->q1, 384), 384);
    BN_mul(t, t, s, ctx);
    BN_mul(u, q, s, ctx);
    BN_mul(u, u, m, ctx);
    BN_sub(t, t, u);
    BN_div(q, NULL, t, m, ctx);
    assert_int_equal(BN_bn2lebinpad(q, sig->q2, 384), 384);
    BN_free(m);
    BN_free(s);
    BN_free(t);
    BN_free(q);
    BN_free(u);
    BN_CTX_free(ctx);
    EVP_MD_CTX_free(md);
}
