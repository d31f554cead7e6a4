package work

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Prove does the work and returns the proof, and how long filling the memory
// took. Each lane is one goroutine; each part is reported when it is done. With
// an accelerator the GPUs' share is done beside the lanes; with none it is
// computed here, after them. An accelerator's error ends the work at once: what
// is still running then keeps its memory and ends with the process.
func Prove(seed Seed, size Size, accelerator Accelerator, report func(string)) ([]byte, time.Duration, error) {
	started := time.Now()
	done := func(part string) time.Duration {
		took := time.Since(started)
		report(fmt.Sprintf("%s in %d ms", part, took.Milliseconds()))
		started = started.Add(took)
		return took
	}

	pads, free, err := allocate(size.Pads)
	if err != nil {
		return nil, 0, err
	}
	lanes, gpus := laneTree(seed, size, pads), gpuTree(seed, size)
	gpus.accelerator = accelerator
	accelerated := make(chan error, 1)
	if accelerator != nil {
		go func() { accelerated <- gpus.commit() }()
	}
	var fill time.Duration
	run := make(chan error, 1)
	go func() {
		parallel(size.Lanes, size.Pads, func(index int) { pads[index].fill(seed, index) })
		fill = done("memory filled")
		run <- lanes.commit()
	}()

	select {
	case err = <-run:
		done("lanes run")
		switch {
		case accelerator != nil:
			err = <-accelerated
		case size.GPUs > 0:
			err = gpus.commit()
		}
	case err = <-accelerated:
		if err == nil {
			err = <-run
			done("lanes run")
		}
	}
	if err != nil {
		return nil, 0, err
	}
	defer free()
	if size.GPUs > 0 {
		done("GPUs' share computed")
	}
	proof, err := assemble(seed, size, lanes, gpus)
	if err != nil {
		return nil, 0, err
	}
	done(fmt.Sprintf("proof of %d bytes made", len(proof)))
	return proof, fill, nil
}

// laneTree is the tree of all lanes' states.
func laneTree(seed Seed, size Size, pads []pad) *tree {
	// Opening the tree means to compute 256 chunks again. Of some 2^15 chunks that
	// is a hundredth of the work.
	chunkLevel := max(1, min(bits.Len64(size.laneLeaves())-15, maxChunkLevel))
	return newTree(size.Lanes, size.Segments, size.Lanes, chunkLevel, func(index uint64, before hash) hash {
		if index%uint64(size.Segments) == 0 {
			before = laneStart(seed, index/uint64(size.Segments))
		}
		padIndex, pageIndex := pageOf(before, size.Pads)
		return segment(before, pads[padIndex].page(pageIndex), index, size.Rounds)
	})
}

// gpuTree is the tree of all GPUs' leaves. Without GPUs it has none, and zeros
// for a root.
func gpuTree(seed Seed, size Size) *tree {
	start := gpuSeed(seed)
	return newTree(size.GPUs, size.GPULeaves, size.Lanes, maxChunkLevel, func(index uint64, _ hash) hash {
		return gpuLeaf(start, index, size.GPURounds)
	})
}

// assemble makes the proof of trees that are committed to.
func assemble(seed Seed, size Size, lanes, gpus *tree) ([]byte, error) {
	segments, gpuLeaves := draw(seed, size, lanes.root, gpus.root)
	proof := append([]byte(magic), lanes.root[:]...)
	if size.GPUs > 0 {
		proof = append(proof, gpus.root[:]...)
	}
	proof, err := lanes.open(proof, around(segments, size))
	if err == nil && size.GPUs > 0 {
		proof, err = gpus.open(proof, gpuLeaves)
	}
	return proof, err
}

// allocate maps zeroed memory for the pads, outside Go's heap.
func allocate(count int) ([]pad, func(), error) {
	memory, err := syscall.Mmap(-1, 0, count*PadBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, nil, fmt.Errorf("%d MiB of memory can't be allocated: %w", count*PadBytes>>20, err)
	}
	// Huge pages make filling faster; without them it works as well.
	_ = syscall.Madvise(memory, syscall.MADV_HUGEPAGE)
	return unsafe.Slice((*pad)(unsafe.Pointer(unsafe.SliceData(memory))), count), func() { _ = syscall.Munmap(memory) }, nil
}

// parallel calls do(0) … do(count-1) from some workers.
func parallel(workers, count int, do func(int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(workers, count) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	group.Wait()
}
