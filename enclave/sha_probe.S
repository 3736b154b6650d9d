/* SPDX-License-Identifier: Apache-2.0
 *
 * Are there SHA extensions? CPUID is illegal in an enclave and the host's word is not needed: where there are none, the
 * instruction is #UD. */
.section .text

/* bool sha_extensions(void) */
.globl sha_extensions
.hidden sha_extensions
.type sha_extensions, @function
sha_extensions:
    subq $24, %rsp
    movups %xmm0, (%rsp)
    xorl %eax, %eax
1:  sha256msg1 %xmm0, %xmm0
    movl $1, %eax
2:  movups (%rsp), %xmm0
    addq $24, %rsp
    ret
.size sha_extensions, . - sha_extensions

.pushsection ex_table, "a"
.balign 4
.long 1b - .
.long 2b - .
.popsection

.section .note.GNU-stack, "", @progbits
