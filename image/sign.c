/* SPDX-License-Identifier: Apache-2.0
 *
 * SIGSTRUCT: what may be launched, and the signature over it (SDM vol. 3D, 37.1.3 and 37.14). */
#include "image/key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <string.h>
#include <time.h>

/* The platform may add vector extensions, and nothing else, to what was signed. */
#define XFRM_FREE (SGX_XFRM_AVX | SGX_XFRM_AVX512)

static uint32_t bcd_date(void)
{
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    unsigned decimal = (unsigned)((tm.tm_year + 1900) * 10000 + (tm.tm_mon + 1) * 100 + tm.tm_mday);
    uint32_t bcd = 0;
    for (unsigned shift = 0; shift < 32; shift += 4, decimal /= 10)
        bcd |= decimal % 10 << shift;
    return bcd;
}

/* Without AVX there is no AVX-512 (SDM vol. 1, 13.3). */
static uint64_t xfrm_fixed_off(const struct vigil_config *c)
{
    return c->xfrm_disabled & SGX_XFRM_AVX ? XFRM_FREE : c->xfrm_disabled;
}

static void fill_body(struct sgx_sigstruct *s, const struct image *image)
{
    static const uint8_t header[16] = {6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1};
    static const uint8_t header2[16] = {1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1};

    memset(s, 0, sizeof(*s));
    memcpy(s->header, header, sizeof(header));
    memcpy(s->header2, header2, sizeof(header2));
    s->date = bcd_date();
    s->exponent = 3;
    s->miscselect = image->secs.miscselect;
    s->miscmask = ~0u;
    s->attributes = image->secs.attributes;
    s->attributemask.flags = ~0ull;
    s->attributemask.xfrm = ~(uint64_t)XFRM_FREE | image->config->xfrm_required | xfrm_fixed_off(image->config);
    s->isvprodid = (uint16_t)image->config->isvprodid;
    s->isvsvn = (uint16_t)image->config->isvsvn;
}

static int sign_bytes(EVP_PKEY *key, const struct sgx_sigstruct *s, uint8_t signature[384])
{
    uint8_t message[SGX_SIGNED_1 + SGX_SIGNED_2_END - SGX_SIGNED_2];
    size_t length = 384;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    memcpy(message, s, SGX_SIGNED_1);
    memcpy(message + SGX_SIGNED_1, (const uint8_t *)s + SGX_SIGNED_2, SGX_SIGNED_2_END - SGX_SIGNED_2);
    int ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
             EVP_DigestSign(ctx, signature, &length, message, sizeof(message)) == 1 && length == 384;
    EVP_MD_CTX_free(ctx);
    return ok ? 0 : -1;
}

/* q1 = floor(S^2 / M), q2 = floor((S^3 - q1 S M) / M): let the processor check the signature without dividing. */
static int fill_quotients(struct sgx_sigstruct *s, const BIGNUM *signature, const BIGNUM *modulus)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *t = BN_new(), *r = BN_new(), *q1 = BN_new(), *q2 = BN_new();
    int ok = ctx && t && r && q1 && q2 && BN_sqr(t, signature, ctx) && BN_div(q1, r, t, modulus, ctx) &&
             BN_mul(t, r, signature, ctx) && BN_div(q2, NULL, t, modulus, ctx) &&
             BN_bn2lebinpad(q1, s->q1, sizeof(s->q1)) >= 0 && BN_bn2lebinpad(q2, s->q2, sizeof(s->q2)) >= 0;
    BN_free(t), BN_free(r), BN_free(q1), BN_free(q2);
    BN_CTX_free(ctx);
    return ok ? 0 : -1;
}

int image_sign(struct image *image, struct image_key *key, struct image_error *error)
{
    struct sgx_sigstruct *s = &image->sigstruct;
    uint8_t signature[384];
    BIGNUM *modulus = NULL, *value = NULL;

    fill_body(s, image);
    if (image_measure(image, s->enclavehash, error))
        return -1;
    int ok = EVP_PKEY_get_bn_param(key->key, OSSL_PKEY_PARAM_RSA_N, &modulus) &&
             BN_bn2lebinpad(modulus, s->modulus, sizeof(s->modulus)) >= 0 && !sign_bytes(key->key, s, signature) &&
             (value = BN_bin2bn(signature, sizeof(signature), NULL)) &&
             BN_bn2lebinpad(value, s->signature, sizeof(s->signature)) >= 0 && !fill_quotients(s, value, modulus);
    BN_free(modulus);
    BN_free(value);
    image->is_signed = ok;
    return ok ? 0 : image_fail(error, "signing failed in OpenSSL");
}
