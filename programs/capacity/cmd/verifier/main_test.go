package main

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"proofmill/programs/capacity/challenge"
	"proofmill/programs/capacity/work"
)

const claim = `{"beacon":"00000000000000000000000000000000000000000000000000000000000000ab",` +
	`"prover":"mill1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq","cpu_millis":1000,"memory_bytes":268435456,"gpus":0}`

func small(challenge.Challenge) work.Size {
	return work.Size{Lanes: 1, Segments: 2048, Rounds: 1, Pads: 2, Checks: 8}
}

func directory(t *testing.T, name string, content []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestVerify(t *testing.T) {
	input := directory(t, challenge.File, []byte(claim))
	proof, _, err := work.Prove(sha256.Sum256([]byte(claim)), small(challenge.Challenge{}), nil, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(proof)
	changed[len(changed)/2] ^= 1
	otherInput := directory(t, challenge.File, bytes.Replace([]byte(claim), []byte("ab"), []byte("ac"), 1))
	folder, link := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "proof.bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(input, challenge.File), filepath.Join(link, "proof.bin")); err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct {
		code         int
		input, proof string
	}{
		"valid":               {exitValid, input, directory(t, "proof.bin", proof)},
		"empty":               {exitInvalid, input, directory(t, "proof.bin", nil)},
		"truncated":           {exitInvalid, input, directory(t, "proof.bin", proof[:len(proof)-1])},
		"extended":            {exitInvalid, input, directory(t, "proof.bin", append(bytes.Clone(proof), 0))},
		"changed":             {exitInvalid, input, directory(t, "proof.bin", changed)},
		"too large":           {exitInvalid, input, directory(t, "proof.bin", append(bytes.Clone(proof), make([]byte, work.MaxProofBytes)...))},
		"no proof.bin":        {exitInvalid, input, t.TempDir()},
		"a directory":         {exitInvalid, input, folder},
		"a link":              {exitInvalid, input, link},
		"another challenge":   {exitInvalid, otherInput, directory(t, "proof.bin", proof)},
		"no challenge":        {exitChallenge, t.TempDir(), directory(t, "proof.bin", proof)},
		"malformed challenge": {exitChallenge, directory(t, challenge.File, []byte(claim+"\n")), directory(t, "proof.bin", proof)},
		"nothing mounted":     {exitProofMount, input, filepath.Join(t.TempDir(), "absent")},
	} {
		t.Run(name, func(t *testing.T) {
			if code, err := verify(test.input, test.proof, small); code != test.code {
				t.Errorf("exit code %d (%v), want %d", code, err, test.code)
			}
		})
	}
}
