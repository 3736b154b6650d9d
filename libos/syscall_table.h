/* SPDX-License-Identifier: Apache-2.0
 *
 * The implemented system calls, one line each: SYSCALL(number, name) needs a handler `long sys_name(SYSCALL_ARGS)`.
 * Include with SYSCALL defined. Grouped by the part that owns the handler, by number inside a part. syscall.c checks
 * every number against <asm/unistd_64.h>. */

/* ---- process/ ---- */

/* ---- mm/ ---- */
SYSCALL(9, mmap)
SYSCALL(10, mprotect)
SYSCALL(11, munmap)
SYSCALL(12, brk)
SYSCALL(25, mremap)
SYSCALL(26, msync)
SYSCALL(27, mincore)
SYSCALL(28, madvise)
SYSCALL(149, mlock)
SYSCALL(150, munlock)
SYSCALL(151, mlockall)
SYSCALL(152, munlockall)
SYSCALL(325, mlock2)

/* ---- fs/ ---- */

/* ---- thread/ ---- */

/* ---- signal/ ---- */

/* ---- time/ ---- */

#undef SYSCALL
