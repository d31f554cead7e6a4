package challenge

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const valid = `{"beacon":"00000000000000000000000000000000000000000000000000000000000000ab",` +
	`"prover":"mill1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq","cpu_millis":4000,"memory_bytes":8589934592,"gpus":0}`

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, File), []byte(valid), 0o600); err != nil {
		t.Fatal(err)
	}
	c, seed, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Challenge{Beacon: strings.Repeat("0", 62) + "ab", Prover: "mill1" + strings.Repeat("q", 39), CPUMillis: 4000, MemoryBytes: 8 << 30}
	if c != want || seed != sha256.Sum256([]byte(valid)) {
		t.Errorf("read %+v with seed %x", c, seed)
	}
}

func TestLoadMissing(t *testing.T) {
	if _, _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), File) {
		t.Errorf("want an error that names %s, got %v", File, err)
	}
}

func TestParseBounds(t *testing.T) {
	for _, change := range [][2]string{
		{`:4000`, `:100`}, {`:4000`, `:1024000`},
		{`:8589934592`, `:134217728`}, {`:8589934592`, `:4398046511104`},
		{`"gpus":0`, `"gpus":16`},
	} {
		if _, err := Parse([]byte(strings.Replace(valid, change[0], change[1], 1))); err != nil {
			t.Errorf("%s: %v", change[1], err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const form = "must be exactly"
	cases := map[string]struct{ old, new, problem string }{
		"nothing":          {valid, ``, form},
		"null":             {valid, `null`, form},
		"a list":           {valid, `[]`, form},
		"cut off":          {`"gpus":0}`, `"gpus":0`, form},
		"a space":          {`"gpus":0`, `"gpus": 0`, form},
		"a line's end":     {`"gpus":0}`, "\"gpus\":0}\n", form},
		"a second object":  {`"gpus":0}`, `"gpus":0}{}`, form},
		"unknown key":      {`"gpus":0`, `"gpus":0,"x":1`, form},
		"missing key":      {`,"gpus":0`, ``, form},
		"repeated key":     {`"gpus":0`, `"gpus":0,"gpus":0`, form},
		"other order":      {`"cpu_millis":4000,"memory_bytes":8589934592`, `"memory_bytes":8589934592,"cpu_millis":4000`, form},
		"other case":       {`"gpus"`, `"GPUs"`, form},
		"escaped":          {`"mill1q`, `"mill1\u0071`, form},
		"a float":          {`:4000`, `:4000.0`, form},
		"an exponent":      {`:4000`, `:4e3`, form},
		"text":             {`:4000`, `:"4000"`, form},
		"beyond 64 bits":   {`:4000`, `:18446744073709551616`, form},
		"short beacon":     {`ab"`, `a"`, "beacon"},
		"upper-case":       {`ab"`, `AB"`, "beacon"},
		"other prefix":     {`mill1`, `cosmos1`, "prover"},
		"no bech32":        {`mill1q`, `mill1b`, "prover"},
		"no prover":        {`mill1` + strings.Repeat("q", 39), ``, "prover"},
		"few cores":        {`:4000`, `:99`, "cpu_millis must be 100 to 1024000, not 99"},
		"many cores":       {`:4000`, `:1024001`, "cpu_millis"},
		"negative cores":   {`:4000`, `:-4000`, "cpu_millis"},
		"little memory":    {`:8589934592`, `:134217727`, "memory_bytes"},
		"much memory":      {`:8589934592`, `:4398046511105`, "memory_bytes"},
		"many GPUs":        {`"gpus":0`, `"gpus":17`, "gpus"},
		"negative GPUs":    {`"gpus":0`, `"gpus":-1`, "gpus"},
		"negative nothing": {`"gpus":0`, `"gpus":-0`, form},
		"too large":        {valid, valid + strings.Repeat(" ", maxFileBytes), "larger"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(strings.Replace(valid, test.old, test.new, 1)))
			if err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("want an error with %q, got %v", test.problem, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(valid))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := Parse(data); err == nil && (c.CPUMillis < MinCPUMillis || c.MemoryBytes < MinMemoryBytes) {
			t.Errorf("%q was accepted as %+v", data, c)
		}
	})
}
