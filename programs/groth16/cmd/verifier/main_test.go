package main

import (
	"io"
	"testing"

	"github.com/consensys/gnark-crypto/ecc"
	groth16 "github.com/consensys/gnark/backend/groth16/bn254"
	"github.com/consensys/gnark/backend/witness"
	"github.com/consensys/gnark/constraint"
	cs "github.com/consensys/gnark/constraint/bn254"
	"github.com/consensys/gnark/frontend"
	"github.com/consensys/gnark/frontend/cs/r1cs"

	"proofmill/programs/groth16/mimcchain"
	"proofmill/programs/groth16/verifying/verifyingtest"
)

func TestVerify(t *testing.T) {
	circuit := &mimcchain.Circuit{Rounds: verifyingtest.Rounds}
	compiled, err := frontend.Compile(ecc.BN254.ScalarField(), r1cs.NewBuilder[constraint.U64], circuit)
	if err != nil {
		t.Fatal(err)
	}
	constraints := compiled.(*cs.R1CS)
	var proving groth16.ProvingKey
	var key groth16.VerifyingKey
	if err := groth16.Setup(constraints, &proving, &key); err != nil {
		t.Fatal(err)
	}
	prove := func(w witness.Witness) (io.WriterTo, error) { return groth16.Prove(constraints, &proving, w) }

	verifyingtest.Run(t, newSystem, verifyingtest.Made{Key: &key, Prove: prove}, map[string]func([]byte){
		"many commitments": func(proof []byte) { copy(proof[commitmentsOffset:], "\xff\xff\xff\xff") },
		"garbage points":   func(proof []byte) { copy(proof, verifyingtest.Garbage(commitmentsOffset)) },
	})
}
