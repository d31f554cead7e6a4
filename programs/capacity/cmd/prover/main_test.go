package main

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"proofmill/programs/capacity/challenge"
	"proofmill/programs/capacity/work"
)

const claim = `{"beacon":"00000000000000000000000000000000000000000000000000000000000000ab",` +
	`"prover":"mill1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq","cpu_millis":1000,"memory_bytes":268435456,"gpus":0}`

func size(pads int) func(challenge.Challenge) work.Size {
	return func(challenge.Challenge) work.Size {
		return work.Size{Lanes: 1, Segments: 2048, Rounds: 1, Pads: pads, Checks: 8}
	}
}

func input(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, challenge.File), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestProve(t *testing.T) {
	output := t.TempDir()
	if code, err := prove(input(t, claim), output, nil, size(2)); code != exitProved {
		t.Fatalf("exit code %d: %v", code, err)
	}
	proof, err := os.ReadFile(filepath.Join(output, "proof.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := work.Verify(sha256.Sum256([]byte(claim)), size(2)(challenge.Challenge{}), proof); err != nil {
		t.Error(err)
	}
}

func TestProveFails(t *testing.T) {
	const moreThanAnyAddressSpace = 1 << 40
	for name, test := range map[string]struct {
		code          int
		input, output string
		pads          int
	}{
		"no challenge":        {exitChallenge, t.TempDir(), t.TempDir(), 2},
		"malformed challenge": {exitChallenge, input(t, claim+"\n"), t.TempDir(), 2},
		"no memory":           {exitProving, input(t, claim), t.TempDir(), moreThanAnyAddressSpace},
		"no output":           {exitOutput, input(t, claim), filepath.Join(t.TempDir(), "absent"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			if code, err := prove(test.input, test.output, nil, size(test.pads)); code != test.code {
				t.Errorf("exit code %d (%v), want %d", code, err, test.code)
			}
		})
	}
}
