/* SPDX-License-Identifier: Apache-2.0
 *
 * sgx.trusted_files. See trusted.c. */
#ifndef VIGIL_TRUSTED_H
#define VIGIL_TRUSTED_H

#include "libos/fs/fs.h"

int trusted_init(void);
/* NULL: not one of them. */
const struct vigil_trusted *trusted_find(const struct path *path);
/* May it be opened so? 0 or -EACCES, said in the log. */
int trusted_check(const struct vigil_trusted *entry, int flags);
/* -EACCES, said in the log: it is to be changed, or what is under its name. */
int trusted_refuse(const struct vigil_trusted *entry);
/* The host's descriptor (taken over) as a file whose contents are what was signed. NULL and *error: it is another one. */
struct file *trusted_file_new(const struct vigil_trusted *entry, int host_fd, uint32_t flags, const char *path, int *error);

#endif
