/* SPDX-License-Identifier: Apache-2.0
 *
 * Signatures that are kept: `vigil run` signs with the development key at each start, and measuring, reading the key and RSA
 * are half of what that costs. What was signed before, byte for byte and with the same key file, need not be signed again. The
 * processor measures and verifies as ever; a kept file that is damaged is not taken. There are 256 places, so that the cache
 * does not grow. */
#include "image/key.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGEST 32

struct kept {
    uint8_t of[DIGEST];             /* what was signed, and with what */
    struct sgx_sigstruct sigstruct;
    uint8_t check[DIGEST];          /* of the above */
};

static bool add(EVP_MD_CTX *hash, const void *data, size_t n)
{
    return EVP_DigestUpdate(hash, data, n) == 1;
}

static bool add_range(EVP_MD_CTX *hash, const struct image_range *r)
{
    const uint64_t words[] = {r->offset, r->length, r->secinfo_flags, r->measured, r->content != NULL};

    return add(hash, words, sizeof(words)) && (!r->content || add(hash, r->content, r->length));
}

/* Everything that image_sign() makes the SIGSTRUCT of, and the key. */
static bool digest_of(const struct image *image, const char *key_path, uint8_t digest[DIGEST])
{
    static const char format[] = "vigil kept signature 1";
    uint8_t key[DIGEST];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool ok = !image_key_digest(key_path, key) && hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
              add(hash, format, sizeof(format)) && add(hash, key, sizeof(key)) && add(hash, &image->secs, sizeof(image->secs)) &&
              add(hash, image->config, image->config->size);

    for (size_t i = 0; ok && i < image->range_count; i++)
        ok = add_range(hash, &image->ranges[i]);
    ok = ok && EVP_DigestFinal_ex(hash, digest, NULL) == 1;
    EVP_MD_CTX_free(hash);
    return ok;
}

static bool check_of(const struct kept *kept, uint8_t check[DIGEST])
{
    return EVP_Digest(kept, offsetof(struct kept, check), check, NULL, EVP_sha256(), NULL) == 1;
}

static bool place_of(const uint8_t digest[DIGEST], char *path, size_t size)
{
    if (!image_user_directory("XDG_CACHE_HOME", ".cache", path, size) || *path != '/')
        return false;
    sprintf(path + strlen(path), "/signature-%02x", digest[0]);
    return true;
}

static bool take(const char *path, const uint8_t digest[DIGEST], struct sgx_sigstruct *sigstruct)
{
    struct kept kept;
    uint8_t check[DIGEST];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool ok = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size == sizeof(kept) &&
              read(fd, &kept, sizeof(kept)) == sizeof(kept) && !memcmp(kept.of, digest, DIGEST) && check_of(&kept, check) &&
              !memcmp(kept.check, check, DIGEST);

    if (fd >= 0)
        close(fd);
    if (ok)
        *sigstruct = kept.sigstruct;
    return ok;
}

/* Under another name and then moved: whoever reads finds all of it. A full disk is no error. */
static void keep(const char *path, const uint8_t digest[DIGEST], const struct sgx_sigstruct *sigstruct)
{
    char temporary[4200];
    struct kept kept;

    memcpy(kept.of, digest, DIGEST);
    kept.sigstruct = *sigstruct;
    snprintf(temporary, sizeof(temporary), "%s", path);
    *strrchr(temporary, '/') = 0;
    if (image_make_directories(temporary))
        return;
    snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
    int fd = check_of(&kept, kept.check) ? open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (fd < 0)
        return;
    bool ok = write(fd, &kept, sizeof(kept)) == sizeof(kept);
    if (close(fd) || !ok || rename(temporary, path))
        unlink(temporary);
}

int image_sign_or_take(struct image *image, const char *key_path, struct image_error *error)
{
    uint8_t digest[DIGEST];
    char path[4096];
    bool known = digest_of(image, key_path, digest) && place_of(digest, path, sizeof(path));

    if (known && take(path, digest, &image->sigstruct)) {
        image->is_signed = true;
        return 0;
    }
    int status = image_sign_with(image, key_path, error);
    /* The key may have been made only now. */
    known = known || (digest_of(image, key_path, digest) && place_of(digest, path, sizeof(path)));
    if (!status && known)
        keep(path, digest, &image->sigstruct);
    return status;
}
