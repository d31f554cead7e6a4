// Package statement reads what the requester states (public.json), what only
// the prover may know (witness.json), and the size that a pair of keys was made
// for (keys.json). It knows no circuit, so that the verifier stays small.
package statement

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

// File names in the input directory and in the key directory.
const (
	PublicFile  = "public.json"
	WitnessFile = "witness.json"
	ProofFile   = "proof.bin"

	KeysFile         = "keys.json"
	CircuitFile      = "circuit.bin"
	ProvingKeyFile   = "demo_proving.key"
	VerifyingKeyFile = "demo_verifying.key"
)

// maxFileBytes bounds what is read: every file here is a few hundred bytes.
const maxFileBytes = 4096

// Public is the statement: Rounds times MiMC leads to Image.
type Public struct {
	Rounds int
	Image  fr.Element
}

// Keys says which circuit the keys in a directory belong to.
type Keys struct {
	Rounds      int    `json:"rounds"`
	Constraints int    `json:"constraints"`
	Seed        string `json:"demo_seed"`
}

// LoadPublic reads public.json from dir and insists on the round count that the
// keys were made for.
func LoadPublic(dir string, keys Keys) (Public, error) {
	var raw struct {
		Rounds *int    `json:"rounds"`
		Image  *string `json:"image"`
	}
	path := filepath.Join(dir, PublicFile)
	if err := loadJSON(path, &raw); err != nil {
		return Public{}, err
	}
	if raw.Rounds == nil || raw.Image == nil {
		return Public{}, fmt.Errorf(`%s must have both "rounds" and "image"`, path)
	}
	if *raw.Rounds != keys.Rounds {
		return Public{}, fmt.Errorf("%s asks for %d rounds, but this program was built for %d: deploy one built with --set rounds=%d",
			path, *raw.Rounds, keys.Rounds, *raw.Rounds)
	}
	image, err := parseElement(*raw.Image)
	if err != nil {
		return Public{}, fmt.Errorf("%s: image %w", path, err)
	}
	return Public{Rounds: *raw.Rounds, Image: image}, nil
}

// LoadWitness reads the secret preimage from witness.json in dir. Its errors
// never repeat the value: the log of a container is published.
func LoadWitness(dir string) (fr.Element, error) {
	var raw struct {
		Preimage *string `json:"preimage"`
	}
	path := filepath.Join(dir, WitnessFile)
	if err := loadJSON(path, &raw); err != nil {
		return fr.Element{}, err
	}
	if raw.Preimage == nil {
		return fr.Element{}, fmt.Errorf(`%s must have "preimage"`, path)
	}
	preimage, err := parseElement(*raw.Preimage)
	if err != nil {
		return fr.Element{}, fmt.Errorf("%s: preimage %w", path, err)
	}
	return preimage, nil
}

// LoadKeys reads keys.json from dir.
func LoadKeys(dir string) (Keys, error) {
	var keys Keys
	path := filepath.Join(dir, KeysFile)
	if err := loadJSON(path, &keys); err != nil {
		return Keys{}, err
	}
	if keys.Rounds < 1 {
		return Keys{}, fmt.Errorf("%s: rounds must be at least 1, not %d", path, keys.Rounds)
	}
	return keys, nil
}

// parseElement accepts one spelling of each element: 0x, 64 lower-case
// hexadecimal digits, big-endian, below the modulus.
func parseElement(text string) (fr.Element, error) {
	digits, found := strings.CutPrefix(text, "0x")
	if !found || len(digits) != 2*fr.Bytes || strings.ToLower(digits) != digits {
		return fr.Element{}, fmt.Errorf("must be 0x and %d lower-case hexadecimal digits", 2*fr.Bytes)
	}
	value, err := hex.DecodeString(digits)
	if err != nil {
		return fr.Element{}, fmt.Errorf("must be 0x and %d lower-case hexadecimal digits", 2*fr.Bytes)
	}
	var element fr.Element
	if err := element.SetBytesCanonical(value); err != nil {
		return fr.Element{}, fmt.Errorf("must be below the order of BN254's scalar field")
	}
	return element, nil
}

// loadJSON decodes exactly one JSON object without unknown fields. Decoder
// errors quote offending values, so they are replaced by a plain sentence.
func loadJSON(path string, into any) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return err
	}
	if len(data) > maxFileBytes {
		return fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%s is not a JSON object of the documented form", path)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("%s has something after its JSON object", path)
	}
	return nil
}
