package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// System calls with one number on every architecture.
const (
	sysIoUringSetup = 425
	sysOpenTree     = 428
	sysMoveMount    = 429
	sysFsopen       = 430
	sysMountSetattr = 442
)

const (
	afVsock         = 40
	cloneNewUser    = 0x10000000
	patience        = 2 * time.Second
	everythingLimit = 30 * time.Second
)

// errNothing says that an attempt found nothing to break into.
var errNothing = errors.New("there is nothing")

// An attempt at something that the contract forbids; nil is success.
type attempt func() error

// breakOut makes every attempt in a process of its own and says as JSON how each of them failed, or that it did not.
func breakOut() {
	answers := map[string]string{}
	for name := range attempts() {
		answers[name] = inChild(name)
	}
	must(json.NewEncoder(os.Stdout).Encode(answers))
}

func inChild(name string) string {
	ctx, stop := context.WithTimeout(context.Background(), everythingLimit)
	defer stop()
	child := exec.CommandContext(ctx, "/proc/self/exe", "attempt", name)
	said, err := child.CombinedOutput()
	if len(said) > 0 {
		return string(said)
	}
	return fmt.Sprint(err)
}

// tryOne makes one attempt.
func tryOne() {
	err := attempts()[os.Args[2]]()
	if err == nil {
		fmt.Print("SUCCEEDED")
		return
	}
	fmt.Print(err)
}

// attempts are told by the environment what on the host to aim at.
func attempts() map[string]attempt {
	all := map[string]attempt{}
	for _, group := range []map[string]attempt{
		networkAttempts(), fileAttempts(), deviceAttempts(), processAttempts(), privilegeAttempts(), kernelAttempts(),
	} {
		for name, one := range group {
			all[name] = one
		}
	}
	return all
}

func networkAttempts() map[string]attempt {
	dial := func(network, address string) attempt {
		return func() error {
			connection, err := net.DialTimeout(network, address, patience)
			if err == nil {
				_, err = connection.Write([]byte("let me out"))
				connection.Close()
			}
			return err
		}
	}
	open := func(family, kind, protocol int) attempt {
		return func() error {
			_, err := syscall.Socket(family, kind, protocol)
			return err
		}
	}
	return map[string]attempt{
		"IPv4":                         dial("tcp4", "1.1.1.1:53"),
		"IPv4 without a connection":    dial("udp4", "1.1.1.1:53"),
		"IPv6":                         dial("tcp6", "[2606:4700:4700::1111]:53"),
		"the cloud's metadata":         dial("tcp4", "169.254.169.254:80"),
		"the host by loopback":         dial("tcp4", "127.0.0.1:"+os.Getenv("HOST_PORT")),
		"the host by IPv6 loopback":    dial("tcp6", "[::1]:"+os.Getenv("HOST_PORT")),
		"the host's abstract socket":   dial("unix", "@"+os.Getenv("HOST_SOCKET")),
		"the container engine":         dial("unix", "/var/run/docker.sock"),
		"the system bus":               dial("unix", "/run/dbus/system_bus_socket"),
		"a raw socket":                 open(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP),
		"a packet socket":              open(syscall.AF_PACKET, syscall.SOCK_RAW, 0x0300),
		"the host by vsock":            dialVsock,
		"another address for loopback": addAddress,
		"DNS": func() error {
			ctx, stop := context.WithTimeout(context.Background(), patience)
			defer stop()
			_, err := net.DefaultResolver.LookupHost(ctx, "example.org")
			return err
		},
		"DNS by a server of one's own": func() error {
			ctx, stop := context.WithTimeout(context.Background(), patience)
			defer stop()
			resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, "8.8.8.8:53")
			}}
			_, err := resolver.LookupHost(ctx, "example.org")
			return err
		},
	}
}

func dialVsock() error {
	descriptor, err := syscall.Socket(afVsock, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	// struct sockaddr_vm: family, reserved, port, context id (2 is the host), padding.
	address := make([]byte, 16)
	binary.NativeEndian.PutUint16(address, afVsock)
	binary.NativeEndian.PutUint32(address[4:], 22)
	binary.NativeEndian.PutUint32(address[8:], 2)
	return call(syscall.SYS_CONNECT, uintptr(descriptor), bytesAt(address), uintptr(len(address)))
}

// addAddress asks the kernel by netlink for the address 10.0.0.1 on the first interface.
func addAddress() error {
	descriptor, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	message := make([]byte, 40)
	binary.NativeEndian.PutUint32(message, uint32(len(message)))
	binary.NativeEndian.PutUint16(message[4:], syscall.RTM_NEWADDR)
	binary.NativeEndian.PutUint16(message[6:], syscall.NLM_F_REQUEST|syscall.NLM_F_ACK|syscall.NLM_F_CREATE)
	copy(message[16:], []byte{syscall.AF_INET, 24, 0, 0, 1, 0, 0, 0, 8, 0, syscall.IFA_LOCAL, 0, 10, 0, 0, 1})
	kernel := &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}
	if err := syscall.Sendto(descriptor, message[:32], 0, kernel); err != nil {
		return err
	}
	binary.NativeEndian.PutUint32(message, 32)
	if err := syscall.Sendto(descriptor, message[:32], 0, kernel); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	length, _, err := syscall.Recvfrom(descriptor, answer, 0)
	if err != nil || length < 20 {
		return err
	}
	if code := int32(binary.NativeEndian.Uint32(answer[16:])); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}

func fileAttempts() map[string]attempt {
	secret := os.Getenv("HOST_SECRET")
	read := func(path string) attempt {
		return func() error {
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			_, err = file.Read(make([]byte, 1))
			return err
		}
	}
	write := func(path string) attempt {
		return func() error { return os.WriteFile(path, []byte("x"), 0o600) }
	}
	all := map[string]attempt{
		"a file of the host":                    read(secret),
		"a file of the host by /proc/1/root":    read("/proc/1/root" + secret),
		"a file of the host by /proc/self/root": read("/proc/self/root/../.." + secret),
		"a file of the host above the input":    read("/mnt/input/../../../../.." + secret),
		"a file of the host by the input's directory": func() error {
			directory, err := syscall.Open("/mnt/input", syscall.O_DIRECTORY|syscall.O_RDONLY, 0)
			if err != nil {
				return err
			}
			_, err = syscall.Openat(directory, strings.Repeat("../", 40)+secret, syscall.O_RDONLY, 0)
			return err
		},
		"a file of the host by its handle": openByHandle,
		"the folder of another job":        read(filepath.Join(os.Getenv("OTHER_JOB"), "input")),
		"the folders of all jobs":          func() error { return firstEntry(filepath.Dir(os.Getenv("OTHER_JOB"))) },
		"users of the host":                read("/etc/shadow"),
		"a new file in the input":          write("/mnt/input/new"),
		"other contents of the input":      write("/mnt/input/input"),
		"another mode of the input":        func() error { return os.Chmod("/mnt/input/input", 0o777) },
		"a new file in the assets":         write("/mnt/assets/new"),
		"other contents of an asset":       write("/mnt/assets/assets"),
		"a new file in the root":           write("/new"),
		"other contents of the program":    write("/behave"),
		"a hard link to the input":         func() error { return os.Link("/mnt/input/input", "/mnt/output/input") },
		"a hard link to the program":       func() error { return os.Link("/behave", "/mnt/output/behave") },
		"another directory as the output":  func() error { return os.Rename("/mnt/output", "/mnt/elsewhere") },
		"a file of root's in the output": func() error {
			must(os.WriteFile("/mnt/output/mine", nil, 0o600))
			defer os.Remove("/mnt/output/mine")
			return os.Chown("/mnt/output/mine", 0, 0)
		},
		"capabilities on a file": func() error {
			must(os.WriteFile("/tmp/able", nil, 0o700))
			capabilities := make([]byte, 20)
			binary.LittleEndian.PutUint32(capabilities, 0x02000001)
			binary.LittleEndian.PutUint32(capabilities[4:], 1<<21)
			return syscall.Setxattr("/tmp/able", "security.capability", capabilities, 0)
		},
	}
	for _, path := range []string{
		"/sys/kernel/mm/transparent_hugepage/enabled", "/sys/power/state", "/sys/kernel/uevent_helper",
		"/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/cgroup.procs",
	} {
		all["write "+path] = func() error {
			file, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = file.WriteString("0")
			return err
		}
	}
	return all
}

func firstEntry(directory string) error {
	found, err := os.ReadDir(directory)
	if err == nil && len(found) == 0 {
		return errNothing
	}
	return err
}

// openByHandle opens the root of the file system that the input lies on, by the handle that ext4 and xfs give it.
func openByHandle() error {
	directory, err := syscall.Open("/mnt/input", syscall.O_DIRECTORY|syscall.O_RDONLY, 0)
	if err != nil {
		return err
	}
	handle := make([]byte, 16)
	binary.NativeEndian.PutUint32(handle, 8)
	binary.NativeEndian.PutUint32(handle[4:], 1)
	binary.NativeEndian.PutUint32(handle[8:], 2)
	return call(sysOpenByHandleAt, uintptr(directory), bytesAt(handle), syscall.O_RDONLY)
}

func deviceAttempts() map[string]attempt {
	open := func(path string) attempt {
		return func() error {
			_, err := os.OpenFile(path, os.O_RDWR, 0)
			return err
		}
	}
	make := func(path string, mode uint32, device int) attempt {
		return func() error {
			if err := syscall.Mknod(path, mode|0o666, device); err != nil {
				return err
			}
			_, err := os.Open(path)
			return err
		}
	}
	all := map[string]attempt{
		"make the memory's device":       make("/tmp/mem", syscall.S_IFCHR, 1<<8|1),
		"make a disk's device":           make("/tmp/disk", syscall.S_IFBLK, 8<<8),
		"make a device in the output":    make("/mnt/output/mem", syscall.S_IFCHR, 1<<8|1),
		"make a device in shared memory": make("/dev/shm/mem", syscall.S_IFCHR, 1<<8|1),
		"put a character into a terminal": func() error {
			terminal, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
			if err != nil {
				return err
			}
			return call(syscall.SYS_IOCTL, terminal.Fd(), syscall.TIOCSTI, bytesAt([]byte("x")))
		},
	}
	for _, name := range []string{
		"mem", "kmem", "port", "kmsg", "sda", "vda", "nvme0n1", "dm-0", "loop0", "loop-control", "fuse", "kvm", "net/tun",
		"vsock", "vhost-net", "vhost-vsock", "userfaultfd", "nvidia0", "nvidiactl", "nvidia-uvm", "dri/card0", "input/event0",
		"snapshot", "watchdog", "rtc0", "uinput", "hpet", "cpu/0/msr", "mapper/control",
	} {
		all["/dev/"+name] = open("/dev/" + name)
	}
	return all
}

func processAttempts() map[string]attempt {
	host, _ := strconv.Atoi(os.Getenv("HOST_PID"))
	write := func(path, text string) attempt {
		return func() error {
			file, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = file.WriteString(text)
			return err
		}
	}
	return map[string]attempt{
		"a signal to a process of the host": func() error { return syscall.Kill(host, syscall.SIGTERM) },
		"trace a process of the host":       func() error { return syscall.PtraceAttach(host) },
		"write another's memory": func() error {
			return call(sysProcessVMWrite, uintptr(host), 0, 0, 0, 0, 0)
		},
		"trace the container's first process": func() error {
			if os.Getppid() == 1 {
				return errNothing // it is ours
			}
			return syscall.PtraceAttach(1)
		},
		"find a process of the host": func() error { return findProcess(os.Getenv("HOST_MARK")) },
		"memory of the kernel":       readSome("/proc/kcore"),
		"messages of the kernel":     readSome("/proc/kmsg"),
		"the kernel's keys":          readSome("/proc/keys"),
		"a magic request":            write("/proc/sysrq-trigger", "h"),
		"where core dumps go":        write("/proc/sys/kernel/core_pattern", "|/behave"),
		"the host's name by sysctl":  write("/proc/sys/kernel/hostname", "mine"),
		"modprobe's path":            write("/proc/sys/kernel/modprobe", "/behave"),
		"forwarding by sysctl":       write("/proc/sys/net/ipv4/ip_forward", "1"),
		"drop the host's caches":     write("/proc/sys/vm/drop_caches", "3"),
		"binary formats":             write("/proc/sys/fs/binfmt_misc/register", ":x:M::x::/behave:"),
		"interrupts":                 write("/proc/irq/default_smp_affinity", "1"),
		"never be killed for memory": write("/proc/self/oom_score_adj", "-1000"),
		"another user's map":         write("/proc/self/uid_map", "0 0 1"),
		"dump core":                  dumpCore,
	}
}

func readSome(path string) attempt {
	return func() error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		syscall.SetNonblock(int(file.Fd()), true)
		_, err = file.Read(make([]byte, 64))
		return err
	}
}

// findProcess looks for a process whose command line or environment holds the mark, other than ours.
func findProcess(mark string) error {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, folder := range folders {
		command, _ := os.ReadFile(folder + "/cmdline")
		if bytes.Contains(command, []byte(mark)) {
			return nil
		}
	}
	return errNothing
}

// dumpCore crashes in a directory that it may write to.
func dumpCore() error {
	must(os.Chdir("/mnt/output"))
	child := exec.Command("/proc/self/exe", "abort")
	_ = child.Run()
	status := child.ProcessState.Sys().(syscall.WaitStatus)
	cores, _ := filepath.Glob("/mnt/output/*core*")
	if status.CoreDump() || len(cores) > 0 {
		return nil
	}
	return fmt.Errorf("no core of %v", status.Signal())
}

func abort() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: 1 << 30, Max: 1 << 30})
	_ = call(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 1)
	action := make([]byte, 32) // the default one: the Go runtime would catch it
	_ = call(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGABRT), bytesAt(action), 0, 8)
	_ = syscall.Kill(os.Getpid(), syscall.SIGABRT)
	time.Sleep(time.Second)
}

func privilegeAttempts() map[string]attempt {
	return map[string]attempt{
		"become root":           func() error { return syscall.Setuid(0) },
		"become root's group":   func() error { return syscall.Setgid(0) },
		"more groups":           func() error { return syscall.Setgroups([]int{0}) },
		"root by a setuid file": runSetuid,
		"capabilities": func() error {
			header := make([]byte, 8)
			binary.NativeEndian.PutUint32(header, 0x20080522)
			data := bytes.Repeat([]byte{0xff}, 24)
			return call(syscall.SYS_CAPSET, bytesAt(header), bytesAt(data))
		},
		"new privileges again": func() error { return call(syscall.SYS_PRCTL, 38, 0, 0, 0, 0) },
		"a higher limit": func() error {
			return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: 1 << 30, Max: 1 << 30})
		},
		"a better priority": func() error { return syscall.Setpriority(syscall.PRIO_PROCESS, 0, -20) },
		"real-time priority": func() error {
			return call(syscall.SYS_SCHED_SETSCHEDULER, 0, 1, bytesAt([]byte{50, 0, 0, 0}))
		},
	}
}

// runSetuid runs a copy of this program that belongs to root and has the setuid bit.
func runSetuid() error {
	said, err := exec.Command("/setuid", "whoami").Output()
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(said)) == "0" {
		return nil
	}
	return fmt.Errorf("still user %s", strings.TrimSpace(string(said)))
}

func kernelAttempts() map[string]attempt {
	raw := func(number uintptr, arguments ...uintptr) attempt {
		return func() error { return call(number, arguments...) }
	}
	text := func(value string) uintptr { return bytesAt(append([]byte(value), 0)) }
	now := make([]byte, 16)
	binary.NativeEndian.PutUint64(now, 1)
	adjust := make([]byte, 208) // struct timex: modes, then the offset
	binary.NativeEndian.PutUint32(adjust, 0x4000)
	perf := make([]byte, 128)
	binary.NativeEndian.PutUint32(perf[4:], 128)
	return map[string]attempt{
		"a user namespace": raw(syscall.SYS_UNSHARE, cloneNewUser),
		"a user namespace for a child": func() error {
			_, err := syscall.ForkExec("/proc/self/exe", []string{"behave", "nothing"}, &syscall.ProcAttr{
				Sys: &syscall.SysProcAttr{Cloneflags: cloneNewUser},
			})
			return err
		},
		"a mount namespace":         raw(syscall.SYS_UNSHARE, syscall.CLONE_NEWNS),
		"a network namespace":       raw(syscall.SYS_UNSHARE, syscall.CLONE_NEWNET),
		"the first namespace":       joinNamespace,
		"mount a file system":       func() error { return syscall.Mount("none", "/tmp", "tmpfs", 0, "") },
		"mount control groups":      func() error { return syscall.Mount("none", "/tmp", "cgroup", 0, "memory") },
		"mount control groups 2":    func() error { return syscall.Mount("none", "/tmp", "cgroup2", 0, "") },
		"mount the processes":       func() error { return syscall.Mount("proc", "/tmp", "proc", 0, "") },
		"bind the input":            func() error { return syscall.Mount("/mnt/input", "/tmp", "", syscall.MS_BIND, "") },
		"write to the root":         func() error { return syscall.Mount("", "/", "", syscall.MS_REMOUNT|syscall.MS_BIND, "") },
		"write to the input":        func() error { return syscall.Mount("", "/mnt/input", "", syscall.MS_REMOUNT|syscall.MS_BIND, "") },
		"unmount the input":         func() error { return syscall.Unmount("/mnt/input", syscall.MNT_DETACH) },
		"unmount the output":        func() error { return syscall.Unmount("/mnt/output", syscall.MNT_DETACH) },
		"another root":              func() error { return syscall.PivotRoot("/tmp", "/tmp") },
		"change the root":           func() error { return syscall.Chroot("/tmp") },
		"clone a tree of mounts":    raw(sysOpenTree, ^uintptr(99), text("/"), 1),
		"move a mount":              raw(sysMoveMount, ^uintptr(99), text("/mnt/input"), ^uintptr(99), text("/tmp"), 0),
		"open a file system":        raw(sysFsopen, text("tmpfs"), 0),
		"attributes of a mount":     raw(sysMountSetattr, ^uintptr(99), text("/"), 0, bytesAt(make([]byte, 32)), 32),
		"asynchronous calls":        raw(sysIoUringSetup, 8, bytesAt(make([]byte, 120))),
		"a program in the kernel":   raw(sysBpf, 5, bytesAt(make([]byte, 128)), 128),
		"performance events":        raw(syscall.SYS_PERF_EVENT_OPEN, bytesAt(perf), 0, ^uintptr(0), ^uintptr(0), 0),
		"page faults of the kernel": raw(sysUserfaultfd, 0),
		"a key":                     raw(syscall.SYS_ADD_KEY, text("user"), text("mine"), text("x"), 1, ^uintptr(2)),
		"a session of keys":         raw(syscall.SYS_KEYCTL, 1, 0),
		"a kernel module":           raw(syscall.SYS_INIT_MODULE, text("x"), 1, text("")),
		"a kernel module's file":    raw(sysFinitModule, 0, text(""), 0),
		"another kernel":            raw(syscall.SYS_KEXEC_LOAD, 0, 0, 0, 0),
		"another kernel's file":     raw(sysKexecFileLoad, 0, 0, 0, 0, 0),
		"restart the machine":       raw(syscall.SYS_REBOOT, 0xfee1dead, 672274793, 0x89abcdef),
		"swap to a file":            raw(syscall.SYS_SWAPON, text("/tmp/x"), 0),
		"account for processes":     raw(syscall.SYS_ACCT, text("/tmp/x")),
		"quotas":                    raw(syscall.SYS_QUOTACTL, 0x80000200, text("/"), 0, 0),
		"the kernel's log":          raw(syscall.SYS_SYSLOG, 3, bytesAt(make([]byte, 64)), 64),
		"another name of the host":  func() error { return syscall.Sethostname([]byte("mine")) },
		"another domain":            func() error { return syscall.Setdomainname([]byte("mine")) },
		"set the time of day":       raw(syscall.SYS_SETTIMEOFDAY, bytesAt(now), 0),
		"set the clock":             raw(syscall.SYS_CLOCK_SETTIME, 0, bytesAt(now)),
		"adjust the clock":          raw(syscall.SYS_ADJTIMEX, bytesAt(adjust)),
	}
}

func joinNamespace() error {
	// Of the container's first process; it fails before anything is known of that one's namespaces.
	descriptor, err := syscall.Open("/proc/1/ns/net", syscall.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return call(sysSetns, uintptr(descriptor), syscall.CLONE_NEWNET)
}

func call(number uintptr, arguments ...uintptr) error {
	var a [6]uintptr
	copy(a[:], arguments)
	if _, _, code := syscall.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); code != 0 {
		return code
	}
	return nil
}

// kept holds what system calls point at, which the garbage collector doesn't see.
var kept [][]byte

func bytesAt(data []byte) uintptr {
	kept = append(kept, data)
	return uintptr(unsafe.Pointer(&data[0]))
}

// surroundings says where the program may write, which devices it has and which files were open when it began.
func surroundings() {
	var writable, devices, open []string
	links, _ := os.ReadDir("/proc/self/fd")
	for _, link := range links {
		target, err := os.Readlink("/proc/self/fd/" + link.Name())
		if err == nil && !strings.HasPrefix(target, "anon_inode:") {
			open = append(open, link.Name()+" "+target)
		}
	}
	_ = filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir
		case path == "/proc" || path == "/sys":
			return fs.SkipDir
		case entry.IsDir():
			probe := filepath.Join(path, "probe")
			if os.WriteFile(probe, nil, 0o600) == nil {
				os.Remove(probe)
				writable = append(writable, path)
			}
		case entry.Type()&fs.ModeDevice != 0:
			devices = append(devices, path)
		}
		return nil
	})
	sort.Strings(writable)
	facts := map[string]any{
		"writable": writable, "devices": devices, "open": open, "shared_memory": writeUntilFull("/dev/shm/full"),
		"clock": time.Now().Unix(),
	}
	must(json.NewEncoder(os.Stdout).Encode(facts))
}

// killAll sends a signal to every process that there is for it.
func killAll() {
	fmt.Println(syscall.Kill(-1, syscall.SIGKILL))
}

// watchClock is a verifier whose verdict is whether the time is even: nothing can keep a program from knowing it.
func watchClock() {
	if time.Now().Unix() < 1<<30 {
		fail("there is no clock")
	}
}

// longNames leaves files whose names no text holds, and one that a careless copy would write elsewhere.
func oddNames() {
	for _, name := range []string{"\xff\xfe", "new\nline", "back\\slash", "\x1b[2J", "-rf", "..."} {
		must(os.WriteFile("/mnt/output/"+name, []byte("x"), 0o600))
	}
}

// linksOut leaves links to a file of the host that it is told of, or to one that every host has.
func linksOut() {
	secret := cmp.Or(os.Getenv("HOST_SECRET"), "/etc/passwd")
	must(os.Symlink(secret, "/mnt/output/absolute"))
	must(os.Symlink(strings.Repeat("../", 40)+secret, "/mnt/output/relative"))
	must(os.Symlink("/proc/self/root"+secret, "/mnt/output/root"))
	must(os.Symlink(filepath.Dir(secret), "/mnt/output/folder"))
}

// fillEverything writes wherever it can until nothing more goes in.
func fillEverything() {
	sizes := map[string]int{}
	for _, path := range []string{"/tmp", "/dev/shm", "/mnt/output"} {
		sizes[path] = writeUntilFull(path + "/full")
	}
	must(json.NewEncoder(os.Stdout).Encode(sizes))
}

// waitForSign says that it has begun, waits for a file to appear in its input, and says that it has ended.
func waitForSign() {
	fmt.Println("begun")
	for {
		if _, err := os.Stat("/mnt/input/go"); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("ended")
	prove()
}

// printMuch writes the mebibytes that it is told.
func printMuch() {
	mebibytes, err := strconv.Atoi(os.Args[2])
	must(err)
	block := bytes.Repeat([]byte("x"), mebibyte)
	for range mebibytes {
		os.Stdout.Write(block)
	}
}
