/* SPDX-License-Identifier: Apache-2.0
 *
 * Enclave images: from a configuration and the runtime ELF to a list of page ranges (the one layout, see
 * include/vigil/layout.h), its MRENCLAVE, and a signed file. The signer and the loader walk the same list.
 * Functions return 0 or -1 with a complete message in error (names the thing, the cause and the way out). */
#ifndef VIGIL_IMAGE_H
#define VIGIL_IMAGE_H

#include "sgx/arch.h"
#include "vigil/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct image_error { char text[512]; };

/* One EADD'ed range. content NULL: zero pages. */
struct image_range {
    const char *name;
    uint64_t offset, length; /* bytes in ELRANGE, multiples of a page */
    uint64_t secinfo_flags;
    const void *content;
    bool measured;
};

struct image {
    struct sgx_secs secs;               /* what ECREATE gets (base 0) */
    struct image_range *ranges;
    size_t range_count;
    uint64_t entry;                     /* OENTRY */
    uint64_t heap;                      /* the runtime's, on top of application memory */
    uint64_t app_end;                   /* of application memory, the runtime's heap included */
    uint32_t thread_limit;              /* thread blocks that there is room for */
    uint64_t tcs0, thread_stride;       /* linear address of the first TCS, bytes between two */
    struct vigil_config *config;        /* owned */
    struct sgx_sigstruct sigstruct;     /* valid if is_signed */
    bool is_signed;
    void *memory, *runtime_memory;      /* owned storage of the ranges' contents */
    const void *runtime_file;           /* the runtime ELF; NULL: forgotten */
    size_t runtime_size;
    void *owned_file;                   /* the same, if it is the image's */
};

/* Lays out an enclave. runtime_elf: the static PIE of enclave/ + libos/. The configuration is copied. secs.attributes.xfrm is
 * 3 here; the loader adds what the machine offers and SIGSTRUCT's mask leaves open. The runtime ELF must stay where it is
 * until image_forget_file() or image_free(). */
int image_build(struct image *image, const void *runtime_elf, size_t runtime_size, const struct vigil_config *config,
                struct image_error *error);
void image_free(struct image *image);
/* image_free() is to free() the runtime ELF too. */
void image_own_file(struct image *image, void *runtime_elf);
/* An image that will not be written, and whose symbols nobody asks for. */
void image_forget_file(struct image *image);
/* The runtime's file for image_build(), malloc'ed; NULL and errno if it cannot be read. Without whole, only what becomes part of
 * an enclave is read, and the rest is zeroes: not to be written, and without symbols. */
void *image_read_runtime(int fd, bool whole, size_t *size);
/* Signs with the key at this path (NULL: the development key). */
int image_sign_with(struct image *image, const char *key_path, struct image_error *error);
/* The same, or takes the signature that an earlier call has kept in the
 * user's cache directory for the same image and key file. */
int image_sign_or_take(struct image *image, const char *key_path, struct image_error *error);
/* MRENCLAVE of the ranges in order. */
int image_measure(const struct image *image, uint8_t mrenclave[32], struct image_error *error);

/* The signing key, PEM, RSA-3072 with e=3. path NULL: the development key in ~/.config/vigil/ (XDG_CONFIG_HOME), made
 * on first use with mode 0600; a key file that others can read is refused. */
struct image_key;
int image_key_open(const char *path, struct image_key **key, struct image_error *error);
void image_key_free(struct image_key *key);
int image_sign(struct image *image, struct image_key *key, struct image_error *error);

/* The signed file: header, SIGSTRUCT, configuration, runtime ELF, all bound by MRENCLAVE. */
int image_write(const struct image *image, const char *path, struct image_error *error);
/* Reads and rebuilds; refuses what is truncated, malformed, not signed right, or does not measure to ENCLAVEHASH. */
int image_read(struct image *image, const char *path, struct image_error *error);
/* Does the file begin like a signed image? */
bool image_is_file(const char *path);

#ifdef __cplusplus
}
#endif
#endif
