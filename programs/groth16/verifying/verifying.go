// Package verifying is the verifier's command but for the proof system. Exit
// code 0: valid; 1: invalid, for whatever reason lies with the prover; anything
// else: nothing could be said.
package verifying

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	"github.com/consensys/gnark/logger"

	"proofmill/programs/groth16/statement"
)

// Exit codes; 2 is left to the Go runtime's own panics.
const (
	ExitValid          = 0
	ExitInvalid        = 1
	ExitPublicInput    = 3
	ExitKeysUnreadable = 6
	ExitProofMount     = 9
)

// System is a proof system.
type System struct {
	Name string
	// ProofBytes is what every proof of this circuit has.
	ProofBytes int
	// LoadKey decodes the verifying key.
	LoadKey func(io.Reader) error
	// Verify returns nil if `encoded`, of ProofBytes bytes, is a proof that some preimage leads to `image`.
	Verify func(encoded []byte, image fr.Element) error
}

// Main checks /mnt/proof/proof.bin against the statement in /mnt/input/public.json, and exits.
func Main(system System) {
	logger.Disable()
	code, err := Run(system, "/keys", "/mnt/input", "/mnt/proof")
	if err != nil {
		fmt.Fprintln(os.Stderr, "verifier:", err)
	} else {
		fmt.Printf("%s: the proof is valid\n", system.Name)
	}
	os.Exit(code)
}

// Run returns the exit code, and why it isn't ExitValid.
func Run(system System, keyDir, inputDir, proofDir string) (int, error) {
	keys, err := statement.LoadKeys(keyDir)
	if err != nil {
		return ExitKeysUnreadable, fmt.Errorf("the image's keys can't be read: %w", err)
	}
	encodedKey, err := os.ReadFile(filepath.Join(keyDir, statement.VerifyingKeyFile))
	if err != nil {
		return ExitKeysUnreadable, fmt.Errorf("the image's verifying key can't be read: %w", err)
	}
	if err := system.LoadKey(bytes.NewReader(encodedKey)); err != nil {
		return ExitKeysUnreadable, fmt.Errorf("the image's verifying key can't be read: %w", err)
	}
	public, err := statement.LoadPublic(inputDir, keys)
	if err != nil {
		return ExitPublicInput, fmt.Errorf("public input: %w", err)
	}
	if info, err := os.Stat(proofDir); err != nil || !info.IsDir() {
		return ExitProofMount, fmt.Errorf("no proof is mounted at %s", proofDir)
	}
	if err := checkProof(system, filepath.Join(proofDir, statement.ProofFile), public.Image); err != nil {
		var hostFault *hostError
		if errors.As(err, &hostFault) {
			return ExitProofMount, err
		}
		return ExitInvalid, fmt.Errorf("invalid: %w", err)
	}
	return ExitValid, nil
}

// hostError is a failure to read that the prover can't have caused.
type hostError struct{ error }

// checkProof returns nil for a valid proof, a hostError if the file system
// failed, and any other error for an invalid proof.
func checkProof(system System, path string, image fr.Element) (err error) {
	// The proof's bytes are the prover's. Should they make the library panic,
	// the verdict must be "invalid", never an abstention.
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the proof can't be decoded: %v", cause)
		}
	}()
	encoded, err := readProof(path, system.ProofBytes)
	if err != nil {
		return err
	}
	return system.Verify(encoded, image)
}

func readProof(path string, size int) ([]byte, error) {
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
	file, err := os.Open(path)
	if err != nil {
		return nil, &hostError{err}
	}
	defer file.Close()
	encoded, err := io.ReadAll(io.LimitReader(file, int64(size)+1))
	if err != nil {
		return nil, &hostError{err}
	}
	if len(encoded) != size {
		return nil, fmt.Errorf("%s has %d bytes, not %d", filepath.Base(path), info.Size(), size)
	}
	return encoded, nil
}
