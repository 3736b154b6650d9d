/* SPDX-License-Identifier: Apache-2.0
 *
 * The signed image as a file: header, SIGSTRUCT, configuration, runtime ELF. Reading rebuilds the ranges and measures
 * them, so every byte that matters is bound by ENCLAVEHASH, and ENCLAVEHASH by the signature. The rest (what of the ELF
 * is not loaded, Q1, Q2) has a checksum only: whoever can compute one can change nothing of the enclave with it. */
#include "image/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAGIC 0x31676d696c676976ull /* "viglimg1" */
#define MAX_FILE (256ull << 20)

struct file_header {
    uint64_t magic, sigstruct_size, config_size, runtime_size;
    uint8_t checksum[32]; /* SHA-256 of the four numbers and of everything behind the header */
};
#define HEADER_NUMBERS offsetof(struct file_header, checksum)

static bool checksum(const struct file_header *header, const void *sigstruct, const void *config, const void *runtime,
                     uint8_t out[32])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) && EVP_DigestUpdate(md, header, HEADER_NUMBERS) &&
              EVP_DigestUpdate(md, sigstruct, header->sigstruct_size) &&
              EVP_DigestUpdate(md, config, header->config_size) &&
              EVP_DigestUpdate(md, runtime, header->runtime_size) && EVP_DigestFinal_ex(md, out, NULL);

    EVP_MD_CTX_free(md);
    return ok;
}

static int write_all(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n) {
        ssize_t written = write(fd, p, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        p += written;
        n -= (size_t)written;
    }
    return 0;
}

int image_write(const struct image *image, const char *path, struct image_error *error)
{
    struct file_header header = {FILE_MAGIC, sizeof(image->sigstruct), image->config->size, image->runtime_size, {0}};
    char temporary[4200];
    struct stat st;

    if (!image->is_signed)
        return image_fail(error, "%s: the image is not signed", path);
    /* rename() would put a file in the place of a device. */
    if (!stat(path, &st) && !S_ISREG(st.st_mode))
        return image_fail(error, "%s: cannot write: %s", path,
                          S_ISDIR(st.st_mode) ? strerror(EISDIR) : "not a regular file");
    if (!checksum(&header, &image->sigstruct, image->config, image->runtime_file, header.checksum))
        return image_fail(error, "%s: SHA-256 failed: is OpenSSL installed completely?", path);
    if (snprintf(temporary, sizeof(temporary), "%s.%d.tmp", path, (int)getpid()) >= (int)sizeof(temporary))
        return image_fail(error, "%s: the path is too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return image_fail(error, "%s: cannot write: %s", path, strerror(errno));
    int failed = write_all(fd, &header, sizeof(header)) || write_all(fd, &image->sigstruct, sizeof(image->sigstruct)) ||
                 write_all(fd, image->config, image->config->size) ||
                 write_all(fd, image->runtime_file, image->runtime_size) || fsync(fd);
    int saved = errno;
    if (close(fd) && !failed)
        failed = 1, saved = errno;
    if (!failed && rename(temporary, path))
        failed = 1, saved = errno;
    if (!failed)
        return 0;
    unlink(temporary);
    return image_fail(error, "%s: cannot write: %s", path, strerror(saved));
}

static uint8_t *read_file(const char *path, size_t *size, struct image_error *error)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st)) {
        image_fail(error, "%s: cannot read: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    uint8_t *data = NULL;
    size_t done = 0;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > MAX_FILE) {
        image_fail(error, "%s: not a signed image (not a regular file, or larger than 256M)", path);
    } else if (!(data = malloc((size_t)st.st_size + 1))) {
        image_fail(error, "%s: out of memory", path);
    } else {
        ssize_t n;
        while (done < (size_t)st.st_size && (n = read(fd, data + done, (size_t)st.st_size - done)) > 0)
            done += (size_t)n;
    }
    close(fd);
    *size = done;
    return data;
}

/* RSA-3072 PKCS#1 v1.5 SHA-256 over the two signed parts of SIGSTRUCT. */
static bool signature_ok(const struct sgx_sigstruct *s)
{
    uint8_t message[SGX_SIGNED_1 + SGX_SIGNED_2_END - SGX_SIGNED_2], signature[384];
    BIGNUM *n = BN_lebin2bn(s->modulus, sizeof(s->modulus), NULL), *e = BN_new(), *v = BN_lebin2bn(s->signature, 384, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    memcpy(message, s, SGX_SIGNED_1);
    memcpy(message + SGX_SIGNED_1, (const uint8_t *)s + SGX_SIGNED_2, SGX_SIGNED_2_END - SGX_SIGNED_2);
    bool ok = n && e && v && builder && ctx && md && s->exponent == 3 && BN_set_word(e, 3) &&
              BN_bn2binpad(v, signature, sizeof(signature)) >= 0 &&
              OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) &&
              OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) && (params = OSSL_PARAM_BLD_to_param(builder)) &&
              EVP_PKEY_fromdata_init(ctx) > 0 && EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) > 0 &&
              EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(md, signature, sizeof(signature), message, sizeof(message)) == 1;
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n), BN_free(e), BN_free(v);
    return ok;
}

static int rebuild(struct image *image, const char *path, const uint8_t *data, size_t size, struct image_error *error)
{
    struct file_header header;
    struct image_error inner;
    uint8_t measured[32], sum[32];

    if (size < sizeof(header) || (memcpy(&header, data, sizeof(header)), header.magic != FILE_MAGIC))
        return image_fail(error, "%s: not a signed image of this version of Vigil; make one with `vigil sign`", path);
    if (header.sigstruct_size != sizeof(struct sgx_sigstruct) || header.config_size > MAX_FILE ||
        header.runtime_size > MAX_FILE ||
        sizeof(header) + header.sigstruct_size + header.config_size + header.runtime_size != size)
        return image_fail(error, "%s: the signed image is truncated or has been changed; sign it again with `vigil sign`", path);
    const uint8_t *sigstruct = data + sizeof(header), *config = sigstruct + header.sigstruct_size;
    /* Aligned copies: offsets in the file are arbitrary. */
    struct vigil_config *config_copy = malloc(header.config_size + sizeof(*config_copy));
    uint8_t *runtime_copy = malloc(header.runtime_size + 1);
    int status = -1;
    if (!config_copy || !runtime_copy) {
        image_fail(error, "%s: out of memory", path);
        goto out;
    }
    memset(config_copy, 0, sizeof(*config_copy));
    memcpy(config_copy, config, header.config_size);
    memcpy(runtime_copy, config + header.config_size, header.runtime_size);
    if (config_check(config_copy, header.config_size, &inner) || config_copy->size != header.config_size ||
        image_build(image, runtime_copy, header.runtime_size, config_copy, &inner)) {
        image_fail(error, "%s: the image was changed after it was signed; sign it again with `vigil sign`", path);
        goto out;
    }
    image_own_file(image, runtime_copy);
    runtime_copy = NULL;
    memcpy(&image->sigstruct, sigstruct, sizeof(image->sigstruct));
    image->is_signed = true;
    if (!signature_ok(&image->sigstruct))
        image_fail(error, "%s: the signature is corrupt; sign the image again with `vigil sign`", path);
    else if (image_measure(image, measured, error))
        ;
    else if (memcmp(measured, image->sigstruct.enclavehash, sizeof(measured)))
        image_fail(error, "%s: the image was changed after it was signed (its MRENCLAVE is not the signed one); sign it "
                   "again with `vigil sign`", path);
    else if (!checksum(&header, sigstruct, config, config + header.config_size, sum) ||
             memcmp(sum, header.checksum, sizeof(sum)))
        image_fail(error, "%s: the file is damaged or was changed after it was signed; sign it again with `vigil sign`",
                   path);
    else
        status = 0;
    if (status)
        image_free(image);
out:
    free(config_copy);
    free(runtime_copy);
    return status;
}

int image_read(struct image *image, const char *path, struct image_error *error)
{
    size_t size;
    uint8_t *data = read_file(path, &size, error);
    if (!data)
        return -1;
    int status = rebuild(image, path, data, size, error);
    free(data);
    return status;
}

bool image_is_file(const char *path)
{
    uint64_t magic = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && read(fd, &magic, sizeof(magic)) == sizeof(magic) && magic == FILE_MAGIC;
    if (fd >= 0)
        close(fd);
    return is;
}
