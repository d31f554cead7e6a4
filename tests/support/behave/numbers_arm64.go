package main

// System calls that the standard library doesn't number.
const (
	sysSetns          = 268
	sysProcessVMWrite = 271
	sysFinitModule    = 273
	sysKexecFileLoad  = 294
	sysBpf            = 280
	sysUserfaultfd    = 282
	sysNameToHandleAt = 264
	sysOpenByHandleAt = 265
)
