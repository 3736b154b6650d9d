/* SPDX-License-Identifier: Apache-2.0
 *
 * The enclave's own attributes, from EREPORT: the only source that the host cannot forge. */
#include "enclave/internal.h"

static struct sgx_targetinfo target __attribute__((aligned(512)));
static uint8_t reportdata[64] __attribute__((aligned(128)));
static struct sgx_report report __attribute__((aligned(512)));

void self_report_init(void)
{
    __asm__ volatile(".byte 0x0f, 0x01, 0xd7"
                     :
                     : "a"((uint64_t)SGX_EREPORT), "b"(&target), "c"(reportdata), "d"(&report)
                     : "memory", "cc");
}

const struct sgx_attributes *self_attributes(void)
{
    return &report.attributes;
}

uint32_t self_miscselect(void)
{
    return report.miscselect;
}

uint64_t enclave_xfrm(void)
{
    return report.attributes.xfrm;
}
