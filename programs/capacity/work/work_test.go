package work

import (
	"testing"

	"proofmill/programs/capacity/challenge"
)

const gib = 1 << 30

func TestSizeOf(t *testing.T) {
	for _, test := range []struct {
		millis, memory       int64
		lanes, segments, pad int
	}{
		{1000, 256 << 20, 1, 782336, 176},
		{500, 256 << 20, 1, 389120, 176},
		{1500, 4 * gib, 2, 507904, 3776},
		{4000, 8 * gib, 4, 704512, 7616},
		{1000, 64 * gib, 1, 198656, 61376},
		{100, 128 << 20, 1, 77824, 56},
		{1024000, 4096 * gib, 1024, 618496, 3932096},
	} {
		size := SizeOf(challenge.Challenge{CPUMillis: test.millis, MemoryBytes: test.memory})
		if size.Lanes != test.lanes || size.Segments != test.segments || size.Pads != test.pad {
			t.Errorf("%d millicores, %d MiB: %+v", test.millis, test.memory>>20, size)
		}
	}
}

// The time of a claim: within a step of each lane what its cores do in theirs.
func TestEveryClaimTakesTheSameTime(t *testing.T) {
	for millis := int64(1000); millis <= challenge.MaxCPUMillis; millis += 777 {
		for _, perCore := range []int64{gib / 8, gib, 4 * gib, 8 * gib} {
			memory := max(perCore*millis/1000, challenge.MinMemoryBytes)
			if memory > challenge.MaxMemoryBytes {
				continue
			}
			size := SizeOf(challenge.Challenge{CPUMillis: millis, MemoryBytes: memory})
			done := int64(size.Lanes)*int64(size.Segments) + int64(size.Pads)*segmentsPerPad
			due := segmentsPerCore * millis / 1000
			if done < due || done > due+int64(size.Lanes)*segmentStep {
				t.Fatalf("%d millicores with %d bytes: %d segments' worth instead of %d", millis, memory, done, due)
			}
		}
	}
}

func TestThePadsFitIntoTheClaim(t *testing.T) {
	for memory := int64(challenge.MinMemoryBytes); memory <= challenge.MaxMemoryBytes; memory += memory / 7 {
		size := SizeOf(challenge.Challenge{CPUMillis: 1000, MemoryBytes: memory})
		free := memory - int64(size.Pads)*PadBytes
		if size.Pads < 56 || free < overheadBytes+memory/overheadShare || free > overheadBytes+memory/overheadShare+PadBytes {
			t.Fatalf("%d bytes: %d pads leave %d", memory, size.Pads, free)
		}
	}
}
