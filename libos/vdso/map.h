/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's shared object for clocks (vdso.c). */
#ifndef VIGIL_VDSO_H
#define VIGIL_VDSO_H

#include "libos/libos.h"

/* Maps it and gives its address for AT_SYSINFO_EHDR; 0: there is no room, and programs do without. */
uint64_t vdso_map(void);
/* Where it is, 0: nowhere. For /proc/self/maps. */
uint64_t vdso_address(void);

/* Forgets what was mapped: for tests, whose address spaces come and go. */
void vdso_init(void);

#endif
