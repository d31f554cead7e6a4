// Command prover proves the statement with Groth16.
package main

import (
	"io"

	groth16 "github.com/consensys/gnark/backend/groth16/bn254"
	"github.com/consensys/gnark/backend/witness"
	cs "github.com/consensys/gnark/constraint/bn254"

	"proofmill/programs/groth16/proving"
	"proofmill/programs/groth16/statement"
)

func main() {
	proving.Main(proving.System{Name: "groth16 bn254", Load: load})
}

func load(keyDir string) (proving.Prove, error) {
	var circuit cs.R1CS
	readCircuit := func(r io.Reader) error { _, err := circuit.ReadFrom(r); return err }
	if err := proving.Read(keyDir, statement.CircuitFile, "circuit", readCircuit); err != nil {
		return nil, err
	}
	var key groth16.ProvingKey
	if err := proving.Read(keyDir, statement.ProvingKeyFile, "proving key", key.ReadDump); err != nil {
		return nil, err
	}
	return func(w witness.Witness) (io.WriterTo, error) { return groth16.Prove(&circuit, &key, w) }, nil
}
