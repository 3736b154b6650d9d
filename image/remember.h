/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers that were worked out before, in the user's cache directory. */
#ifndef VIGIL_IMAGE_REMEMBER_H
#define VIGIL_IMAGE_REMEMBER_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IMAGE_ANSWER_MAX 4096 /* bytes */

/* The answer that was remembered for the same question of this kind (a word for a file name). False: none, or not whole. */
bool image_recall(const char *kind, const void *question, size_t question_size, void *answer, size_t answer_size);
/* That it cannot be written is no error. */
void image_remember(const char *kind, const void *question, size_t question_size, const void *answer, size_t answer_size);

#ifdef __cplusplus
}
#endif
#endif
