/* SPDX-License-Identifier: Apache-2.0
 *
 * Socket addresses on their way in and out. */
#include "libos/net/net.h"

#define FAMILY_SIZE sizeof(uint16_t)
#define UNIX_PATH_SIZE 108u

long address_from_user(struct address *address, uint64_t user, long length)
{
    *address = (struct address){0};
    if (length < 0 || length > ADDRESS_SIZE)
        return -EINVAL;
    address->length = (uint32_t)length;
    return length && copy_from_user(address->bytes, (void *)user, (size_t)length) ? -EFAULT : 0;
}

/* An abstract name begins with a NUL. */
bool address_is_path(const struct address *a)
{
    return a->family == AF_UNIX && a->length > FAMILY_SIZE && a->bytes[FAMILY_SIZE];
}

void address_end_path(struct address *a)
{
    uint32_t end = FAMILY_SIZE;

    if (!address_is_path(a))
        return;
    while (end < a->length && a->bytes[end])
        end++;
    if (end >= ADDRESS_SIZE)
        return;
    memset(a->bytes + end, 0, ADDRESS_SIZE - end);
    a->length = end + 1;
}

static long path_for_host(struct address *host, const struct address *address, bool follow)
{
    char name[UNIX_PATH_SIZE + 1] = {0};
    struct path *path;

    if (address->length > FAMILY_SIZE + UNIX_PATH_SIZE)
        return -EINVAL;
    memcpy(name, address->bytes + FAMILY_SIZE, address->length - FAMILY_SIZE);
    long status = path_from_string(&path, AT_FDCWD, name, follow ? 0 : PATH_NOFOLLOW);
    if (status)
        return status;
    if (path->fs) {
        log_line(VIGIL_LOG_ERROR, "%s: a UNIX socket cannot have a name in a file system inside the enclave: mount its directory "
                 "from the host", name);
        path_free(path);
        return -EPERM;
    }
    status = policy_check(path);
    size_t length = strlen(path->host);
    if (!status && length >= UNIX_PATH_SIZE) {
        log_line(VIGIL_LOG_ERROR, "%s: the host's name of this UNIX socket, %s, is longer than %u: mount its directory elsewhere",
                 name, path->host, UNIX_PATH_SIZE - 1);
        status = -ENAMETOOLONG;
    }
    if (!status) {
        host->length = (uint32_t)(FAMILY_SIZE + length + 1);
        memcpy(host->bytes + FAMILY_SIZE, path->host, length + 1);
    }
    path_free(path);
    return status;
}

long address_for_host(struct address *host, const struct address *address, bool follow)
{
    *host = *address;
    return address_is_path(address) ? path_for_host(host, address, follow) : 0;
}

static bool family_known(uint16_t family)
{
    return family == AF_UNSPEC || family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
}

long address_from_host(struct address *address, const void *untrusted_address, uint32_t untrusted_length)
{
    *address = (struct address){0};
    if (!untrusted_length)
        return 0;
    if (untrusted_length >= FAMILY_SIZE && untrusted_length <= ADDRESS_SIZE) {
        untrusted_read(address->bytes, untrusted_address, untrusted_length);
        address->length = untrusted_length;
        if (family_known(address->family)) {
            socket_name_inside(address);
            return 0;
        }
    }
    log_line(VIGIL_LOG_ERROR, "the host gave a malformed socket address of %u bytes: it fails with EIO", untrusted_length);
    *address = (struct address){0};
    return -EIO;
}

long address_to_user(const struct address *address, uint64_t user, uint64_t user_length)
{
    int room;

    if (!user)
        return 0;
    if (copy_from_user(&room, (void *)user_length, sizeof(room)))
        return -EFAULT;
    if (room < 0)
        return -EINVAL;
    uint32_t n = (uint32_t)room < address->length ? (uint32_t)room : address->length;
    if (n && copy_to_user((void *)user, address->bytes, n))
        return -EFAULT;
    return copy_to_user((void *)user_length, &address->length, sizeof(address->length));
}
