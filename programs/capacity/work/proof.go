package work

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// A proof is, in this order and with nothing else:
//
//	"millcap1"
//	the root of the lanes' tree
//	the root of the GPUs' tree, if GPUs are claimed
//	the lanes' opening
//	the GPUs' opening, if GPUs are claimed
//
// and an opening is the leaves that the draw asks for, in rising order, and then
// the nodes that fold asks for.
const magic = "millcap1"

// MaxProofBytes is more than any proof has: two leaves and two paths of at most
// 30 nodes for each segment checked, one for each leaf of a GPU.
const MaxProofBytes = len(magic) + 2*sha256.Size + checks*(2+1)*(1+30)*sha256.Size

// Seed is what all work starts from: the hash of the challenge.
type Seed = hash

// laneLeaves is the number of leaves in the lanes' tree: the states after each
// segment, lane by lane.
func (s Size) laneLeaves() uint64 { return uint64(s.Lanes) * uint64(s.Segments) }
func (s Size) gpuLeaves() uint64  { return uint64(s.GPUs) * uint64(s.GPULeaves) }

// draw says which leaves of both trees are checked, in rising order.
func draw(seed Seed, size Size, laneRoot, gpuRoot hash) (segments, gpuLeaves []uint64) {
	state := sha256.Sum256(slices.Concat([]byte("capacity draw "), seed[:], laneRoot[:], gpuRoot[:]))
	for range size.DrawHashes {
		state = sha256.Sum256(state[:])
	}
	pick := func(tree byte, leaves uint64) []uint64 {
		picked := make([]uint64, size.Checks)
		for i := range picked {
			one := sha256.Sum256(binary.LittleEndian.AppendUint32(append(state[:], tree), uint32(i)))
			// Leaves are so few beside 2^64 that the bias doesn't matter.
			picked[i], _ = bits.Mul64(binary.LittleEndian.Uint64(one[:]), leaves)
		}
		slices.Sort(picked)
		return slices.Compact(picked)
	}
	segments = pick(0, size.laneLeaves())
	if size.GPUs > 0 {
		gpuLeaves = pick(1, size.gpuLeaves())
	}
	return segments, gpuLeaves
}

// around adds to each segment drawn the one before it in its lane, whose leaf is
// the state that it begins with.
func around(segments []uint64, size Size) []uint64 {
	var places []uint64
	for _, segment := range segments {
		if segment%uint64(size.Segments) != 0 {
			places = append(places, segment-1)
		}
		places = append(places, segment)
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// Verify returns nil for a valid proof and says what is wrong with any other.
func Verify(seed Seed, size Size, proof []byte) error {
	rest := reader{data: proof}
	if !bytes.Equal(rest.take(len(magic)), []byte(magic)) {
		return errors.New("it isn't a capacity proof")
	}
	laneRoot := rest.hash()
	var gpuRoot hash
	if size.GPUs > 0 {
		gpuRoot = rest.hash()
	}
	if rest.short {
		return errors.New("it is cut off")
	}
	segments, gpuLeaves := draw(seed, size, laneRoot, gpuRoot)
	states, err := rest.opening(size.laneLeaves(), around(segments, size), laneRoot)
	if err != nil {
		return fmt.Errorf("the lanes' tree: %w", err)
	}
	var units map[uint64]hash
	if size.GPUs > 0 {
		if units, err = rest.opening(size.gpuLeaves(), gpuLeaves, gpuRoot); err != nil {
			return fmt.Errorf("the GPUs' tree: %w", err)
		}
	}
	if len(rest.data) != 0 {
		return fmt.Errorf("it has %d bytes too many", len(rest.data))
	}

	memory := new(pad)
	for _, index := range segments {
		before := laneStart(seed, index/uint64(size.Segments))
		if index%uint64(size.Segments) != 0 {
			before = states[index-1]
		}
		padIndex, pageIndex := pageOf(before, size.Pads)
		clear(memory[:])
		memory.fill(seed, padIndex)
		if segment(before, memory.page(pageIndex), index, size.Rounds) != states[index] {
			return fmt.Errorf("segment %d was not computed", index)
		}
	}
	for _, index := range gpuLeaves {
		if gpuLeaf(gpuSeed(seed), index, size.GPURounds) != units[index] {
			return fmt.Errorf("leaf %d of the GPUs was not computed", index)
		}
	}
	return nil
}

// reader takes a proof apart. Once it is short it stays so, and gives zeros.
type reader struct {
	data  []byte
	short bool
}

func (r *reader) take(count int) []byte {
	if count > len(r.data) {
		r.data, r.short = nil, true
		return make([]byte, count)
	}
	taken := r.data[:count]
	r.data = r.data[count:]
	return taken
}

func (r *reader) hash() hash { return hash(r.take(sha256.Size)) }

// opening reads the leaves at the given places and compares what they and the
// nodes beside them lead to with the root.
func (r *reader) opening(leaves uint64, places []uint64, root hash) (map[uint64]hash, error) {
	values := make([]hash, len(places))
	opened := make(map[uint64]hash, len(places))
	for i := range values {
		values[i] = r.hash()
		opened[places[i]] = values[i]
	}
	computed := fold(leaves, places, values, func(node) hash { return r.hash() })
	switch {
	case r.short:
		return nil, errors.New("it is cut off")
	case computed != root:
		return nil, errors.New("the opened leaves don't lead to the root")
	}
	return opened, nil
}
