// Command plonk-setup makes the circuit, a DEMO reference string and the keys for PLONK.
//
// Usage: plonk-setup -rounds N -out DIR
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/big"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bn254/kzg"
	plonk "github.com/consensys/gnark/backend/plonk/bn254"
	"github.com/consensys/gnark/constraint"
	cs "github.com/consensys/gnark/constraint/bn254"
	"github.com/consensys/gnark/frontend"
	"github.com/consensys/gnark/frontend/cs/scs"

	"proofmill/programs/groth16/demokeys"
	"proofmill/programs/groth16/mimcchain"
)

const demoSeed = "proofmill plonk demo keys: this seed is public, proofs can be forged"

func main() {
	demokeys.Main(demoSeed, setup)
}

func setup(rounds int) (demokeys.Made, error) {
	compiled, err := frontend.Compile(ecc.BN254.ScalarField(), scs.NewBuilder[constraint.U64], &mimcchain.Circuit{Rounds: rounds})
	if err != nil {
		return demokeys.Made{}, fmt.Errorf("compile the circuit: %w", err)
	}
	circuit := compiled.(*cs.SparseR1CS)
	canonical, lagrange, err := demoReferenceString(circuit)
	if err != nil {
		return demokeys.Made{}, fmt.Errorf("make the reference string: %w", err)
	}
	proving, verifying, err := plonk.Setup(circuit, *canonical, *lagrange)
	if err != nil {
		return demokeys.Made{}, fmt.Errorf("make the keys: %w", err)
	}
	return demokeys.Made{
		Constraints: circuit.GetNbConstraints(),
		Circuit:     func(w io.Writer) error { _, err := circuit.WriteTo(w); return err },
		Proving:     func(w io.Writer) error { _, err := proving.WriteRawTo(w); return err },
		Verifying:   func(w io.Writer) error { _, err := verifying.WriteTo(w); return err },
	}, nil
}

// demoReferenceString is a KZG reference string whose secret is the seed's hash,
// by powers and by Lagrange polynomials, large enough for the circuit.
func demoReferenceString(circuit *cs.SparseR1CS) (canonical, lagrange *kzg.SRS, err error) {
	size := ecc.NextPowerOfTwo(uint64(circuit.GetNbConstraints() + circuit.GetNbPublicVariables()))
	digest := sha256.Sum256([]byte(demoSeed))
	secret := new(big.Int).SetBytes(digest[:])
	// Blinding takes three more powers than the circuit.
	if canonical, err = kzg.NewSRS(size+3, secret); err != nil {
		return nil, nil, err
	}
	lagrange = &kzg.SRS{Vk: canonical.Vk}
	lagrange.Pk.G1, err = kzg.ToLagrangeG1(canonical.Pk.G1[:size])
	return canonical, lagrange, err
}
