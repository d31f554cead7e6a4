// Package demokeys is the key generator's command but for the proof system.
//
// Both systems need secret randomness that must be destroyed. Here it comes from
// a sentence that the README prints, so that everybody builds the same bytes;
// whoever knows the sentence can forge proofs.
package demokeys

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/consensys/gnark/logger"

	"proofmill/programs/groth16/statement"
)

// Made is a circuit with its keys.
type Made struct {
	Constraints int
	Circuit     func(io.Writer) error
	Proving     func(io.Writer) error
	Verifying   func(io.Writer) error
}

// Main makes the keys for `-rounds N` from the public sentence `seed` and writes them to `-out DIR`.
func Main(seed string, make func(rounds int) (Made, error)) {
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
	made, err := make(*rounds)
	if err != nil {
		log.Fatal(err)
	}
	if err := write(statement.Keys{Rounds: *rounds, Constraints: made.Constraints, Seed: seed}, made, *out); err != nil {
		log.Fatal(err)
	}
	log.Printf("%d rounds, %d constraints, DEMO keys in %s", *rounds, made.Constraints, *out)
}

func write(keys statement.Keys, made Made, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	description, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return err
	}
	writers := map[string]func(io.Writer) error{
		statement.CircuitFile:      made.Circuit,
		statement.ProvingKeyFile:   made.Proving,
		statement.VerifyingKeyFile: made.Verifying,
		statement.KeysFile:         func(w io.Writer) error { _, err := w.Write(append(description, '\n')); return err },
	}
	for name, write := range writers {
		if err := save(filepath.Join(out, name), write); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
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
