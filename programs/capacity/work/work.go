// Package work is the work that a capacity proof stands for, and the proof.
//
// A prover fills its memory with pads and runs one long chain of segments in
// each of its lanes. A segment reads a page of a pad that only the segment
// before can name. The states between the segments are the leaves of a Merkle
// tree, whose root decides which segments the verifier computes again.
package work

import "proofmill/programs/capacity/challenge"

// Calibration. A reference core is one core of an AMD EPYC of the Zen 4
// generation at 3.6 GHz, with no other hyperthread at work on it. There a claim
// of any size takes 12.6 s, of the 20 s that the network allows.
// Other numbers here are another program.
const (
	// segmentsPerCore is what a reference core does in its time, at 15.7 µs each.
	segmentsPerCore = 790_000
	// segmentsPerPad is what filling one pad counts for: 0.45 ms, and another
	// 0.25 ms of page faults. That is 0.7 s a GiB.
	segmentsPerPad = 45
	// A share of the time is for the chains, however large the memory: one in
	// minChainShare. Up to 13 GiB a core, filling fits into the rest; with more
	// memory the whole takes longer.
	minChainShare = 4

	// The container must live inside the claimed memory. What isn't pads is for
	// the Go runtime, the kernel's page tables and the tree.
	overheadBytes = 64 << 20
	overheadShare = 16 // and a sixteenth

	// rounds of mixing in a segment.
	rounds = 2048

	// A GPU's share: 3.4e12 rounds of eight 32-bit multiply-adds and rotations.
	gpuLeaves = 1 << 25
	gpuRounds = 100_000

	// checks is how many segments, and leaves of the GPUs, are checked.
	checks = 256
	// drawHashes makes it dear to try roots until the draw is a kind one.
	drawHashes = 1 << 16
)

// segmentStep is what a lane's segments are a multiple of, so that the prover
// may keep one node of its tree for 2, 4, … 2048 leaves.
const segmentStep = 1 << maxChunkLevel

// Size is the amount of work, a function of the claim alone.
type Size struct {
	Lanes    int // chains, each for one core
	Segments int // in each lane
	Rounds   int // in each segment
	Pads     int

	GPUs      int
	GPULeaves int // for each GPU
	GPURounds int // in each leaf

	Checks     int // in each tree
	DrawHashes int
}

// SizeOf says how much work a claim takes.
func SizeOf(c challenge.Challenge) Size {
	lanes := (c.CPUMillis + 999) / 1000
	pads := (c.MemoryBytes - c.MemoryBytes/overheadShare - overheadBytes) / PadBytes
	budget := segmentsPerCore * c.CPUMillis / 1000
	chains := max(budget-segmentsPerPad*pads, budget/minChainShare)
	steps := (chains + lanes*segmentStep - 1) / (lanes * segmentStep)
	return Size{
		Lanes:      int(lanes),
		Segments:   int(steps * segmentStep),
		Rounds:     rounds,
		Pads:       int(pads),
		GPUs:       int(c.GPUs),
		GPULeaves:  gpuLeaves,
		GPURounds:  gpuRounds,
		Checks:     checks,
		DrawHashes: drawHashes,
	}
}
