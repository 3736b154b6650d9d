/* SPDX-License-Identifier: Apache-2.0
 *
 * The signing key, between key.c and sign.c. */
#ifndef VIGIL_IMAGE_KEY_H
#define VIGIL_IMAGE_KEY_H
#include "image/internal.h"

#include <openssl/evp.h>

struct image_key { EVP_PKEY *key; };
#endif
