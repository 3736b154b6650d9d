// SPDX-License-Identifier: Apache-2.0
//
// The TOML reader itself, once. In the binary and not in a shared library, since a program that starts in 10 ms has no
// millisecond to link it and the C++ library each time.
#define TOML_IMPLEMENTATION
// As in the library, which is built without: some bad input fails an assertion where a proper message follows.
#define TOML_ASSERT(expression) static_cast<void>(0)
#include "image/manifest_reader.h"
