// SPDX-License-Identifier: Apache-2.0
//
// C++: exceptions through frames with destructors, on threads, and the library's locale and stream machinery.
#include <atomic>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {
std::atomic<int> alive{0};

struct Counted {
    Counted() { alive++; }
    ~Counted() { alive--; }
};

int fall(int depth)
{
    Counted here;
    if (!depth)
        throw std::out_of_range("the bottom");
    return fall(depth - 1) + 1;
}

bool caught(int depth)
{
    try {
        fall(depth);
    } catch (const std::logic_error &e) {
        return std::string(e.what()) == "the bottom" && alive >= 0;
    }
    return false;
}

bool rethrown()
{
    try {
        try {
            std::vector<int>().at(3);
        } catch (...) {
            throw std::runtime_error("again");
        }
    } catch (const std::exception &e) {
        return std::string(e.what()) == "again";
    }
    return false;
}
}

int main()
{
    std::vector<std::thread> threads;
    std::atomic<int> good{0};
    std::map<std::string, int> words;
    std::istringstream text("one two one three two one");
    std::string word;

    for (int i = 0; i < 4; i++)
        threads.emplace_back([&good] {
            for (int round = 0; round < 200; round++)
                good += caught(round % 50);
        });
    for (auto &thread : threads)
        thread.join();
    while (text >> word)
        words[word]++;
    for (const auto &entry : words)
        std::cout << entry.first << ' ' << entry.second << '\n';
    std::cout << "exceptions: " << (good == 800 && !alive && rethrown() ? "ok" : "wrong") << std::endl;
    return 0;
}
