/* SPDX-License-Identifier: Apache-2.0
 *
 * The signing key: RSA-3072 with exponent 3, in a PEM file that nobody else can read. */
#include "image/key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool image_user_directory(const char *variable, const char *below_home, char *path, size_t size)
{
    const char *xdg = getenv(variable), *home = getenv("HOME");
    struct passwd *pw = NULL;

    if ((!home || !*home) && (pw = getpwuid(getuid())))
        home = pw->pw_dir;
    bool is_set = xdg && *xdg;
    int n = is_set ? snprintf(path, size, "%s/vigil", xdg) : home && *home ? snprintf(path, size, "%s/%s/vigil", home, below_home) : 0;
    if (n <= 0)
        *path = 0;
    return n >= 0 && (size_t)n + IMAGE_USER_FILE <= size;
}

int image_make_directories(char *path)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    return mkdir(path, 0700) && errno != EEXIST ? -1 : 0;
}

static int default_path(char *path, size_t size, struct image_error *error)
{
    if (!image_user_directory("XDG_CONFIG_HOME", ".config", path, size))
        return image_fail(error, "the path of the development key is too long: set XDG_CONFIG_HOME or give --key FILE");
    if (!*path)
        return image_fail(error, "no place for the development key: set HOME or XDG_CONFIG_HOME, or give --key FILE");
    strcat(path, "/dev-key.pem");
    return 0;
}

static EVP_PKEY *generate(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, NULL);
    BIGNUM *three = BN_new();
    EVP_PKEY *key = NULL;

    if (!ctx || !three || !BN_set_word(three, 3) || EVP_PKEY_keygen_init(ctx) <= 0 ||
        EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 3072) <= 0 || EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, three) <= 0 ||
        EVP_PKEY_keygen(ctx, &key) <= 0)
        key = NULL;
    BN_free(three);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* Made under another name and linked into place: two first runs at once agree on one key. */
static int create(const char *path, struct image_error *error)
{
    char temporary[4200];
    snprintf(temporary, sizeof(temporary), "%s", path);
    *strrchr(temporary, '/') = 0;
    if (image_make_directories(temporary))
        return image_fail(error, "%s: cannot make the directory of the development key: %s", temporary, strerror(errno));
    snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f)
        return image_fail(error, "%s: cannot make the development key: %s", temporary, strerror(errno));
    EVP_PKEY *key = generate();
    int ok = key && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    EVP_PKEY_free(key);
    if (fclose(f) || !ok || (link(temporary, path) && errno != EEXIST)) {
        int saved = errno;
        unlink(temporary);
        return image_fail(error, "%s: cannot write the development key: %s", path, strerror(saved));
    }
    unlink(temporary);
    return 0;
}

static int check_key(EVP_PKEY *key, const char *path, struct image_error *error)
{
    BIGNUM *e = NULL;
    int bad = EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) != 3072 ||
              !EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) || !BN_is_word(e, 3);
    BN_free(e);
    return bad ? image_fail(error, "%s: not an RSA-3072 key with public exponent 3; make one with `openssl genrsa -3 3072`",
                            path) : 0;
}

int image_key_digest(const char *path, uint8_t digest[32])
{
    char standard[4096], content[16384];
    struct image_error ignored;
    struct stat st;

    if (!path) {
        if (default_path(standard, sizeof(standard), &ignored))
            return -1;
        path = standard;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    ssize_t n = fstat(fd, &st) || !S_ISREG(st.st_mode) || (st.st_mode & 077) ? -1 : read(fd, content, sizeof(content));
    close(fd);
    bool ok = n > 0 && n < (ssize_t)sizeof(content) && EVP_Digest(content, (size_t)n, digest, NULL, EVP_sha256(), NULL) == 1;
    explicit_bzero(content, sizeof(content));
    return ok ? 0 : -1;
}

int image_key_open(const char *path, struct image_key **out, struct image_error *error)
{
    char standard[4096];
    struct stat st;

    if (!path) {
        if (default_path(standard, sizeof(standard), error))
            return -1;
        path = standard;
        if (access(path, F_OK) && create(path, error))
            return -1;
    }
    FILE *f = fopen(path, "re");
    if (!f)
        return image_fail(error, "%s: cannot read the signing key: %s", path, strerror(errno));
    if (fstat(fileno(f), &st) || (st.st_mode & 077)) {
        fclose(f);
        return image_fail(error, "%s: others can read this signing key; run `chmod 600` on it", path);
    }
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    if (!key)
        return image_fail(error, "%s: not a private key in PEM form", path);
    if (check_key(key, path, error)) {
        EVP_PKEY_free(key);
        return -1;
    }
    *out = malloc(sizeof(**out));
    if (!*out) {
        EVP_PKEY_free(key);
        return image_fail(error, "out of memory");
    }
    (*out)->key = key;
    return 0;
}

int image_sign_with(struct image *image, const char *key_path, struct image_error *error)
{
    struct image_key *key;

    if (image_key_open(key_path, &key, error))
        return -1;
    int status = image_sign(image, key, error);
    image_key_free(key);
    return status;
}

void image_key_free(struct image_key *key)
{
    if (key)
        EVP_PKEY_free(key->key);
    free(key);
}
