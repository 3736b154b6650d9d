/* SPDX-License-Identifier: Apache-2.0
 *
 * The smallest program that a C library starts. */
#include <stdio.h>

int main(int argc, char **argv)
{
    printf("Hello, world\n");
    for (int i = 1; i < argc; i++)
        printf("argument %d: %s\n", i, argv[i]);
    return 0;
}
