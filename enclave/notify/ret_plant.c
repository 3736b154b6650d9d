/* SPDX-License-Identifier: Apache-2.0
 *
 * RET bytes (C3) for code pages that have none, where that changes nothing: the stub's execute probe needs one. About one page
 * in 170 of Debian's programs has none (tables, unrolled ciphers, long switches); half of those can be helped. */
#include "enclave/notify/ret_plant.h"

#define RET 0xc3

/* The displacement of a NOP is never used: 0F 1F 84 00 disp32 and 0F 1F 80 disp32, as assemblers pad with. The bytes are
 * all zero there, so that it is padding and not, by chance, a part of something else. */
static size_t nop_displacement(const uint8_t *code, size_t left)
{
    size_t at = 0;

    if (left >= 8 && code[0] == 0x0f && code[1] == 0x1f && code[2] == 0x84 && code[3] == 0)
        at = 4;
    else if (left >= 7 && code[0] == 0x0f && code[1] == 0x1f && code[2] == 0x80)
        at = 3;
    return at && !(code[at] | code[at + 1] | code[at + 2] | code[at + 3]) ? at : 0;
}

enum ret_plant ret_plant(uint8_t *page, size_t size, size_t used)
{
    size_t nop = 0;

    for (size_t i = 0; i < used; i++) {
        size_t at = nop ? 0 : nop_displacement(page + i, used - i);
        if (page[i] == RET)
            return RET_THERE;
        if (at)
            nop = i + at;
    }
    if (used < size) {
        page[size - 1] = RET; /* behind the code, where nothing comes */
        return RET_PLANTED;
    }
    if (!nop)
        return RET_NONE;
    page[nop] = RET;
    return RET_PLANTED;
}
