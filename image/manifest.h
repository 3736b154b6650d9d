/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests: Gramine's TOML, read outside the enclave and normalised into struct vigil_config. */
#ifndef VIGIL_MANIFEST_H
#define VIGIL_MANIFEST_H

#include "image/image.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads a manifest. On success *config is malloc'ed. On failure error says "FILE:LINE:COLUMN: what, why, way out". */
int manifest_load(const char *path, struct vigil_config **config, struct image_error *error);
enum manifest_severity {
    MANIFEST_ERROR,
    MANIFEST_WARNING,   /* it gives up a protection, or will hardly work */
    MANIFEST_NOTE,      /* it has no effect */
};
typedef void manifest_say(void *arg, enum manifest_severity severity, const char *text);
/* Also says warnings and notes, in the order of the file. */
int manifest_load_saying(const char *path, struct vigil_config **config, manifest_say *say, void *arg, struct image_error *error);
/* Reads it to the end whatever is wrong with it, and says all there is to say about it. How many errors. */
int manifest_check(const char *path, manifest_say *say, void *arg);
/* Every key as a line of a Markdown table: docs/manifest.md. */
void manifest_print_keys(FILE *out);
/* The configuration of `vigil run -- PROGRAM`: debug, the host's file system as "/", EXINFO on. */
int manifest_default(const char *program, struct vigil_config **config, struct image_error *error);

/* sgx.edmm_enable on top of manifest_default. On, the enclave has room for at least 64G, which it uses as needed. */
void manifest_use_edmm(struct vigil_config *config, int on);

/* Applies one sgx.aex_notify key given as "KEY=VALUE", for example "mitigation=count". */
int manifest_aex_policy(struct vigil_config *config, const char *assignment, struct image_error *error);

/* none error warning debug trace all -> enum vigil_log_level; -1 if it is none of them. */
int manifest_log_level(const char *name);

#ifdef __cplusplus
}
#endif
#endif
