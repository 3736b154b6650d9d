/* SPDX-License-Identifier: Apache-2.0
 *
 * One enclave after the other at the same place, each of another size and with pages added as it runs: nothing of the one
 * before is left, neither contents nor EPC. */
#include "fixture.h"

#include "softsgx/enclave.h"

#include <string.h>

#define ROUNDS 24
#define ADDED 100

static uint64_t pages_valid(const struct trap_fx *fx)
{
    struct softsgx_epc epc;

    softsgx_get_epc(fx->enclave, &epc);
    return epc.valid;
}

/* Leaves something in every page that is added, as an enclave would. */
static void grow(const struct trap_fx *fx, uint64_t at)
{
    for (unsigned i = 0; i < ADDED; i++) {
        uint64_t page = at + i * 4096ull;
        CHECK(!(sgx_epcm_get(fx->enclave, page) & EPCM_VALID), "page %u is there before it was added", i);
    }
    int ret = softsgx_augment(fx->enclave, at, ADDED * 4096ull);
    CHECK(ret == 0, "augment: %d", ret);
    for (unsigned i = 0; i < ADDED; i++) {
        uint8_t *page = sgx_epc(fx->enclave, at + i * 4096ull);
        CHECK(sgx_epcm_get(fx->enclave, at + i * 4096ull) & EPCM_PENDING, "page %u is not pending", i);
        CHECK(sgx_all_zero(page, 4096), "page %u is not zero", i);
        memset(page, 0xa5, 4096);
    }
}

static void one_after_the_other(void)
{
    struct trap_fx fx;
    uint64_t least = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t size = TRAP_SIZE << i % 3;
        struct trap_regs regs = {0};
        if (i)
            trap_build(&fx, TRAP_BASE, size, i % 2 ? SGX_ATTR_AEXNOTIFY : 0);
        else
            trap_open(&fx, TRAP_BASE, 0);
        if (!i) {
            least = pages_valid(&fx);
            softsgx_set_epc_limit((least + ADDED + 16) * 4096); /* there is EPC for one such enclave only */
        }
        CHECK(pages_valid(&fx) == least, "%lu pages at first, %lu now", least, pages_valid(&fx));
        grow(&fx, TRAP_BASE + TRAP_SIZE / 2);
        regs.rsi = 1000;
        trap_call(&fx, 0, trap_loop_fn(), &regs);
        trap_check_loop(&regs, 1000);
        softsgx_destroy(fx.enclave);
    }
}

int main(int argc, char **argv)
{
    static const struct trap_test tests[] = {{"one_after_the_other", one_after_the_other}};
    return trap_run(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
