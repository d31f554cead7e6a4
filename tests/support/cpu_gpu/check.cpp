// Prints what the capacity kernels' source computes on this processor:
//   check leaf SEED INDEX ROUNDS
//   check roots SEED ROUNDS FIRST COUNT THREADS
//   check leaves SEED ROUNDS CHUNK THREADS
// Hashes are hexadecimal, one a line.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "threads.h"
// The kernels.
#include "kernel.cu"

namespace {

Hash parse(const std::string &text) {
    unsigned char bytes[sizeof(Hash)];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = static_cast<unsigned char>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
    Hash hash;
    std::memcpy(&hash, bytes, sizeof bytes);
    return hash;
}

void print(const Hash &hash) {
    unsigned char bytes[sizeof hash];
    std::memcpy(bytes, &hash, sizeof bytes);
    for (unsigned char byte : bytes) std::printf("%02x", byte);
    std::printf("\n");
}

} // namespace

int main(int, char **argv) {
    std::string what = argv[1];
    Hash seed = parse(argv[2]);
    auto number = [argv](int place) { return std::strtoull(argv[place], nullptr, 10); };
    std::vector<Hash> results;
    if (what == "leaf") {
        results.push_back(leaf(seed, number(3), static_cast<uint32_t>(number(4))));
    } else if (what == "roots") {
        results.resize(number(5));
        run_blocks(static_cast<uint32_t>(results.size()), static_cast<uint32_t>(number(6)),
                   [&] { chunk_roots(seed, static_cast<uint32_t>(number(3)), number(4), results.data()); });
    } else {
        results.resize(kChunkLeaves);
        uint64_t chunk = number(4);
        run_blocks(1, static_cast<uint32_t>(number(5)),
                   [&] { chunk_leaves(seed, static_cast<uint32_t>(number(3)), &chunk, results.data()); });
    }
    for (const Hash &hash : results) print(hash);
}
