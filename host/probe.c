/* SPDX-License-Identifier: Apache-2.0
 *
 * Which SGX is there, and which one an image gets: silicon if it offers everything the image asks for. */
#include "host/internal.h"

#include <stdio.h>

static bool refuse(struct host_sgx *sgx, const char *reason)
{
    sgx->usable = false;
    snprintf(sgx->reason, sizeof(sgx->reason), "%s", reason);
    return false;
}

static bool offers(struct host_sgx *sgx, const struct image *image)
{
    if (!sgx->usable || !image)
        return sgx->usable;
    if ((image->secs.attributes.flags & SGX_ATTR_AEXNOTIFY) && !(sgx->aex_notify && sgx->edeccssa))
        return refuse(sgx, "AEX-Notify was asked for (sgx.experimental_enable_aex_notify) and this SGX does not offer it; "
                           "use another machine, or switch it off");
    if ((image->config->flags & VIGIL_FLAG_EDMM) && !sgx->sgx2)
        return refuse(sgx, "sgx.edmm_enable was asked for and this SGX does not offer dynamic memory (SGX2); use another "
                           "machine, or switch it off");
    if ((image->secs.miscselect & SGX_MISC_EXINFO) && !sgx->exinfo)
        return refuse(sgx, "sgx.use_exinfo was asked for and this SGX does not offer it");
    return true;
}

int host_probe(struct host_sgx sgx[2], const struct image *image)
{
    backend_software.probe(&sgx[0]);
    backend_hardware.probe(&sgx[1]);
    offers(&sgx[0], image);
    return offers(&sgx[1], image);
}
