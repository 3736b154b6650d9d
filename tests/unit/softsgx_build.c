/* SPDX-License-Identifier: Apache-2.0
 *
 * Building an enclave: what the trap driver is told about its mapping, how failures are undone, finding enclaves. */
#include "softsgx_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#define RW (SGX_SECINFO_REG | SGX_SECINFO_R | SGX_SECINFO_W)

/* A driver that writes down what it is asked. */
static struct { uint64_t address, length; int prot; } calls[64];
static unsigned call_count, reserved, released;
static int reserve_result, protect_result;

static int reserve(struct softsgx_enclave *enclave, int memfd)
{
    (void)enclave;
    assert_true(memfd >= 0);
    reserved++;
    return reserve_result;
}

static int protect(struct softsgx_enclave *enclave, uint64_t address, uint64_t length, int prot)
{
    (void)enclave;
    if (call_count < 64) {
        calls[call_count].address = address;
        calls[call_count].length = length;
        calls[call_count].prot = prot;
    }
    call_count++;
    return protect_result;
}

static void release(struct softsgx_enclave *enclave)
{
    (void)enclave;
    released++;
}

static const struct sgx_mapping_ops ops = { .reserve = reserve, .protect = protect, .release = release };

static int setup(void **state)
{
    (void)state;
    call_count = reserved = released = 0;
    reserve_result = protect_result = 0;
    sgx_set_mapping_ops(&ops);
    return 0;
}

static int teardown(void **state)
{
    fx_teardown(state);
    sgx_set_mapping_ops(NULL);
    return 0;
}

static struct softsgx_enclave *create(uint64_t base, uint64_t size)
{
    const struct fx_options options = { .attributes = FX_ATTR };
    struct softsgx_enclave *e = NULL;
    struct sgx_secs secs;

    fx_secs(&options, &secs);
    secs.baseaddr = base;
    secs.size = size;
    assert_int_equal(softsgx_create(&secs, &e), 0);
    return e;
}

static int add(struct softsgx_enclave *e, uint64_t offset, const void *src, uint64_t pages, uint64_t flags)
{
    struct sgx_secinfo secinfo = { .flags = flags };

    return softsgx_add_pages(e, offset, src, pages * SGX_PAGE_SIZE, &secinfo, false);
}

/* Before EINIT the mapping follows when it is asked to. */
static int add_and_settle(struct softsgx_enclave *e, uint64_t offset, const void *src, uint64_t pages, uint64_t flags)
{
    int ret = add(e, offset, src, pages, flags);

    return ret ? ret : sgx_settle(e);
}

static int protect_and_settle(struct softsgx_enclave *e, uint64_t address, uint64_t length, int prot)
{
    int ret = softsgx_protect(e, address, length, prot);

    return ret ? ret : sgx_settle(e);
}

static void expect_call(unsigned n, uint64_t address, uint64_t pages, int prot)
{
    assert_true(n < call_count);
    assert_int_equal(calls[n].address, address);
    assert_int_equal(calls[n].length, pages * SGX_PAGE_SIZE);
    assert_int_equal(calls[n].prot, prot);
}

/* A large heap is one call to the driver, whatever its size, and no page of it is touched. */
static void test_heap_is_one_call(void **state)
{
    struct softsgx_enclave *e = create(1ull << 30, 1ull << 30);
    uint8_t resident[64] = { 0 };

    (void)state;
    for (uint64_t i = 0; i < 16; i++)
        assert_int_equal(add(e, (1 << 20) + i * 4096 * SGX_PAGE_SIZE, NULL, 4096, RW), 0);
    assert_int_equal(call_count, 0);
    assert_int_equal(sgx_settle(e), 0);
    assert_int_equal(call_count, 1);
    expect_call(0, (1ull << 30) + (1 << 20), 65536, PROT_READ | PROT_WRITE);
    assert_int_equal(mincore(e->alias + (1 << 20), 64 * SGX_PAGE_SIZE, resident), 0);
    for (int i = 0; i < 64; i++)
        assert_int_equal(resident[i] & 1, 0);
    softsgx_destroy(e);
    assert_int_equal(reserved, 1);
    assert_int_equal(released, 1);
}

/* Zero pages of a source cost nothing either. */
static void test_zero_content_stays_sparse(void **state)
{
    struct softsgx_enclave *e = create(FX_BASE, FX_SIZE);
    static uint8_t content[8 * SGX_PAGE_SIZE];
    uint8_t resident[8] = { 0 };

    (void)state;
    content[3 * SGX_PAGE_SIZE + 4095] = 1;
    assert_int_equal(add(e, 0, content, 8, RW), 0);
    assert_int_equal(mincore(e->alias, sizeof(content), resident), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(resident[i] & 1, i == 3);
    assert_int_equal(e->alias[3 * SGX_PAGE_SIZE + 4095], 1);
    softsgx_destroy(e);
}

static void test_tcs_stays_inaccessible(void **state)
{
    struct softsgx_enclave *e = create(FX_BASE, FX_SIZE);

    (void)state;
    assert_int_equal(add_and_settle(e, 0, NULL, 4, SGX_SECINFO_TCS), 0);
    expect_call(0, FX_BASE, 4, PROT_NONE);
    assert_int_equal(protect_and_settle(e, FX_BASE, 4096, PROT_READ | PROT_WRITE), 0);
    expect_call(1, FX_BASE, 1, PROT_NONE);
    softsgx_destroy(e);
}

/* The mapping has what both the EPCM and the page table allow, in runs. */
static void test_protection_is_the_intersection(void **state)
{
    struct softsgx_enclave *e = create(FX_BASE, FX_SIZE);

    (void)state;
    assert_int_equal(add(e, 0x0000, NULL, 4, RW), 0);
    assert_int_equal(add_and_settle(e, 0x4000, NULL, 4, SGX_SECINFO_REG | SGX_SECINFO_R | SGX_SECINFO_X), 0);
    call_count = 0;
    assert_int_equal(protect_and_settle(e, FX_BASE, 8 * 4096, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(call_count, 2);
    expect_call(0, FX_BASE, 4, PROT_READ | PROT_WRITE);
    expect_call(1, FX_BASE + 0x4000, 4, PROT_READ);
    call_count = 0;
    assert_int_equal(protect_and_settle(e, FX_BASE + 0x1000, 4096, PROT_NONE), 0);
    assert_int_equal(protect_and_settle(e, FX_BASE, 16 * 4096, PROT_READ | PROT_EXEC), 0);
    assert_int_equal(call_count, 4);
    expect_call(0, FX_BASE + 0x1000, 1, PROT_NONE);
    expect_call(1, FX_BASE, 4, PROT_READ);
    expect_call(2, FX_BASE + 0x4000, 4, PROT_READ | PROT_EXEC);
    expect_call(3, FX_BASE + 0x8000, 8, PROT_NONE);
    call_count = 0;
    assert_int_equal(add_and_settle(e, 0x8000, NULL, 1, RW), 0); /* the page table entry was there before the page */
    expect_call(0, FX_BASE + 0x8000, 1, PROT_READ);
    softsgx_destroy(e);
}

static void test_protect_checks_its_range(void **state)
{
    struct softsgx_enclave *e = create(FX_BASE, FX_SIZE);

    (void)state;
    assert_int_equal(softsgx_protect(e, FX_BASE + 1, 4096, PROT_READ), -EINVAL);
    assert_int_equal(softsgx_protect(e, FX_BASE, 4095, PROT_READ), -EINVAL);
    assert_int_equal(softsgx_protect(e, FX_BASE - 4096, 4096, PROT_READ), -EINVAL);
    assert_int_equal(softsgx_protect(e, FX_BASE, FX_SIZE + 4096, PROT_READ), -EINVAL);
    assert_int_equal(softsgx_protect(e, FX_BASE, 4096, 8), -EINVAL);
    assert_int_equal(call_count, 0);
    softsgx_destroy(e);
}

static void test_nothing_below_the_lowest_mapping(void **state)
{
    struct softsgx_enclave *e = create(0, 1 << 20);

    (void)state;
    assert_int_equal(add(e, 0, NULL, 1, RW), -EINVAL);
    assert_int_equal(call_count, 0);
    assert_int_equal(add(e, 1 << 18, NULL, 1, RW), 0);
    assert_ptr_equal(sgx_enclave_at(0x1000), e);
    softsgx_destroy(e);
}

/* The kernel may refuse a mapping. A page far away needs the mapping now: then it is not there, its content is gone and the
 * measurement untouched. */
static void test_failed_protect_is_undone(void **state)
{
    struct softsgx_enclave *e = create(1ull << 30, 1ull << 30);
    uint8_t content[4096], before[32], after[32];
    const uint64_t far = 64 << 20;

    (void)state;
    memset(content, 0x42, sizeof(content));
    assert_int_equal(add(e, 0, content, 1, RW), 0);
    assert_int_equal(sgx_measure_digest(e, before), 0);
    protect_result = -ENOMEM;
    assert_int_equal(add(e, far, content, 1, RW), -ENOMEM);
    protect_result = 0;
    assert_int_equal(sgx_epcm_get(e, e->base + far), 0);
    assert_int_equal(e->alias[far], 0);
    assert_int_equal(sgx_measure_digest(e, after), 0);
    assert_memory_equal(before, after, 32);
    assert_int_equal(add(e, far, content, 1, RW), 0);
    assert_int_equal(e->alias[far + 0xfff], 0x42);
    softsgx_destroy(e);
}

/* The kernel may refuse it at the end: EINIT says so, and may be tried again. */
static void test_settling_can_be_tried_again(void **state)
{
    struct softsgx_enclave *e = create(FX_BASE, FX_SIZE);
    const struct sgx_sigstruct sig = { 0 };

    (void)state;
    assert_int_equal(add(e, 0x1000, NULL, 1, RW), 0);
    protect_result = -ENOMEM;
    assert_int_equal(softsgx_init(e, &sig), -ENOMEM);
    protect_result = 0;
    call_count = 0;
    assert_int_equal(softsgx_init(e, &sig), SGX_INVALID_SIG_STRUCT);
    assert_int_equal(call_count, 1);
    expect_call(0, FX_BASE + 0x1000, 1, PROT_READ | PROT_WRITE);
    assert_int_equal(sgx_settle(e), 0);
    assert_int_equal(call_count, 1);
    softsgx_destroy(e);
}

static void test_failed_reserve(void **state)
{
    const struct fx_options options = { .attributes = FX_ATTR };
    struct softsgx_enclave *e = NULL;
    struct sgx_secs secs;

    (void)state;
    fx_secs(&options, &secs);
    reserve_result = -EEXIST;
    assert_int_equal(softsgx_create(&secs, &e), -EEXIST);
    assert_null(sgx_enclave_at(FX_BASE));
    assert_int_equal(released, 0);
}

static void test_finding_enclaves(void **state)
{
    const struct fx_options options = { .attributes = FX_ATTR };
    struct softsgx_enclave *e[40], *overlapping = NULL;
    struct sgx_secs secs;

    (void)state;
    for (uint64_t i = 0; i < 40; i++)
        e[i] = create(FX_BASE + i * FX_SIZE, FX_SIZE);
    for (uint64_t i = 0; i < 40; i++) {
        assert_ptr_equal(sgx_enclave_at(FX_BASE + i * FX_SIZE), e[i]);
        assert_ptr_equal(sgx_enclave_at(FX_BASE + (i + 1) * FX_SIZE - 1), e[i]);
    }
    assert_null(sgx_enclave_at(FX_BASE - 1));
    assert_null(sgx_enclave_at(FX_BASE + 40 * FX_SIZE));
    fx_secs(&options, &secs);
    assert_int_equal(softsgx_create(&secs, &overlapping), -EEXIST);
    softsgx_destroy(e[7]);
    assert_null(sgx_enclave_at(FX_BASE + 7 * FX_SIZE));
    e[7] = create(FX_BASE + 7 * FX_SIZE, FX_SIZE);
    assert_ptr_equal(sgx_enclave_at(FX_BASE + 7 * FX_SIZE), e[7]);
    for (int i = 0; i < 40; i++)
        softsgx_destroy(e[i]);
    assert_null(sgx_enclave_at(FX_BASE));
}

/* Many threads at one TCS: exactly one of them gets in each time. */
static struct fx shared;
static unsigned inside, most, entries;

static void *enter_and_leave(void *arg)
{
    static __thread uint8_t xsave[4096] __attribute__((aligned(64)));
    struct sgx_fault fault;

    (void)arg;
    for (int i = 0; i < 20000; i++) {
        struct sgx_cpu cpu = shared.cpu;
        unsigned now;

        memcpy(xsave, shared.xsave, sizeof(xsave));
        cpu.xsave = xsave;
        cpu.gpr[SGX_RAX] = SGX_EENTER;
        if (!sgx_enclu(&cpu, &fault))
            continue;
        now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        if (now > __atomic_load_n(&most, __ATOMIC_SEQ_CST))
            __atomic_store_n(&most, now, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&entries, 1, __ATOMIC_SEQ_CST);
        __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        cpu.gpr[SGX_RAX] = SGX_EEXIT;
        cpu.gpr[SGX_RBX] = FX_RIP;
        sgx_enclu(&cpu, &fault);
    }
    return NULL;
}

static void test_tcs_admits_one(void **state)
{
    const struct fx_options options = { .attributes = FX_ATTR };
    pthread_t threads[4];

    (void)state;
    sgx_set_mapping_ops(NULL);
    fx_open(&shared, &options);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, enter_and_leave, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(most, 1);
    assert_true(entries > 0);
    assert_int_equal(fx_tcs_of(&shared)->state, SGX_TCS_INACTIVE);
    fx_close(&shared);
}

static void test_enumeration(void **state)
{
    uint32_t r[4];

    (void)state;
    assert_true(softsgx_cpuid(7, 0, r));
    assert_true(r[1] & 1 << 2);
    assert_true(softsgx_cpuid(0x12, 0, r));
    assert_int_equal(r[0], 1 | 1 << 1 | 1 << 11); /* SGX1, SGX2, EDECCSSA */
    assert_int_equal(r[1], SGX_MISC_EXINFO);
    assert_int_equal(r[2], 0);
    assert_true(softsgx_cpuid(0x12, 1, r));
    assert_int_equal(r[0], 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 10);
    assert_int_equal(r[1], 0);
    assert_int_equal(r[2] | (uint64_t)r[3] << 32, softsgx_xfrm());
    assert_int_equal(softsgx_xfrm() & 3, 3);
    assert_true(softsgx_cpuid(0x12, 2, r));
    assert_int_equal(r[0] & 15, 1);
    assert_true(softsgx_cpuid(0x12, 3, r));
    assert_int_equal(r[0], 0);
    assert_false(softsgx_cpuid(1, 0, r));
}

int main(void)
{
#define T(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_heap_is_one_call),  T(test_zero_content_stays_sparse),
        T(test_tcs_stays_inaccessible),   T(test_protection_is_the_intersection),
        T(test_protect_checks_its_range), T(test_nothing_below_the_lowest_mapping),
        T(test_failed_protect_is_undone), T(test_settling_can_be_tried_again), T(test_failed_reserve),    T(test_finding_enclaves),
        T(test_tcs_admits_one),    T(test_enumeration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
