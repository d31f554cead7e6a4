package work

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
)

// Accelerator computes the leaves of the GPUs' tree outside this process.
type Accelerator interface {
	// Roots computes all leaves and returns the root of each chunk of ChunkLeaves of
	// them, in order.
	Roots() ([][sha256.Size]byte, error)
	// Leaves returns the leaves of the given chunks, one chunk after the other. It is
	// called once, after Roots.
	Leaves(chunks []uint64) ([][sha256.Size]byte, error)
}

// GPUSeed is what an accelerator's leaves start from.
func GPUSeed(seed Seed) [sha256.Size]byte { return gpuSeed(seed) }

// ChunkLeaves is how many leaves a chunk of the GPUs' tree has.
const ChunkLeaves = 1 << maxChunkLevel

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

	accelerator Accelerator // computes the leaves instead, unless nil

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

// commit computes all leaves and the root.
func (t *tree) commit() error {
	if t.accelerator == nil {
		t.computeChains()
	} else {
		roots, err := t.accelerator.Roots()
		if err != nil {
			return err
		}
		if len(roots) != len(t.levels[0]) {
			return fmt.Errorf("%d roots of chunks were computed, not %d", len(roots), len(t.levels[0]))
		}
		t.levels[0] = roots
	}
	for level := t.levels[0]; len(level) > 1; {
		level = reduce(make([]hash, (len(level)+1)/2), level)
		t.levels = append(t.levels, level)
	}
	t.root = t.levels[len(t.levels)-1][0]
	return nil
}

// computeChains computes all leaves, each chain on its own, and the roots of the
// chunks.
func (t *tree) computeChains() {
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
func (t *tree) open(proof []byte, places []uint64) ([]byte, error) {
	var wanted []node
	for _, place := range places {
		wanted = append(wanted, node{0, place})
	}
	fold(uint64(t.chains)*uint64(t.length), places, make([]hash, len(places)), func(n node) hash {
		wanted = append(wanted, n)
		return hash{}
	})

	// What isn't kept, chunk by chunk.
	inChunk := map[uint64][]node{}
	for _, n := range wanted {
		if n.level < t.chunkLevel {
			chunk := n.index >> (t.chunkLevel - n.level)
			inChunk[chunk] = append(inChunk[chunk], n)
		}
	}
	chunks := slices.Sorted(maps.Keys(inChunk))
	var computed []hash
	if t.accelerator != nil {
		var err error
		if computed, err = t.accelerator.Leaves(chunks); err != nil {
			return nil, err
		}
		if len(computed) != len(chunks)<<t.chunkLevel {
			return nil, fmt.Errorf("%d leaves of chunks were computed, not %d", len(computed), len(chunks)<<t.chunkLevel)
		}
	}
	found := make([]map[node]hash, len(chunks))
	parallel(t.workers, len(chunks), func(i int) {
		found[i] = map[node]hash{}
		nodes := make([]hash, 1<<t.chunkLevel)
		if t.accelerator != nil {
			copy(nodes, computed[i<<t.chunkLevel:])
		} else {
			t.chunk(int(chunks[i]), nodes)
		}
		for level := range t.chunkLevel {
			first := chunks[i] << (t.chunkLevel - level)
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
	return proof, nil
}
