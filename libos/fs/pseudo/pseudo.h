/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside pseudo/: /proc, /sys and /dev, made from the LibOS's own state. Tables of entries say what there is; a file's
 * text is made when it is read from its beginning and stays the same until it is read from there again, as Linux's
 * seq_file has it. */
#ifndef VIGIL_PSEUDO_H
#define VIGIL_PSEUDO_H

#include "libos/fs/inside.h"

/* ---- text.c: text that grows ------------------------------------------------------------------------------------- */
struct text { char *data; size_t used, size; bool failed; };
#define TEXT_LINE 512 /* the most that one text_add appends */
bool text_room(struct text *text, size_t n);
void text_bytes(struct text *text, const void *data, size_t n);
void text_added(struct text *text, int n);
#define text_add(text, ...) \
    do { \
        if (text_room(text, TEXT_LINE)) \
            text_added(text, format((text)->data + (text)->used, TEXT_LINE, __VA_ARGS__)); \
    } while (0)
/* A file's name as /proc/self/maps has it: no line breaks. */
void text_name(struct text *text, const char *name);
/* Processors (bits of a mask) as "0-2,5". */
void text_list(struct text *text, const uint64_t *mask, uint32_t bits);
/* And as 32-bit groups in hexadecimal: "ff,ffffffff". */
void text_mask(struct text *text, const uint64_t *mask, uint32_t bits);

/* ---- pseudo.c ---------------------------------------------------------------------------------------------------- */
/* Members of a directory that have numbers. */
struct pseudo_each {
    const struct pseudo_entry *entry;                          /* what each of them is like */
    bool (*find)(struct pseudo_at *at, const char *name);      /* sets at->tid or at->number; false: there is none */
    /* The first at or behind *position, which gets its own; false: no more. */
    bool (*next)(const struct pseudo_at *at, int64_t *position, char name[32]);
};

struct pseudo_entry {
    const char *name;                                          /* NULL ends a table */
    uint32_t mode;
    const struct pseudo_entry *children;                       /* of a directory */
    const struct pseudo_each *each;                            /* and its numbered ones */
    long (*show)(const struct pseudo_at *at, struct text *text);       /* 0 or -errno */
    const char *content;                                       /* instead of show: never changes */
    long (*store)(const struct pseudo_at *at, char *data, size_t n); /* a write of n bytes (NUL behind): 0 or -errno */
    long (*link)(const struct pseudo_at *at, char target[PATH_SIZE]);  /* length or -errno */
    long (*follow)(struct path *path, char target[PATH_SIZE]);         /* as struct inside_fs's */
    void (*become)(struct path *path);                                 /* what it is is something else */
    struct file *(*open)(const struct path *path, int flags, int *error);  /* devices */
    uint32_t device;                                           /* major << 8 | minor */
};
#define PSEUDO_DIR(name_, children_) {.name = name_, .mode = S_IFDIR | 0555, .children = children_}
#define PSEUDO_TEXT(name_, show_) {.name = name_, .mode = S_IFREG | 0444, .show = show_}
#define PSEUDO_FIXED(name_, content_) {.name = name_, .mode = S_IFREG | 0444, .content = content_}
#define PSEUDO_LINK(name_, link_) {.name = name_, .mode = S_IFLNK | 0777, .link = link_}

struct pseudo_at pseudo_of(const struct path *path);
/* A decimal number with nothing behind it and no zeroes before it. */
bool pseudo_number(const char *name, uint32_t *number);

/* ---- process.c and what it lists --------------------------------------------------------------------------------- */
extern const struct pseudo_each each_process;
long link_process_self(const struct pseudo_at *at, char target[PATH_SIZE]);
long link_process_thread_self(const struct pseudo_at *at, char target[PATH_SIZE]);
long show_maps(const struct pseudo_at *at, struct text *text);
long show_smaps(const struct pseudo_at *at, struct text *text);
long show_smaps_rollup(const struct pseudo_at *at, struct text *text);
long show_status(const struct pseudo_at *at, struct text *text);
long show_stat(const struct pseudo_at *at, struct text *text);
long show_statm(const struct pseudo_at *at, struct text *text);
extern const struct pseudo_each each_fd, each_fdinfo;

/* ---- program.c: which memory holds what the program was started from --------------------------------------------- */
#define PROGRAM_SEGMENTS 32
struct program_segment {
    uint64_t start, end, offset; /* whole pages */
    const char *name;
};
struct program_map {
    uint32_t count;
    struct program_segment segment[PROGRAM_SEGMENTS];
    char loader[256];
};
struct program_map *program_map(void); /* to be kfreed; NULL: no memory */
/* The first segment with pages in [start, end), NULL: none. */
const struct program_segment *program_segment(const struct program_map *map, uint64_t start, uint64_t end);

/* ---- mounts.c ---------------------------------------------------------------------------------------------------- */
long show_mounts(const struct pseudo_at *at, struct text *text);
long show_mountinfo(const struct pseudo_at *at, struct text *text);

/* ---- system.c: what several files tell --------------------------------------------------------------------------- */
struct memory { uint64_t total, free, shared; /* bytes */ };
struct memory system_memory(void);
#define PROCESSORS_MAX 8192
struct processors { uint64_t mask[PROCESSORS_MAX / 64]; uint32_t count, last; };
/* Those the program may run on: what the host says, as sched_getaffinity. */
void system_processors(struct processors *p);
int64_t system_start_ns(void);  /* when the program was started, on CLOCK_BOOTTIME */
int64_t system_start_realtime_ns(void);
long show_cpuinfo(const struct pseudo_at *at, struct text *text);
long show_meminfo(const struct pseudo_at *at, struct text *text);
long show_system_stat(const struct pseudo_at *at, struct text *text);
long show_uptime(const struct pseudo_at *at, struct text *text);
long show_loadavg(const struct pseudo_at *at, struct text *text);
long show_version(const struct pseudo_at *at, struct text *text);

#endif
