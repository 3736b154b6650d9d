/* SPDX-License-Identifier: Apache-2.0
 *
 * The implemented system calls, one line each: SYSCALL(number, name) needs a handler `long sys_name(SYSCALL_ARGS)`.
 * Include with SYSCALL defined. Grouped by the part that owns the handler, by number inside a part. syscall.c checks
 * every number against <asm/unistd_64.h>. */

/* ---- process/ ---- */

/* ---- mm/ ---- */

/* ---- fs/ ---- */

/* ---- thread/ ---- */

/* ---- signal/ ---- */

/* ---- time/ ---- */

#undef SYSCALL
