/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIGIL_RET_PLANT_H
#define VIGIL_RET_PLANT_H

#include <stddef.h>
#include <stdint.h>

enum ret_plant { RET_THERE, RET_PLANTED, RET_NONE };
/* Puts a RET byte into a page of code that has none, without changing what the code does. The page has size bytes, the first
 * `used` of them are the program's; the rest is filling. */
enum ret_plant ret_plant(uint8_t *page, size_t size, size_t used);

#endif
