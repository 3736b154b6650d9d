/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs pass() again and again, from pseudo-random registers, memory and stack, until the driver says that it is enough. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ARENA (1u << 20)
#define STACK (1u << 17)

void pass(uint64_t regs[16], uint64_t stack);
uint64_t stop;
static uint8_t arena[ARENA] __attribute__((aligned(4096))), stack[STACK] __attribute__((aligned(4096)));

static uint64_t next_random(void)
{
    static uint64_t seed = 0x9e3779b97f4a7c15ull;

    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1dull;
}

int main(void)
{
    uint64_t regs[16];
    unsigned rounds = 0;

    for (; !stop && rounds < 100000; rounds++) {
        for (int i = 0; i < 16; i++)
            regs[i] = next_random();
        regs[1] = next_random() % 8;
        /* Anywhere in a page, and on two pages. */
        regs[6] = (uint64_t)arena + 4096 + next_random() % (ARENA / 4);
        regs[7] = (uint64_t)arena + ARENA / 2 + next_random() % (ARENA / 4);
        for (int i = 0; i < 64; i++) {
            uint64_t noise = next_random();
            memcpy((void *)(regs[6] + (uint64_t)i * 8), &noise, 8);
        }
        pass(regs, (uint64_t)stack + 8192 + next_random() % (STACK - 16384) / 16 * 16);
    }
    puts("done");
    return 0;
}
