/* SPDX-License-Identifier: Apache-2.0
 *
 * Known answers: AES-128, AES-CMAC, MRENCLAVE. */
#include "softsgx_fixture.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/core_names.h>
#include <openssl/sha.h>
#include <stdlib.h>

static void test_aes(void **state)
{
    /* FIPS 197, appendix B and C.1 */
    static const uint8_t key_b[16] = { 0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                                       0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c };
    static const uint8_t in_b[16] = { 0x32, 0x43, 0xf6, 0xa8, 0x88, 0x5a, 0x30, 0x8d,
                                      0x31, 0x31, 0x98, 0xa2, 0xe0, 0x37, 0x07, 0x34 };
    static const uint8_t out_b[16] = { 0x39, 0x25, 0x84, 0x1d, 0x02, 0xdc, 0x09, 0xfb,
                                       0xdc, 0x11, 0x85, 0x97, 0x19, 0x6a, 0x0b, 0x32 };
    static const uint8_t out_c[16] = { 0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30,
                                       0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a };
    uint8_t key[16], in[16], out[16];

    (void)state;
    sgx_aes128_encrypt(key_b, in_b, out);
    assert_memory_equal(out, out_b, 16);
    for (uint8_t i = 0; i < 16; i++) {
        key[i] = i;
        in[i] = (uint8_t)(i << 4 | i);
    }
    sgx_aes128_encrypt(key, in, out);
    assert_memory_equal(out, out_c, 16);
}

/* RFC 4493, section 4 */
static void test_cmac_vectors(void **state)
{
    static const uint8_t key[16] = { 0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                                     0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c };
    static const uint8_t message[64] = {
        0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a,
        0xae, 0x2d, 0x8a, 0x57, 0x1e, 0x03, 0xac, 0x9c, 0x9e, 0xb7, 0x6f, 0xac, 0x45, 0xaf, 0x8e, 0x51,
        0x30, 0xc8, 0x1c, 0x46, 0xa3, 0x5c, 0xe4, 0x11, 0xe5, 0xfb, 0xc1, 0x19, 0x1a, 0x0a, 0x52, 0xef,
        0xf6, 0x9f, 0x24, 0x45, 0xdf, 0x4f, 0x9b, 0x17, 0xad, 0x2b, 0x41, 0x7b, 0xe6, 0x6c, 0x37, 0x10 };
    static const struct { size_t length; uint8_t mac[16]; } examples[] = {
        { 0, { 0xbb, 0x1d, 0x69, 0x29, 0xe9, 0x59, 0x37, 0x28, 0x7f, 0xa3, 0x7d, 0x12, 0x9b, 0x75, 0x67, 0x46 } },
        { 16, { 0x07, 0x0a, 0x16, 0xb4, 0x6b, 0x4d, 0x41, 0x44, 0xf7, 0x9b, 0xdd, 0x9d, 0xd0, 0x4a, 0x28, 0x7c } },
        { 40, { 0xdf, 0xa6, 0x67, 0x47, 0xde, 0x9a, 0xe6, 0x30, 0x30, 0xca, 0x32, 0x61, 0x14, 0x97, 0xc8, 0x27 } },
        { 64, { 0x51, 0xf0, 0xbe, 0xbf, 0x7e, 0x3b, 0x9d, 0x92, 0xfc, 0x49, 0x74, 0x17, 0x79, 0x36, 0x3c, 0xfe } },
    };
    uint8_t mac[16];

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        sgx_aes128_cmac(key, message, examples[i].length, mac);
        assert_memory_equal(mac, examples[i].mac, 16);
    }
}

/* Every length up to four blocks and a bit, random keys, against OpenSSL. */
static void test_cmac_against_openssl(void **state)
{
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, (char[]){ "AES-128-CBC" }, 0),
                            OSSL_PARAM_construct_end() };
    EVP_MAC *cmac = EVP_MAC_fetch(NULL, "CMAC", NULL);
    uint8_t key[16], message[70], want[16], have[16];
    size_t length;

    (void)state;
    for (size_t n = 0; n <= sizeof(message); n++) {
        EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(cmac);

        RAND_bytes(key, sizeof(key));
        RAND_bytes(message, sizeof(message));
        assert_int_equal(EVP_MAC_init(ctx, key, sizeof(key), params), 1);
        assert_int_equal(EVP_MAC_update(ctx, message, n), 1);
        assert_int_equal(EVP_MAC_final(ctx, want, &length, sizeof(want)), 1);
        EVP_MAC_CTX_free(ctx);
        sgx_aes128_cmac(key, message, n, have);
        assert_memory_equal(have, want, 16);
    }
    EVP_MAC_free(cmac);
}

/* ---- MRENCLAVE: a second, plain implementation writes the whole record stream into one buffer ---- */

struct stream { uint8_t *bytes; size_t length; };

static void put(struct stream *s, const void *bytes, size_t length)
{
    s->bytes = realloc(s->bytes, s->length + length);
    assert_non_null(s->bytes);
    memcpy(s->bytes + s->length, bytes, length);
    s->length += length;
}

static void put_record(struct stream *s, const char *tag, uint64_t a, size_t a_size, uint64_t b, size_t b_size)
{
    uint8_t record[64] = { 0 };

    memcpy(record, tag, strlen(tag));
    memcpy(record + 8, &a, a_size);
    memcpy(record + 8 + a_size, &b, b_size);
    put(s, record, sizeof(record));
}

static void put_page(struct stream *s, uint64_t offset, uint64_t flags, const uint8_t *content)
{
    put_record(s, "EADD", offset, 8, flags, 8);
    for (uint64_t i = 0; content && i < 4096; i += 256) {
        put_record(s, "EEXTEND", offset + i, 8, 0, 8);
        put(s, content + i, 256);
    }
}

static int measurement(void (*edit)(struct sgx_tcs *), uint8_t mrenclave[32])
{
    const struct fx_options options = { .attributes = FX_ATTR };
    struct sgx_secinfo rx = { .flags = 0x205 }, rw = { .flags = 0x203 }, tcs_info = { .flags = 0x107 };
    struct softsgx_enclave *enclave;
    uint8_t code[4096];
    struct sgx_secs secs;
    struct sgx_tcs tcs;
    int ret;

    fx_secs(&options, &secs);
    fx_tcs(&options, &tcs);
    if (edit)
        edit(&tcs);
    for (size_t i = 0; i < sizeof(code); i++)
        code[i] = (uint8_t)(i * 5 + i / 256);
    assert_int_equal(softsgx_create(&secs, &enclave), 0);
    assert_int_equal(softsgx_add_pages(enclave, 0x0000, code, 4096, &rx, true), 0);
    assert_int_equal(softsgx_add_pages(enclave, 0x1000, NULL, 0x2000, &rw, false), 0);
    assert_int_equal(softsgx_add_pages(enclave, 0x3000, &tcs, 4096, &tcs_info, true), 0);
    assert_int_equal(softsgx_add_pages(enclave, 0x5000, NULL, 4096, &rw, true), 0);
    ret = sgx_measure_digest(enclave, mrenclave);
    softsgx_destroy(enclave);
    return ret;
}

static void test_mrenclave(void **state)
{
    /* Computed once with python3: struct.pack and hashlib. */
    static const uint8_t known[32] = {
        0x61, 0x5f, 0x34, 0xbd, 0x2e, 0x48, 0x93, 0xf6,
        0x8b, 0xd9, 0xcc, 0xe8, 0x72, 0x91, 0x43, 0x11,
        0xf1, 0x56, 0xc7, 0x9c, 0xf3, 0x64, 0x12, 0xd8,
        0x11, 0x18, 0xf1, 0x92, 0xbe, 0x64, 0xf1, 0xf2,
    };
    const struct fx_options options = { .attributes = FX_ATTR };
    uint8_t code[4096], zero[4096] = { 0 }, have[32], want[32];
    struct stream s = { 0 };
    struct sgx_tcs tcs;

    (void)state;
    for (size_t i = 0; i < sizeof(code); i++)
        code[i] = (uint8_t)(i * 5 + i / 256);
    fx_tcs(&options, &tcs);
    put_record(&s, "ECREATE", 1, 4, FX_SIZE, 8);
    put_page(&s, 0x0000, 0x205, code);
    put_page(&s, 0x1000, 0x203, NULL);
    put_page(&s, 0x2000, 0x203, NULL);
    put_page(&s, 0x3000, 0x100, (uint8_t *)&tcs); /* a TCS has no RWX */
    put_page(&s, 0x5000, 0x203, zero);
    SHA256(s.bytes, s.length, want);
    free(s.bytes);
    assert_int_equal(measurement(NULL, have), 0);
    assert_memory_equal(have, want, 32);
    assert_memory_equal(have, known, 32);
}

static void set_forced_fields(struct sgx_tcs *tcs)
{
    tcs->state = 1;
    tcs->flags |= SGX_TCS_DBGOPTIN;
    tcs->cssa = 1;
    tcs->aep = 0x1000;
}

static void set_aexnotify(struct sgx_tcs *tcs)
{
    tcs->flags |= SGX_TCS_AEXNOTIFY;
}

/* What EADD clears is measured as cleared; AEXNOTIFY is the enclave author's choice and measured. */
static void test_mrenclave_of_tcs(void **state)
{
    uint8_t plain[32], forced[32], notify[32];

    (void)state;
    assert_int_equal(measurement(NULL, plain), 0);
    assert_int_equal(measurement(set_forced_fields, forced), 0);
    assert_int_equal(measurement(set_aexnotify, notify), 0);
    assert_memory_equal(plain, forced, 32);
    assert_memory_not_equal(plain, notify, 32);
}

/* ---- a memory of measurements: one question and its answer ---- */

static struct { uint8_t question[256], answer[32]; size_t size; unsigned asked, told; } memory;

static bool recall(const void *question, size_t question_size, void *answer, size_t answer_size)
{
    memory.asked++;
    assert_int_equal(answer_size, 32);
    if (question_size != memory.size || memcmp(question, memory.question, question_size) != 0)
        return false;
    memcpy(answer, memory.answer, 32);
    return true;
}

static void remember(const void *question, size_t question_size, const void *answer, size_t answer_size)
{
    assert_true(question_size <= sizeof(memory.question) && answer_size == 32);
    memcpy(memory.question, question, question_size);
    memcpy(memory.answer, answer, 32);
    memory.size = question_size;
    memory.told++;
}

/* A heap of so many pages and one page behind it. */
static void heap_measurement(uint64_t at, uint64_t pages, uint64_t flags, uint8_t mrenclave[32])
{
    const struct fx_options options = { .attributes = FX_ATTR };
    struct sgx_secinfo rw = { .flags = flags };
    struct softsgx_enclave *enclave;
    struct sgx_secs secs;

    fx_secs(&options, &secs);
    secs.baseaddr = secs.size = 1ull << 30;
    assert_int_equal(softsgx_create(&secs, &enclave), 0);
    assert_int_equal(softsgx_add_pages(enclave, at, NULL, pages * 4096, &rw, false), 0);
    assert_int_equal(softsgx_add_pages(enclave, at + pages * 4096, NULL, 4096, &rw, true), 0);
    assert_int_equal(sgx_measure_digest(enclave, mrenclave), 0);
    softsgx_destroy(enclave);
}

/* With it every MRENCLAVE is what it is without. */
static void test_remembered_measurement(void **state)
{
    static const struct softsgx_memory ops = { recall, remember };
    static const struct { uint64_t at, pages, flags; } heaps[] = {
        { 0x10000, 50000, 0x203 }, { 0x11000, 50000, 0x203 }, { 0x10000, 50001, 0x203 }, { 0x10000, 50000, 0x207 },
    };
    uint8_t want[32], first[32], again[32];

    (void)state;
    for (size_t i = 0; i < sizeof(heaps) / sizeof(heaps[0]); i++) {
        heap_measurement(heaps[i].at, heaps[i].pages, heaps[i].flags, want);
        softsgx_set_memory(&ops);
        heap_measurement(heaps[i].at, heaps[i].pages, heaps[i].flags, first);
        heap_measurement(heaps[i].at, heaps[i].pages, heaps[i].flags, again);
        softsgx_set_memory(NULL);
        assert_memory_equal(first, want, 32);
        assert_memory_equal(again, want, 32);
        assert_int_equal(memory.asked, 2 * (i + 1));
        assert_int_equal(memory.told, i + 1);
    }
    /* It is the answer that counts; a wrong one is another MRENCLAVE, which no SIGSTRUCT has. */
    memory.answer[0] ^= 1;
    softsgx_set_memory(&ops);
    heap_measurement(heaps[3].at, heaps[3].pages, heaps[3].flags, again);
    heap_measurement(0x10000, 100, 0x203, first); /* not worth a question */
    softsgx_set_memory(NULL);
    assert_memory_not_equal(again, want, 32);
    assert_int_equal(memory.asked, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aes),       cmocka_unit_test(test_cmac_vectors),
        cmocka_unit_test(test_mrenclave), cmocka_unit_test(test_cmac_against_openssl),
        cmocka_unit_test(test_mrenclave_of_tcs),
        cmocka_unit_test(test_remembered_measurement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
