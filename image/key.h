/* SPDX-License-Identifier: Apache-2.0
 *
 * The signing key, between key.c and sign.c. */
#ifndef VIGIL_IMAGE_KEY_H
#define VIGIL_IMAGE_KEY_H
#include "image/internal.h"

#include <openssl/evp.h>

struct image_key { EVP_PKEY *key; };

/* The user's directory for vigil's files of a kind: $variable/vigil, or below_home/vigil in the home; "" if there is no home.
 * Not made. False: with the name of a file in it, it does not fit. */
#define IMAGE_USER_FILE 64
bool image_user_directory(const char *variable, const char *below_home, char *path, size_t size);
int image_make_directories(char *path); /* it and those above; -1 and errno */

/* SHA-256 of the key's file (NULL: the development key's). -1: there is none, or image_key_open would refuse it unread. */
int image_key_digest(const char *path, uint8_t digest[32]);
#endif
