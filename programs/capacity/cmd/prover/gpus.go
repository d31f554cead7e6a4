package main

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"proofmill/programs/capacity/work"
)

// The GPU worker of images that have one: ../../gpu/worker.py.
const (
	workerPython = "/usr/bin/python3.11"
	workerScript = "/gpu/worker.py"
)

// Container toolkits put the driver's libraries into one of these; a read-only
// root can't be given a linker's cache that knows where.
const driverDirectories = "/usr/lib/x86_64-linux-gnu:/usr/lib64:/usr/local/nvidia/lib64:/usr/lib"

// workerCommand is what starts this image's GPU worker, and empty if it has none.
func workerCommand() []string {
	if _, err := os.Stat(workerScript); err != nil {
		return nil
	}
	// Nothing from the environment, no user's packages, no writing of bytecode.
	return []string{workerPython, "-I", "-S", "-B", workerScript}
}

// gpuError is a reason of the worker's, with the exit code that stands for it.
type gpuError struct {
	code   int
	reason string
}

func (e *gpuError) Error() string { return e.reason }

// gpuWorker is a running worker, which speaks over its stdin and stdout.
type gpuWorker struct {
	process *exec.Cmd
	input   io.WriteCloser
	output  io.Reader
	chunks  int
	said    chan string // once: its last line, when it has ended
}

// startWorker starts `command` for the GPUs' share of `size`. What it says is
// passed on, but for its last line if it fails: that is the reason.
func startWorker(command []string, seed work.Seed, size work.Size) (*gpuWorker, error) {
	start := work.GPUSeed(seed)
	arguments := append(slices.Clone(command[1:]),
		strconv.Itoa(size.GPUs), strconv.Itoa(size.GPULeaves), strconv.Itoa(size.GPURounds), hex.EncodeToString(start[:]))
	process := exec.Command(command[0], arguments...)
	process.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.TrimPrefix(os.Getenv("LD_LIBRARY_PATH")+":"+driverDirectories, ":"))
	input, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	lines, err := process.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, &gpuError{exitWorker, fmt.Sprintf("the GPU worker can't be started: %v", err)}
	}
	worker := &gpuWorker{process, input, bufio.NewReader(output), size.GPUs * size.GPULeaves / work.ChunkLeaves, make(chan string, 1)}
	go worker.listen(lines)
	return worker, nil
}

func (w *gpuWorker) listen(lines io.Reader) {
	last := ""
	for scanner := bufio.NewScanner(lines); scanner.Scan(); {
		if last != "" {
			say("%s", last)
		}
		last = scanner.Text()
	}
	w.said <- last
}

// Roots implements work.Accelerator.
func (w *gpuWorker) Roots() ([][sha256.Size]byte, error) { return w.hashes(w.chunks) }

// Leaves implements work.Accelerator, and ends the worker.
func (w *gpuWorker) Leaves(chunks []uint64) ([][sha256.Size]byte, error) {
	request := binary.LittleEndian.AppendUint32(nil, uint32(len(chunks)))
	for _, chunk := range chunks {
		request = binary.LittleEndian.AppendUint64(request, chunk)
	}
	// A worker that is gone can't be written to; reading says why.
	_, _ = w.input.Write(request)
	leaves, err := w.hashes(len(chunks) * work.ChunkLeaves)
	if err != nil {
		return nil, err
	}
	if last, err := w.end(); err != nil {
		return nil, w.reason(last, err)
	} else if last != "" {
		say("%s", last)
	}
	return leaves, nil
}

// hashes reads some from the worker.
func (w *gpuWorker) hashes(count int) ([][sha256.Size]byte, error) {
	hashes := make([][sha256.Size]byte, count)
	for i := range hashes {
		if _, err := io.ReadFull(w.output, hashes[i][:]); err != nil {
			last, ended := w.end()
			return nil, w.reason(last, cmp.Or(ended, err))
		}
	}
	return hashes, nil
}

// end waits for the worker and returns its last line.
func (w *gpuWorker) end() (string, error) {
	_ = w.input.Close()
	last := <-w.said
	return last, w.process.Wait()
}

// reason is what a failed worker's last line and exit code come to.
func (w *gpuWorker) reason(last string, err error) error {
	switch code := w.process.ProcessState.ExitCode(); {
	case code >= exitNoDriver && code < exitWorker && last != "":
		return &gpuError{code, last}
	case last != "":
		return &gpuError{exitWorker, last}
	default:
		return &gpuError{exitWorker, fmt.Sprintf("the GPU worker ended before its work was done (%v)", err)}
	}
}
