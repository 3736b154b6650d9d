/* SPDX-License-Identifier: Apache-2.0
 *
 * Signatures that are kept: `vigil run` signs with the development key at each start, and measuring, reading the key and RSA
 * are half of what that costs. What was signed before, byte for byte and with the same key file, need not be signed again. The
 * processor measures and verifies as ever. */
#include "image/key.h"
#include "image/remember.h"

#include <string.h>

#define DIGEST 32
#define KIND "signature"

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

int image_sign_or_take(struct image *image, const char *key_path, struct image_error *error)
{
    uint8_t digest[DIGEST];
    bool known = digest_of(image, key_path, digest);

    if (known && image_recall(KIND, digest, sizeof(digest), &image->sigstruct, sizeof(image->sigstruct))) {
        image->is_signed = true;
        return 0;
    }
    int status = image_sign_with(image, key_path, error);
    /* The key may have been made only now. */
    known = known || digest_of(image, key_path, digest);
    if (!status && known)
        image_remember(KIND, digest, sizeof(digest), &image->sigstruct, sizeof(image->sigstruct));
    return status;
}
