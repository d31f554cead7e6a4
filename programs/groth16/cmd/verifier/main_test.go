package main

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	groth16 "github.com/consensys/gnark/backend/groth16/bn254"
	"github.com/consensys/gnark/constraint"
	cs "github.com/consensys/gnark/constraint/bn254"
	"github.com/consensys/gnark/frontend"
	"github.com/consensys/gnark/frontend/cs/r1cs"

	"proofmill/programs/groth16/mimcchain"
	"proofmill/programs/groth16/statement"
)

// fixture is a one-round circuit with fresh keys, a statement and its proof.
type fixture struct {
	keys, input string
	proof       []byte
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	compiled, err := frontend.Compile(ecc.BN254.ScalarField(), r1cs.NewBuilder[constraint.U64], &mimcchain.Circuit{Rounds: 1})
	must(err)
	circuit := compiled.(*cs.R1CS)
	var provingKey groth16.ProvingKey
	var verifyingKey groth16.VerifyingKey
	must(groth16.Setup(circuit, &provingKey, &verifyingKey))
	preimage := fr.NewElement(7)
	image := mimcchain.Image(preimage, 1)
	assignment, err := frontend.NewWitness(&mimcchain.Circuit{Image: image, Preimage: preimage}, ecc.BN254.ScalarField())
	must(err)
	proof, err := groth16.Prove(circuit, &provingKey, assignment)
	must(err)

	var encodedProof, encodedKey bytes.Buffer
	_, err = proof.WriteTo(&encodedProof)
	must(err)
	_, err = verifyingKey.WriteTo(&encodedKey)
	must(err)
	keys, input := t.TempDir(), t.TempDir()
	must(os.WriteFile(filepath.Join(keys, statement.VerifyingKeyFile), encodedKey.Bytes(), 0o600))
	must(os.WriteFile(filepath.Join(keys, statement.KeysFile), []byte(`{"rounds": 1}`), 0o600))
	public := `{"rounds": 1, "image": "0x` + hexOf(image) + `"}`
	must(os.WriteFile(filepath.Join(input, statement.PublicFile), []byte(public), 0o600))
	return fixture{keys, input, encodedProof.Bytes()}
}

func hexOf(element fr.Element) string {
	text := element.Text(16)
	return string(bytes.Repeat([]byte("0"), 64-len(text))) + text
}

func proofDir(t *testing.T, proof []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, statement.ProofFile), proof, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func expect(t *testing.T, want int, keys, input, proof string) {
	t.Helper()
	if got, err := verify(keys, input, proof); got != want {
		t.Errorf("exit code %d (%v), want %d", got, err, want)
	}
}

func TestVerify(t *testing.T) {
	f := newFixture(t)

	t.Run("valid", func(t *testing.T) { expect(t, exitValid, f.keys, f.input, proofDir(t, f.proof)) })

	t.Run("whatever is wrong with the proof is the prover's fault", func(t *testing.T) {
		garbage := make([]byte, 0, proofBytes)
		for len(garbage) < proofBytes {
			sum := sha256.Sum256(garbage)
			garbage = append(garbage, sum[:]...)
		}
		commitments := bytes.Clone(f.proof)
		copy(commitments[commitmentsOffset:], []byte{0xff, 0xff, 0xff, 0xff})
		garbageWithoutCommitments := bytes.Clone(garbage[:proofBytes])
		copy(garbageWithoutCommitments[commitmentsOffset:], f.proof[commitmentsOffset:])
		for name, proof := range map[string][]byte{
			"empty":                       {},
			"truncated":                   f.proof[:proofBytes-1],
			"extended":                    append(bytes.Clone(f.proof), 0),
			"zeros":                       make([]byte, proofBytes),
			"garbage":                     garbage[:proofBytes],
			"garbage without commitments": garbageWithoutCommitments,
			"commitments":                 commitments,
		} {
			t.Run(name, func(t *testing.T) { expect(t, exitInvalid, f.keys, f.input, proofDir(t, proof)) })
		}
		for index := range f.proof {
			changed := bytes.Clone(f.proof)
			changed[index] ^= 0x01
			if code, err := verify(f.keys, f.input, proofDir(t, changed)); code != exitInvalid {
				t.Errorf("byte %d changed: exit code %d (%v), want %d", index, code, err, exitInvalid)
			}
		}
	})

	t.Run("no proof.bin", func(t *testing.T) { expect(t, exitInvalid, f.keys, f.input, t.TempDir()) })
	t.Run("proof.bin is a directory", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, statement.ProofFile), 0o700); err != nil {
			t.Fatal(err)
		}
		expect(t, exitInvalid, f.keys, f.input, dir)
	})
	t.Run("proof.bin is a link to the statement", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink(filepath.Join(f.input, statement.PublicFile), filepath.Join(dir, statement.ProofFile)); err != nil {
			t.Fatal(err)
		}
		expect(t, exitInvalid, f.keys, f.input, dir)
	})

	t.Run("nothing mounted", func(t *testing.T) {
		expect(t, exitProofMount, f.keys, f.input, filepath.Join(t.TempDir(), "absent"))
	})
	t.Run("no keys", func(t *testing.T) { expect(t, exitKeysUnreadable, t.TempDir(), f.input, proofDir(t, f.proof)) })
	t.Run("no statement", func(t *testing.T) { expect(t, exitPublicInput, f.keys, t.TempDir(), proofDir(t, f.proof)) })
	t.Run("another statement", func(t *testing.T) {
		input := t.TempDir()
		public := `{"rounds": 1, "image": "0x` + hexOf(fr.NewElement(8)) + `"}`
		if err := os.WriteFile(filepath.Join(input, statement.PublicFile), []byte(public), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, exitInvalid, f.keys, input, proofDir(t, f.proof))
	})
}
