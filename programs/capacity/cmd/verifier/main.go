// Command verifier checks /mnt/proof/proof.bin against the claim in
// /mnt/input/challenge.json. Exit code 0: valid; 1: invalid, for whatever reason
// lies with the prover; anything else: nothing could be said.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"proofmill/programs/capacity/challenge"
	"proofmill/programs/capacity/work"
)

// Exit codes; 2 is left to the Go runtime's own panics.
const (
	exitValid      = 0
	exitInvalid    = 1
	exitChallenge  = 3
	exitProofMount = 9
)

func main() {
	code, err := verify("/mnt/input", "/mnt/proof", work.SizeOf)
	if err != nil {
		fmt.Fprintln(os.Stderr, "verifier:", err)
	} else {
		fmt.Println("capacity: the proof is valid")
	}
	os.Exit(code)
}

func verify(inputDir, proofDir string, sizeOf func(challenge.Challenge) work.Size) (int, error) {
	claim, seed, err := challenge.Load(inputDir)
	if err != nil {
		return exitChallenge, fmt.Errorf("the challenge can't be read: %w", err)
	}
	if info, err := os.Stat(proofDir); err != nil || !info.IsDir() {
		return exitProofMount, fmt.Errorf("no proof is mounted at %s", proofDir)
	}
	proof, err := readProof(filepath.Join(proofDir, "proof.bin"))
	var hostFault *hostError
	if errors.As(err, &hostFault) {
		return exitProofMount, err
	}
	if err == nil {
		err = work.Verify(seed, sizeOf(claim), proof)
	}
	if err != nil {
		return exitInvalid, fmt.Errorf("invalid: %w", err)
	}
	return exitValid, nil
}

// hostError is a failure to read that the prover can't have caused.
type hostError struct{ error }

func readProof(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the prover left no %s", filepath.Base(path))
	}
	if err != nil {
		return nil, &hostError{err}
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", filepath.Base(path))
	}
	if info.Size() > int64(work.MaxProofBytes) {
		return nil, fmt.Errorf("%s has %d bytes, more than any proof", filepath.Base(path), info.Size())
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, &hostError{err}
	}
	defer file.Close()
	proof, err := io.ReadAll(io.LimitReader(file, int64(work.MaxProofBytes)))
	if err != nil {
		return nil, &hostError{err}
	}
	return proof, nil
}
