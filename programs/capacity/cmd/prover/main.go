// Command prover does the work that the claim in /mnt/input/challenge.json asks
// for and writes /mnt/output/proof.bin.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"proofmill/programs/capacity/challenge"
	"proofmill/programs/capacity/work"
)

// Exit codes; 2 is left to the Go runtime's own panics.
const (
	exitProved    = 0
	exitChallenge = 3
	exitProving   = 7
	exitOutput    = 8
)

func main() {
	code, err := prove("/mnt/input", "/mnt/output", work.SizeOf)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prover:", err)
	}
	os.Exit(code)
}

func prove(inputDir, outputDir string, sizeOf func(challenge.Challenge) work.Size) (int, error) {
	started := time.Now()
	claim, seed, err := challenge.Load(inputDir)
	if err != nil {
		return exitChallenge, fmt.Errorf("the challenge can't be read: %w", err)
	}
	size := sizeOf(claim)
	runtime.GOMAXPROCS(size.Lanes)
	say("claim: %d millicores, %d MiB, %d GPUs", claim.CPUMillis, claim.MemoryBytes>>20, claim.GPUs)
	say("%d lanes of %d segments, %d MiB in pads", size.Lanes, size.Segments, size.Pads*work.PadBytes>>20)
	if size.GPUs > 0 {
		say("no GPU kernel is in this image yet: the GPUs' share is computed on the CPU, which takes hours and misses any time limit")
	}
	proof, fill, err := work.Prove(seed, size, func(done string) { say("%s", done) })
	if err != nil {
		return exitProving, fmt.Errorf("no proof could be made: %w", err)
	}
	if err := os.WriteFile(filepath.Join(outputDir, "proof.bin"), proof, 0o644); err != nil {
		return exitOutput, fmt.Errorf("the proof can't be written: %w", err)
	}
	// `mill prover benchmark` reads this line.
	say("done in %d ms of which fill %d ms", time.Since(started).Milliseconds(), fill.Milliseconds())
	return exitProved, nil
}

func say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "capacity: "+format+"\n", values...)
}
