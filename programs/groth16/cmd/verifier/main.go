// Command verifier checks a Groth16 proof of the statement.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	groth16 "github.com/consensys/gnark/backend/groth16/bn254"

	"proofmill/programs/groth16/verifying"
)

// A proof of this circuit is three points, an empty list of commitments (its
// length, four bytes) and the point that belongs to the list, at infinity.
const (
	commitmentsOffset = 2*bn254.SizeOfG1AffineCompressed + bn254.SizeOfG2AffineCompressed
	proofBytes        = commitmentsOffset + 4 + bn254.SizeOfG1AffineCompressed
)

func main() {
	verifying.Main(newSystem())
}

func newSystem() verifying.System {
	var key groth16.VerifyingKey
	return verifying.System{
		Name:       "groth16 bn254",
		ProofBytes: proofBytes,
		LoadKey:    func(r io.Reader) error { _, err := key.ReadFrom(r); return err },
		Verify:     func(encoded []byte, image fr.Element) error { return verify(&key, encoded, image) },
	}
}

func verify(key *groth16.VerifyingKey, encoded []byte, image fr.Element) error {
	// Checked before decoding, which would allocate for the list's length.
	infinity := new(bn254.G1Affine).Bytes()
	if !bytes.Equal(encoded[commitmentsOffset:], append(make([]byte, 4), infinity[:]...)) {
		return errors.New("the proof carries commitments that this circuit doesn't have")
	}
	var proof groth16.Proof
	if _, err := proof.ReadFrom(bytes.NewReader(encoded)); err != nil {
		return fmt.Errorf("the proof can't be decoded: %w", err)
	}
	return groth16.Verify(&proof, key, fr.Vector{image})
}
