package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"talosmith.dev/lab/tools/node/boot"
	"talosmith.dev/lab/tools/node/images"
	"talosmith.dev/lab/tools/node/machine"
	"talosmith.dev/lab/tools/node/machineconfig"
	"talosmith.dev/lab/tools/node/network"
	"talosmith.dev/lab/tools/node/nocloud"
	"talosmith.dev/lab/tools/node/power"
)

// guest runs as process 1.
func guest(ctx context.Context) error {
	if err := boot.Mount(); err != nil {
		return err
	}

	kernelLog, err := boot.KernelLog()
	if err == nil {
		log.SetOutput(kernelLog)
	}

	boot.Reap()
	debug.SetGCPercent(300)                                // there is enough memory, and a collection is expensive in an emulated machine
	_ = os.Setenv("PATH", "/sbin:/bin:/usr/sbin:/usr/bin") // never fails

	image, err := images.ReadInfo("/etc/lab-image.json")
	if err != nil {
		return err
	}

	log.Printf("Talos (lab) %s, schematic %s", image.Version, image.Schematic)
	loadModules()

	if err := boot.SetClock(); err != nil {
		log.Printf("clock: %v", err)
	}

	go boot.KeepClock(ctx)

	if err := network.Up("lo", 0); err != nil {
		log.Printf("lo: %v", err)
	}

	paths := machine.Paths{State: "/system/state", Var: "/var", Run: "/system/run/machined", Secrets: "/system/secrets"}

	m, err := machine.New(ctx, machine.Options{
		Host: &machine.Guest{Paths: paths}, Paths: paths, Image: image, Args: boot.ReadKernelArgs(), BootID: boot.ID(),
	})
	if err != nil {
		return err
	}

	log.SetOutput(io.MultiWriter(kernelLog, m.Store.Writer("machined")))
	power.OnButton(func() {
		log.Print("shutdown via ACPI received")
		m.Shutdown("")
	})

	userData := applySeed(ctx, m)
	if _, err := nocloud.MachineConfig(userData); errors.Is(err, nocloud.ErrEmptyConfig) {
		m.Hold()
	}

	go offerConfig(ctx, m, userData)

	return m.Run(ctx)
}

func loadModules() {
	modules, err := boot.OpenModules()
	if err != nil {
		log.Printf("kernel modules: %v", err)

		return
	}

	for _, name := range boot.Wanted {
		if err := modules.Load(name); err != nil {
			log.Printf("%v", err)
		}
	}

	for range 100 { // disks appear asynchronously
		if names, _ := filepath.Glob("/sys/block/[vs]d*"); len(names) > 0 { // the pattern is good
			return
		}

		time.Sleep(100 * time.Millisecond)
	}
}

// applySeed reads the seed volume and sets up the network by it; it returns user-data, nil when there is none.
func applySeed(ctx context.Context, m *machine.Machine) []byte {
	files, err := readSeed()
	if err != nil {
		log.Printf("seed: %v", err)
	}

	if files["network-config"] == nil {
		// As in Talos: without network-config the name in meta-data is lost too.
		upAll()
		m.SetPlatform(nocloud.Metadata{}, nil)

		return files["user-data"]
	}

	n, err := applyNetwork(files["network-config"])
	if err != nil {
		log.Printf("network-config: %v", err)
		upAll()
		m.SetPlatform(nocloud.Metadata{}, nil)

		return files["user-data"]
	}

	m.SetPlatform(nocloud.ParseMetadata(m.Version(), files["meta-data"], files["user-data"]), n.Nameservers)

	if len(n.Unmatched) > 0 {
		go retryNetwork(ctx, m, files)
	}

	return files["user-data"]
}

func applyNetwork(doc []byte) (nocloud.Network, error) {
	links, err := network.Physical()
	if err != nil {
		return nocloud.Network{}, err
	}

	n, err := nocloud.ParseNetwork(doc, links)
	if err != nil {
		return n, err
	}

	for _, mac := range n.Unmatched {
		log.Printf("nocloud: no link with matching MAC address %q (available %v), defaulted to the entry's name instead", mac, links)
	}

	for _, name := range append(n.DHCP4, n.DHCP6...) {
		log.Printf("nocloud: %s asks for DHCP, which the lab node does not speak", name)
	}

	for _, name := range n.Logical {
		log.Printf("nocloud: %s is a bond or a VLAN, which the lab node does not make", name)
	}

	if err := network.Apply(n); err != nil {
		log.Printf("network: %v", err)
	}

	return n, nil
}

// retryNetwork looks again for links that had not appeared, at growing intervals.
func retryNetwork(ctx context.Context, m *machine.Machine, files map[string][]byte) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}

		n, err := applyNetwork(files["network-config"])
		if err != nil {
			return
		}

		m.SetPlatform(nocloud.ParseMetadata(m.Version(), files["meta-data"], files["user-data"]), n.Nameservers)

		if len(n.Unmatched) == 0 {
			return
		}
	}
}

func upAll() {
	links, _ := network.Physical() // none then
	for _, l := range links {
		if err := network.Up(l.Name, 0); err != nil {
			log.Printf("%v", err)
		}
	}
}

// offerConfig hands over the seed's machine config, unless the machine has one; an empty one is retried forever, as in Talos.
func offerConfig(ctx context.Context, m *machine.Machine, userData []byte) {
	data, err := nocloud.MachineConfig(userData)

	for errors.Is(err, nocloud.ErrEmptyConfig) {
		log.Printf("failed to load machine config from platform nocloud: %v", err)

		select {
		case <-ctx.Done():
			return
		case <-time.After(30 * time.Second):
		}
	}

	if err != nil || m.Config() != nil {
		return
	}

	cfg, _, err := machineconfig.Load(ctx, m.State, data)
	if err == nil {
		err = errors.Join(m.Persist(cfg), m.Activate(cfg))
	}

	if err != nil {
		log.Printf("machine config of user-data: %v", err)
	}
}

// readSeed mounts the volume that is labelled as a seed, and reads its files; a file that is absent is nil.
func readSeed() (map[string][]byte, error) {
	files := map[string][]byte{}

	for range 20 {
		devices, _ := filepath.Glob("/sys/block/*") // the pattern is good
		for _, d := range devices {
			device := "/dev/" + filepath.Base(d)
			if !isSeed(device) {
				continue
			}

			return files, readVolume(device, files)
		}

		time.Sleep(250 * time.Millisecond)
	}

	return files, errors.New("no volume labelled cidata")
}

func isSeed(device string) bool {
	f, err := os.Open(device)
	if err != nil {
		return false
	}

	defer f.Close() // read only

	return nocloud.IsSeedLabel(nocloud.ISOLabel(f))
}

func readVolume(device string, files map[string][]byte) error {
	const target = "/run/cidata"
	if err := os.MkdirAll(target, 0o700); err != nil {
		return err
	}

	if err := unix.Mount(device, target, "iso9660", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", device, err)
	}

	log.Printf("found config disk (cidata) at %s", device)

	for _, name := range []string{"meta-data", "network-config", "user-data"} {
		data, err := os.ReadFile(filepath.Join(target, name))
		if err != nil {
			log.Printf("failed to read %s: %v", name, err)

			continue
		}

		if data == nil {
			data = []byte{}
		}

		files[name] = data
	}

	return unix.Unmount(target, 0)
}
