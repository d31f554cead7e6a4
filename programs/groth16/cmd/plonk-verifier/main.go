// Command plonk-verifier checks a PLONK proof of the statement.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	plonk "github.com/consensys/gnark/backend/plonk/bn254"

	"proofmill/programs/groth16/verifying"
)

// A proof of this circuit is eight points (three wires, the permutation's
// product, three parts of the quotient, an opening), the list of six values that
// are opened, another point and its value, and an empty list of commitments.
const (
	valuesOffset      = 8 * bn254.SizeOfG1AffineCompressed
	values            = 6
	commitmentsOffset = valuesOffset + 4 + values*fr.Bytes + bn254.SizeOfG1AffineCompressed + fr.Bytes
	proofBytes        = commitmentsOffset + 4
)

func main() {
	verifying.Main(newSystem())
}

func newSystem() verifying.System {
	var key plonk.VerifyingKey
	return verifying.System{
		Name:       "plonk bn254",
		ProofBytes: proofBytes,
		LoadKey:    func(r io.Reader) error { _, err := key.ReadFrom(r); return err },
		Verify:     func(encoded []byte, image fr.Element) error { return verify(&key, encoded, image) },
	}
}

func verify(key *plonk.VerifyingKey, encoded []byte, image fr.Element) error {
	// Checked before decoding, which would allocate for the lists' lengths.
	if binary.BigEndian.Uint32(encoded[valuesOffset:]) != values ||
		binary.BigEndian.Uint32(encoded[commitmentsOffset:]) != 0 {
		return errors.New("the proof has other values or commitments than this circuit")
	}
	var proof plonk.Proof
	if _, err := proof.ReadFrom(bytes.NewReader(encoded)); err != nil {
		return fmt.Errorf("the proof can't be decoded: %w", err)
	}
	return plonk.Verify(&proof, key, fr.Vector{image})
}
