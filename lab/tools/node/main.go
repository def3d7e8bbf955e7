// Command node is the lab node: process 1 of the lab's guests, which speaks Talos' protocols. With --dir it runs as an ordinary process, for experiments.
package main

import (
	"context"
	"flag"
	"log"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"talosmith.dev/lab/tools/node/boot"
	"talosmith.dev/lab/tools/node/images"
	"talosmith.dev/lab/tools/node/machine"
	"talosmith.dev/lab/tools/node/nocloud"
	"talosmith.dev/lab/tools/node/power"
)

func main() {
	log.SetFlags(0)

	if os.Getpid() == 1 {
		err := guest(context.Background())
		log.Printf("the lab node ended: %v; rebooting in 10 s", err)
		time.Sleep(10 * time.Second)
		_ = power.Reboot() // the kernel panics when process 1 ends

		return
	}

	dir := flag.String("dir", "", "run as an ordinary process that keeps everything in this folder")
	address := flag.String("address", "127.0.0.1", "the machine's address")
	everywhere := flag.Bool("everywhere", false, "listen on all addresses, in a network namespace of its own")
	hostname := flag.String("hostname", "", "what meta-data would say")
	factory := flag.String("factory", "http://10.213.77.2:8480", "where binaries come from")
	version := flag.String("version", "v1.13.9", "the Talos version to show")
	flag.Parse()

	if *dir == "" {
		flag.Usage()
		os.Exit(2)
	}

	if err := trial(context.Background(), *dir, *address, *everywhere, *hostname, images.Info{Version: *version, Factory: *factory}); err != nil {
		log.Fatal(err)
	}
}

func trial(ctx context.Context, dir, address string, everywhere bool, hostname string, image images.Info) error {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return err
	}

	paths := machine.Paths{
		State: filepath.Join(dir, "state"), Var: filepath.Join(dir, "var"), Run: filepath.Join(dir, "run"), Secrets: filepath.Join(dir, "secrets"),
	}

	listen := address
	if everywhere {
		listen = ""
	}

	m, err := machine.New(ctx, machine.Options{
		Host: &machine.Folder{Paths: paths, Root: dir, Address: ip}, Paths: paths, Image: image, BootID: boot.ID(), Listen: listen,
	})
	if err != nil {
		return err
	}

	m.SetPlatform(nocloud.Metadata{LocalHostname: hostname}, nil)

	return m.Run(ctx)
}
