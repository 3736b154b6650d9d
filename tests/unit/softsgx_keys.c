/* SPDX-License-Identifier: Apache-2.0
 *
 * What keys and reports are good for: local attestation, sealing, and a root key that outlives the process. */
#include "softsgx_fixture.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IN = FX_HEAP, DATA = FX_HEAP + 0x1000, OUT = FX_HEAP + 0x2000 };

static uint8_t *memory(struct fx *fx, uint64_t offset)
{
    return sgx_enclave_alias(fx->enclave) + offset;
}

static void operands(struct fx *fx)
{
    uint64_t base = sgx_enclave_base(fx->enclave);

    fx->cpu.gpr[SGX_RBX] = base + IN;
    fx->cpu.gpr[SGX_RCX] = base + DATA;
    fx->cpu.gpr[SGX_RDX] = base + OUT;
}

static void report_for(struct fx *fx, const struct sgx_targetinfo *target, struct sgx_report *report)
{
    memcpy(memory(fx, IN), target, sizeof(*target));
    for (uint8_t i = 0; i < 64; i++)
        memory(fx, DATA)[i] = (uint8_t)(i ^ 0xa5);
    operands(fx);
    fx_must(fx, SGX_EREPORT);
    memcpy(report, memory(fx, OUT), sizeof(*report));
}

/* EGETKEY; the error code, and the key if it is zero. */
static uint64_t get_key(struct fx *fx, const struct sgx_keyrequest *request, uint8_t key[16])
{
    memcpy(memory(fx, IN), request, sizeof(*request));
    operands(fx);
    fx_must(fx, SGX_EGETKEY);
    memcpy(key, memory(fx, DATA), 16);
    return fx->cpu.gpr[SGX_RAX];
}

static void openssl_cmac(const uint8_t key[16], const void *message, size_t length, uint8_t mac[16])
{
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, (char[]){ "AES-128-CBC" }, 0),
                            OSSL_PARAM_construct_end() };
    EVP_MAC *cmac = EVP_MAC_fetch(NULL, "CMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(cmac);
    size_t written;

    assert_int_equal(EVP_MAC_init(ctx, key, 16, params), 1);
    assert_int_equal(EVP_MAC_update(ctx, message, length), 1);
    assert_int_equal(EVP_MAC_final(ctx, mac, &written, 16), 1);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(cmac);
}

static void target_of(const struct fx *fx, struct sgx_targetinfo *target)
{
    struct sgx_secs secs;

    softsgx_secs(fx->enclave, &secs);
    memset(target, 0, sizeof(*target));
    memcpy(target->measurement, secs.mrenclave, 32);
    target->attributes = secs.attributes;
    target->configsvn = secs.configsvn;
    target->miscselect = secs.miscselect;
    memcpy(target->configid, secs.configid, 64);
}

static const struct fx_options here = { .attributes = FX_ATTR };
static const struct fx_options there = { .attributes = FX_ATTR, .base = FX_BASE + FX_SIZE,
  .miscselect = SGX_MISC_EXINFO,
                                         .tcs_flags = SGX_TCS_AEXNOTIFY, .ssaframesize = 2 };

static struct fx_options notify_there(void)
{
    struct fx_options options = there;

    options.attributes |= SGX_ATTR_AEXNOTIFY;
    return options;
}

/* The report of one enclave, checked by another as software does it: EGETKEY, then a CMAC of its own. */
static void test_local_attestation(void **state)
{
    struct sgx_keyrequest request = { .keyname = SGX_KEY_REPORT };
    struct fx_options options = notify_there();
    struct sgx_targetinfo target;
    struct sgx_report report;
    uint8_t key[16], mac[16];
    struct sgx_secs secs;
    static struct fx prover, verifier;

    (void)state;
    fx_open(&prover, &here);
    fx_open(&verifier, &options);
    fx_enter(&prover);
    fx_enter(&verifier);
    target_of(&verifier, &target);
    report_for(&prover, &target, &report);

    softsgx_secs(prover.enclave, &secs);
    assert_memory_equal(report.cpusvn, "SOFTSGX-INSECURE", 16);
    assert_memory_equal(report.mrenclave, secs.mrenclave, 32);
    assert_memory_equal(report.mrsigner, secs.mrsigner, 32);
    assert_int_equal(report.attributes.flags, FX_ATTR | SGX_ATTR_INIT);
    assert_int_equal(report.attributes.xfrm, 3);
    assert_int_equal(report.isvprodid, 7);
    assert_int_equal(report.isvsvn, 4);
    assert_int_equal(report.reportdata[5], 5 ^ 0xa5);

    memcpy(request.keyid, report.keyid, 32);
    assert_int_equal(get_key(&verifier, &request, key), 0);
    openssl_cmac(key, &report, offsetof(struct sgx_report, keyid), mac);
    assert_memory_equal(mac, report.mac, 16);

    assert_int_equal(get_key(&prover, &request, key), 0); /* it was not the target */
    openssl_cmac(key, &report, offsetof(struct sgx_report, keyid), mac);
    assert_memory_not_equal(mac, report.mac, 16);
    fx_close(&prover);
    fx_close(&verifier);
}

/* Every field of TARGETINFO that names the target changes the key. */
static void test_report_key_depends_on_target(void **state)
{
    static const size_t fields[] = { 0, 31, 32, 40, 50, 52, 64, 127 };
    struct sgx_targetinfo target;
    struct sgx_report first, other;
    static struct fx fx;

    (void)state;
    fx_open(&fx, &here);
    fx_enter(&fx);
    target_of(&fx, &target);
    report_for(&fx, &target, &first);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct sgx_targetinfo changed = target;

        ((uint8_t *)&changed)[fields[i]] ^= 0x40;
        report_for(&fx, &changed, &other);
        assert_memory_equal(&first, &other, offsetof(struct sgx_report, mac));
        assert_memory_not_equal(first.mac, other.mac, 16);
    }
    fx_close(&fx);
}

static void kss(struct sgx_secs *secs)
{
    secs->configsvn = 5;
    secs->configid[0] = 1;
}

static void family(struct sgx_sigstruct *sig)
{
    sig->isvfamilyid[0] = 1;
    sig->isvextprodid[0] = 2;
}

/* A seal key is the same each time, and another when anything it depends on is another. */
static void test_seal_key_dependencies(void **state)
{
    const struct fx_options options = { .attributes = FX_ATTR | SGX_ATTR_KSS | SGX_ATTR_PROVISIONKEY,
                                        .edit_secs = kss, .edit_sigstruct = family };
    const struct { size_t offset; uint8_t value; } edits[] = {
        { offsetof(struct sgx_keyrequest, keypolicy), SGX_KEYPOLICY_MRENCLAVE },
        { offsetof(struct sgx_keyrequest, keypolicy), SGX_KEYPOLICY_MRENCLAVE | SGX_KEYPOLICY_MRSIGNER },
        { offsetof(struct sgx_keyrequest, keypolicy), SGX_KEYPOLICY_MRSIGNER | SGX_KEYPOLICY_NOISVPRODID },
        { offsetof(struct sgx_keyrequest, keypolicy), SGX_KEYPOLICY_MRSIGNER | SGX_KEYPOLICY_CONFIGID },
        { offsetof(struct sgx_keyrequest, keypolicy), SGX_KEYPOLICY_MRSIGNER | SGX_KEYPOLICY_ISVFAMILYID },
        { offsetof(struct sgx_keyrequest, keypolicy), SGX_KEYPOLICY_MRSIGNER | SGX_KEYPOLICY_ISVEXTPRODID },
        { offsetof(struct sgx_keyrequest, isvsvn), 3 },
        { offsetof(struct sgx_keyrequest, attributemask), 0x80 },
        { offsetof(struct sgx_keyrequest, attributemask) + 8, 1 },
        { offsetof(struct sgx_keyrequest, miscmask), 1 },
        { offsetof(struct sgx_keyrequest, keyid), 1 },
        { offsetof(struct sgx_keyrequest, keyid) + 31, 1 },
        { offsetof(struct sgx_keyrequest, keyname), SGX_KEY_REPORT },
        { offsetof(struct sgx_keyrequest, keyname), SGX_KEY_PROVISION },
        { offsetof(struct sgx_keyrequest, keyname), SGX_KEY_PROVISION_SEAL },
    };
    enum { N = sizeof(edits) / sizeof(edits[0]) };
    struct sgx_keyrequest plain = { .keyname = SGX_KEY_SEAL, .keypolicy = SGX_KEYPOLICY_MRSIGNER, .isvsvn = 4 };
    uint8_t keys[N + 2][16];
    static struct fx fx;

    (void)state;
    memcpy(plain.cpusvn, sgx_cpusvn, 16);
    fx_open(&fx, &options);
    fx_enter(&fx);
    assert_int_equal(get_key(&fx, &plain, keys[N]), 0);
    assert_int_equal(get_key(&fx, &plain, keys[N + 1]), 0);
    assert_memory_equal(keys[N], keys[N + 1], 16);
    for (int i = 0; i < N; i++) {
        struct sgx_keyrequest request = plain;

        ((uint8_t *)&request)[edits[i].offset] = edits[i].value;
        assert_int_equal(get_key(&fx, &request, keys[i]), 0);
        assert_memory_not_equal(keys[i], keys[N], 16);
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(keys[i], keys[j], 16);
    }
    fx_close(&fx);
}

/* MRSIGNER policy: a second enclave of the same signer gets the key, unless it is (not) a debug enclave. */
static void test_seal_key_between_enclaves(void **state)
{
    const struct fx_options production = { .attributes = SGX_ATTR_MODE64BIT, .base = FX_BASE + 2 * FX_SIZE };
    struct fx_options options = there;
    struct sgx_keyrequest request = { .keyname = SGX_KEY_SEAL, .keypolicy = SGX_KEYPOLICY_MRSIGNER };
    uint8_t one[16], two[16], three[16];
    static struct fx a, b, c;

    (void)state;
    options.tcs_flags = 0;
    fx_open(&a, &here);
    fx_open(&b, &options);
    fx_open(&c, &production);
    fx_enter(&a);
    fx_enter(&b);
    fx_enter(&c);
    assert_int_equal(get_key(&a, &request, one), 0);
    assert_int_equal(get_key(&b, &request, two), 0);
    assert_int_equal(get_key(&c, &request, three), 0);
    assert_memory_equal(one, two, 16);
    assert_memory_not_equal(one, three, 16);
    request.keypolicy = SGX_KEYPOLICY_MRENCLAVE;
    assert_int_equal(get_key(&a, &request, one), 0);
    assert_int_equal(get_key(&b, &request, two), 0);
    assert_memory_not_equal(one, two, 16);
    fx_close(&a);
    fx_close(&b);
    fx_close(&c);
}

/* ATTRIBUTEMASK chooses whether another XFRM is another key. */
static void test_seal_key_and_xfrm(void **state)
{
    const struct fx_options avx = { .attributes = FX_ATTR, .base = FX_BASE + FX_SIZE, .xfrm = 7 };
    struct sgx_keyrequest request = { .keyname = SGX_KEY_SEAL, .keypolicy = SGX_KEYPOLICY_MRSIGNER };
    uint8_t one[16], two[16];
    static struct fx a, b;

    (void)state;
    if (!(softsgx_xfrm() & SGX_XFRM_AVX))
        skip();
    fx_open(&a, &here);
    fx_open(&b, &avx);
    fx_enter(&a);
    fx_enter(&b);
    assert_int_equal(get_key(&a, &request, one), 0);
    assert_int_equal(get_key(&b, &request, two), 0);
    assert_memory_equal(one, two, 16);
    request.attributemask.xfrm = 4;
    assert_int_equal(get_key(&a, &request, one), 0);
    assert_int_equal(get_key(&b, &request, two), 0);
    assert_memory_not_equal(one, two, 16);
    fx_close(&a);
    fx_close(&b);
}

/* ---- the root key: each case in a process of its own ---- */

/* The seal key an enclave gets in a fresh process with this data directory (NULL: none at all). */
static void seal_key_of_process(const char *self, const char *data_home, uint8_t key[16])
{
    char command[1024], hex[33] = "";
    FILE *child;

    if (data_home)
        snprintf(command, sizeof(command), "env -u HOME XDG_DATA_HOME='%s' '%s' seal", data_home, self);
    else
        snprintf(command, sizeof(command), "env -u HOME -u XDG_DATA_HOME '%s' seal", self);
    child = popen(command, "re");
    assert_non_null(child);
    assert_int_equal(fread(hex, 1, 32, child), 32);
    assert_int_equal(pclose(child), 0);
    for (int i = 0; i < 16; i++)
        assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &key[i]), 1);
}

static int print_derived_key(void)
{
    const struct sgx_keydependencies d = { .keyname = SGX_KEY_SEAL };
    uint8_t key[16];

    if (sgx_keys_init())
        return 1;
    sgx_derive_key(&d, key);
    for (int i = 0; i < 16; i++)
        printf("%02x", key[i]);
    return 0;
}

static const char *self;

static void test_root_key_file(void **state)
{
    char directory[] = "/tmp/softsgx-keys-XXXXXX", path[128];
    uint8_t one[16], two[16], three[16];
    struct stat st;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/vigil/softsgx-root.key", directory);
    seal_key_of_process(self, directory, one);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 16);
    seal_key_of_process(self, directory, two);
    assert_memory_equal(one, two, 16); /* sealed data outlives the process */

    unlink(path);
    seal_key_of_process(self, directory, three); /* another machine */
    assert_memory_not_equal(one, three, 16);

    f = fopen(path, "w"); /* a damaged key is not used, and not overwritten */
    assert_non_null(f);
    fputs("short", f);
    fclose(f);
    seal_key_of_process(self, directory, one);
    seal_key_of_process(self, directory, two);
    assert_memory_not_equal(one, two, 16);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 5);

    seal_key_of_process(self, NULL, one); /* nowhere to keep one */
    seal_key_of_process(self, NULL, two);
    assert_memory_not_equal(one, two, 16);
    seal_key_of_process(self, "/proc/nowhere", one);

    unlink(path);
    snprintf(path, sizeof(path), "%s/vigil", directory);
    rmdir(path);
    assert_int_equal(rmdir(directory), 0); /* nothing else was left behind */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        fx_test(test_local_attestation),         fx_test(test_report_key_depends_on_target),
        fx_test(test_seal_key_dependencies),     fx_test(test_seal_key_between_enclaves),
        fx_test(test_seal_key_and_xfrm),
        cmocka_unit_test(test_root_key_file),
    };

    if (argc > 1 && strcmp(argv[1], "seal") == 0)
        return print_derived_key();
    self = argv[0];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
