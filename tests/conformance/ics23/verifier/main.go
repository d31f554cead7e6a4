// Command verifier checks Proofmill's state proofs with the public ICS-23 library.
//
// Its argument is the published ProofSpec as JSON. It reads one JSON object a line from standard input, all bytes in
// hexadecimal: {"root": …, "key": …, "value": …, "proof": …}, where a null value claims that the key is absent. For
// each it prints "ok" or "failed". It exits with 1 at input that it can't read.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"github.com/cosmos/gogoproto/jsonpb"
	ics23 "github.com/cosmos/ics23/go"
)

type claim struct {
	Root  string  `json:"root"`
	Key   string  `json:"key"`
	Value *string `json:"value"`
	Proof string  `json:"proof"`
}

func readSpec(path string) (*ics23.ProofSpec, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	spec := new(ics23.ProofSpec)
	if err := jsonpb.Unmarshal(file, spec); err != nil {
		return nil, fmt.Errorf("%s is no ProofSpec: %w", path, err)
	}
	return spec, nil
}

func unhex(texts ...string) ([][]byte, error) {
	all := make([][]byte, len(texts))
	for i, text := range texts {
		decoded, err := hex.DecodeString(text)
		if err != nil {
			return nil, err
		}
		all[i] = decoded
	}
	return all, nil
}

func holds(spec *ics23.ProofSpec, line []byte) (valid bool, err error) {
	var c claim
	if err := json.Unmarshal(line, &c); err != nil {
		return false, err
	}
	fields, err := unhex(c.Root, c.Key, c.Proof)
	if err != nil {
		return false, err
	}
	root, key := fields[0], fields[1]
	proof := new(ics23.CommitmentProof)
	if proof.Unmarshal(fields[2]) != nil {
		return false, nil
	}
	// The library panics at some proofs whose neighbours have no common node; that is a refusal too.
	defer func() {
		if recover() != nil {
			valid, err = false, nil
		}
	}()
	if c.Value == nil {
		return ics23.VerifyNonMembership(spec, root, proof, key), nil
	}
	value, err := hex.DecodeString(*c.Value)
	if err != nil {
		return false, err
	}
	return ics23.VerifyMembership(spec, root, proof, key, value), nil
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: verifier PROOF_SPEC.json < claims")
	}
	spec, err := readSpec(os.Args[1])
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		valid, err := holds(spec, lines.Bytes())
		if err != nil {
			return err
		}
		if valid {
			fmt.Println("ok")
		} else {
			fmt.Println("failed")
		}
	}
	return lines.Err()
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "verifier:", err)
		os.Exit(1)
	}
}
