// Command prover proves the statement in /mnt/input/public.json with the secret
// in /mnt/input/witness.json and writes /mnt/output/proof.bin.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	groth16 "github.com/consensys/gnark/backend/groth16/bn254"
	"github.com/consensys/gnark/backend/witness"
	cs "github.com/consensys/gnark/constraint/bn254"
	"github.com/consensys/gnark/logger"

	"proofmill/programs/groth16/mimcchain"
	"proofmill/programs/groth16/statement"
)

// Exit codes; 2 is left to the Go runtime's own panics.
const (
	exitProved         = 0
	exitPublicInput    = 3
	exitWitness        = 4
	exitNotSatisfied   = 5
	exitKeysUnreadable = 6
	exitProving        = 7
	exitOutput         = 8
)

func main() {
	logger.Disable()
	code, err := prove("/keys", "/mnt/input", "/mnt/output")
	if err != nil {
		fmt.Fprintln(os.Stderr, "prover:", err)
	}
	os.Exit(code)
}

func prove(keyDir, inputDir, outputDir string) (int, error) {
	keys, err := statement.LoadKeys(keyDir)
	if err != nil {
		return exitKeysUnreadable, fmt.Errorf("the image's keys can't be read: %w", err)
	}
	// The inputs come first: they are quick to check and the likeliest mistake.
	public, err := statement.LoadPublic(inputDir, keys)
	if err != nil {
		return exitPublicInput, fmt.Errorf("public input: %w", err)
	}
	preimage, err := statement.LoadWitness(inputDir)
	if err != nil {
		return exitWitness, fmt.Errorf("witness: %w", err)
	}
	if image := mimcchain.Image(preimage, public.Rounds); !image.Equal(&public.Image) {
		return exitNotSatisfied, fmt.Errorf("%d rounds from the preimage in %s don't lead to the image in %s",
			public.Rounds, statement.WitnessFile, statement.PublicFile)
	}

	started := time.Now()
	var circuit cs.R1CS
	var provingKey groth16.ProvingKey
	if err := load(filepath.Join(keyDir, statement.CircuitFile), func(r io.Reader) error { _, err := circuit.ReadFrom(r); return err }); err != nil {
		return exitKeysUnreadable, fmt.Errorf("the image's circuit can't be read: %w", err)
	}
	if err := load(filepath.Join(keyDir, statement.ProvingKeyFile), provingKey.ReadDump); err != nil {
		return exitKeysUnreadable, fmt.Errorf("the image's proving key can't be read: %w", err)
	}
	loaded := time.Now()

	assignment, err := assign(public.Image, preimage)
	if err != nil {
		return exitProving, err
	}
	proof, err := groth16.Prove(&circuit, &provingKey, assignment)
	if err != nil {
		return exitProving, fmt.Errorf("no proof could be made: %w", err)
	}
	proved := time.Now()

	path := filepath.Join(outputDir, statement.ProofFile)
	size, err := save(path, proof)
	if err != nil {
		return exitOutput, fmt.Errorf("the proof can't be written: %w", err)
	}
	fmt.Printf("groth16 bn254: %d rounds, %d constraints; loaded in %d ms, proved in %d ms; %s: %d bytes\n",
		public.Rounds, keys.Constraints, loaded.Sub(started).Milliseconds(), proved.Sub(loaded).Milliseconds(), path, size)
	return exitProved, nil
}

// assign orders the values as the circuit declares them: public before secret.
func assign(image, preimage fr.Element) (witness.Witness, error) {
	values := make(chan any, 2)
	values <- image
	values <- preimage
	close(values)
	assignment, err := witness.New(ecc.BN254.ScalarField())
	if err != nil {
		return nil, err
	}
	return assignment, assignment.Fill(1, 1, values)
}

func load(path string, read func(io.Reader) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return read(bufio.NewReaderSize(file, 1<<20))
}

func save(path string, proof *groth16.Proof) (int64, error) {
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	size, err := proof.WriteTo(file)
	if err != nil {
		return 0, err
	}
	return size, file.Close()
}
