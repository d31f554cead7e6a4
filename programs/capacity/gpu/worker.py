"""The GPUs' part of a capacity proof: PyCUDA starts the kernels, the prover builds the proof.

    worker.py GPUS LEAVES_PER_GPU ROUNDS SEED

SEED is 64 hexadecimal digits. All leaves are computed, each GPU its own share, and the root of each chunk of 2048
leaves is written to stdout, 32 bytes each, in order. Then stdin is read: a 32-bit number of chunks and their 64-bit
numbers, little-endian; the answer is all leaves of these chunks, 32 bytes each. Whoever closes stdin ends this.

stderr gets a line for each GPU. If it fails, its last line is the reason, and the exit code one of those below.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

NO_DRIVER = 10
TOO_FEW = 11
TOO_OLD = 12
FAILED = 13

KERNELS = Path(__file__).with_name("kernel.fatbin")
HASH_BYTES = 32
CHUNK_LEAVES = 2048  # kChunkLeaves of work.h
BLOCK = (512, 1, 1)
# Of a large share some seconds' work: one kernel of that length would freeze a screen, and be killed for it.
CHUNKS_PER_LAUNCH = 1024
LEAST_CAPABILITY = (7, 5)
LEAST_CUDA = 13000


def stop(code: int, reason: str) -> NoReturn:
    """End at once, whatever other threads and dead contexts are at: cleaning up would print more than the reason."""
    print(reason, file=sys.stderr, flush=True)
    os._exit(code)


def stop_unexpected(kind: type[BaseException], error: BaseException, _: object) -> None:
    stop(1, f"the GPU worker stopped ({kind.__name__}: {error})")


def load_driver() -> ModuleType:
    """pycuda.driver, which can be imported only where the driver's library is."""
    try:
        import pycuda.driver as cuda  # noqa: PLC0415  a missing driver is an answer, not an accident
    except ImportError as error:
        if str(error).startswith("libcuda.so.1:"):
            stop(
                NO_DRIVER,
                "no NVIDIA driver is in this container (libcuda.so.1 is missing): install it and the NVIDIA Container "
                "Toolkit on the machine and start the container with its GPUs, or claim no GPUs",
            )
        if "undefined symbol" in str(error):
            stop(NO_DRIVER, f"the NVIDIA driver is too old for this image ({error}): install 580 or later")
        stop(NO_DRIVER, f"the NVIDIA driver can't be loaded ({error}): reinstall the NVIDIA Container Toolkit")
    try:
        cuda.init()
    except cuda.Error as error:
        if "no CUDA-capable device" in str(error):
            stop(TOO_FEW, "GPUs are claimed and this container has none: start it with its GPUs, or claim none")
        stop(NO_DRIVER, f"the NVIDIA driver in this container can't be used ({error}): does nvidia-smi work there?")
    version = cuda.get_driver_version()
    if version < LEAST_CUDA:
        known = f"{version // 1000}.{version % 1000 // 10}"
        stop(NO_DRIVER, f"the NVIDIA driver knows CUDA {known} at most, this image needs 13.0: install 580 or later")
    return cuda


def driver_name(cuda: ModuleType) -> str:
    """Such as `driver 580.65.06, CUDA 13.0`; the first half only where the kernel module shows it."""
    version = cuda.get_driver_version()
    name = f"CUDA {version // 1000}.{version % 1000 // 10}"
    try:
        words = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split()
    except OSError:
        return name
    number = next((word for word in words if word[0].isdigit() and word.count(".") in {1, 2}), "unknown")
    return f"driver {number}, {name}"


class Gpu:
    """One device, with a thread of its own, because a context belongs to a thread."""

    def __init__(self, cuda: Any, number: int, seed: bytes, rounds: int) -> None:
        self.cuda, self.number, self.seed, self.rounds = cuda, number, seed, rounds
        self.device = cuda.Device(number)
        self.thread = ThreadPoolExecutor(max_workers=1)
        capability = self.device.compute_capability()
        self.name = f"GPU {number} ({self.device.name()})"
        if capability < LEAST_CAPABILITY:
            needed, has = ".".join(map(str, LEAST_CAPABILITY)), ".".join(map(str, capability))
            stop(TOO_OLD, f"{self.name} has compute capability {has}, this image needs {needed}: claim without it")
        self.thread.submit(self._open).result()

    def _open(self) -> None:
        # Waiting without a core: those are at work on their own share.
        self.context = self.device.make_context(self.cuda.ctx_flags.SCHED_BLOCKING_SYNC)
        module = self.cuda.module_from_buffer(KERNELS.read_bytes())
        self.chunk_roots = module.get_function("chunk_roots").prepare(["32s", "I", "Q", "P"])
        self.chunk_leaves = module.get_function("chunk_leaves").prepare(["32s", "I", "P", "P"])

    def roots(self, first: int, count: int) -> bytearray:
        """Roots of `count` chunks from `first` on; says on stderr what did it and how fast."""
        started = time.monotonic()
        roots = bytearray(HASH_BYTES * count)
        memory = self.cuda.mem_alloc(len(roots))
        # Two queues, so that the next launch fills the device while the last blocks of this one run.
        streams = [self.cuda.Stream(), self.cuda.Stream()]
        for launch, done in enumerate(range(0, count, CHUNKS_PER_LAUNCH)):
            grid = (min(CHUNKS_PER_LAUNCH, count - done), 1)
            to = int(memory) + HASH_BYTES * done
            stream = streams[launch % 2]
            self.chunk_roots.prepared_async_call(grid, BLOCK, stream, self.seed, self.rounds, first + done, to)
        self.context.synchronize()
        self.cuda.memcpy_dtoh(roots, memory)
        memory.free()
        seconds = time.monotonic() - started
        major, minor = self.device.compute_capability()
        print(
            f"GPU {self.number}: {self.device.name()}, compute capability {major}.{minor}, "
            f"{self.device.total_memory() >> 20} MiB, {driver_name(self.cuda)}: "
            f"{count * CHUNK_LEAVES} leaves in {seconds:.3f} s, {count * CHUNK_LEAVES / seconds / 1e6:.2f} M/s",
            file=sys.stderr,
            flush=True,
        )
        return roots

    def leaves(self, chunks: list[int]) -> bytearray:
        """All leaves of these chunks."""
        leaves = bytearray(HASH_BYTES * CHUNK_LEAVES * len(chunks))
        numbers = self.cuda.to_device(struct.pack(f"<{len(chunks)}Q", *chunks))
        memory = self.cuda.mem_alloc(len(leaves))
        self.chunk_leaves.prepared_call((len(chunks), 1), BLOCK, self.seed, self.rounds, numbers, memory)
        self.cuda.memcpy_dtoh(leaves, memory)
        memory.free()
        return leaves


def claimed_gpus(cuda: ModuleType, claimed: int, seed: bytes, rounds: int) -> list[Gpu]:
    """The first `claimed` devices, ready to work."""
    present = cuda.Device.count()
    if present < claimed:
        stop(TOO_FEW, f"{claimed} GPUs are claimed and this container has {present}: give it more, or claim {present}")
    gpus: list[Gpu] = []
    for number in range(claimed):
        try:
            gpus.append(Gpu(cuda, number, seed, rounds))
        except cuda.Error as error:
            stop(FAILED, f"GPU {number} can't be used ({error}): see whether it is free, and dmesg for its errors")
    return gpus


def result_of(cuda: ModuleType, gpu: Gpu, computed: Future[bytearray]) -> bytearray:
    """What a GPU has computed, or the end."""
    try:
        return computed.result()
    except cuda.Error as error:
        stop(FAILED, f"{gpu.name} failed in the middle of its work ({error}): see dmesg for its errors")


def read_request() -> list[int]:
    """The numbers of the chunks to open; none when stdin is closed."""
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        return []
    (count,) = struct.unpack("<I", head)
    return list(struct.unpack(f"<{count}Q", sys.stdin.buffer.read(8 * count)))


def main() -> NoReturn:
    claimed, leaves_per_gpu, rounds = map(int, sys.argv[1:4])
    cuda = load_driver()
    gpus = claimed_gpus(cuda, claimed, bytes.fromhex(sys.argv[4]), rounds)
    share = leaves_per_gpu // CHUNK_LEAVES
    shares = [gpu.thread.submit(gpu.roots, gpu.number * share, share) for gpu in gpus]
    for gpu, computed in zip(gpus, shares, strict=True):
        sys.stdout.buffer.write(result_of(cuda, gpu, computed))
    sys.stdout.buffer.flush()
    chunks = read_request()
    if chunks:
        # Some hundredths of one share: not worth dividing.
        sys.stdout.buffer.write(result_of(cuda, gpus[0], gpus[0].thread.submit(gpus[0].leaves, chunks)))
        sys.stdout.buffer.flush()
    # The driver frees what a process has. Python can't: contexts belong to other threads.
    os._exit(0)


if __name__ == "__main__":
    sys.excepthook = stop_unexpected
    main()
