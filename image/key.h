/* SPDX-License-Identifier: Apache-2.0
 *
 * The signing key, between key.c and sign.c. */
#ifndef VIGIL_IMAGE_KEY_H
#define VIGIL_IMAGE_KEY_H
#include "image/internal.h"

#include <openssl/evp.h>

struct image_key { EVP_PKEY *key; };

/* SHA-256 of the key's file (NULL: the development key's). -1: there is none, or image_key_open would refuse it unread. */
int image_key_digest(const char *path, uint8_t digest[32]);
#endif
