// A CUDA driver whose devices are the processor: the functions of libcuda that PyCUDA
// calls for the capacity worker, so that all of it runs on a machine without a GPU.
// The device code is the kernels' own source, compiled by g++. Every other function
// comes from the stub.
//
// EMULATED_GPUS (1), EMULATED_CAPABILITY (90) and EMULATED_CUDA (13000) say what there
// is; EMULATED_LOST_AFTER makes a device vanish after so many launches.
#include <cstdio>
#include <cstdlib>
#include <atomic>
#include <cstring>
#include <mutex>
#include <string>

#include <cuda.h>

#include "threads.h"
// The kernels.
#include "kernel.cu"

namespace {

// Few enough for a small machine, and enough to disagree if a barrier is missing.
constexpr uint32_t kThreads = 8;

int setting(const char *name, int otherwise) {
    const char *text = std::getenv(name);
    return text == nullptr ? otherwise : std::atoi(text);
}

thread_local CUdevice current = 0;
std::atomic<int> launches{0};

bool lost() { return launches > setting("EMULATED_LOST_AFTER", 1 << 30); }

template <typename T> T *pointer(CUdeviceptr address) { return reinterpret_cast<T *>(address); }

struct RootsArguments {
    Hash seed;
    uint32_t rounds;
    uint64_t first;
    Hash *roots;
};

struct LeavesArguments {
    Hash seed;
    uint32_t rounds;
    const uint64_t *chunks;
    Hash *leaves;
};

} // namespace

extern "C" {

CUresult cuGetErrorString(CUresult error, const char **text) {
    *text = error == CUDA_ERROR_NO_DEVICE        ? "no CUDA-capable device is detected"
            : error == CUDA_ERROR_LAUNCH_FAILED  ? "unspecified launch failure"
            : error == CUDA_ERROR_OUT_OF_MEMORY  ? "out of memory"
            : error == CUDA_ERROR_INVALID_HANDLE ? "invalid resource handle"
                                                 : "another error";
    return CUDA_SUCCESS;
}

CUresult cuInit(unsigned) { return setting("EMULATED_GPUS", 1) == 0 ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS; }

CUresult cuDriverGetVersion(int *version) {
    *version = setting("EMULATED_CUDA", 13000);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
    *count = setting("EMULATED_GPUS", 1);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int number) {
    *device = number;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice) {
    std::snprintf(name, static_cast<size_t>(length), "the processor");
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem(size_t *bytes, CUdevice) {
    *bytes = size_t{1} << 30;
    return CUDA_SUCCESS;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice) {
    int capability = setting("EMULATED_CAPABILITY", 90);
    *major = capability / 10;
    *minor = capability % 10;
    return CUDA_SUCCESS;
}

CUresult cuCtxCreate_v4(CUcontext *context, CUctxCreateParams *, unsigned, CUdevice device) {
    current = device;
    *context = reinterpret_cast<CUcontext>(static_cast<intptr_t>(device) + 1);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *device) {
    *device = current;
    return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext) { return CUDA_SUCCESS; }
CUresult cuCtxPopCurrent(CUcontext *) { return CUDA_SUCCESS; }
CUresult cuCtxDestroy(CUcontext) { return CUDA_SUCCESS; }
CUresult cuCtxSynchronize() { return lost() ? CUDA_ERROR_LAUNCH_FAILED : CUDA_SUCCESS; }

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, CUjit_option *, void **) {
    // A fat binary's magic number.
    *module = reinterpret_cast<CUmodule>(1);
    return std::memcmp(image, "\x50\xed\x55\xba", 4) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_IMAGE;
}

CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }

CUresult cuModuleGetFunction(CUfunction *function, CUmodule, const char *name) {
    std::string wanted = name;
    *function = reinterpret_cast<CUfunction>(static_cast<intptr_t>(wanted == "chunk_roots" ? 1 : 2));
    return wanted == "chunk_roots" || wanted == "chunk_leaves" ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuFuncSetBlockShape(CUfunction, int, int, int) { return CUDA_SUCCESS; }

CUresult cuMemAlloc(CUdeviceptr *address, size_t bytes) {
    *address = reinterpret_cast<CUdeviceptr>(std::malloc(bytes));
    return *address == 0 ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

CUresult cuMemFree(CUdeviceptr address) {
    std::free(pointer<void>(address));
    return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t bytes) {
    std::memcpy(pointer<void>(to), from, bytes);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t bytes) {
    if (lost()) return CUDA_ERROR_LAUNCH_FAILED;
    std::memcpy(to, pointer<void>(from), bytes);
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *stream, unsigned) {
    *stream = reinterpret_cast<CUstream>(1);
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream) { return CUDA_SUCCESS; }

CUresult cuLaunchKernel(CUfunction function, unsigned grid, unsigned, unsigned, unsigned block, unsigned, unsigned,
                        unsigned, CUstream, void **, void **extra) {
    // One at a time, whichever device it is for: kernels share what they call shared.
    static std::mutex one;
    std::lock_guard<std::mutex> guard(one);
    launches++;
    if (extra == nullptr || extra[0] != CU_LAUNCH_PARAM_BUFFER_POINTER || block == 0) return CUDA_ERROR_INVALID_VALUE;
    size_t size = *static_cast<size_t *>(extra[3]);
    uint32_t threads = std::min(kThreads, block);
    if (function == reinterpret_cast<CUfunction>(1)) {
        const auto &given = *static_cast<RootsArguments *>(extra[1]);
        if (size != sizeof given) return CUDA_ERROR_INVALID_VALUE;
        run_blocks(grid, threads, [=] { chunk_roots(given.seed, given.rounds, given.first, given.roots); });
    } else {
        const auto &given = *static_cast<LeavesArguments *>(extra[1]);
        if (size != sizeof given) return CUDA_ERROR_INVALID_VALUE;
        run_blocks(grid, threads, [=] { chunk_leaves(given.seed, given.rounds, given.chunks, given.leaves); });
    }
    return CUDA_SUCCESS;
}
}
