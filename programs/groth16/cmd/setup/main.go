// Command setup makes the circuit and a pair of DEMO keys for Groth16.
//
// Usage: setup -rounds N -out DIR
package main

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	mathrand "math/rand/v2"

	"github.com/consensys/gnark-crypto/ecc"
	groth16 "github.com/consensys/gnark/backend/groth16/bn254"
	"github.com/consensys/gnark/constraint"
	cs "github.com/consensys/gnark/constraint/bn254"
	"github.com/consensys/gnark/frontend"
	"github.com/consensys/gnark/frontend/cs/r1cs"

	"proofmill/programs/groth16/demokeys"
	"proofmill/programs/groth16/mimcchain"
)

const demoSeed = "proofmill groth16 demo keys: this seed is public, proofs can be forged"

func main() {
	demokeys.Main(demoSeed, setup)
}

func setup(rounds int) (demokeys.Made, error) {
	compiled, err := frontend.Compile(ecc.BN254.ScalarField(), r1cs.NewBuilder[constraint.U64], &mimcchain.Circuit{Rounds: rounds})
	if err != nil {
		return demokeys.Made{}, fmt.Errorf("compile the circuit: %w", err)
	}
	circuit := compiled.(*cs.R1CS)
	var proving groth16.ProvingKey
	var verifying groth16.VerifyingKey

	// gnark reads crypto/rand.Reader and offers no other way in. Only this
	// short-lived command replaces it; the prover's randomness stays the system's.
	rand.Reader = mathrand.NewChaCha8(sha256.Sum256([]byte(demoSeed)))
	if err := groth16.Setup(circuit, &proving, &verifying); err != nil {
		return demokeys.Made{}, fmt.Errorf("make the keys: %w", err)
	}
	return demokeys.Made{
		Constraints: circuit.GetNbConstraints(),
		Circuit:     func(w io.Writer) error { _, err := circuit.WriteTo(w); return err },
		Proving:     func(w io.Writer) error { return proving.WriteDump(w) },
		Verifying:   func(w io.Writer) error { _, err := verifying.WriteTo(w); return err },
	}, nil
}
