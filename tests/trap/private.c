/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory without an alias (softsgx/private.c): reading costs nothing, and the processor sees what the enclave sees. */
#include "fixture.h"

#include "softsgx/enclave.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define SIZE (8ull << 20)
#define HEAP (1ull << 20)
#define HEAP_SIZE (4ull << 20)
#define SMALL_SIZE 0x10000ull
#define HOLDS(condition) CHECK(condition, "does not hold")
#define RW (SGX_SECINFO_REG | SGX_SECINFO_R | SGX_SECINFO_W)

static struct softsgx_enclave *build(void)
{
    struct sgx_secs secs = {.size = SIZE, .baseaddr = TRAP_BASE, .ssaframesize = 1,
                            .attributes = {SGX_ATTR_MODE64BIT | SGX_ATTR_DEBUG, softsgx_xfrm()}};
    struct sgx_secinfo rw = {.flags = RW};
    struct softsgx_enclave *e;
    int ret = softsgx_create(&secs, &e);

    CHECK(ret == 0, "create: %d", ret);
    ret = softsgx_add_pages(e, HEAP, NULL, HEAP_SIZE, &rw, false);
    CHECK(ret == 0, "heap: %d", ret);
    ret = softsgx_add_pages(e, HEAP + HEAP_SIZE, NULL, SMALL_SIZE, &rw, false);
    CHECK(ret == 0, "small: %d", ret);
    ret = softsgx_add_pages(e, HEAP + HEAP_SIZE + SMALL_SIZE, NULL, HEAP, &rw, true);
    CHECK(ret == 0, "measured: %d", ret);
    ret = sgx_settle(e);
    CHECK(ret == 0, "settle: %d", ret);
    return e;
}

static struct softsgx_enclave *begin(void)
{
    int ret = softsgx_process_init();

    CHECK(ret == 0, "process_init: %d", ret);
    return build();
}

static unsigned char *at(uint64_t offset)
{
    return (unsigned char *)(TRAP_BASE + offset);
}

/* Kilobytes that the mappings in [from, to) have of the process's memory. */
static long resident(const unsigned char *from, const unsigned char *to)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    unsigned long start, end;
    bool inside = false;
    char line[512];
    long sum = 0, kb;

    HOLDS(f);
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = start >= (uint64_t)from && end <= (uint64_t)to;
        else if (inside && sscanf(line, "Rss: %ld kB", &kb) == 1)
            sum += kb;
    }
    fclose(f);
    return sum;
}

static void reading_costs_nothing(void)
{
    struct softsgx_enclave *e = begin();

    HOLDS(sgx_epcm_get(e, TRAP_BASE + HEAP) & EPCM_PRIVATE);
    HOLDS(!(sgx_epcm_get(e, TRAP_BASE + HEAP + HEAP_SIZE) & EPCM_PRIVATE));
    HOLDS(!(sgx_epcm_get(e, TRAP_BASE + HEAP + HEAP_SIZE + SMALL_SIZE) & EPCM_PRIVATE));
    HOLDS(sgx_all_zero(at(HEAP), HEAP_SIZE + SMALL_SIZE));
    HOLDS(resident(at(HEAP), at(HEAP + HEAP_SIZE)) == 0);
    memset(at(HEAP + HEAP_SIZE / 2), 1, 16 << 10);
    HOLDS(resident(at(HEAP), at(HEAP + HEAP_SIZE)) == 16);
}

/* Also across the border between pages with and without an alias. */
static void both_see_the_same(void)
{
    struct softsgx_enclave *e = begin();
    uint64_t border = HEAP + HEAP_SIZE;
    unsigned char in[8192], out[8192];

    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (unsigned char)(i * 7 + 1);
    memcpy(at(border - 5000), in, sizeof(in));
    HOLDS(!softsgx_debug_read(e, TRAP_BASE + border - 5000, out, sizeof(out)));
    HOLDS(!memcmp(in, out, sizeof(in)));
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (unsigned char)(i * 5 + 3);
    HOLDS(!softsgx_debug_write(e, TRAP_BASE + border - 3000, in, sizeof(in)));
    HOLDS(!memcmp(at(border - 3000), in, sizeof(in)));
}

static void rights_do_not_matter_to_the_processor(void)
{
    struct softsgx_enclave *e = begin();
    uint64_t page = TRAP_BASE + HEAP + 8192;
    unsigned char byte = 7;

    for (int prot = PROT_NONE; prot <= PROT_READ; prot++) {
        at(HEAP + 8192)[5] = 3;
        HOLDS(!softsgx_protect(e, page, 4096, prot) && !sgx_settle(e));
        HOLDS(sgx_epc_replace(e, page + 5, 3, 4) && !sgx_epc_replace(e, page + 5, 3, 5));
        HOLDS(!softsgx_debug_read(e, page + 5, &byte, 1) && byte == 4);
        byte = 9;
        HOLDS(!softsgx_debug_write(e, page + 6, &byte, 1));
        HOLDS(!softsgx_protect(e, page, 4096, PROT_READ | PROT_WRITE) && !sgx_settle(e));
        HOLDS(at(HEAP + 8192)[5] == 4 && at(HEAP + 8192)[6] == 9);
    }
}

static void a_page_that_needs_it_gets_an_alias(void)
{
    struct softsgx_enclave *e = begin();
    uint64_t page = TRAP_BASE + HEAP + 5 * 4096;
    unsigned char *linear = at(HEAP + 5 * 4096), *alias = sgx_enclave_alias(e) + HEAP + 5 * 4096;

    memset(linear - 1, 0x5a, 4098);
    HOLDS(sgx_private_share(e, page) == 0);
    HOLDS(!(sgx_epcm_get(e, page) & EPCM_PRIVATE) && (sgx_epcm_get(e, page - 1) & EPCM_PRIVATE));
    HOLDS(linear[-1] == 0x5a && linear[4096] == 0x5a && !memcmp(linear, linear + 1, 4095) && *linear == 0x5a);
    HOLDS(!memcmp(linear, alias, 4096));
    linear[17] = 1, alias[18] = 2;
    HOLDS(alias[17] == 1 && linear[18] == 2);
    HOLDS(sgx_private_share(e, page) == 0 && alias[17] == 1); /* once is enough */
}

static void what_is_cleared_is_zero(void)
{
    struct softsgx_enclave *e = begin();

    memset(at(HEAP), 1, 3 * 4096);
    sgx_epc_clear(e, TRAP_BASE + HEAP + 4096);
    HOLDS(at(HEAP)[4095] == 1 && at(HEAP)[8192] == 1 && sgx_all_zero(at(HEAP + 4096), 4096));
    HOLDS(resident(at(HEAP), at(HEAP + HEAP_SIZE)) == 8);
}

static void nothing_is_left_for_the_next(void)
{
    struct softsgx_enclave *e = begin();

    for (int i = 0; i < 3; i++) {
        HOLDS(sgx_all_zero(at(HEAP), HEAP_SIZE));
        memset(at(HEAP), 0xa5, HEAP_SIZE);
        HOLDS(sgx_private_share(e, TRAP_BASE + HEAP) == 0);
        softsgx_destroy(e);
        e = build();
    }
}

static void a_host_without_private_memory(void)
{
    struct rlimit none = {1 << 20, 1 << 20};
    int ret = softsgx_process_init();

    CHECK(ret == 0, "process_init: %d", ret);
    HOLDS(!setrlimit(RLIMIT_DATA, &none));
    struct softsgx_enclave *e = build();
    HOLDS(!(sgx_epcm_get(e, TRAP_BASE + HEAP) & EPCM_PRIVATE));
    memset(at(HEAP), 7, HEAP_SIZE);
    HOLDS(sgx_enclave_alias(e)[HEAP] == 7 && sgx_enclave_alias(e)[HEAP + HEAP_SIZE - 1] == 7);
}

int main(int argc, char **argv)
{
    static const struct trap_test tests[] = {
        {"reading_costs_nothing", reading_costs_nothing},
        {"both_see_the_same", both_see_the_same},
        {"rights_do_not_matter_to_the_processor", rights_do_not_matter_to_the_processor},
        {"a_page_that_needs_it_gets_an_alias", a_page_that_needs_it_gets_an_alias},
        {"what_is_cleared_is_zero", what_is_cleared_is_zero},
        {"a_host_without_private_memory", a_host_without_private_memory},
        {"nothing_is_left_for_the_next", nothing_is_left_for_the_next},
    };
    return trap_run(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
