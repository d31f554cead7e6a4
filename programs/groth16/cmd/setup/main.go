// Command setup makes the circuit and a pair of DEMO keys for it.
//
// Groth16 needs secret randomness that must be destroyed. Here it is drawn from
// a generator whose seed is printed in the README, so that everybody builds the
// same bytes; whoever knows the seed can forge proofs.
//
// Usage: setup -rounds N -out DIR
package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"

	"github.com/consensys/gnark-crypto/ecc"
	groth16 "github.com/consensys/gnark/backend/groth16/bn254"
	"github.com/consensys/gnark/constraint"
	cs "github.com/consensys/gnark/constraint/bn254"
	"github.com/consensys/gnark/frontend"
	"github.com/consensys/gnark/frontend/cs/r1cs"
	"github.com/consensys/gnark/logger"

	"proofmill/programs/groth16/mimcchain"
	"proofmill/programs/groth16/statement"
)

const demoSeed = "proofmill groth16 demo keys: this seed is public, proofs can be forged"

func main() {
	log.SetFlags(0)
	log.SetPrefix("setup: ")
	logger.Disable()
	rounds := flag.Int("rounds", 0, "rounds of MiMC, at least 1")
	out := flag.String("out", "", "directory for the keys, created if missing")
	flag.Parse()
	if *rounds < 1 || *out == "" || flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := setup(*rounds, *out); err != nil {
		log.Fatal(err)
	}
}

func setup(rounds int, out string) error {
	compiled, err := frontend.Compile(ecc.BN254.ScalarField(), r1cs.NewBuilder[constraint.U64], &mimcchain.Circuit{Rounds: rounds})
	if err != nil {
		return fmt.Errorf("compile the circuit: %w", err)
	}
	circuit := compiled.(*cs.R1CS)
	var provingKey groth16.ProvingKey
	var verifyingKey groth16.VerifyingKey

	// gnark reads crypto/rand.Reader and offers no other way in. Only this
	// short-lived command replaces it; the prover's randomness stays the system's.
	rand.Reader = mathrand.NewChaCha8(sha256.Sum256([]byte(demoSeed)))
	if err := groth16.Setup(circuit, &provingKey, &verifyingKey); err != nil {
		return fmt.Errorf("make the keys: %w", err)
	}

	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	keys := statement.Keys{Rounds: rounds, Constraints: circuit.GetNbConstraints(), Seed: demoSeed}
	description, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return err
	}
	writers := map[string]func(io.Writer) error{
		statement.CircuitFile:      func(w io.Writer) error { _, err := circuit.WriteTo(w); return err },
		statement.ProvingKeyFile:   func(w io.Writer) error { return provingKey.WriteDump(w) },
		statement.VerifyingKeyFile: func(w io.Writer) error { _, err := verifyingKey.WriteTo(w); return err },
		statement.KeysFile:         func(w io.Writer) error { _, err := w.Write(append(description, '\n')); return err },
	}
	for name, write := range writers {
		if err := save(filepath.Join(out, name), write); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	log.Printf("%d rounds, %d constraints, DEMO keys in %s", rounds, keys.Constraints, out)
	return nil
}

func save(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(file, 1<<20)
	if err := write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return file.Close()
}
