/* SPDX-License-Identifier: Apache-2.0
 *
 * A debug enclave has no secrets from its debugger: it says where a program was loaded. */
#include "enclave/internal.h"

void debugger_loaded(int host_fd, uint64_t bias)
{
    if (host_fd >= 0 && (self_attributes()->flags & SGX_ATTR_DEBUG))
        ocall(VIGIL_OCALL_LOADED, host_fd, (long)bias, 0, 0, 0, 0);
}
