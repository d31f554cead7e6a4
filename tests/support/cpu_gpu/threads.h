// What CUDA's kernels see of their launch, on the processor's threads: the capacity
// kernels' own source is compiled by g++ and run, barriers and all. Shared memory is
// one block's, so blocks run one after the other.
#pragma once

#include <algorithm>
#include <barrier>
#include <cstdint>
#include <thread>
#include <vector>

struct Dimension {
    uint32_t x;
};

inline thread_local Dimension threadIdx, blockIdx;
inline Dimension blockDim;
inline std::barrier<> *block_barrier;

#define __global__
#define __shared__ static
#define __syncthreads() block_barrier->arrive_and_wait()

// Runs `kernel` as `blocks` blocks of `threads` threads.
template <typename Kernel> void run_blocks(uint32_t blocks, uint32_t threads, Kernel kernel) {
    blockDim.x = threads;
    for (uint32_t block = 0; block < blocks; block++) {
        std::barrier<> barrier(threads);
        block_barrier = &barrier;
        std::vector<std::thread> running;
        for (uint32_t thread = 0; thread < threads; thread++) {
            running.emplace_back([=] {
                threadIdx.x = thread;
                blockIdx.x = block;
                kernel();
                // A thread that is done doesn't keep the others waiting.
                block_barrier->arrive_and_drop();
            });
        }
        for (auto &one : running) one.join();
    }
}
