/* SPDX-License-Identifier: Apache-2.0
 *
 * The implemented system calls, one line each: SYSCALL(number, name) needs a handler `long sys_name(SYSCALL_ARGS)`.
 * Include with SYSCALL defined. Grouped by the part that owns the handler, by number inside a part. syscall.c checks
 * every number against <asm/unistd_64.h>. */

/* ---- process/ ---- */
SYSCALL(24, sched_yield)
SYSCALL(39, getpid)
SYSCALL(63, uname)
SYSCALL(97, getrlimit)
SYSCALL(98, getrusage)
SYSCALL(99, sysinfo)
SYSCALL(100, times)
SYSCALL(102, getuid)
SYSCALL(104, getgid)
SYSCALL(105, setuid)
SYSCALL(106, setgid)
SYSCALL(107, geteuid)
SYSCALL(108, getegid)
SYSCALL(109, setpgid)
SYSCALL(110, getppid)
SYSCALL(111, getpgrp)
SYSCALL(112, setsid)
SYSCALL(113, setreuid)
SYSCALL(114, setregid)
SYSCALL(115, getgroups)
SYSCALL(116, setgroups)
SYSCALL(117, setresuid)
SYSCALL(118, getresuid)
SYSCALL(119, setresgid)
SYSCALL(120, getresgid)
SYSCALL(121, getpgid)
SYSCALL(122, setfsuid)
SYSCALL(123, setfsgid)
SYSCALL(124, getsid)
SYSCALL(125, capget)
SYSCALL(126, capset)
SYSCALL(135, personality)
SYSCALL(140, getpriority)
SYSCALL(141, setpriority)
SYSCALL(142, sched_setparam)
SYSCALL(143, sched_getparam)
SYSCALL(144, sched_setscheduler)
SYSCALL(145, sched_getscheduler)
SYSCALL(146, sched_get_priority_max)
SYSCALL(147, sched_get_priority_min)
SYSCALL(157, prctl)
SYSCALL(158, arch_prctl)
SYSCALL(160, setrlimit)
SYSCALL(203, sched_setaffinity)
SYSCALL(204, sched_getaffinity)
SYSCALL(231, exit_group)
SYSCALL(302, prlimit64)
SYSCALL(309, getcpu)
SYSCALL(318, getrandom)

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
