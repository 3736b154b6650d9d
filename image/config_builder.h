/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes the flat configuration blob out of what the manifest says. */
#ifndef VIGIL_CONFIG_BUILDER_H
#define VIGIL_CONFIG_BUILDER_H

#include "image/internal.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

struct config_builder {
    vigil_config fixed{}; // numbers and flags; the references are filled in by build()
    std::string entrypoint, log_file, start_dir, argv_file, env_file;
    std::vector<std::string> argv, env, env_pass, allowed;
    std::vector<std::pair<std::string, std::string>> mounts{{"/", "."}};
    std::map<std::string, std::array<uint8_t, 32>> trusted; // by normalised path, in strcmp's order

    config_builder()
    {
        fixed.magic = VIGIL_CONFIG_MAGIC;
        fixed.enclave_size = 256u << 20;
        fixed.max_threads = 4;
        fixed.stack_size = 256u << 10;
        fixed.brk_max_size = 256u << 10;
        fixed.log_level = VIGIL_LOG_ERROR;
        fixed.fds_limit = 900;
        fixed.aex.mitigation = VIGIL_MITIGATION_PREFETCH;
        fixed.aex.step_threshold = 48;
        fixed.aex.slow_limit = 500000;
    }

    // malloc'ed; NULL when out of memory.
    vigil_config *build()
    {
        blob.assign(sizeof(vigil_config), 0);
        vigil_config c = fixed;
        c.entrypoint = string(entrypoint);
        c.log_file = log_file.empty() ? 0 : string(log_file);
        c.start_dir = start_dir.empty() ? 0 : string(start_dir);
        c.argv_file = argv_file.empty() ? 0 : string(argv_file);
        c.env_file = env_file.empty() ? 0 : string(env_file);
        c.argv = list(argv);
        c.env = list(env);
        c.env_pass = list(env_pass);
        c.allowed = list(allowed);
        std::vector<vigil_mount> flat;
        for (const auto &m : mounts)
            flat.push_back({string(m.first), m.second.empty() ? 0 : string(m.second)});
        c.mounts = bytes(flat.data(), flat.size() * sizeof(vigil_mount));
        c.mount_count = static_cast<uint32_t>(flat.size());
        std::vector<vigil_trusted> files;
        for (const auto &t : trusted) {
            files.push_back({string(t.first), 0, {}});
            std::copy(t.second.begin(), t.second.end(), files.back().sha256);
        }
        c.trusted = files.empty() ? 0 : bytes(files.data(), files.size() * sizeof(vigil_trusted));
        c.trusted_count = static_cast<uint32_t>(files.size());
        c.size = static_cast<uint32_t>(blob.size());
        std::memcpy(blob.data(), &c, sizeof(c));
        auto *result = static_cast<vigil_config *>(std::malloc(blob.size()));
        if (result)
            std::memcpy(result, blob.data(), blob.size());
        return result;
    }

  private:
    std::vector<char> blob;

    uint32_t bytes(const void *data, size_t n)
    {
        blob.resize((blob.size() + 7) & ~size_t(7));
        auto offset = static_cast<uint32_t>(blob.size());
        const char *p = static_cast<const char *>(data);
        blob.insert(blob.end(), p, p + n);
        return offset;
    }

    uint32_t string(const std::string &s)
    {
        return bytes(s.c_str(), s.size() + 1);
    }

    vigil_list list(const std::vector<std::string> &strings)
    {
        if (strings.empty())
            return {0, 0};
        std::vector<uint32_t> offsets;
        for (const auto &s : strings)
            offsets.push_back(string(s));
        return {bytes(offsets.data(), offsets.size() * sizeof(uint32_t)), static_cast<uint32_t>(offsets.size())};
    }
};

#endif
