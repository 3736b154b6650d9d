/* SPDX-License-Identifier: Apache-2.0
 *
 * SIGSTRUCT: form and signature. */
#include "softsgx/enclave.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

static const uint8_t header1[16] = { 0x06, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0 };
static const uint8_t header2[16] = { 0x01, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0 };

int sgx_sigstruct_check(const struct sgx_sigstruct *s)
{
    /* This processor has no CET: its two bytes are reserved like their neighbours. */
    if (memcmp(s->header, header1, 16) || memcmp(s->header2, header2, 16) || s->exponent != 3 ||
        (s->vendor != 0 && s->vendor != 0x8086) || !sgx_all_zero(s->reserved1, sizeof(s->reserved1)) ||
        s->cet_attributes || s->cet_attributes_mask || !sgx_all_zero(s->reserved2, sizeof(s->reserved2)) ||
        !sgx_all_zero(s->reserved3, sizeof(s->reserved3)) || !sgx_all_zero(s->reserved4, sizeof(s->reserved4)))
        return SGX_INVALID_SIG_STRUCT;
    return 0;
}

/* q1 = floor(S^2 / M), q2 = floor((S^3 - q1*S*M) / M): the processor takes them as given and rejects wrong ones. */
static bool quotients_match(const struct sgx_sigstruct *sig)
{
    BN_CTX *ctx = BN_CTX_new();
    bool ok = false;

    if (!ctx)
        return false;
    BN_CTX_start(ctx);
    BIGNUM *s = BN_CTX_get(ctx), *m = BN_CTX_get(ctx), *t = BN_CTX_get(ctx), *r = BN_CTX_get(ctx);
    BIGNUM *q = BN_CTX_get(ctx), *given = BN_CTX_get(ctx);

    if (!given || !BN_lebin2bn(sig->signature, 384, s) || !BN_lebin2bn(sig->modulus, 384, m) || BN_is_zero(m))
        goto out;
    if (!BN_sqr(t, s, ctx) || !BN_div(q, r, t, m, ctx) || !BN_lebin2bn(sig->q1, 384, given) || BN_cmp(q, given))
        goto out;
    /* S^3 - q1*S*M = S * (S^2 - q1*M) = S * (S^2 mod M) */
    if (!BN_mul(t, s, r, ctx) || !BN_div(q, r, t, m, ctx) || !BN_lebin2bn(sig->q2, 384, given))
        goto out;
    ok = BN_cmp(q, given) == 0;
out:
    BN_CTX_end(ctx);
    BN_CTX_free(ctx);
    return ok;
}

static EVP_PKEY *public_key(const struct sgx_sigstruct *sig)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *n = BN_lebin2bn(sig->modulus, 384, NULL), *e = BN_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (build && ctx && n && e && BN_set_word(e, sig->exponent) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) && (params = OSSL_PARAM_BLD_to_param(build)) &&
        EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return key;
}

int sgx_sigstruct_verify(const struct sgx_sigstruct *sig)
{
    const uint8_t *bytes = (const uint8_t *)sig;
    uint8_t big_endian[384];
    EVP_PKEY *key = public_key(sig);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok;

    for (size_t i = 0; i < sizeof(big_endian); i++)
        big_endian[i] = sig->signature[sizeof(big_endian) - 1 - i];
    ok = key && md && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 && /* PKCS #1 v1.5 by default */
         EVP_DigestVerifyUpdate(md, bytes, SGX_SIGNED_1) == 1 &&
         EVP_DigestVerifyUpdate(md, bytes + SGX_SIGNED_2, SGX_SIGNED_2_END - SGX_SIGNED_2) == 1 &&
         EVP_DigestVerifyFinal(md, big_endian, sizeof(big_endian)) == 1 && quotients_match(sig);
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    return ok ? 0 : SGX_INVALID_SIGNATURE;
}

int sgx_sigstruct_mrsigner(const struct sgx_sigstruct *s, uint8_t mrsigner[32])
{
    return EVP_Digest(s->modulus, sizeof(s->modulus), mrsigner, NULL, EVP_sha256(), NULL) == 1 ?
               0 : SGX_INVALID_SIGNATURE;
}
