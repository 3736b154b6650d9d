/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside fs/: descriptors -> open files -> what is behind them. A descriptor table entry and everyone who works with a
 * file holds a reference. Lock order: the descriptor table's, an epoll set's, an object's own, a wait queue's. */
#ifndef VIGIL_FS_H
#define VIGIL_FS_H

#include "libos/libos.h"

#include <asm/stat.h>
#include <asm/unistd_64.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

/* <linux/stat.h> keeps these to itself where there is a C library (unit tests). */
#ifndef S_IFMT
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#endif

#define PATH_SIZE 4096              /* Linux's PATH_MAX, NUL included */
#define IO_MAX 0x7ffff000ull        /* the most one read or write moves (Linux) */
#define IO_CHUNK (256u << 10)       /* of it through bounce memory at a time */
#define IO_VECTORS 1024

/* ---- host.c: calls whose answers are checked --------------------------------------------------------------------- */
/* 0 .. max, or an errno; anything else the host says becomes -EIO, with a line in the log. */
long host_result(long nr, long untrusted_result, long max);
long host_call(long nr, long max, long a0, long a1, long a2, long a3, long a4);
/* Blocks. -ERESTARTSYS when a signal is to be delivered first. */
long host_call_blocking(long nr, long max, long a0, long a1, long a2, long a3, long a4);
/* After an EINTR of a call that does not wait: has there been one too many? */
bool host_interrupts_for_ever(long nr, unsigned *times);
/* After an EINTR of one that waits, when there is no signal: so many in so short a time that it would spin for ever? */
struct storm { unsigned times; int64_t since; };
bool host_storms(long nr, struct storm *storm);
/* A structure on its way to or from the host, in bounce memory. NULL: none left. */
void *host_put(const void *data, size_t n);

/* ---- io.c: where the bytes of one read or write are -------------------------------------------------------------- */
struct piece { uint64_t base, length; };             /* laid out as struct iovec */
enum io_side { IO_RUNTIME, IO_UNTRUSTED };           /* the other side of a copy */
struct io {
    struct piece *piece, inline_piece[8];
    uint32_t pieces;
    bool runtime;                                    /* runtime memory, not the application's */
    uint64_t left;
};
int io_user(struct io *io, uint64_t base, uint64_t length);
int io_user_vector(struct io *io, uint64_t vector, uint64_t count);
void io_runtime(struct io *io, void *base, uint64_t length);
void io_free(struct io *io);
/* Move up to n bytes and advance. How many, or -EFAULT if the first byte cannot be reached. */
long io_put(struct io *io, const void *from, size_t n, enum io_side side);
long io_get(struct io *io, void *to, size_t n, enum io_side side);
long io_clear(struct io *io, size_t n);

/* ---- wait.c: waiting for something inside the enclave ------------------------------------------------------------ */
/* A waiter lives on its thread's stack, in one or more queues. Objects change under their lock and then wake. */
struct waiter {
    struct waiter *next;
    struct wait_queue *queue;
    uint32_t slot;
    bool in_host;                                    /* it may wait in the host (poll): kick, not only unpark */
    struct wait_queue *forward;                      /* not a thread: wake this queue, and remember the event */
    bool event;
};
struct wait_queue { lock_t lock; struct waiter *first; };
void wait_add(struct wait_queue *queue, struct waiter *waiter, bool in_host);
/* Wakes of queue go on to another queue; event is set by them (and at first). */
void wait_forward(struct wait_queue *queue, struct waiter *waiter, struct wait_queue *to);
void wait_remove(struct waiter *waiter);
void wait_wake(struct wait_queue *queue);

/* ---- file.c, table.c --------------------------------------------------------------------------------------------- */
/* What chmod, chown, truncate and utimensat change: of a name inside, or of a file. */
#define CHANGE_MODE (1u << 0)
#define CHANGE_UID (1u << 1)
#define CHANGE_GID (1u << 2)
#define CHANGE_SIZE (1u << 3)
#define CHANGE_ATIME (1u << 4)
#define CHANGE_MTIME (1u << 5)
struct change { uint32_t what, mode, uid, gid; uint64_t size; int64_t atime_ns, mtime_ns; };

struct path;
struct file_ops {
    /* offset < 0: at the file's own position, which moves. The caller has checked the access mode. */
    long (*read)(struct file *file, struct io *io, int64_t offset);
    long (*write)(struct file *file, struct io *io, int64_t offset);
    long (*seek)(struct file *file, int64_t offset, int whence);
    long (*stat)(struct file *file, struct stat *stat);
    /* Whole linux_dirent64 records into buf, as many as fit; 0 at the end. */
    long (*list)(struct file *file, void *buf, size_t n);
    long (*ioctl)(struct file *file, uint32_t request, uint64_t arg);
    /* Of files that are inside; NULL: -EPERM, or as Linux says of what is not a regular file. */
    long (*change)(struct file *file, const struct change *change);
    long (*allocate)(struct file *file, int mode, uint64_t offset, uint64_t length); /* fallocate */
    struct file_locks *(*locks)(struct file *file);
    long (*seal)(struct file *file, int command, uint32_t seals); /* F_ADD_SEALS, F_GET_SEALS; NULL: -EINVAL */
    long (*link)(struct file *file, const struct path *to);     /* linkat with AT_EMPTY_PATH: gets a name (more) */
    /* Opening /proc/self/fd/N: a file of its own on the same object. NULL: by name if it has one, else it is shared. */
    struct file *(*reopen)(struct file *file, int flags, int *error);
    /* poll bits that hold now, and what is woken when they change. NULL: the host's poll knows. */
    uint32_t (*ready)(struct file *file);
    struct wait_queue *(*queue)(struct file *file);
    void (*release)(struct file *file);
};

struct file {
    const struct file_ops *ops;
    uint32_t refs;
    uint32_t flags;                                  /* O_*: access mode and status; changed atomically */
    struct interest *interests;                      /* its places in epoll sets (epoll.c) */
    uint32_t type;                                   /* S_IFMT bits, 0: not asked yet */
    int host_fd;                                     /* -1: nothing on the host */
    char *path;                                      /* inside, owned; NULL: it has none */
    void *object;                                    /* what is behind it when it is inside */
    lock_t position_lock;
    int64_t position;                                /* of files that are inside */
};

/* A new file with one reference; NULL: no memory. path may be NULL. */
struct file *file_new(const struct file_ops *ops, uint32_t flags, const char *path);
struct file *file_get(struct file *file);
bool file_can_read(const struct file *file);
bool file_can_write(const struct file *file);
bool file_nonblocking(const struct file *file);
/* S_IFMT bits, asking the host if need be; 0 if it does not say. */
uint32_t file_type(struct file *file);
long file_stat(struct file *file, struct stat *stat);

struct file *file_from_fd(int fd);                   /* with a reference, or NULL */
/* Lowest free descriptor from min on. Takes over the reference, also when it fails. */
long fd_install(struct file *file, uint32_t min, bool cloexec);
long fd_install_at(struct file *file, uint32_t fd, bool cloexec); /* closes what is there */
struct file *fd_take(uint32_t fd);                   /* out of the table, with its reference */
long fd_cloexec(uint32_t fd, int set);               /* set < 0: asks */
uint32_t fd_table_size(void);
void fd_table_init(void);
void fd_close_on_exec(void);

/* ---- hostfile.c -------------------------------------------------------------------------------------------------- */
extern const struct file_ops host_file_ops;
/* Takes over the host's descriptor. */
struct file *host_file_new(int host_fd, uint32_t flags, const char *path);
void host_close(int host_fd);
void signal_broken_pipe(void);

/* ---- readwrite.c: what the process has read and written so far (/proc/self/io) ----------------------------------- */
struct io_counts { uint64_t reads, writes, read_bytes, written_bytes; };
struct io_counts io_counts(void);

/* ---- epoll.c: a file's last reference is gone -------------------------------------------------------------------- */
void epoll_forget(struct file *file);

/* ---- poll.c: arguments that several calls share ------------------------------------------------------------------ */
/* From a timespec or (scale 1000) timeval of the application: CLOCK_MONOTONIC ns, 0: at once, -1: never. */
long poll_read_deadline(long user, int64_t scale, int64_t *deadline);
long poll_set_mask(long user_mask, long size);

/* ---- pipe.c: the capacity of a pipe, asked or set ---------------------------------------------------------------- */
long pipe_size(struct file *file, bool set, uint64_t wanted);
/* A fifo belongs to a node. Each open end has a reference to the node, which put() gives back. */
struct pipe;
struct fifo_owner {
    void (*stat)(void *node, struct stat *stat);
    long (*change)(void *node, const struct change *change);
    void (*put)(void *node);
};
struct pipe *fifo_new(const struct fifo_owner *owner, void *node);
void fifo_free(struct pipe *fifo);              /* NULL is fine. Nobody has it open */
/* Waits for the other end as Linux does. The caller has taken the reference to the node, which is gone on failure, too. */
struct file *fifo_open(struct pipe *fifo, uint32_t flags, const char *inside, int *error);

/* ---- path.c, mount.c --------------------------------------------------------------------------------------------- */
struct inside_fs;
struct pseudo_entry;
struct tmpfs_node;
/* A file of /proc, /sys or /dev: which one, and of which thread and descriptor (or processor). */
struct pseudo_at { const struct pseudo_entry *entry; uint32_t tid; int number; };

struct path {
    char inside[PATH_SIZE];     /* absolute, without "." and ".." */
    bool raw;                   /* host has the ".." that inside has not: the host's whole tree is ours, and links of it
                                 * make the difference. Then host is also what the program calls it */
    char host[PATH_SIZE];       /* what the host is given */
    const struct inside_fs *fs; /* what is there is inside (inside.h); NULL: the host has it */
    uint32_t mode;              /* inside: its type and rights; 0: it is not there, but its directory is */
    union {                     /* inside: the file system's own */
        struct pseudo_at pseudo;
        struct { struct tmpfs_node *node, *parent; } tmpfs; /* with references */
        int fd;
    } at;
    bool host_root;             /* in the root mount */
    bool at_mount;              /* is a mount point's name */
    bool above_mount;           /* a mount point lies below: exists even if the host has no such directory */
    bool directory;             /* ended in '/' */
};
#define PATH_NOFOLLOW 1u        /* the last component is not followed if it is a link */
#define PATH_EMPTY_OK 2u        /* AT_EMPTY_PATH: "" names the descriptor itself: *out is NULL */
int paths_init(void);
long path_from_user(struct path **out, int dirfd, long user_path, uint32_t flags);
long path_from_string(struct path **out, int dirfd, const char *string, uint32_t flags);
void path_free(struct path *path);
/* What the program calls the host's file of this absolute name. False: it cannot see it, or the name is too long. */
bool path_from_host(const char *host, char *inside, size_t size);
/* A link of the host's that leads to something inside, in the end: that (for path_free). NULL: it is the host's to follow. */
struct path *path_through_link(const struct path *link);
const char *path_name(const struct path *path);      /* to remember: a name inside that means the same later */
const void *path_to_host(const struct path *path);   /* in bounce memory; NULL: none left */
long path_set_cwd(const char *inside);
void path_get_cwd(char out[PATH_SIZE]);
/* Lexically: no "." and no "..", single slashes. For relative names too. False: does not fit. */
bool path_whole_host(void);                           /* every name is the host's own, but for what is inside */
bool path_tidy(char *out, size_t size, const char *base, const char *name); /* keeps ".." */
bool path_normalise(char *out, size_t size, const char *base, const char *name);
/* The names of mount points directly below a directory, by number; false: no more. */
bool path_mount_below(const char *directory, uint32_t number, char name[256]);

/* ---- policy.c ---------------------------------------------------------------------------------------------------- */
int policy_init(void);
/* 0 or -EACCES (said in the log). For opening a file and for changing what is under a name. */
int policy_check(const struct path *path);
bool policy_allows(const struct path *path);         /* the same without a word */
bool policy_strict(void);

/* ---- open.c, stat.c, special.c, directory.c ---------------------------------------------------------------------- */
struct file *open_path(const struct path *path, int flags, int mode, int *error);
long stat_path(const struct path *path, struct stat *stat, bool follow);
/* Asks the host about an open descriptor, or (untrusted_path not NULL) a name. */
long stat_host(int host_fd, const void *untrusted_path, int at_flags, struct stat *stat);
uint32_t host_uid(uint32_t inside);
uint32_t file_umask(void);
void file_umask_init(void);
uint32_t host_gid(uint32_t inside);

/* What the host calls the file behind a descriptor of its own; with a NUL. Its length or -errno. */
long host_fd_name(int host_fd, char target[PATH_SIZE]);
void synthetic_stat(struct stat *stat, uint32_t mode, uint64_t ino);
struct file *synthetic_directory(const char *inside, int flags);
void synthetic_directory_stat(struct stat *stat);
/* Appends one linux_dirent64; false: no room. */
bool dirent_add(void *buf, size_t size, size_t *used, uint64_t ino, int64_t offset, uint8_t type, const char *name);

#endif
