// Package proving is the prover's command but for the proof system: it reads the
// inputs, checks them, and writes the proof.
package proving

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	"github.com/consensys/gnark/backend/witness"
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

// Prove makes a proof of the circuit from its full witness.
type Prove func(witness.Witness) (io.WriterTo, error)

// System is a proof system: its name, and how to load circuit and proving key from a directory.
type System struct {
	Name string
	Load func(keyDir string) (Prove, error)
}

// Main proves the statement in /mnt/input/public.json with the secret in
// /mnt/input/witness.json, writes /mnt/output/proof.bin, and exits.
func Main(system System) {
	logger.Disable()
	code, err := run(system, "/keys", "/mnt/input", "/mnt/output")
	if err != nil {
		fmt.Fprintln(os.Stderr, "prover:", err)
	}
	os.Exit(code)
}

func run(system System, keyDir, inputDir, outputDir string) (int, error) {
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
	prove, err := system.Load(keyDir)
	if err != nil {
		return exitKeysUnreadable, err
	}
	loaded := time.Now()

	assignment, err := assign(public.Image, preimage)
	if err != nil {
		return exitProving, err
	}
	proof, err := prove(assignment)
	if err != nil {
		return exitProving, fmt.Errorf("no proof could be made: %w", err)
	}
	proved := time.Now()

	path := filepath.Join(outputDir, statement.ProofFile)
	size, err := save(path, proof)
	if err != nil {
		return exitOutput, fmt.Errorf("the proof can't be written: %w", err)
	}
	fmt.Printf("%s: %d rounds, %d constraints; loaded in %d ms, proved in %d ms; %s: %d bytes\n", system.Name,
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

// Read has `read` decode the file `name` in keyDir; its errors say what the file is for.
func Read(keyDir, name, what string, read func(io.Reader) error) error {
	file, err := os.Open(filepath.Join(keyDir, name))
	if err == nil {
		defer file.Close()
		err = read(bufio.NewReaderSize(file, 1<<20))
	}
	if err != nil {
		return fmt.Errorf("the image's %s can't be read: %w", what, err)
	}
	return nil
}

func save(path string, proof io.WriterTo) (int64, error) {
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
