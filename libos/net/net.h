/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside net/: sockets. The host's socket does the work; what it answers is checked, and what goes over it is as public as
 * any network. Names of UNIX sockets are names inside, and remembered here. */
#ifndef VIGIL_NET_H
#define VIGIL_NET_H

#include "libos/fs/fs.h"

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16            /* the host's interfaces and routes (if_nameindex, getaddrinfo) */

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_SEQPACKET 5
#define SOCK_TYPE_MASK 0xf
#define SOCK_NONBLOCK O_NONBLOCK
#define SOCK_CLOEXEC O_CLOEXEC

#define MSG_OOB 0x1u
#define MSG_PEEK 0x2u
#define MSG_CTRUNC 0x8u
#define MSG_TRUNC 0x20u
#define MSG_DONTWAIT 0x40u
#define MSG_EOR 0x80u
#define MSG_WAITALL 0x100u
#define MSG_ERRQUEUE 0x2000u
#define MSG_NOSIGNAL 0x4000u
#define MSG_WAITFORONE 0x10000u
#define MSG_CMSG_CLOEXEC 0x40000000u

#define ADDRESS_SIZE 128            /* struct sockaddr_storage */
#define CONTROL_SIZE 16384          /* the most control data one message carries */
#define NET_INT_LIMIT 0x7fffffff

struct address { uint32_t length; union { uint16_t family; uint8_t bytes[ADDRESS_SIZE]; }; };

struct socket {
    int family, type, protocol;
    int64_t receive_timeout, send_timeout; /* ns, 0: none */
    lock_t lock;                    /* guards the names */
    struct address local, peer;     /* of UNIX sockets, as the program calls them; length 0: not known here */
    struct address host_local;      /* if it is bound to a path: what the host calls it */
    uint64_t end, peer_end;         /* of those that socketpair has made: numbers of the two ends; 0: another one */
    struct socket *next_named;      /* all those, under names_lock */
};

struct message {                    /* struct msghdr */
    uint64_t name;
    uint32_t name_length, padding;
    uint64_t vector, count, control, control_length;
    uint32_t flags, padding2;
};

/* ---- socket.c ---------------------------------------------------------------------------------------------------- */
/* A call on a socket of the host that does not block. */
long net_call(long nr, long max, long a0, long a1, long a2, long a3, long a4, long a5);
/* One that blocks unless the file or flags (MSG_DONTWAIT) say otherwise: for events (POLLIN, POLLOUT), as long as the socket's
 * timeout says. A signal ends it with -ERESTARTSYS, or, as on Linux, with -EINTR if there is a timeout. */
long net_call_blocking(struct file *file, short events, uint32_t flags, long nr, long max, const long arguments[6]);
/* With a reference; NULL: *error is -EBADF or -ENOTSOCK. */
struct file *socket_from_fd(int fd, long *error);
/* NULL for a descriptor that came from outside: only the host knows what it is. */
struct socket *socket_of(const struct file *file);
bool socket_is_stream(const struct file *file);
/* The host's path of a UNIX socket that was bound inside becomes the name it was bound to; others stay as they are. */
void socket_name_inside(struct address *address);
/* Takes over a descriptor that the host has handed in. NULL: no memory. */
struct file *socket_adopt(int host_fd);

/* ---- ioctl.c */
long socket_ioctl(struct file *file, uint32_t request, uint64_t user);

/* ---- address.c --------------------------------------------------------------------------------------------------- */
long address_from_user(struct address *address, uint64_t user, long length);
/* The path of a UNIX socket: not an abstract name, and not none. */
bool address_is_path(const struct address *address);
/* A path as Linux gives it back, with one NUL behind it, whatever length it was given with. */
void address_end_path(struct address *address);
/* The program's address as the host is to have it: paths of UNIX sockets are translated and checked. */
long address_for_host(struct address *host, const struct address *address, bool follow);
/* What the host has written, claims to be length bytes long, and must be an address of a family that is known here. */
long address_from_host(struct address *address, const void *untrusted_address, uint32_t untrusted_length);
/* Tells the program; user_length is a socklen_t in and out. */
long address_to_user(const struct address *address, uint64_t user, uint64_t user_length);

/* ---- message.c --------------------------------------------------------------------------------------------------- */
struct received { struct address *from; void *control; size_t control_length; uint32_t flags; };
/* to, control may be NULL; flags are MSG_*. */
long socket_send(struct file *file, struct io *io, uint32_t flags, const struct address *to, const void *control, size_t length);
/* r may be NULL. r->control has room for r->control_length, which becomes what came. */
long socket_receive(struct file *file, struct io *io, uint32_t flags, struct received *r);

/* ---- control.c --------------------------------------------------------------------------------------------------- */
/* Translates control data in place, descriptors inside to those of the host and back. Coming in, descriptors are installed;
 * *length shrinks and *flags gets MSG_CTRUNC if there is no room for them. */
struct sending;                     /* what is held until the message is out; NULL: nothing */
long control_for_host(struct file *socket, void *control, size_t length, struct sending **sending);
void sending_end(struct sending *sending, bool sent);
/* peek: the message is still there afterwards. */
long control_from_host(void *control, size_t *length, uint32_t *flags, bool cloexec, bool peek);

/* ---- flight.c ---------------------------------------------------------------------------------------------------- */
/* A descriptor of the host's that stands for an object inside while it is on its way to that end; or -errno. */
long flight_begin(struct file *file, uint64_t to);
/* It has not been sent. */
void flight_cancel(int token);
/* The object that a file of the host's stands for, with a reference, or NULL. stays: it may be asked for again. */
struct file *flight_end(const struct stat *stat, bool stays);
/* That end is closed: nobody will receive what is on its way there. */
void flights_forget(uint64_t to);

#endif
