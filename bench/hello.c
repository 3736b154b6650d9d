/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest program of the C library, to measure how long one takes to start. */
#include <stdio.h>

int main(void)
{
    puts("hello, world");
    return 0;
}
