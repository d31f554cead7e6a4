package work

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Prove does the work and returns the proof, and how long filling the memory
// took. Each lane is one goroutine; each part is reported when it is done.
func Prove(seed Seed, size Size, report func(string)) ([]byte, time.Duration, error) {
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
	defer free()
	parallel(size.Lanes, size.Pads, func(index int) { pads[index].fill(seed, index) })
	fill := done("memory filled")

	lanes := laneTree(seed, size, pads)
	lanes.commit()
	done("lanes run")
	gpus := gpuTree(seed, size)
	if size.GPUs > 0 {
		gpus.commit()
		done("GPUs' share computed")
	}
	proof := assemble(seed, size, lanes, gpus)
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
func assemble(seed Seed, size Size, lanes, gpus *tree) []byte {
	segments, gpuLeaves := draw(seed, size, lanes.root, gpus.root)
	proof := append([]byte(magic), lanes.root[:]...)
	if size.GPUs > 0 {
		proof = append(proof, gpus.root[:]...)
	}
	proof = lanes.open(proof, around(segments, size))
	if size.GPUs > 0 {
		proof = gpus.open(proof, gpuLeaves)
	}
	return proof
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

// maxChunkLevel is the height of the largest part of a tree that isn't kept.
const maxChunkLevel = 11

// tree is a Merkle tree whose lowest levels are computed again when they are
// opened: all of them would take more memory than some claims have. Its leaves
// form chains of the same length; a chunk is an aligned part of one.
type tree struct {
	chains  int
	length  int
	workers int
	next    func(index uint64, before hash) hash // the leaf `index`, from the one before it in its chain

	chunkLevel int
	starts     []hash   // of each chunk: the leaf before it; unused for the first of a chain
	levels     [][]hash // from the chunks' roots up to the root
	root       hash
}

// newTree describes a tree of chains that have a multiple of segmentStep leaves.
func newTree(chains, length, workers, level int, next func(uint64, hash) hash) *tree {
	count := chains * (length >> level)
	return &tree{
		chains: chains, length: length, workers: workers, next: next,
		chunkLevel: level,
		starts:     make([]hash, count),
		levels:     [][]hash{make([]hash, count)},
	}
}

// commit computes all leaves, each chain on its own, and the root.
func (t *tree) commit() {
	perChain := t.length >> t.chunkLevel
	parallel(t.workers, t.chains, func(chain int) {
		leaves := make([]hash, 1<<t.chunkLevel)
		var last hash
		for chunk := chain * perChain; chunk < (chain+1)*perChain; chunk++ {
			t.starts[chunk] = last
			last = t.chunk(chunk, leaves)
			nodes := leaves
			for len(nodes) > 1 {
				nodes = reduce(nodes, nodes)
			}
			t.levels[0][chunk] = nodes[0]
		}
	})
	for level := t.levels[0]; len(level) > 1; {
		level = reduce(make([]hash, (len(level)+1)/2), level)
		t.levels = append(t.levels, level)
	}
	t.root = t.levels[len(t.levels)-1][0]
}

// chunk computes a chunk's leaves and returns the last one.
func (t *tree) chunk(chunk int, leaves []hash) hash {
	last := t.starts[chunk]
	for i := range leaves {
		last = t.next(uint64(chunk)<<t.chunkLevel+uint64(i), last)
		leaves[i] = last
	}
	return last
}

// open appends the opening of the leaves at the given places.
func (t *tree) open(proof []byte, places []uint64) []byte {
	var wanted []node
	for _, place := range places {
		wanted = append(wanted, node{0, place})
	}
	fold(uint64(t.chains)*uint64(t.length), places, make([]hash, len(places)), func(n node) hash {
		wanted = append(wanted, n)
		return hash{}
	})

	// What isn't kept, chunk by chunk.
	inChunk := map[int][]node{}
	for _, n := range wanted {
		if n.level < t.chunkLevel {
			chunk := int(n.index >> (t.chunkLevel - n.level))
			inChunk[chunk] = append(inChunk[chunk], n)
		}
	}
	chunks := slices.SortedFunc(maps.Keys(inChunk), cmp.Compare[int])
	found := make([]map[node]hash, len(chunks))
	parallel(t.workers, len(chunks), func(i int) {
		found[i] = map[node]hash{}
		nodes := make([]hash, 1<<t.chunkLevel)
		t.chunk(chunks[i], nodes)
		for level := range t.chunkLevel {
			first := uint64(chunks[i]) << (t.chunkLevel - level)
			for _, n := range inChunk[chunks[i]] {
				if n.level == level {
					found[i][n] = nodes[n.index-first]
				}
			}
			nodes = reduce(nodes, nodes)
		}
	})

	values := map[node]hash{}
	for _, part := range found {
		maps.Copy(values, part)
	}
	for _, n := range wanted {
		value, inside := values[n]
		if !inside {
			value = t.levels[n.level-t.chunkLevel][n.index]
		}
		proof = append(proof, value[:]...)
	}
	return proof
}
