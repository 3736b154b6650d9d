/* SPDX-License-Identifier: Apache-2.0
 *
 * Which SGX is there, and which one an image gets: silicon if it offers everything the image asks for. */
#include "host/internal.h"

#include <stdio.h>

static bool offers(struct host_sgx *sgx, const struct image *image)
{
    if (!sgx->usable || !image)
        return sgx->usable;
    if ((image->secs.attributes.flags & SGX_ATTR_AEXNOTIFY) && !(sgx->aex_notify && sgx->edeccssa)) {
        snprintf(sgx->reason, sizeof(sgx->reason), "AEX-Notify was asked for and this SGX does not have it");
        return false;
    }
    if ((image->secs.miscselect & SGX_MISC_EXINFO) && !sgx->exinfo) {
        snprintf(sgx->reason, sizeof(sgx->reason), "sgx.use_exinfo was asked for and this SGX does not have it");
        return false;
    }
    return true;
}

int host_probe(struct host_sgx sgx[2], const struct image *image)
{
    backend_software.probe(&sgx[0]);
    backend_hardware.probe(&sgx[1]);
    return offers(&sgx[1], image) ? 1 : 0;
}
