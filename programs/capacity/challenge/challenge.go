// Package challenge reads challenge.json: what the chain asks one prover node to
// show, and the seed that follows from it.
package challenge

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// File is the input's name below /mnt/input.
const File = "challenge.json"

// What can be claimed.
const (
	MinCPUMillis   = 100
	MaxCPUMillis   = 1024 * 1000
	MinMemoryBytes = 128 << 20
	MaxMemoryBytes = 4 << 40
	MaxGPUs        = 16
)

// maxFileBytes bounds what is read: a challenge has fewer than 300 bytes.
const maxFileBytes = 1024

var (
	beaconForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// The alphabet of bech32. The checksum is the chain's business.
	proverForm = regexp.MustCompile(`^mill1[02-9ac-hj-np-z]{6,85}$`)
)

// Challenge is a prover's claim, tied to a block by its beacon.
type Challenge struct {
	Beacon      string `json:"beacon"`
	Prover      string `json:"prover"`
	CPUMillis   int64  `json:"cpu_millis"`
	MemoryBytes int64  `json:"memory_bytes"`
	GPUs        int64  `json:"gpus"`
}

// Load reads the challenge in dir, and its seed: the sha256 of the file.
func Load(dir string) (Challenge, [sha256.Size]byte, error) {
	path := filepath.Join(dir, File)
	file, err := os.Open(path)
	if err != nil {
		return Challenge{}, [sha256.Size]byte{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return Challenge{}, [sha256.Size]byte{}, err
	}
	parsed, err := Parse(data)
	if err != nil {
		return Challenge{}, [sha256.Size]byte{}, fmt.Errorf("%s: %w", path, err)
	}
	return parsed, sha256.Sum256(data), nil
}

// Parse accepts one spelling of each challenge: these five keys in this order,
// nothing between or around them.
func Parse(data []byte) (Challenge, error) {
	if len(data) > maxFileBytes {
		return Challenge{}, fmt.Errorf("it is larger than %d bytes", maxFileBytes)
	}
	var c Challenge
	spelled, err := []byte(nil), json.Unmarshal(data, &c)
	if err == nil {
		spelled, err = json.Marshal(c)
	}
	if err != nil || !bytes.Equal(spelled, data) {
		return Challenge{}, errors.New(`it must be exactly {"beacon":"…","prover":"mill1…","cpu_millis":…,"memory_bytes":…,"gpus":…}, ` +
			"without spaces or a line's end")
	}
	switch {
	case !beaconForm.MatchString(c.Beacon):
		return Challenge{}, errors.New("beacon must be 64 lower-case hexadecimal digits")
	case !proverForm.MatchString(c.Prover):
		return Challenge{}, errors.New("prover must be an address that starts with mill1")
	case c.CPUMillis < MinCPUMillis || c.CPUMillis > MaxCPUMillis:
		return Challenge{}, fmt.Errorf("cpu_millis must be %d to %d, not %d", MinCPUMillis, MaxCPUMillis, c.CPUMillis)
	case c.MemoryBytes < MinMemoryBytes || c.MemoryBytes > MaxMemoryBytes:
		return Challenge{}, fmt.Errorf("memory_bytes must be %d to %d, not %d", MinMemoryBytes, MaxMemoryBytes, c.MemoryBytes)
	case c.GPUs < 0 || c.GPUs > MaxGPUs:
		return Challenge{}, fmt.Errorf("gpus must be 0 to %d, not %d", MaxGPUs, c.GPUs)
	}
	return c, nil
}
