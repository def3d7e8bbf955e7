package nfs

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// options are mount options, grouped by what reads them.
type options struct {
	// flags are for every file system, data for the NFS client.
	flags uintptr
	data  []string
	// version is the requested NFS version; empty: the newest one that the server supports.
	version string
	port    int
}

var flagNames = map[string]struct {
	flag  uintptr
	clear bool
}{
	"ro": {unix.MS_RDONLY, false}, "rw": {unix.MS_RDONLY, true},
	"nosuid": {unix.MS_NOSUID, false}, "suid": {unix.MS_NOSUID, true},
	"nodev": {unix.MS_NODEV, false}, "dev": {unix.MS_NODEV, true},
	"noexec": {unix.MS_NOEXEC, false}, "exec": {unix.MS_NOEXEC, true},
	"sync": {unix.MS_SYNCHRONOUS, false}, "async": {unix.MS_SYNCHRONOUS, true},
	"noatime": {unix.MS_NOATIME, false}, "atime": {unix.MS_NOATIME, true},
	"nodiratime": {unix.MS_NODIRATIME, false}, "diratime": {unix.MS_NODIRATIME, true},
	"relatime": {unix.MS_RELATIME, false}, "norelatime": {unix.MS_RELATIME, true},
	"strictatime": {unix.MS_STRICTATIME, false},
}

// ignored options are for mount.nfs and mount themselves, not for the kernel.
var ignored = map[string]bool{"retry": true, "bg": true, "fg": true, "defaults": true, "auto": true, "noauto": true, "_netdev": true, "user": true, "nouser": true}

func parseOptions(given []string) (options, error) {
	o := options{port: 2049}

	for _, option := range strings.Split(strings.Join(given, ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(option), "=")

		switch {
		case name == "" || ignored[name]:
		case name == "nfsvers" || name == "vers":
			o.version = value
		case name == "minorversion":
			o.version = "4." + value
		case name == "port":
			port, err := strconv.Atoi(value)
			if err != nil {
				return o, fmt.Errorf("mount.nfs: an incorrect mount option was specified: %s", option)
			}

			o.port = port
			o.data = append(o.data, option)
		default:
			if f, ok := flagNames[name]; ok && value == "" {
				if o.flags &^= f.flag; !f.clear {
					o.flags |= f.flag
				}
			} else {
				o.data = append(o.data, strings.TrimSpace(option))
			}
		}
	}

	return o, nil
}

// attempts are the option strings for the kernel's client, one for each version to try.
func (o options) attempts(address, local string) []string {
	versions := []string{o.version}
	if o.version == "" {
		versions = []string{"4.2", "4.1", "4.0", "3"}
	}

	all := make([]string, 0, len(versions))

	for _, version := range versions {
		parts := append([]string{"vers=" + version}, o.data...)
		if strings.HasPrefix(version, "4") {
			parts = append(parts, "clientaddr="+local)
		} else {
			parts = append(parts, "mountaddr="+address)
		}

		all = append(all, strings.Join(append(parts, "addr="+address), ","))
	}

	return all
}
