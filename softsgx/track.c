/* SPDX-License-Identifier: Apache-2.0
 *
 * Tracking (SDM, "ETRACK"): when permissions of a page are taken away, threads that entered before may still have the old
 * translation cached. ETRACK begins a new epoch; once every thread that entered in an earlier one has left, no such
 * translation exists, and EACCEPT of the change may complete.
 *
 * Two counters suffice, because ETRACK refuses to begin an epoch while threads of the one before the current are inside. */
#include "softsgx/enclave.h"

static uint32_t current(const struct softsgx_enclave *e)
{
    return __atomic_load_n(&e->epoch, __ATOMIC_SEQ_CST);
}

static uint32_t inside(const struct softsgx_enclave *e, uint32_t epoch)
{
    return __atomic_load_n(&e->inside[epoch & 1], __ATOMIC_SEQ_CST);
}

uint32_t sgx_track_enter(struct softsgx_enclave *e)
{
    for (;;) {
        uint32_t epoch = current(e);

        __atomic_add_fetch(&e->inside[epoch & 1], 1, __ATOMIC_SEQ_CST);
        if (epoch == current(e))
            return epoch;
        sgx_track_leave(e, epoch); /* a new epoch began between the two */
    }
}

void sgx_track_leave(struct softsgx_enclave *e, uint32_t epoch)
{
    __atomic_sub_fetch(&e->inside[epoch & 1], 1, __ATOMIC_SEQ_CST);
}

uint32_t sgx_track_inside(const struct softsgx_enclave *e)
{
    return inside(e, 0) + inside(e, 1);
}

void sgx_track_stamp(struct softsgx_enclave *e, uint64_t address)
{
    __atomic_store_n(&e->page_epoch[(address - e->base) / SGX_PAGE_SIZE], current(e), __ATOMIC_SEQ_CST);
}

bool sgx_track_complete(const struct softsgx_enclave *e, uint64_t address)
{
    uint32_t changed = __atomic_load_n(&e->page_epoch[(address - e->base) / SGX_PAGE_SIZE], __ATOMIC_SEQ_CST);
    uint32_t since = current(e) - changed;

    return since > 1 || (since == 1 && inside(e, changed) == 0);
}

int sgx_etrack(struct softsgx_enclave *e)
{
    uint32_t epoch = current(e);

    if (inside(e, epoch - 1) != 0 ||
        !__atomic_compare_exchange_n(&e->epoch, &epoch, epoch + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return SGX_PREV_TRK_INCMPL;
    return 0;
}
