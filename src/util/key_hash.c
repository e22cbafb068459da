#include "util/key_hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

struct key_hasher {
    /* Fetched once: looking an algorithm up by name costs more than a short hash. */
    EVP_MD *sha256;
    EVP_MD_CTX *context;
};

struct key_hasher *key_hasher_new(void)
{
    struct key_hasher *hasher = calloc(1, sizeof(*hasher));

    if (hasher == NULL)
        return NULL;
    hasher->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    hasher->context = EVP_MD_CTX_new();
    if (hasher->sha256 != NULL && hasher->context != NULL &&
        EVP_DigestInit_ex2(hasher->context, hasher->sha256, NULL) == 1)
        return hasher;
    key_hasher_free(hasher);
    return NULL;
}

void key_hasher_free(struct key_hasher *hasher)
{
    if (hasher == NULL)
        return;
    EVP_MD_CTX_free(hasher->context);
    EVP_MD_free(hasher->sha256);
    free(hasher);
}

static bool begins_transient(struct text key)
{
    struct text prefix = TEXT(KEY_TRANSIENT_PREFIX);

    return key.len >= prefix.len && memcmp(key.base, prefix.base, prefix.len) == 0;
}

void key_mark(struct text text, struct ledger_key *key)
{
    if (begins_transient(text)) {
        memset(key->bytes, 0, KEY_KIND_BYTES);
        if (ledger_key_is_none(key))
            key->bytes[sizeof(key->bytes) - 1] = 1;
    } else if (ledger_key_is_transient(key)) {
        key->bytes[0] = 1;
    }
}

void key_hash(struct key_hasher *hasher, struct text key, struct ledger_key *ret_key)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    bool hashed = EVP_DigestInit_ex2(hasher->context, NULL, NULL) == 1 &&
                  EVP_DigestUpdate(hasher->context, key.base, key.len) == 1 &&
                  EVP_DigestFinal_ex(hasher->context, digest, NULL) == 1;

    assert(hashed && "SHA-256 of some bytes in memory cannot fail");
    memcpy(ret_key->bytes, digest, sizeof(ret_key->bytes));
    key_mark(key, ret_key);
}
