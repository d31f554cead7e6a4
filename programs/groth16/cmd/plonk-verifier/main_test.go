package main

import (
	"io"
	"math/big"
	"testing"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bn254/kzg"
	plonk "github.com/consensys/gnark/backend/plonk/bn254"
	"github.com/consensys/gnark/backend/witness"
	"github.com/consensys/gnark/constraint"
	cs "github.com/consensys/gnark/constraint/bn254"
	"github.com/consensys/gnark/frontend"
	"github.com/consensys/gnark/frontend/cs/scs"

	"proofmill/programs/groth16/mimcchain"
	"proofmill/programs/groth16/verifying/verifyingtest"
)

func TestVerify(t *testing.T) {
	circuit := &mimcchain.Circuit{Rounds: verifyingtest.Rounds}
	compiled, err := frontend.Compile(ecc.BN254.ScalarField(), scs.NewBuilder[constraint.U64], circuit)
	if err != nil {
		t.Fatal(err)
	}
	constraints := compiled.(*cs.SparseR1CS)
	size := ecc.NextPowerOfTwo(uint64(constraints.GetNbConstraints() + constraints.GetNbPublicVariables()))
	canonical, err := kzg.NewSRS(size+3, big.NewInt(5))
	if err != nil {
		t.Fatal(err)
	}
	lagrange := kzg.SRS{Vk: canonical.Vk}
	if lagrange.Pk.G1, err = kzg.ToLagrangeG1(canonical.Pk.G1[:size]); err != nil {
		t.Fatal(err)
	}
	proving, key, err := plonk.Setup(constraints, *canonical, lagrange)
	if err != nil {
		t.Fatal(err)
	}
	prove := func(w witness.Witness) (io.WriterTo, error) { return plonk.Prove(constraints, proving, w) }

	verifyingtest.Run(t, newSystem, verifyingtest.Made{Key: key, Prove: prove}, map[string]func([]byte){
		"many values":      func(proof []byte) { copy(proof[valuesOffset:], "\xff\xff\xff\xff") },
		"many commitments": func(proof []byte) { copy(proof[commitmentsOffset:], "\xff\xff\xff\xff") },
		"garbage points":   func(proof []byte) { copy(proof, verifyingtest.Garbage(valuesOffset)) },
	})
}
