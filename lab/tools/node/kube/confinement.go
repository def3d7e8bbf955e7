package kube

import (
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// confinement is what a container's process may not do.
type confinement struct {
	dropped    []uintptr
	noNewPrivs bool
	credential *syscall.Credential
}

// capabilities by their number.
var capabilities = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
	NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
	SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
	MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

// defaultCapabilities are what a container has when its pod sets none.
var defaultCapabilities = strings.Fields(`CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP
	NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE`)

// confine computes the confinement that the pod requests.
func confine(c *containerRun) confinement {
	own, shared := c.spec.SecurityContext, c.run.snapshot().Spec.SecurityContext
	if own == nil {
		own = &securityContext{}
	}

	if shared == nil {
		shared = &securityContext{}
	}

	result := confinement{noNewPrivs: own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation}
	credential := syscall.Credential{}

	for _, settings := range []*securityContext{shared, own} {
		if settings.RunAsUser != nil {
			credential.Uid = uint32(*settings.RunAsUser)
		}

		if settings.RunAsGroup != nil {
			credential.Gid = uint32(*settings.RunAsGroup)
		}
	}

	if shared.FSGroup != nil {
		credential.Groups = append(credential.Groups, uint32(*shared.FSGroup))
	}

	result.credential = &credential

	if c.image.isPrivileged || own.Privileged != nil && *own.Privileged {
		return result
	}

	kept := slices.Clone(defaultCapabilities)

	if own.Capabilities != nil {
		for _, name := range own.Capabilities.Drop {
			kept = slices.DeleteFunc(kept, func(k string) bool { return name == "ALL" || k == strings.TrimPrefix(name, "CAP_") })
		}

		for _, name := range own.Capabilities.Add {
			kept = append(kept, strings.TrimPrefix(name, "CAP_"))
		}
	}

	for number, name := range capabilities {
		if !slices.Contains(kept, name) && !slices.Contains(kept, "ALL") {
			result.dropped = append(result.dropped, uintptr(number))
		}
	}

	return result
}

// start starts a command from a thread that has given up what the command may not have: what is given up stays so for
// all that the thread starts. The thread ends afterwards.
func (c confinement) start(cmd *exec.Cmd) error {
	result := make(chan error)

	go func() {
		runtime.LockOSThread()

		for _, number := range c.dropped {
			// A kernel that does not know a capability can't grant it either.
			unix.Prctl(unix.PR_CAPBSET_DROP, number, 0, 0, 0) //nolint:errcheck // the kernel may lack it
		}

		if c.noNewPrivs {
			unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) //nolint:errcheck // the kernel may lack it
		}

		result <- cmd.Start()
	}()

	return <-result
}
