/* SPDX-License-Identifier: Apache-2.0
 *
 * ioctl: the terminal's and a few general ones, each with the size of what it carries. Others are refused: their
 * structures are not known, so nothing of them can be copied safely. */
#include "libos/fs/fs.h"
#include "libos/process/process.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>

#define ARGUMENT_MAX 64
enum carries { VALUE, GETS, SETS };
struct request { uint32_t number; uint8_t carries, size; };

static const struct request requests[] = {
    {TCGETS, GETS, sizeof(struct termios)},   {TCSETS, SETS, sizeof(struct termios)},
    {TCSETSW, SETS, sizeof(struct termios)},  {TCSETSF, SETS, sizeof(struct termios)},
    {TCGETS2, GETS, sizeof(struct termios2)}, {TCSETS2, SETS, sizeof(struct termios2)},
    {TCSETSW2, SETS, sizeof(struct termios2)}, {TCSETSF2, SETS, sizeof(struct termios2)},
    {TCSBRK, VALUE, 0},      {TCSBRKP, VALUE, 0},    {TCXONC, VALUE, 0},      {TCFLSH, VALUE, 0},
    {TIOCGWINSZ, GETS, 8},   {TIOCSWINSZ, SETS, 8},  {TIOCOUTQ, GETS, 4},     {FIONREAD, GETS, 4},
    {TIOCGPTN, GETS, 4},     {TIOCSPTLCK, SETS, 4},  {TIOCGPTLCK, GETS, 4},   {TIOCEXCL, VALUE, 0},
    {TIOCNXCL, VALUE, 0},    {TIOCGSID, GETS, 4},    {TIOCGPGRP, GETS, 4},    {TIOCSPGRP, SETS, 4},
    {FIGETBSZ, GETS, 4},     {TIOCNOTTY, VALUE, 0},  {TIOCSCTTY, VALUE, 0},
};

static const struct request *find(uint32_t number)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        if (requests[i].number == number)
            return &requests[i];
    return NULL;
}

/* The terminal knows the host's process group, the program its own: this process is alone in both. */
static uint32_t translate_group(uint32_t number, uint32_t group)
{
    if (number == TIOCSPGRP)
        return group == process_pid() ? (uint32_t)host_call(__NR_getpgid, 0x7fffffff, 0, 0, 0, 0, 0) : group;
    if (number == TIOCGPGRP && group == (uint32_t)host_call(__NR_getpgid, 0x7fffffff, 0, 0, 0, 0, 0))
        return process_pid();
    if (number == TIOCGSID)
        return process_pid();
    return group;
}

long host_file_ioctl(struct file *file, uint32_t number, uint64_t user_arg)
{
    const struct request *r = find(number);
    bool group = number == TIOCGPGRP || number == TIOCSPGRP || number == TIOCGSID;
    char data[ARGUMENT_MAX];

    if (!r) {
        log_line(VIGIL_LOG_DEBUG, "ioctl 0x%x is not supported: ENOTTY", number);
        return -ENOTTY;
    }
    if (r->carries == VALUE)
        return host_call_blocking(__NR_ioctl, 0, file->host_fd, number, (long)user_arg, 0, 0);
    memset(data, 0, sizeof(data));
    if (r->carries == SETS && copy_from_user(data, (void *)user_arg, r->size))
        return -EFAULT;
    if (r->carries == SETS && group)
        *(uint32_t *)data = translate_group(number, *(uint32_t *)data);
    void *untrusted_data = host_put(data, r->size);
    if (!untrusted_data)
        return -ENOMEM;
    long status = host_call_blocking(__NR_ioctl, 0, file->host_fd, number, (long)untrusted_data, 0, 0);
    if (status || r->carries == SETS)
        return status;
    untrusted_read(data, untrusted_data, r->size);
    if (group)
        *(uint32_t *)data = translate_group(number, *(uint32_t *)data);
    if ((number == FIONREAD || number == TIOCOUTQ) && *(int32_t *)data < 0)
        return -EIO;
    return copy_to_user((void *)user_arg, data, r->size);
}

static long set_nonblocking(struct file *file, int fd, uint64_t user_arg)
{
    int on;
    long sys_fcntl(SYSCALL_ARGS);

    if (copy_from_user(&on, (void *)user_arg, sizeof(on)))
        return -EFAULT;
    uint32_t flags = __atomic_load_n(&file->flags, __ATOMIC_RELAXED);
    return sys_fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~(uint32_t)O_NONBLOCK, 0, 0, 0);
}

long sys_ioctl(SYSCALL_ARGS)
{
    struct file *file = file_from_fd((int)a0);
    uint32_t number = (uint32_t)a1;
    long result;

    if (!file)
        return -EBADF;
    if (file->flags & O_PATH)
        result = -EBADF;
    else if (number == FIOCLEX || number == FIONCLEX)
        result = fd_cloexec((uint32_t)a0, number == FIOCLEX);
    else if (number == FIONBIO)
        result = set_nonblocking(file, (int)a0, (uint64_t)a2);
    else
        result = file->ops->ioctl ? file->ops->ioctl(file, number, (uint64_t)a2) : -ENOTTY;
    file_put(file);
    return result;
}
