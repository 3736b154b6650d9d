/* SPDX-License-Identifier: Apache-2.0
 *
 * What sgx.trusted_files names, hashed. */
#ifndef VIGIL_IMAGE_TRUSTED_H
#define VIGIL_IMAGE_TRUSTED_H

#include "image/image.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef void trusted_fn(void *arg, const char *path, const uint8_t sha256[32]);
/* Calls fn for the file, or for every regular file below the directory, in a fixed order. Links are followed. 0 or -1. */
int trusted_collect(const char *path, trusted_fn *fn, void *arg, struct image_error *error);

#ifdef __cplusplus
}
#endif
#endif
