package work

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"proofmill/programs/capacity/challenge"
)

var (
	seed = sha256.Sum256([]byte("test"))

	// The smallest sizes that have more than one of everything.
	small        = Size{Lanes: 2, Segments: 2 * segmentStep, Rounds: 3, Pads: 3, Checks: 8, DrawHashes: 2}
	smallWithGPU = Size{
		Lanes: 2, Segments: segmentStep, Rounds: 3, Pads: 3,
		GPUs: 3, GPULeaves: segmentStep, GPURounds: 5, Checks: 8, DrawHashes: 2,
	}
)

func mustProve(t *testing.T, size Size) []byte {
	t.Helper()
	proof, _, err := Prove(seed, size, nil, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func mustCommit(t *testing.T, tree *tree) {
	t.Helper()
	if err := tree.commit(); err != nil {
		t.Fatal(err)
	}
}

func mustAssemble(t *testing.T, size Size, lanes, gpus *tree) []byte {
	t.Helper()
	proof, err := assemble(seed, size, lanes, gpus)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func filled(size Size) []pad {
	pads := make([]pad, size.Pads)
	for i := range pads {
		pads[i].fill(seed, i)
	}
	return pads
}

func expectInvalid(t *testing.T, size Size, proof []byte, problem string) {
	t.Helper()
	if err := Verify(seed, size, proof); err == nil || !strings.Contains(err.Error(), problem) {
		t.Errorf("want an error with %q, got %v", problem, err)
	}
}

func TestRoundTrip(t *testing.T) {
	for name, size := range map[string]Size{
		"cores":     small,
		"GPUs":      smallWithGPU,
		"one lane":  {Lanes: 1, Segments: segmentStep, Rounds: 1, Pads: 1, Checks: 1},
		"17 lanes":  {Lanes: 17, Segments: segmentStep, Rounds: 1, Pads: 2, Checks: 64},
		"100 lanes": {Lanes: 100, Segments: segmentStep, Rounds: 1, Pads: 2, Checks: 64},
	} {
		t.Run(name, func(t *testing.T) {
			proof := mustProve(t, size)
			if err := Verify(seed, size, proof); err != nil {
				t.Error(err)
			}
			if again := mustProve(t, size); !bytes.Equal(proof, again) {
				t.Error("the same work gave another proof")
			}
		})
	}
}

// Whoever changes what is computed makes another program: do it knowingly.
func TestKnownProofs(t *testing.T) {
	for name, test := range map[string]struct {
		size   Size
		digest string
	}{
		"cores": {small, "dbc6a72f3ccf468d053aeadcb2a476ee4fde0805ef4596be7bd8c3b570ec9e68"},
		"GPUs":  {smallWithGPU, "c98252a197475bf93867b647ce7682e4bf8d6c36121e720915a6cc23f8cfebe8"},
	} {
		digest := sha256.Sum256(mustProve(t, test.size))
		if hex.EncodeToString(digest[:]) != test.digest {
			t.Errorf("%s: the proof's sha256 is %x", name, digest)
		}
	}
}

func TestEveryByteCounts(t *testing.T) {
	for _, size := range []Size{small, smallWithGPU} {
		proof := mustProve(t, size)
		for index := range proof {
			changed := bytes.Clone(proof)
			changed[index] ^= 0x40
			if Verify(seed, size, changed) == nil {
				t.Errorf("byte %d of %d changed: still valid", index, len(proof))
			}
		}
	}
}

func TestOtherLengths(t *testing.T) {
	for _, size := range []Size{small, smallWithGPU} {
		proof := mustProve(t, size)
		for length := range proof {
			if Verify(seed, size, proof[:length]) == nil {
				t.Errorf("cut to %d bytes: still valid", length)
			}
		}
		expectInvalid(t, size, append(bytes.Clone(proof), 0), "1 bytes too many")
		expectInvalid(t, size, nil, "isn't a capacity proof")
		expectInvalid(t, size, bytes.Repeat([]byte{0xff}, 1<<20), "isn't a capacity proof")
		expectInvalid(t, size, append([]byte(magic), make([]byte, 1<<20)...), "don't lead to the root")
	}
}

func TestAnotherChallengeOrClaim(t *testing.T) {
	proof := mustProve(t, small)
	if Verify(sha256.Sum256([]byte("other")), small, proof) == nil {
		t.Error("valid for another challenge")
	}
	for name, change := range map[string]func(*Size){
		"lanes": func(s *Size) { s.Lanes++ }, "segments": func(s *Size) { s.Segments += segmentStep }, "rounds": func(s *Size) { s.Rounds++ },
		"pads": func(s *Size) { s.Pads++ }, "GPUs": func(s *Size) { s.GPUs, s.GPULeaves = 1, segmentStep }, "checks": func(s *Size) { s.Checks++ },
	} {
		other := small
		change(&other)
		if Verify(seed, other, proof) == nil {
			t.Errorf("valid for other %s", name)
		}
	}
}

// A state that wasn't computed from the one before is found if it is drawn, and
// the draw is the only thing that saves it.
func TestASkippedSegmentIsCaughtIfDrawn(t *testing.T) {
	pads := filled(small)
	caught, missed := 0, 0
	for skipped := uint64(0); skipped < small.laneLeaves(); skipped += 13 {
		lanes := laneTree(seed, small, pads)
		honest := lanes.next
		lanes.next = func(index uint64, before hash) hash {
			if index == skipped {
				return before
			}
			return honest(index, before)
		}
		mustCommit(t, lanes)
		segments, _ := draw(seed, small, lanes.root, hash{})
		err := Verify(seed, small, mustAssemble(t, small, lanes, gpuTree(seed, small)))
		if drawn := slices.Contains(segments, skipped); drawn != (err != nil) {
			t.Errorf("segment %d skipped, drawn: %v, but the verdict is %v", skipped, drawn, err)
		} else if drawn {
			caught++
		} else {
			missed++
		}
	}
	if caught == 0 || missed == 0 {
		t.Errorf("%d caught, %d missed: nothing was shown", caught, missed)
	}
}

// Skipping every tenth segment survives eight checks in 43 of 100 cases.
func TestSkippingAFraction(t *testing.T) {
	pads := filled(small)
	const tries = 300
	survived := 0
	for try := range uint64(tries) {
		lanes := laneTree(seed, small, pads)
		honest := lanes.next
		lanes.next = func(index uint64, before hash) hash {
			if index%10 == try%10 {
				return hash{byte(try), byte(try >> 8)}
			}
			return honest(index, before)
		}
		mustCommit(t, lanes)
		if Verify(seed, small, mustAssemble(t, small, lanes, gpuTree(seed, small))) == nil {
			survived++
		}
	}
	expected := tries * math.Pow(0.9, float64(small.Checks))
	if math.Abs(float64(survived)-expected) > 5*math.Sqrt(expected) {
		t.Errorf("%d of %d survived, not about %.0f", survived, tries, expected)
	}
}

func TestAFalsePadIsCaught(t *testing.T) {
	pads := filled(small)
	pads[1] = pad{}
	lanes := laneTree(seed, small, pads)
	mustCommit(t, lanes)
	expectInvalid(t, small, mustAssemble(t, small, lanes, gpuTree(seed, small)), "was not computed")
}

func TestASkippedGPULeafIsCaught(t *testing.T) {
	lanes := laneTree(seed, smallWithGPU, filled(smallWithGPU))
	mustCommit(t, lanes)
	gpus := gpuTree(seed, smallWithGPU)
	honest := gpus.next
	gpus.next = func(index uint64, before hash) hash {
		if index%2 == 0 {
			return hash{}
		}
		return honest(index, before)
	}
	mustCommit(t, gpus)
	expectInvalid(t, smallWithGPU, mustAssemble(t, smallWithGPU, lanes, gpus), "of the GPUs was not computed")
}

// States from another lane, and a lane that starts elsewhere, are other work.
func TestLanesAndSegmentsAreBoundToTheirPlace(t *testing.T) {
	pads := filled(small)
	lanes := laneTree(seed, small, pads)
	honest := lanes.next
	length := uint64(small.Segments)
	lanes.next = func(index uint64, before hash) hash { return honest(index%length, before) }
	mustCommit(t, lanes)
	expectInvalid(t, small, mustAssemble(t, small, lanes, gpuTree(seed, small)), "was not computed")
}

func TestADrawDependsOnBothRoots(t *testing.T) {
	first, firstGPU := draw(seed, smallWithGPU, hash{1}, hash{1})
	for _, roots := range [][2]hash{{{1}, {2}}, {{2}, {1}}} {
		second, secondGPU := draw(seed, smallWithGPU, roots[0], roots[1])
		if slices.Equal(first, second) || slices.Equal(firstGPU, secondGPU) {
			t.Error("another root, the same draw")
		}
	}
}

func TestEveryLeafCanBeDrawn(t *testing.T) {
	size := Size{Lanes: 3, Segments: 5, Checks: 300, DrawHashes: 1}
	segments, _ := draw(seed, size, hash{}, hash{})
	for i := range size.laneLeaves() {
		if i >= uint64(len(segments)) || segments[i] != i {
			t.Fatalf("of %d leaves only %v are drawn", size.laneLeaves(), segments)
		}
	}
}

func TestAPadIsNeededInFull(t *testing.T) {
	var one, two pad
	one.fill(seed, 0)
	two.fill(seed, 1)
	differing, ones := 0, 0
	for i := range one {
		if one[i] != two[i] {
			differing++
		}
		ones += bits.OnesCount64(one[i])
	}
	if differing < padWords-8 || math.Abs(float64(ones)-32*padWords) > 5*math.Sqrt(16*padWords) {
		t.Errorf("%d of %d words differ between two pads, %d bits are set", differing, padWords, ones)
	}
}

// The largest claim: nothing a prover sends makes the verifier work long.
func TestTheLargestClaim(t *testing.T) {
	size := SizeOf(challenge.Challenge{CPUMillis: challenge.MaxCPUMillis, MemoryBytes: challenge.MaxMemoryBytes, GPUs: challenge.MaxGPUs})
	for try := range 5 {
		segments, gpuLeaves := draw(seed, size, hash{byte(try)}, hash{})
		bytes := len(magic) + 2*sha256.Size
		count := func(leaves uint64, places []uint64) {
			bytes += len(places) * sha256.Size
			fold(leaves, places, make([]hash, len(places)), func(node) hash { bytes += sha256.Size; return hash{} })
		}
		count(size.laneLeaves(), around(segments, size))
		count(size.gpuLeaves(), gpuLeaves)
		if bytes > MaxProofBytes {
			t.Errorf("a proof has %d bytes, more than %d", bytes, MaxProofBytes)
		}
		t.Logf("a proof of the largest claim has %d bytes", bytes)
	}
	expectInvalid(t, size, make([]byte, MaxProofBytes), "isn't a capacity proof")
	expectInvalid(t, size, append([]byte(magic), make([]byte, MaxProofBytes)...), "don't lead to the root")
}

func FuzzVerify(f *testing.F) {
	proof, _, err := Prove(seed, smallWithGPU, nil, func(string) {})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(proof)
	f.Fuzz(func(t *testing.T, data []byte) {
		if !bytes.Equal(data, proof) && Verify(seed, smallWithGPU, data) == nil {
			t.Error("another proof is valid")
		}
	})
}

func BenchmarkFill(b *testing.B) {
	memory := new(pad)
	b.SetBytes(PadBytes)
	for b.Loop() {
		memory.fill(seed, 0)
	}
}

func BenchmarkSegment(b *testing.B) {
	memory := new(pad)
	memory.fill(seed, 0)
	state := laneStart(seed, 0)
	for b.Loop() {
		state = segment(state, memory.page(0), 0, rounds)
	}
}

func BenchmarkGPULeaf(b *testing.B) {
	for b.Loop() {
		gpuLeaf(seed, 0, gpuRounds)
	}
}

// What the verifier does for any claim, but for the paths in the trees.
func BenchmarkVerify(b *testing.B) {
	size := Size{Lanes: 1, Segments: segmentStep, Rounds: rounds, Pads: 8, Checks: checks, DrawHashes: drawHashes}
	proof, _, err := Prove(seed, size, nil, func(string) {})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := Verify(seed, size, proof); err != nil {
			b.Fatal(err)
		}
	}
}

// elsewhere computes leaves as an accelerator, from a tree of its own.
type elsewhere struct {
	tree        *tree
	roots, fail error
	short       int
}

func (e *elsewhere) Roots() ([]hash, error) {
	e.tree.computeChains()
	return e.tree.levels[0][e.short:], e.roots
}

func (e *elsewhere) Leaves(chunks []uint64) ([]hash, error) {
	var leaves []hash
	for _, chunk := range chunks[e.short:] {
		of := make([]hash, ChunkLeaves)
		e.tree.chunk(int(chunk), of)
		leaves = append(leaves, of...)
	}
	return leaves, e.fail
}

func TestAnAcceleratorsProofIsTheSame(t *testing.T) {
	proof, _, err := Prove(seed, smallWithGPU, &elsewhere{tree: gpuTree(seed, smallWithGPU)}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(proof, mustProve(t, smallWithGPU)) {
		t.Error("another proof")
	}
}

func TestAnAcceleratorThatFailsEndsTheWork(t *testing.T) {
	lost := errors.New("lost")
	for name, test := range map[string]struct {
		accelerator elsewhere
		problem     string
	}{
		"at its share":    {elsewhere{roots: lost}, "lost"},
		"at the opening":  {elsewhere{fail: lost}, "lost"},
		"too few results": {elsewhere{short: 1}, "2 roots of chunks were computed, not 3"},
	} {
		t.Run(name, func(t *testing.T) {
			test.accelerator.tree = gpuTree(seed, smallWithGPU)
			if _, _, err := Prove(seed, smallWithGPU, &test.accelerator, func(string) {}); err == nil || err.Error() != test.problem {
				t.Errorf("the error is %v, not %q", err, test.problem)
			}
		})
	}
}
