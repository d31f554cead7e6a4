// Package verifyingtest holds the tests that the verifier of every proof system must pass.
package verifyingtest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	"github.com/consensys/gnark/backend/witness"
	"github.com/consensys/gnark/frontend"

	"proofmill/programs/groth16/mimcchain"
	"proofmill/programs/groth16/statement"
	"proofmill/programs/groth16/verifying"
)

// Rounds is the size of the circuit for which the tests want keys.
const Rounds = 1

// Made is a verifying key for Rounds rounds, and how to prove with its proving key.
type Made struct {
	Key   io.WriterTo
	Prove func(witness.Witness) (io.WriterTo, error)
}

// Run tests the verifier that newSystem makes. `malformed` has, by name, changes
// of a proof that keep its length and that the system must refuse.
func Run(t *testing.T, newSystem func() verifying.System, made Made, malformed map[string]func(proof []byte)) {
	preimage := fr.NewElement(7)
	image := mimcchain.Image(preimage, Rounds)
	assignment, err := frontend.NewWitness(&mimcchain.Circuit{Image: image, Preimage: preimage}, ecc.BN254.ScalarField())
	must(t, err)
	encoded, err := made.Prove(assignment)
	must(t, err)
	proof, key := encode(t, encoded), encode(t, made.Key)
	size := newSystem().ProofBytes

	keys := directory(t, statement.VerifyingKeyFile, key)
	must(t, os.WriteFile(filepath.Join(keys, statement.KeysFile), []byte(`{"rounds": 1}`), 0o600))
	input := inputs(t, image)
	expect := func(t *testing.T, want int, keys, input, proof string) {
		t.Helper()
		if got, err := verifying.Run(newSystem(), keys, input, proof); got != want {
			t.Errorf("exit code %d (%v), want %d", got, err, want)
		}
	}
	invalid := func(t *testing.T, proof []byte) {
		t.Helper()
		expect(t, verifying.ExitInvalid, keys, input, directory(t, statement.ProofFile, proof))
	}

	t.Run("valid", func(t *testing.T) {
		expect(t, verifying.ExitValid, keys, input, directory(t, statement.ProofFile, proof))
	})
	t.Run("empty", func(t *testing.T) { invalid(t, nil) })
	t.Run("truncated", func(t *testing.T) { invalid(t, proof[:size-1]) })
	t.Run("extended", func(t *testing.T) { invalid(t, append(bytes.Clone(proof), 0)) })
	t.Run("zeros", func(t *testing.T) { invalid(t, make([]byte, size)) })
	t.Run("garbage", func(t *testing.T) { invalid(t, Garbage(size)) })
	for name, change := range malformed {
		t.Run(name, func(t *testing.T) {
			changed := bytes.Clone(proof)
			change(changed)
			invalid(t, changed)
		})
	}
	t.Run("any byte changed", func(t *testing.T) {
		for index := range proof {
			changed := bytes.Clone(proof)
			changed[index] ^= 0x01
			invalid(t, changed)
		}
	})

	t.Run("no proof.bin", func(t *testing.T) { expect(t, verifying.ExitInvalid, keys, input, t.TempDir()) })
	t.Run("proof.bin is a directory", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, statement.ProofFile), 0o700))
		expect(t, verifying.ExitInvalid, keys, input, dir)
	})
	t.Run("proof.bin is a link to the statement", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.Symlink(filepath.Join(input, statement.PublicFile), filepath.Join(dir, statement.ProofFile)))
		expect(t, verifying.ExitInvalid, keys, input, dir)
	})

	whole := directory(t, statement.ProofFile, proof)
	t.Run("nothing mounted", func(t *testing.T) {
		expect(t, verifying.ExitProofMount, keys, input, filepath.Join(t.TempDir(), "absent"))
	})
	t.Run("no keys", func(t *testing.T) { expect(t, verifying.ExitKeysUnreadable, t.TempDir(), input, whole) })
	t.Run("no statement", func(t *testing.T) { expect(t, verifying.ExitPublicInput, keys, t.TempDir(), whole) })
	t.Run("another statement", func(t *testing.T) {
		expect(t, verifying.ExitInvalid, keys, inputs(t, fr.NewElement(8)), whole)
	})
}

// Garbage is `size` bytes that look random, the same each time.
func Garbage(size int) []byte {
	garbage := make([]byte, 0, size)
	for len(garbage) < size {
		sum := sha256.Sum256(garbage)
		garbage = append(garbage, sum[:]...)
	}
	return garbage[:size]
}

func inputs(t *testing.T, image fr.Element) string {
	t.Helper()
	digits := image.Text(16)
	digits = string(bytes.Repeat([]byte("0"), 2*fr.Bytes-len(digits))) + digits
	return directory(t, statement.PublicFile, []byte(`{"rounds": 1, "image": "0x`+digits+`"}`))
}

func directory(t *testing.T, name string, content []byte) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	return dir
}

func encode(t *testing.T, value io.WriterTo) []byte {
	t.Helper()
	var encoded bytes.Buffer
	_, err := value.WriteTo(&encoded)
	must(t, err)
	return encoded.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
