// What the GPUs compute, in the common part of CUDA and C++: nvcc compiles it for
// the devices, g++ for the tests that compare it with the Go code.
#pragma once

#ifdef __CUDACC_RTC__ // NVRTC has no standard library.
using uint32_t = unsigned int;
using uint64_t = unsigned long long;
#else
#include <cstdint>
#endif

#ifndef __CUDACC__
#define __device__
#define __forceinline__ inline
#endif

// A hash as eight words, as they lie in memory: little-endian ones.
struct Hash {
    uint32_t word[8];
};

// Leaves of one chunk: the tree below its root is never kept, as in the Go code.
constexpr uint32_t kChunkLevel = 11;
constexpr uint32_t kChunkLeaves = 1u << kChunkLevel;

__device__ __forceinline__ uint32_t rotate_left(uint32_t x, int bits) { return x << bits | x >> (32 - bits); }

__device__ __forceinline__ uint32_t swap_bytes(uint32_t x) {
    return x << 24 | (x & 0xff00u) << 8 | (x >> 8 & 0xff00u) | x >> 24;
}

// gpuLeaf of ../work/gpu.go. All eight words live in registers; of the eight lines
// of a round the first six don't wait for one another.
__device__ __forceinline__ Hash leaf(const Hash &seed, uint64_t index, uint32_t rounds) {
    uint32_t s0 = seed.word[0] ^ static_cast<uint32_t>(index), s1 = seed.word[1] ^ static_cast<uint32_t>(index >> 32);
    uint32_t s2 = seed.word[2], s3 = seed.word[3], s4 = seed.word[4];
    uint32_t s5 = seed.word[5], s6 = seed.word[6], s7 = seed.word[7];
    for (uint32_t round = 0; round < rounds; round++) {
        s0 = rotate_left(s0 * (s1 | 1) + s2, 13);
        s1 = rotate_left(s1 * (s2 | 1) + s3, 13);
        s2 = rotate_left(s2 * (s3 | 1) + s4, 13);
        s3 = rotate_left(s3 * (s4 | 1) + s5, 13);
        s4 = rotate_left(s4 * (s5 | 1) + s6, 13);
        s5 = rotate_left(s5 * (s6 | 1) + s7, 13);
        s6 = rotate_left(s6 * (s7 | 1) + s0, 13);
        s7 = rotate_left(s7 * (s0 | 1) + s1, 13);
    }
    return {{s0, s1, s2, s3, s4, s5, s6, s7}};
}

// The rounds' constants of SHA-256 (FIPS 180-4, 4.2.2). A function, because CUDA
// and C++ have no constant table in common.
__device__ __forceinline__ uint32_t sha256_constant(uint32_t round) {
    constexpr uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
    };
    return k[round];
}

// One compression of SHA-256 (FIPS 180-4, 6.2.2); `w` is the message block and is
// overwritten by the schedule.
__device__ __forceinline__ void sha256_compress(uint32_t state[8], uint32_t w[16]) {
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
#ifdef __CUDACC__
#pragma unroll
#endif
    for (uint32_t round = 0; round < 64; round++) {
        if (round >= 16) {
            uint32_t x = w[(round + 1) % 16], y = w[(round + 14) % 16];
            w[round % 16] += (rotate_left(x, 25) ^ rotate_left(x, 14) ^ x >> 3) + w[(round + 9) % 16] +
                             (rotate_left(y, 15) ^ rotate_left(y, 13) ^ y >> 10);
        }
        uint32_t t1 = h + (rotate_left(e, 26) ^ rotate_left(e, 21) ^ rotate_left(e, 7)) + ((e & f) ^ (~e & g)) +
                      sha256_constant(round) + w[round % 16];
        uint32_t t2 = (rotate_left(a, 30) ^ rotate_left(a, 19) ^ rotate_left(a, 10)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

// join of ../work/tree.go: the sha256 of both hashes' 64 bytes.
__device__ __forceinline__ Hash join(const Hash &left, const Hash &right) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint32_t w[16];
    for (int i = 0; i < 8; i++) {
        w[i] = swap_bytes(left.word[i]);
        w[8 + i] = swap_bytes(right.word[i]);
    }
    sha256_compress(state, w);
    // The padding: a one, zeros, and the length of 512 bits.
    for (int i = 0; i < 16; i++) w[i] = i == 0 ? 0x80000000u : i == 15 ? 512u : 0u;
    sha256_compress(state, w);
    Hash joined;
    for (int i = 0; i < 8; i++) joined.word[i] = swap_bytes(state[i]);
    return joined;
}
