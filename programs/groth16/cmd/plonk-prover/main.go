// Command plonk-prover proves the statement with PLONK.
package main

import (
	"io"

	plonk "github.com/consensys/gnark/backend/plonk/bn254"
	"github.com/consensys/gnark/backend/witness"
	cs "github.com/consensys/gnark/constraint/bn254"

	"proofmill/programs/groth16/proving"
	"proofmill/programs/groth16/statement"
)

func main() {
	proving.Main(proving.System{Name: "plonk bn254", Load: load})
}

func load(keyDir string) (proving.Prove, error) {
	var circuit cs.SparseR1CS
	readCircuit := func(r io.Reader) error { _, err := circuit.ReadFrom(r); return err }
	if err := proving.Read(keyDir, statement.CircuitFile, "circuit", readCircuit); err != nil {
		return nil, err
	}
	// The key is the image's own, so its points needn't be checked again.
	var key plonk.ProvingKey
	readKey := func(r io.Reader) error { _, err := key.UnsafeReadFrom(r); return err }
	if err := proving.Read(keyDir, statement.ProvingKeyFile, "proving key", readKey); err != nil {
		return nil, err
	}
	return func(w witness.Witness) (io.WriterTo, error) { return plonk.Prove(&circuit, &key, w) }, nil
}
