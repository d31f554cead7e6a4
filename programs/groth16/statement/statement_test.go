package statement

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	one     = "0x0000000000000000000000000000000000000000000000000000000000000001"
	modulus = "0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001"
	largest = "0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000000"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLoadPublic(t *testing.T) {
	for _, image := range []string{one, largest} {
		public, err := LoadPublic(write(t, PublicFile, `{"rounds": 50, "image": "`+image+`"}`), Keys{Rounds: 50})
		if err != nil {
			t.Fatal(err)
		}
		if public.Rounds != 50 || "0x"+strings.Repeat("0", 64-len(public.Image.Text(16)))+public.Image.Text(16) != image {
			t.Errorf("read %+v from image %s", public, image)
		}
	}
}

func TestLoadPublicRefuses(t *testing.T) {
	cases := map[string]struct{ content, problem string }{
		"nothing":           {``, "not a JSON object"},
		"no JSON":           {`rounds`, "not a JSON object"},
		"a list":            {`[]`, "not a JSON object"},
		"no image":          {`{"rounds": 50}`, `both "rounds" and "image"`},
		"no rounds":         {`{"image": "` + one + `"}`, `both "rounds" and "image"`},
		"null":              {`null`, `both "rounds" and "image"`},
		"unknown key":       {`{"rounds": 50, "image": "` + one + `", "x": 1}`, "not a JSON object"},
		"rounds as text":    {`{"rounds": "50", "image": "` + one + `"}`, "not a JSON object"},
		"rounds as float":   {`{"rounds": 50.5, "image": "` + one + `"}`, "not a JSON object"},
		"other rounds":      {`{"rounds": 51, "image": "` + one + `"}`, "built for 50"},
		"no prefix":         {`{"rounds": 50, "image": "` + one[2:] + `"}`, "must be 0x and 64"},
		"short image":       {`{"rounds": 50, "image": "0x01"}`, "must be 0x and 64"},
		"upper case":        {`{"rounds": 50, "image": "` + strings.Replace(largest, "e", "E", 1) + `"}`, "must be 0x and 64"},
		"no hexadecimal":    {`{"rounds": 50, "image": "` + strings.Replace(one, "1", "g", 1) + `"}`, "must be 0x and 64"},
		"image not reduced": {`{"rounds": 50, "image": "` + modulus + `"}`, "below the order"},
		"a second object":   {`{"rounds": 50, "image": "` + one + `"} {}`, "something after"},
		"too large":         {strings.Repeat(" ", maxFileBytes) + `{"rounds": 50, "image": "` + one + `"}`, "larger than"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := LoadPublic(write(t, PublicFile, test.content), Keys{Rounds: 50})
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("want an error with %q, got %v", test.problem, err)
			}
		})
	}
}

func TestLoadWitnessNeverRepeatsTheSecret(t *testing.T) {
	secret := "0x5ec2e7"
	for _, content := range []string{`{"preimage": "` + secret + `"}`, `{"preimage": 5` + secret + `}`, `{"` + secret + `": 1}`} {
		_, err := LoadWitness(write(t, WitnessFile, content))
		if err == nil || strings.Contains(err.Error(), "5ec2e7") {
			t.Errorf("%s gave the error %v", content, err)
		}
	}
}

func TestLoadWitnessMissing(t *testing.T) {
	if _, err := LoadWitness(t.TempDir()); err == nil || !strings.Contains(err.Error(), WitnessFile) {
		t.Errorf("want an error that names %s, got %v", WitnessFile, err)
	}
}

func TestLoadKeysRefusesNoRounds(t *testing.T) {
	if _, err := LoadKeys(write(t, KeysFile, `{"rounds": 0}`)); err == nil {
		t.Error("keys for no rounds were accepted")
	}
}
