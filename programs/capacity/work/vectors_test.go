package work

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// The vectors are for those who compute the same elsewhere, on a GPU say; a
// Python program that shares no line with this one agrees with them, in
// tests/unit/program/test_capacity_vectors.py.
func TestVectors(t *testing.T) {
	var vectors struct {
		Seed string
		Pad  struct {
			Index       int
			SHA256      string
			First, Last uint64
		}
		Segment struct {
			Lane, Index uint64
			Pads        int
			Rounds      int
			Before      string
			Pad, Page   int
			After       string
		}
		GPULeaf struct {
			Index  uint64
			Rounds int
			Leaf   string
		} `json:"gpu_leaf"`
		Draw struct {
			LaneRoot    string `json:"lane_root"`
			GPURoot     string `json:"gpu_root"`
			Hashes      int
			Checks      int
			LaneLeaves  int `json:"lane_leaves"`
			GPULeaves   int `json:"gpu_leaves"`
			Segments    []uint64
			GPUSelected []uint64 `json:"gpu_selected"`
		}
	}
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	parse := func(text string) (parsed hash) {
		t.Helper()
		if count, err := hex.Decode(parsed[:], []byte(text)); err != nil || count != len(parsed) {
			t.Fatalf("%q is no hash", text)
		}
		return parsed
	}
	seed := parse(vectors.Seed)

	memory := new(pad)
	memory.fill(seed, vectors.Pad.Index)
	bytes := make([]byte, 0, PadBytes)
	for _, word := range memory {
		bytes = binary.LittleEndian.AppendUint64(bytes, word)
	}
	if digest := sha256.Sum256(bytes); digest != parse(vectors.Pad.SHA256) || memory[0] != vectors.Pad.First || memory[padWords-1] != vectors.Pad.Last {
		t.Errorf("pad: sha256 %x, words %d to %d", digest, memory[0], memory[padWords-1])
	}

	s := vectors.Segment
	before := laneStart(seed, s.Lane)
	padIndex, pageIndex := pageOf(before, s.Pads)
	if before != parse(s.Before) || padIndex != s.Pad || pageIndex != s.Page {
		t.Errorf("the segment begins with %x and page %d of pad %d", before, pageIndex, padIndex)
	}
	clear(memory[:])
	memory.fill(seed, padIndex)
	if after := segment(before, memory.page(pageIndex), s.Index, s.Rounds); after != parse(s.After) {
		t.Errorf("the segment ends with %x", after)
	}

	g := vectors.GPULeaf
	if leaf := gpuLeaf(gpuSeed(seed), g.Index, g.Rounds); leaf != parse(g.Leaf) {
		t.Errorf("the GPU's leaf is %x", leaf)
	}

	d := vectors.Draw
	size := Size{Lanes: 1, Segments: d.LaneLeaves, GPUs: 1, GPULeaves: d.GPULeaves, Checks: d.Checks, DrawHashes: d.Hashes}
	segments, selected := draw(seed, size, parse(d.LaneRoot), parse(d.GPURoot))
	encoded, _ := json.Marshal([][]uint64{segments, selected})
	want, _ := json.Marshal([][]uint64{d.Segments, d.GPUSelected})
	if string(encoded) != string(want) {
		t.Errorf("drawn are %s", encoded)
	}
}
