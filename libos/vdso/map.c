/* SPDX-License-Identifier: Apache-2.0
 *
 * Puts the vDSO into the program's memory: a page of parameters, the LibOS's own, and the image behind it, which is mapped
 * like any code. The parameters stay writable, to the program too, because an enclave's processor knows no privilege that
 * would let the LibOS write where the program cannot: a program that writes there gets times of its own making, and
 * nobody else does. */
#include "libos/vdso/map.h"

#include "libos/mm/mm.h"
#include "libos/rewrite/rewrite.h"
#include "libos/time/tsc.h"

static const unsigned char image[] = {
#include "vdso_image.h"
};
_Static_assert(sizeof(image) <= VIGIL_PAGE, "the vDSO must fit into a page");

static uint64_t parameters, address;

uint64_t vdso_address(void)
{
    return address;
}

void vdso_init(void)
{
    parameters = address = 0;
    tsc_init();
}

/* Room for both; the second page is free then. */
static uint64_t make_parameters(void)
{
    uint64_t start = mm_runtime_map(2 * VIGIL_PAGE, VIGIL_PAGE);

    if (start)
        mm_runtime_unmap(start + VIGIL_PAGE, VIGIL_PAGE);
    return start;
}

static bool put_image(uint64_t at)
{
    if (mm_map(at, VIGIL_PAGE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE) != (long)at)
        return false;
    if (mm_populate(at, VIGIL_PAGE) || copy_to_user((void *)at, image, sizeof(image))) {
        (void)mm_unmap(at, VIGIL_PAGE);
        return false;
    }
    mitigation_code_loaded(at, at + VIGIL_PAGE);
    rewrite_code_loaded(at, at + VIGIL_PAGE);
    if (!mm_protect(at, VIGIL_PAGE, PROT_READ | PROT_EXEC))
        return true;
    rewrite_code_gone(at, at + VIGIL_PAGE);
    (void)mm_unmap(at, VIGIL_PAGE);
    return false;
}

/* The parameters of the program before are used again if there is room behind them. */
uint64_t vdso_map(void)
{
    address = 0;
    if (parameters && put_image(parameters + VIGIL_PAGE))
        return address = parameters + VIGIL_PAGE;
    if (parameters) {
        tsc_publish(NULL);
        mm_runtime_unmap(parameters, VIGIL_PAGE);
    }
    parameters = make_parameters();
    if (!parameters)
        return 0;
    if (!put_image(parameters + VIGIL_PAGE)) {
        mm_runtime_unmap(parameters, VIGIL_PAGE);
        parameters = 0;
        return 0;
    }
    tsc_publish((struct clock_page *)parameters);
    return address = parameters + VIGIL_PAGE;
}
