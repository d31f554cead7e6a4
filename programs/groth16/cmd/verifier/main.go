// Command verifier checks /mnt/proof/proof.bin against the statement in
// /mnt/input/public.json. Exit code 0: valid; 1: invalid, for whatever reason
// lies with the prover; anything else: nothing could be said.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	groth16 "github.com/consensys/gnark/backend/groth16/bn254"
	"github.com/consensys/gnark/logger"

	"proofmill/programs/groth16/statement"
)

// Exit codes; 2 is left to the Go runtime's own panics.
const (
	exitValid          = 0
	exitInvalid        = 1
	exitPublicInput    = 3
	exitKeysUnreadable = 6
	exitProofMount     = 9
)

// A proof of this circuit is three points, an empty list of commitments (its
// length, four bytes) and the point that belongs to the list, at infinity.
const (
	commitmentsOffset = 2*bn254.SizeOfG1AffineCompressed + bn254.SizeOfG2AffineCompressed
	proofBytes        = commitmentsOffset + 4 + bn254.SizeOfG1AffineCompressed
)

func main() {
	logger.Disable()
	code, err := verify("/keys", "/mnt/input", "/mnt/proof")
	if err != nil {
		fmt.Fprintln(os.Stderr, "verifier:", err)
	} else {
		fmt.Println("groth16 bn254: the proof is valid")
	}
	os.Exit(code)
}

func verify(keyDir, inputDir, proofDir string) (int, error) {
	keys, err := statement.LoadKeys(keyDir)
	if err != nil {
		return exitKeysUnreadable, fmt.Errorf("the image's keys can't be read: %w", err)
	}
	encodedKey, err := os.ReadFile(filepath.Join(keyDir, statement.VerifyingKeyFile))
	if err != nil {
		return exitKeysUnreadable, fmt.Errorf("the image's verifying key can't be read: %w", err)
	}
	var verifyingKey groth16.VerifyingKey
	if _, err := verifyingKey.ReadFrom(bytes.NewReader(encodedKey)); err != nil {
		return exitKeysUnreadable, fmt.Errorf("the image's verifying key can't be read: %w", err)
	}
	public, err := statement.LoadPublic(inputDir, keys)
	if err != nil {
		return exitPublicInput, fmt.Errorf("public input: %w", err)
	}
	if info, err := os.Stat(proofDir); err != nil || !info.IsDir() {
		return exitProofMount, fmt.Errorf("no proof is mounted at %s", proofDir)
	}
	if err := checkProof(filepath.Join(proofDir, statement.ProofFile), &verifyingKey, public.Image); err != nil {
		var hostFault *hostError
		if errors.As(err, &hostFault) {
			return exitProofMount, err
		}
		return exitInvalid, fmt.Errorf("invalid: %w", err)
	}
	return exitValid, nil
}

// hostError is a failure to read that the prover can't have caused.
type hostError struct{ error }

// checkProof returns nil for a valid proof, a hostError if the file system
// failed, and any other error for an invalid proof.
func checkProof(path string, verifyingKey *groth16.VerifyingKey, image fr.Element) (err error) {
	// The proof's bytes are the prover's. Should they make the library panic,
	// the verdict must be "invalid", never an abstention.
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the proof can't be decoded: %v", cause)
		}
	}()
	encoded, err := readProof(path)
	if err != nil {
		return err
	}
	// Checked before decoding, which would allocate for the list's length.
	infinity := new(bn254.G1Affine).Bytes()
	if !bytes.Equal(encoded[commitmentsOffset:], append(make([]byte, 4), infinity[:]...)) {
		return errors.New("the proof carries commitments that this circuit doesn't have")
	}
	var proof groth16.Proof
	if _, err := proof.ReadFrom(bytes.NewReader(encoded)); err != nil {
		return fmt.Errorf("the proof can't be decoded: %w", err)
	}
	return groth16.Verify(&proof, verifyingKey, fr.Vector{image})
}

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
	file, err := os.Open(path)
	if err != nil {
		return nil, &hostError{err}
	}
	defer file.Close()
	encoded, err := io.ReadAll(io.LimitReader(file, proofBytes+1))
	if err != nil {
		return nil, &hostError{err}
	}
	if len(encoded) != proofBytes {
		return nil, fmt.Errorf("%s has %d bytes, not %d", filepath.Base(path), info.Size(), proofBytes)
	}
	return encoded, nil
}
