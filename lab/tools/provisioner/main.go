// Command provisioner is what the lab's csi-provisioner image runs: the Kubernetes project's provisioning library over the
// kernel's NFS client, in the place of csi-provisioner, csi-resizer and the controller half of csi-driver-nfs.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// driverName is the name that csi-driver-nfs provisions under.
const driverName = "nfs.csi.k8s.io"

func main() {
	flags := flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	klog.InitFlags(flags)

	elect := flags.Bool("leader-election", false, "only one replica works at a time")
	namespace := flags.String("leader-election-namespace", "", "where the replicas' lease is")
	timeout := flags.Duration("timeout", 0, "for one call to the driver")
	retryMax := flags.Duration("retry-interval-max", 0, "the longest pause between two tries")

	// Of csi-provisioner, and without meaning here: there is no socket between the library and the driver.
	flags.String("csi-address", "", "not used")
	flags.Bool("extra-create-metadata", false, "always so")
	flags.String("feature-gates", "", "not used")

	_ = flags.Parse(os.Args[1:]) // it ends the process

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	config, err := rest.InClusterConfig()
	if err != nil {
		klog.Fatal(err)
	}

	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		klog.Fatal(err)
	}

	shared := informers.NewSharedInformerFactory(client, 0)
	claims := shared.Core().V1().PersistentVolumeClaims().Informer()

	resizer := &resizer{client: client}
	if _, err := claims.AddEventHandler(resizer.handler(ctx)); err != nil {
		klog.Fatal(err)
	}

	shared.Start(ctx.Done())

	controller.NewProvisionController(ctx, client, driverName, exports{client: client},
		controller.ClaimsInformer(claims),
		controller.LeaderElection(*elect), controller.LeaderElectionNamespace(*namespace),
		controller.ProvisionTimeout(*timeout), controller.DeletionTimeout(*timeout), controller.RetryIntervalMax(*retryMax),
		controller.MetricsPort(0),
	).Run(ctx)
}
