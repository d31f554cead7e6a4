// behave is a container program that does, on request, each of the things that a runner must confine.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const mebibyte = 1 << 20

func main() {
	mode := "ok"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	modes := map[string]func(){
		"ok":           prove,
		"exit":         func() { n, _ := strconv.Atoi(os.Args[2]); os.Exit(n) },
		"nothing":      func() {},
		"inspect":      inspect,
		"fill":         fill,
		"many-files":   manyFiles,
		"sparse":       func() { must(os.WriteFile("/mnt/output/a", nil, 0o600)); must(os.Truncate("/mnt/output/a", 1<<40)) },
		"odd-output":   oddOutput,
		"children":     children,
		"bomb":         bomb,
		"memory":       memory,
		"sleep":        forever,
		"mute":         func() { os.Stdout.Close(); os.Stderr.Close(); forever() },
		"print":        print10MB,
		"escape":       escape,
		"burn":         burn,
		"slow":         slow,
		"verify":       verify,
		"whoami":       func() { fmt.Println(os.Geteuid()) },
		"break-out":    breakOut,
		"attempt":      tryOne,
		"abort":        abort,
		"surroundings": surroundings,
		"kill-all":     killAll,
		"clock":        watchClock,
		"odd-names":    oddNames,
		"links-out":    linksOut,
		"fill-all":     fillEverything,
		"wait":         waitForSign,
		"print-much":   printMuch,
		"devices":      devices,
	}
	run, known := modes[mode]
	if !known {
		fail("unknown mode " + mode)
	}
	run()
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(9)
}

func must(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func prove() {
	must(os.WriteFile("/mnt/output/proof", []byte("proof of "+os.Getenv("MILL_TASK_ID")), 0o600))
}

// slow takes the seconds that it is told.
func slow() {
	seconds, err := strconv.Atoi(os.Args[2])
	must(err)
	time.Sleep(time.Duration(seconds) * time.Second)
	prove()
}

func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

func inspect() {
	facts := map[string]any{
		"uid": os.Getuid(), "gid": os.Getgid(), "env": os.Environ(), "args": os.Args,
	}
	groups, _ := os.Getgroups()
	facts["groups"] = groups
	facts["cwd"], _ = os.Getwd()
	facts["hostname"], _ = os.Hostname()
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		name, value, _ := strings.Cut(line, ":")
		if strings.HasPrefix(name, "Cap") || name == "NoNewPrivs" || name == "Seccomp" {
			facts[name] = strings.TrimSpace(value)
		}
	}
	names, _ := filepath.Glob("/mnt/*/*")
	files := map[string]string{}
	for _, name := range names {
		content, _ := os.ReadFile(name)
		files[name] = string(content)
	}
	facts["files"] = files
	facts["tmp_bytes"] = writeUntilFull("/tmp/full")
	interfaces, _ := net.Interfaces()
	var devices []string
	for _, device := range interfaces {
		devices = append(devices, device.Name)
	}
	facts["interfaces"] = devices
	must(json.NewEncoder(os.Stdout).Encode(facts))
}

func writeUntilFull(path string) int {
	file, err := os.Create(path)
	if err != nil {
		return -1
	}
	defer file.Close()
	total := 0
	for block := make([]byte, 64<<10); total < 1<<30; {
		n, err := file.Write(block)
		total += n
		if err != nil {
			break
		}
	}
	return total
}

func fill() {
	if writeUntilFull("/mnt/output/big") < 1<<30 {
		fail("the output is full")
	}
}

func manyFiles() {
	for i := range 100_000 {
		must(os.WriteFile(fmt.Sprintf("/mnt/output/%d", i), nil, 0o600))
	}
}

func oddOutput() {
	must(os.WriteFile("/mnt/output/file", []byte("x"), 0o000))
	must(os.Symlink("/etc/passwd", "/mnt/output/link"))
	must(os.Link("/mnt/output/file", "/mnt/output/twin"))
	must(syscall.Mkfifo("/mnt/output/fifo", 0o600))
	must(os.MkdirAll("/mnt/output/locked/inner", 0o700))
	must(os.WriteFile("/mnt/output/locked/inner/deep", []byte("y"), 0o600))
	must(os.Chmod("/mnt/output/locked", 0))
}

// start runs this program in another mode; it fails when the limit on processes is reached.
func start(mode string) error {
	_, err := syscall.ForkExec("/proc/self/exe", []string{"behave", mode}, &syscall.ProcAttr{
		Env: append(os.Environ(), "GOMAXPROCS=1"), Files: []uintptr{0, 1, 2},
	})
	return err
}

// children leaves processes behind that hold its output open, and says how many it could start.
func children() {
	count := 0
	for ; count < 2000; count++ {
		if start("sleep") != nil {
			break
		}
	}
	fmt.Println(count)
}

func bomb() {
	for {
		_ = start("bomb")
	}
}

func memory() {
	var kept [][]byte
	for {
		block := make([]byte, 8*mebibyte)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		kept = append(kept, block)
		runtime.KeepAlive(kept)
	}
}

func print10MB() {
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for range 10 << 10 {
		os.Stdout.Write(line)
		os.Stderr.Write(line)
	}
}

// escape tries what the contract forbids, and names what it could do.
func escape() {
	attempts := map[string]func() error{}
	for _, path := range []string{
		"/new", "/etc/new", "/mnt/new", "/mnt/input/new", "/mnt/assets/new", "/proc/sys/kernel/core_pattern",
		"/proc/sysrq-trigger", "/dev/new",
	} {
		attempts["write "+path] = func() error { return os.WriteFile(path, []byte("x"), 0o600) }
	}
	for _, address := range []string{"1.1.1.1:53", "169.254.169.254:80", "127.0.0.1:22", "10.0.0.1:80"} {
		attempts["dial "+address] = func() error {
			_, err := net.DialTimeout("tcp", address, time.Second)
			return err
		}
	}
	attempts["become root"] = func() error { return syscall.Setuid(0) }
	attempts["mount"] = func() error { return syscall.Mount("none", "/tmp", "tmpfs", 0, "") }
	attempts["remount root"] = func() error { return syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND, "") }
	attempts["make a user namespace"] = func() error {
		_, err := syscall.ForkExec("/proc/self/exe", []string{"behave", "nothing"}, &syscall.ProcAttr{
			Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER},
		})
		return err
	}
	attempts["make a device"] = func() error { return syscall.Mknod("/tmp/null", syscall.S_IFCHR|0o666, 1<<8|3) }
	attempts["trace init"] = func() error {
		if os.Getpid() == 1 {
			return syscall.EPERM
		}
		return os.WriteFile("/proc/1/mem", []byte("x"), 0o600)
	}
	attempts["raw socket"] = func() error {
		_, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, 1)
		return err
	}
	for name, attempt := range attempts {
		if attempt() == nil {
			fmt.Println(name)
		}
	}
}

func burn() {
	for range 8 {
		go func() {
			for {
			}
		}()
	}
	time.Sleep(1500 * time.Millisecond)
}

// verify accepts a proof that equals the public input.
func verify() {
	want, err := os.ReadFile("/mnt/input/public")
	must(err)
	got, err := os.ReadFile("/mnt/proof/proof")
	must(err)
	if string(want) != string(got) {
		os.Exit(1)
	}
}

// devices says which NVIDIA devices there are, waits until it is told to go on, and what the linker would search.
func devices() {
	found, _ := filepath.Glob("/dev/nvidia*")
	libraries, _ := filepath.Glob(os.Getenv("LD_LIBRARY_PATH") + "/*")
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{"devices": found, "libraries": libraries}))
	if len(os.Args) > 2 {
		forever()
	}
}
