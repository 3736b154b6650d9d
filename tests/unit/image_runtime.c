/* SPDX-License-Identifier: Apache-2.0
 *
 * The smallest static PIE that the image builder takes for a runtime: code, constants with relocations, data, bss, and
 * the section it fills in. Never executed. */
#include "vigil/layout.h"

/* The tests look for these marks in the measured memory. */
#define MARK_RODATA 0x1111222233334444ull
#define MARK_DATA   0x5555666677778888ull

void image_test_entry(void);

struct vigil_boot_info image_test_boot __attribute__((section(VIGIL_BOOT_SECTION), used)) = {.magic = VIGIL_BOOT_MAGIC};
const uint64_t image_test_rodata[512] __attribute__((used)) = {MARK_RODATA};
uint64_t image_test_data __attribute__((used)) = MARK_DATA;
uint8_t image_test_bss[3 * VIGIL_PAGE] __attribute__((used));
/* Two R_X86_64_RELATIVE relocations. */
const void *const image_test_pointers[2] __attribute__((used)) = {image_test_rodata, image_test_bss};

void image_test_entry(void)
{
    __asm__ volatile("ud2");
}
