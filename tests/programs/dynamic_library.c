/* SPDX-License-Identifier: Apache-2.0
 *
 * The library that dynamic.c loads. */
#include <math.h>

const char *dynamic_message = "not constructed";
static __thread int counter;
volatile double dynamic_number = 2.0;

__attribute__((constructor)) static void construct(void)
{
    dynamic_message = sqrt(dynamic_number) > 1 ? "constructed" : "wrong";
}

int dynamic_count(void);
int dynamic_count(void)
{
    return ++counter;
}
