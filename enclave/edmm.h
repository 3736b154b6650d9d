/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside enclave/: dynamic memory (SGX2). Which pages to ask the host for, and EACCEPT of what it did; nothing is believed
 * that EACCEPT has not confirmed. edmm.c has the leaves and the OCALL, edmm_map.c knows which pages are there. */
#ifndef VIGIL_EDMM_H
#define VIGIL_EDMM_H

#include "enclave/internal.h"

/* A list of ranges for one OCALL. */
struct edmm_ranges {
    uint32_t count;
    struct vigil_range range[VIGIL_MEMORY_RANGES];
};

/* Asks the host. 0 or -errno, which only hints at what EACCEPT will say. */
int edmm_ask(uint32_t operation, uint32_t argument, const struct edmm_ranges *ranges);
/* One page, already asked for. 0, or -LINUX_ENOMEM if it is not what it should be. */
int edmm_accept_new(uint64_t page);                       /* becomes RW, zero */
int edmm_accept_rights(uint64_t page, int prot);          /* after a restriction to prot */
int edmm_accept_trim(uint64_t page);
int edmm_accept_tcs(uint64_t page);
int edmm_extend(uint64_t page, int prot);                 /* EMODPE: the enclave can by itself */

/* Pages of the runtime's own: asked for, accepted. The range was never used before. */
int edmm_add_runtime(uint64_t start, uint64_t end);
void edmm_remove_runtime(uint64_t start, uint64_t end);   /* and gives them back, unused */
void edmm_count(int64_t pages);

#endif
