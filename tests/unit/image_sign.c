/* SPDX-License-Identifier: Apache-2.0
 *
 * SIGSTRUCT, checked by arithmetic rather than by the library that made it. */
#include "image_fixture.h"

#include <openssl/bn.h>
#include <openssl/sha.h>
#include <time.h>

static struct image image;
static BN_CTX *ctx;
static BIGNUM *modulus, *signature;

static int sign(void **state)
{
    (void)state;
    fx_signed(&image, VIGIL_FLAG_AEX_NOTIFY | VIGIL_FLAG_EXINFO);
    ctx = BN_CTX_new();
    modulus = BN_lebin2bn(image.sigstruct.modulus, 384, NULL);
    signature = BN_lebin2bn(image.sigstruct.signature, 384, NULL);
    return ctx && modulus && signature ? 0 : -1;
}

static int release(void **state)
{
    (void)state;
    BN_free(modulus);
    BN_free(signature);
    BN_CTX_free(ctx);
    image_free(&image);
    return 0;
}

static uint32_t bcd(time_t when)
{
    char text[16];
    struct tm tm;
    strftime(text, sizeof(text), "%Y%m%d", gmtime_r(&when, &tm));
    return (uint32_t)strtoul(text, NULL, 16);
}

static void fields_are_what_the_architecture_wants(void **state)
{
    static const uint8_t header[16] = {6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
    static const uint8_t header2[16] = {1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0};
    static const uint8_t zero[84];
    const struct sgx_sigstruct *s = &image.sigstruct;
    time_t now = time(NULL);

    (void)state;
    assert_memory_equal(s->header, header, 16);
    assert_memory_equal(s->header2, header2, 16);
    assert_int_equal(s->vendor, 0);
    assert_true(s->date == bcd(now) || s->date == bcd(now - 60));
    assert_int_equal(s->exponent, 3);
    assert_memory_equal(s->reserved1, zero, sizeof(s->reserved1));
    assert_memory_equal(s->reserved2, zero, sizeof(s->reserved2));
    assert_memory_equal(s->reserved3, zero, sizeof(s->reserved3));
    assert_memory_equal(s->reserved4, zero, sizeof(s->reserved4));
    assert_memory_equal(s->isvfamilyid, zero, 16);
    assert_memory_equal(s->isvextprodid, zero, 16);
    assert_int_equal(s->miscselect, SGX_MISC_EXINFO);
    assert_int_equal(s->miscmask, 0xffffffffu);
    assert_int_equal(s->attributes.flags, SGX_ATTR_MODE64BIT | SGX_ATTR_AEXNOTIFY);
    assert_true(s->attributemask.flags == ~0ull);
    assert_int_equal(s->attributes.xfrm, SGX_XFRM_LEGACY);
    assert_true(s->attributemask.xfrm == ~0xe4ull);
}

/* S^3 mod M = 00 01 ff..ff 00 DigestInfo(SHA-256) hash (RFC 8017, 9.2). */
static void signature_is_pkcs1_of_the_signed_parts(void **state)
{
    static const uint8_t info[19] = {0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1,
                                     0x65, 3, 4, 2, 1, 5, 0, 4, 0x20};
    const uint8_t *bytes = (const uint8_t *)&image.sigstruct;
    uint8_t message[256], expected[384], block[384];
    BIGNUM *three = BN_new(), *power = BN_new();

    (void)state;
    memcpy(message, bytes, 128);
    memcpy(message + 128, bytes + 900, 128);
    memset(expected, 0xff, sizeof(expected));
    expected[0] = 0;
    expected[1] = 1;
    expected[384 - 32 - 19 - 1] = 0;
    memcpy(expected + 384 - 32 - 19, info, sizeof(info));
    SHA256(message, sizeof(message), expected + 384 - 32);
    assert_true(BN_set_word(three, 3) && BN_mod_exp(power, signature, three, modulus, ctx));
    assert_int_equal(BN_bn2binpad(power, block, sizeof(block)), 384);
    assert_memory_equal(block, expected, sizeof(block));
    assert_int_equal(BN_num_bits(modulus), 3072);
    BN_free(three);
    BN_free(power);
}

/* q1 <= S^2 / M < q1 + 1; q2 <= (S^3 - q1 S M) / M < q2 + 1. */
static void quotients_are_the_floors(void **state)
{
    BIGNUM *q1 = BN_lebin2bn(image.sigstruct.q1, 384, NULL), *q2 = BN_lebin2bn(image.sigstruct.q2, 384, NULL);
    BIGNUM *t = BN_new(), *rest = BN_new();

    (void)state;
    assert_true(BN_sqr(rest, signature, ctx) && BN_mul(t, q1, modulus, ctx) && BN_sub(rest, rest, t));
    assert_true(!BN_is_negative(rest) && BN_cmp(rest, modulus) < 0);
    assert_true(BN_mul(rest, rest, signature, ctx) && BN_mul(t, q2, modulus, ctx) && BN_sub(rest, rest, t));
    assert_true(!BN_is_negative(rest) && BN_cmp(rest, modulus) < 0);
    BN_free(q1);
    BN_free(q2);
    BN_free(t);
    BN_free(rest);
}

static void debug_is_signed_as_debug(void **state)
{
    struct image other;

    (void)state;
    fx_signed(&other, VIGIL_FLAG_DEBUG);
    assert_int_equal(other.sigstruct.attributes.flags, SGX_ATTR_MODE64BIT | SGX_ATTR_DEBUG);
    assert_int_equal(other.sigstruct.miscselect, 0);
    assert_memory_not_equal(other.sigstruct.enclavehash, image.sigstruct.enclavehash, 32);
    assert_memory_equal(other.sigstruct.modulus, image.sigstruct.modulus, 384);
    image_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fields_are_what_the_architecture_wants, sign, release),
        cmocka_unit_test_setup_teardown(signature_is_pkcs1_of_the_signed_parts, sign, release),
        cmocka_unit_test_setup_teardown(quotients_are_the_floors, sign, release),
        cmocka_unit_test_setup_teardown(debug_is_signed_as_debug, sign, release),
    };
    return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
