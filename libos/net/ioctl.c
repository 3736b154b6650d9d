/* SPDX-License-Identifier: Apache-2.0
 *
 * ioctl on sockets: questions about the host's interfaces, one structure in and out. The rest is as for other files. */
#include "libos/net/net.h"

#include <linux/sockios.h>

#define INTERFACE_SIZE 40           /* struct ifreq: a name and a union, without pointers in what is asked here */

long host_file_ioctl(struct file *file, uint32_t request, uint64_t arg);

static bool asks_about_interface(uint32_t request)
{
    switch (request) {
    case SIOCGIFNAME:
    case SIOCGIFINDEX:
    case SIOCGIFFLAGS:
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFMETRIC:
    case SIOCGIFMTU:
    case SIOCGIFHWADDR:
    case SIOCGIFTXQLEN:
        return true;
    default:
        return false;
    }
}

long socket_ioctl(struct file *file, uint32_t request, uint64_t user)
{
    char interface[INTERFACE_SIZE];

    if (!asks_about_interface(request))
        return host_file_ioctl(file, request, user);
    if (copy_from_user(interface, (void *)user, sizeof(interface)))
        return -EFAULT;
    void *untrusted_interface = host_put(interface, sizeof(interface));
    if (!untrusted_interface)
        return -ENOMEM;
    long status = net_call(__NR_ioctl, 0, file->host_fd, request, (long)untrusted_interface, 0, 0, 0);
    if (status)
        return status;
    untrusted_read(interface, untrusted_interface, sizeof(interface));
    return copy_to_user((void *)user, interface, sizeof(interface));
}
