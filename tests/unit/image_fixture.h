/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of image/ share: a directory of their own, a key, a runtime, a small configuration. */
#ifndef IMAGE_FIXTURE_H
#define IMAGE_FIXTURE_H

#include "image/image.h"
#include "image/manifest.h"
#include "vigil/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The runtimes, read once: the smallest possible one (image_runtime.c) and the real one. Owned by the fixture. */
const void *fx_runtime(size_t *size);
const void *fx_real_runtime(size_t *size);
/* A copy that the test may spoil; malloc'ed. */
uint8_t *fx_runtime_copy(size_t *size);

/* A configuration of 16M and one thread with these VIGIL_FLAG_*; malloc'ed. */
struct vigil_config *fx_config(uint32_t flags);
/* Builds it with the small runtime; fails the test if that does not work. */
void fx_build(struct image *image, const struct vigil_config *config);
/* The same from flags, signed with fx_key(). */
void fx_signed(struct image *image, uint32_t flags);
/* The development key of this test program, made in its directory. */
struct image_key *fx_key(void);

/* Path of name in the test program's own directory; static storage, good until the eighth call after. */
const char *fx_path(const char *name);
void fx_write(const char *path, const void *data, size_t size);
uint8_t *fx_read(const char *path, size_t *size);

/* One line that is neither empty nor cut off, and names what must be named. */
void fx_check_message(const struct image_error *error, const char *named);

int fx_setup(void **state);    /* group: makes the directory, and makes it the home of the key */
int fx_teardown(void **state); /* group: removes it */
#endif
