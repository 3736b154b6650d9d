/* SPDX-License-Identifier: Apache-2.0
 *
 * Error messages of image/. */
#include "image/internal.h"

#include <stdarg.h>
#include <stdio.h>

int image_fail(struct image_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return -1;
}
