package main

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"proofmill/programs/capacity/challenge"
	"proofmill/programs/capacity/work"
)

// worker is the command of a GPU worker in the tests' environment: that of a built
// image, with a driver that has devices or seems to.
func worker(t *testing.T) []string {
	t.Helper()
	command := strings.Fields(os.Getenv("CAPACITY_GPU_WORKER"))
	if len(command) == 0 {
		t.Skip("not run: CAPACITY_GPU_WORKER names no worker; tests/e2e/test_capacity_gpu.py starts this test with one")
	}
	return command
}

// gpuSize has several GPUs with several chunks, not all of which are opened.
func gpuSize(gpus int) func(challenge.Challenge) work.Size {
	return func(challenge.Challenge) work.Size {
		return work.Size{
			Lanes: 1, Segments: 2048, Rounds: 1, Pads: 1,
			GPUs: gpus, GPULeaves: 5 * work.ChunkLeaves, GPURounds: 7, Checks: 12, DrawHashes: 2,
		}
	}
}

func TestAWorkersProofIsTheOneOfTheCPU(t *testing.T) {
	command, output := worker(t), t.TempDir()
	gpus, err := strconv.Atoi(os.Getenv("CAPACITY_GPUS"))
	if err != nil {
		t.Fatal("CAPACITY_GPUS must be the number of GPUs to use")
	}
	size := gpuSize(gpus)(challenge.Challenge{})
	if code, err := prove(input(t, claim), output, command, gpuSize(gpus)); code != exitProved {
		t.Fatalf("exit code %d: %v", code, err)
	}
	proof, err := os.ReadFile(filepath.Join(output, "proof.bin"))
	if err != nil {
		t.Fatal(err)
	}
	seed := sha256.Sum256([]byte(claim))
	if err := work.Verify(seed, size, proof); err != nil {
		t.Error(err)
	}
	if expected, _, err := work.Prove(seed, size, nil, func(string) {}); err != nil || !bytes.Equal(proof, expected) {
		t.Errorf("not the proof of the CPU (%v)", err)
	}
}

// The settings are those of tests/support/cpu_gpu/driver.cpp.
func TestAWorkerThatCannotWorkSaysWhy(t *testing.T) {
	command := worker(t)
	if os.Getenv("EMULATED_GPUS") == "" {
		t.Skip("not run: only a driver that emulates devices can be without them")
	}
	for name, test := range map[string]struct {
		setting, value string
		code           int
		reason         string
	}{
		"no device":           {"EMULATED_GPUS", "0", exitTooFew, "GPUs are claimed and this container has none"},
		"fewer than claimed":  {"EMULATED_GPUS", "1", exitTooFew, "2 GPUs are claimed and this container has 1"},
		"an old driver":       {"EMULATED_CUDA", "12040", exitNoDriver, "the NVIDIA driver knows CUDA 12.4 at most"},
		"an old device":       {"EMULATED_CAPABILITY", "61", exitTooOld, "GPU 0 (the processor) has compute capability 6.1"},
		"lost at its share":   {"EMULATED_LOST_AFTER", "0", exitFailed, "(the processor) failed in the middle of its work"},
		"lost at the opening": {"EMULATED_LOST_AFTER", "2", exitFailed, "GPU 0 (the processor) failed in the middle of its work"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(test.setting, test.value)
			code, err := prove(input(t, claim), t.TempDir(), command, gpuSize(2))
			if code != test.code || err == nil || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("exit code %d, want %d: %v", code, test.code, err)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one sentence: %v", err)
			}
		})
	}
}

func TestAWorkerThatEndsUnexpectedly(t *testing.T) {
	for name, test := range map[string]struct {
		command []string
		reason  string
	}{
		"not there":        {[]string{"/nowhere/python3"}, "the GPU worker can't be started"},
		"killed":           {[]string{"/bin/sh", "-c", "kill -9 $$"}, "the GPU worker ended before its work was done (signal: killed"},
		"ends too early":   {[]string{"/bin/true"}, "the GPU worker ended before its work was done"},
		"says why":         {[]string{"/bin/sh", "-c", "echo first >&2; echo why >&2; exit 1"}, "no proof could be made: why"},
		"an unknown code":  {[]string{"/bin/sh", "-c", "echo why >&2; exit 99"}, "no proof could be made: why"},
		"too few hashes":   {[]string{"/bin/sh", "-c", "head -c 100 /dev/zero"}, "the GPU worker ended before its work was done"},
		"no leaves at all": {[]string{"/bin/sh", "-c", "head -c 320 /dev/zero"}, "the GPU worker ended before its work was done"},
	} {
		t.Run(name, func(t *testing.T) {
			code, err := prove(input(t, claim), t.TempDir(), test.command, gpuSize(2))
			if code != exitWorker || err == nil || !strings.Contains(err.Error(), test.reason) || strings.Contains(err.Error(), "\n") {
				t.Errorf("exit code %d: %v", code, err)
			}
		})
	}
}
