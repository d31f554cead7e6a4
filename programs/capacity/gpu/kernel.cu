// The GPU share's kernels. A block of threads computes one chunk of 2^11 leaves, and
// what it keeps of them is their Merkle tree's root: so a share needs no memory but
// 32 bytes a chunk, and the tree's work, a thousandth of the whole, runs beside it.
#include "work.h"

// The root of the chunk `first + blockIdx.x`, into roots[blockIdx.x].
extern "C" __global__ void chunk_roots(Hash seed, uint32_t rounds, uint64_t first, Hash *roots) {
    // Node i of a level lies where its leftmost pair of leaves went, so a thread
    // writes nothing that another one reads before the next barrier.
    __shared__ Hash node[kChunkLeaves / 2];
    uint64_t leaves = (first + blockIdx.x) << kChunkLevel;
    for (uint32_t pair = threadIdx.x; pair < kChunkLeaves / 2; pair += blockDim.x) {
        Hash left = leaf(seed, leaves + 2 * pair, rounds);
        Hash right = leaf(seed, leaves + 2 * pair + 1, rounds);
        node[pair] = join(left, right);
    }
    for (uint32_t stride = 1; stride < kChunkLeaves / 2; stride *= 2) {
        __syncthreads();
        for (uint32_t i = 2 * stride * threadIdx.x; i < kChunkLeaves / 2; i += 2 * stride * blockDim.x) {
            node[i] = join(node[i], node[i + stride]);
        }
    }
    if (threadIdx.x == 0) roots[blockIdx.x] = node[0];
}

// All leaves of the chunk chunks[blockIdx.x], into leaves[blockIdx.x · 2^11 …]: what
// the proof opens.
extern "C" __global__ void chunk_leaves(Hash seed, uint32_t rounds, const uint64_t *chunks, Hash *leaves) {
    uint64_t first = chunks[blockIdx.x] << kChunkLevel;
    for (uint32_t i = threadIdx.x; i < kChunkLeaves; i += blockDim.x) {
        leaves[(static_cast<uint64_t>(blockIdx.x) << kChunkLevel) + i] = leaf(seed, first + i, rounds);
    }
}
