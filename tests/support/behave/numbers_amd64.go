package main

// System calls that the standard library doesn't number.
const (
	sysSetns          = 308
	sysProcessVMWrite = 311
	sysFinitModule    = 313
	sysKexecFileLoad  = 320
	sysBpf            = 321
	sysUserfaultfd    = 323
	sysNameToHandleAt = 303
	sysOpenByHandleAt = 304
)
