/* SPDX-License-Identifier: Apache-2.0
 *
 * The root of /proc, and /proc/sys. */
#include "libos/fs/pseudo/pseudo.h"
#include "libos/process/process.h"

#include <linux/utsname.h>

/* ---- /proc/sys/kernel -------------------------------------------------------------------------------------------- */
#define SYSTEM_NAME(function, field) \
    static long function(const struct pseudo_at *at, struct text *text) \
    { \
        (void)at; \
        text_add(text, "%s\n", process_system_name()->field); \
        return 0; \
    }
SYSTEM_NAME(show_ostype, sysname)
SYSTEM_NAME(show_hostname, nodename)
SYSTEM_NAME(show_osrelease, release)
SYSTEM_NAME(show_osversion, version)
SYSTEM_NAME(show_domainname, domainname)

static long show_uuid_of(uint8_t id[16], struct text *text)
{
    id[6] = (id[6] & 0x0f) | 0x40; /* version 4: random */
    id[8] = (id[8] & 0x3f) | 0x80;
    for (int i = 0; i < 16; i++)
        text_add(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
    text_bytes(text, "\n", 1);
    return 0;
}

static long show_uuid(const struct pseudo_at *at, struct text *text)
{
    uint8_t id[16];

    (void)at;
    return random_bytes(id, sizeof(id)) ? -EIO : show_uuid_of(id, text);
}

/* Chosen inside, once. */
static long show_boot_id(const struct pseudo_at *at, struct text *text)
{
    static lock_t id_lock;
    static uint8_t id[16];
    static bool chosen;
    uint8_t copy[16];

    (void)at;
    lock(&id_lock);
    if (!chosen && !random_bytes(id, sizeof(id)))
        chosen = true;
    memcpy(copy, id, sizeof(copy));
    bool ok = chosen;
    unlock(&id_lock);
    return ok ? show_uuid_of(copy, text) : -EIO;
}

static long show_threads_max(const struct pseudo_at *at, struct text *text)
{
    (void)at;
    text_add(text, "%u\n", (uint32_t)boot_info()->thread_limit);
    return 0;
}

static const struct pseudo_entry sys_random[] = {
    PSEUDO_TEXT("boot_id", show_boot_id),
    PSEUDO_TEXT("uuid", show_uuid),
    PSEUDO_FIXED("entropy_avail", "256\n"),
    PSEUDO_FIXED("poolsize", "256\n"),
    {0},
};
static const struct pseudo_entry sys_kernel[] = {
    PSEUDO_TEXT("ostype", show_ostype),
    PSEUDO_TEXT("hostname", show_hostname),
    PSEUDO_TEXT("osrelease", show_osrelease),
    PSEUDO_TEXT("version", show_osversion),
    PSEUDO_TEXT("domainname", show_domainname),
    PSEUDO_FIXED("pid_max", "4194304\n"),
    PSEUDO_TEXT("threads-max", show_threads_max),
    PSEUDO_FIXED("cap_last_cap", "40\n"),
    PSEUDO_FIXED("ngroups_max", "65536\n"),
    PSEUDO_FIXED("randomize_va_space", "0\n"),
    PSEUDO_FIXED("core_pattern", "core\n"),
    PSEUDO_FIXED("overflowuid", "65534\n"),
    PSEUDO_FIXED("overflowgid", "65534\n"),
    PSEUDO_FIXED("tainted", "0\n"),
    PSEUDO_DIR("random", sys_random),
    {0},
};
static const struct pseudo_entry sys_vm[] = {
    PSEUDO_FIXED("overcommit_memory", "0\n"),
    PSEUDO_FIXED("overcommit_ratio", "50\n"),
    PSEUDO_FIXED("max_map_count", "1048576\n"),
    PSEUDO_FIXED("swappiness", "0\n"),
    PSEUDO_FIXED("mmap_min_addr", "65536\n"),
    {0},
};
static const struct pseudo_entry sys_core[] = {
    PSEUDO_FIXED("somaxconn", "4096\n"),
    {0},
};
static const struct pseudo_entry sys_net[] = {
    PSEUDO_DIR("core", sys_core),
    {0},
};
static const struct pseudo_entry sys_inotify[] = {
    PSEUDO_FIXED("max_user_instances", "128\n"),
    PSEUDO_FIXED("max_user_watches", "65536\n"),
    PSEUDO_FIXED("max_queued_events", "16384\n"),
    {0},
};
static const struct pseudo_entry sys_fs_files[] = {
    PSEUDO_FIXED("file-max", "9223372036854775807\n"),
    PSEUDO_FIXED("nr_open", "1048576\n"),
    PSEUDO_FIXED("pipe-max-size", "1048576\n"),
    PSEUDO_DIR("inotify", sys_inotify),
    {0},
};
static const struct pseudo_entry proc_sys[] = {
    PSEUDO_DIR("kernel", sys_kernel),
    PSEUDO_DIR("vm", sys_vm),
    PSEUDO_DIR("net", sys_net),
    PSEUDO_DIR("fs", sys_fs_files),
    {0},
};

/* ---- /proc ------------------------------------------------------------------------------------------------------- */
static long link_mounts(const struct pseudo_at *at, char target[PATH_SIZE])
{
    (void)at;
    return format(target, PATH_SIZE, "self/mounts");
}

static const struct pseudo_entry proc[] = {
    PSEUDO_TEXT("cpuinfo", show_cpuinfo),
    PSEUDO_TEXT("meminfo", show_meminfo),
    PSEUDO_TEXT("stat", show_system_stat),
    PSEUDO_TEXT("uptime", show_uptime),
    PSEUDO_TEXT("loadavg", show_loadavg),
    PSEUDO_TEXT("version", show_version),
    PSEUDO_FIXED("filesystems", "nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\tdevtmpfs\nnodev\t9p\n"),
    PSEUDO_FIXED("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    PSEUDO_LINK("mounts", link_mounts),
    {.name = "self", .mode = S_IFLNK | 0777, .link = link_process_self},
    {.name = "thread-self", .mode = S_IFLNK | 0777, .link = link_process_thread_self},
    PSEUDO_DIR("sys", proc_sys),
    {0},
};

static long link_mtab(const struct pseudo_at *at, char target[PATH_SIZE])
{
    (void)at;
    return format(target, PATH_SIZE, "/proc/self/mounts");
}

const struct pseudo_entry mtab_link = PSEUDO_LINK("mtab", link_mtab);
const struct pseudo_entry proc_root = {.name = "proc", .mode = S_IFDIR | 0555, .children = proc, .each = &each_process};
