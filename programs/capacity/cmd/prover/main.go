// Command prover does the work that the claim in /mnt/input/challenge.json asks
// for and writes /mnt/output/proof.bin.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"proofmill/programs/capacity/challenge"
	"proofmill/programs/capacity/work"
)

// Exit codes; 2 is left to the Go runtime's own panics. Those from exitNoDriver on
// are also the GPU worker's.
const (
	exitProved    = 0
	exitChallenge = 3
	exitProving   = 7
	exitOutput    = 8
	exitNoDriver  = 10
	exitTooFew    = 11
	exitTooOld    = 12
	exitFailed    = 13
	exitWorker    = 14
)

func main() {
	code, err := prove("/mnt/input", "/mnt/output", workerCommand(), work.SizeOf)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prover:", err)
	}
	os.Exit(code)
}

// prove starts `worker` for the GPUs' share, if there are both.
func prove(inputDir, outputDir string, worker []string, sizeOf func(challenge.Challenge) work.Size) (int, error) {
	started := time.Now()
	claim, seed, err := challenge.Load(inputDir)
	if err != nil {
		return exitChallenge, fmt.Errorf("the challenge can't be read: %w", err)
	}
	size := sizeOf(claim)
	runtime.GOMAXPROCS(size.Lanes)
	say("claim: %d millicores, %d MiB, %d GPUs", claim.CPUMillis, claim.MemoryBytes>>20, claim.GPUs)
	say("%d lanes of %d segments, %d MiB in pads", size.Lanes, size.Segments, size.Pads*work.PadBytes>>20)
	var accelerator work.Accelerator
	switch {
	case size.GPUs > 0 && worker != nil:
		if accelerator, err = startWorker(worker, seed, size); err != nil {
			return exitCode(err), fmt.Errorf("no proof could be made: %w", err)
		}
	case size.GPUs > 0:
		say("no GPU kernel is in this image: the GPUs' share is computed on the CPU, which takes hours and misses any time limit")
	}
	proof, fill, err := work.Prove(seed, size, accelerator, func(done string) { say("%s", done) })
	if err != nil {
		return exitCode(err), fmt.Errorf("no proof could be made: %w", err)
	}
	if err := os.WriteFile(filepath.Join(outputDir, "proof.bin"), proof, 0o644); err != nil {
		return exitOutput, fmt.Errorf("the proof can't be written: %w", err)
	}
	// `mill prover benchmark` reads this line.
	say("done in %d ms of which fill %d ms", time.Since(started).Milliseconds(), fill.Milliseconds())
	return exitProved, nil
}

func exitCode(err error) int {
	if gpu := (*gpuError)(nil); errors.As(err, &gpu) {
		return gpu.code
	}
	return exitProving
}

func say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "capacity: "+format+"\n", values...)
}
