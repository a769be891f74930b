// What a cloud gives a cluster, for tests: addresses for Services of type LoadBalancer, volumes for claims, and a way in for vantages.
//
// It runs where the region's router is. kube-proxy does the balancing itself once an address stands in a Service's status and packets
// for it reach a node; so all that is left is one route, to the first node whose kube-proxy says that it is well.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const (
	// provisioner is the name that the region's storage class gives.
	provisioner = "drillmaster.test/host"
	// firstFree is the offset of the first address that is given to Services which ask for none; those below are asked for.
	firstFree = 64
)

func region(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("region", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "the region's kubeconfig")
	balanced := flags.String("addresses", "", "the range of load balancers' addresses: 10.1.192.0/24")
	volumes := flags.String("volumes", "", "the folder of volumes")
	socks := flags.String("socks", "", "where the SOCKS5 proxy listens: 10.1.0.1:1080")
	_ = flags.Parse(args)
	_, client, err := connect(*kubeconfig, "")
	if err != nil {
		return err
	}
	prefix, err := netip.ParsePrefix(*balanced)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	services := factory.Core().V1().Services()
	claims, held := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes()
	nodes := factory.Core().V1().Nodes()
	moved := poked(services.Informer())
	stored := poked(claims.Informer(), held.Informer())
	nodes.Informer()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	go keep(ctx, "load balancers", moved, func(ctx context.Context) error {
		all, err := services.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		return balance(ctx, client, prefix, all)
	})
	go keep(ctx, "volumes", stored, func(ctx context.Context) error {
		return provision(ctx, client, claims.Informer().GetStore(), held.Informer().GetStore(), *volumes)
	})
	go every(ctx, time.Second, route(prefix, nodes.Informer().GetStore()))
	return serveSocks(ctx, *socks)
}

// balance gives every Service of type LoadBalancer the address that it asks for, or a free one.
func balance(ctx context.Context, client kubernetes.Interface, prefix netip.Prefix, all []*core.Service) error {
	taken := map[string]bool{}
	for _, service := range all {
		taken[service.Spec.LoadBalancerIP] = true
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			taken[ingress.IP] = true
		}
	}
	slices.SortFunc(all, func(a, b *core.Service) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	for _, service := range all {
		has := len(service.Status.LoadBalancer.Ingress) > 0
		wants := service.Spec.Type == core.ServiceTypeLoadBalancer
		if has == wants {
			continue
		}
		changed := service.DeepCopy()
		changed.Status.LoadBalancer.Ingress = nil
		if wants {
			address := service.Spec.LoadBalancerIP
			if address == "" {
				address = free(prefix, taken)
				taken[address] = true
			} else if given, err := netip.ParseAddr(address); err != nil || !prefix.Contains(given) {
				log.Printf("%s/%s asks for %s, which is not of %s", service.Namespace, service.Name, address, prefix)
				continue
			}
			changed.Status.LoadBalancer.Ingress = []core.LoadBalancerIngress{{IP: address}}
		}
		_, err := client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, changed, meta.UpdateOptions{})
		if err != nil {
			return err
		}
	}
	return nil
}

func free(prefix netip.Prefix, taken map[string]bool) string {
	address := prefix.Addr()
	for range firstFree {
		address = address.Next()
	}
	for taken[address.String()] {
		address = address.Next()
	}
	return address.String()
}

// route sends what is for load balancers to the first node that is well, as a cloud's health check of kube-proxy does.
func route(prefix netip.Prefix, nodes cache.Store) func(context.Context) {
	client := http.Client{Timeout: 500 * time.Millisecond}
	var current string
	return func(ctx context.Context) {
		var addresses []string
		for _, item := range nodes.List() {
			for _, address := range item.(*core.Node).Status.Addresses {
				if address.Type == core.NodeInternalIP {
					addresses = append(addresses, address.Address)
				}
			}
		}
		slices.Sort(addresses)
		for _, address := range addresses {
			answer, err := client.Get(fmt.Sprintf("http://%s:10256/healthz", address))
			if err != nil {
				continue
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				continue
			}
			if address != current {
				run := exec.CommandContext(ctx, "ip", "route", "replace", prefix.String(), "via", address)
				if said, err := run.CombinedOutput(); err != nil {
					log.Printf("route to %s: %v: %s", address, err, said)
					return
				}
				current = address
			}
			return
		}
	}
}

// provision makes a volume for each claim of our class that has none, and removes volumes whose claim is gone.
func provision(ctx context.Context, client kubernetes.Interface, claims, held cache.Store, folder string) error {
	exists := map[string]bool{}
	for _, item := range held.List() {
		volume := item.(*core.PersistentVolume)
		exists[volume.Name] = true
		if volume.Annotations["pv.kubernetes.io/provisioned-by"] != provisioner || volume.Status.Phase != core.VolumeReleased {
			continue
		}
		if err := client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{}); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(folder, volume.Name)); err != nil {
			return err
		}
	}
	for _, item := range claims.List() {
		claim := item.(*core.PersistentVolumeClaim)
		name := "pvc-" + string(claim.UID)
		ours := claim.Annotations["volume.kubernetes.io/storage-provisioner"] == provisioner
		if !ours || claim.Spec.VolumeName != "" || exists[name] || strings.Contains(name, "/") {
			continue
		}
		if err := os.MkdirAll(filepath.Join(folder, name), 0o777); err != nil {
			return err
		}
		_, err := client.CoreV1().PersistentVolumes().Create(ctx, volumeFor(claim, name, folder), meta.CreateOptions{})
		if err != nil {
			return err
		}
	}
	return nil
}

func volumeFor(claim *core.PersistentVolumeClaim, name, folder string) *core.PersistentVolume {
	size := claim.Spec.Resources.Requests[core.ResourceStorage]
	if size.IsZero() {
		size = resource.MustParse("1Gi")
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": provisioner},
		},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      core.ResourceList{core.ResourceStorage: size},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimRetain,
			StorageClassName:              *claim.Spec.StorageClassName,
			ClaimRef: &core.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: core.PersistentVolumeSource{
				HostPath: &core.HostPathVolumeSource{Path: filepath.Join(folder, name)},
			},
		},
	}
}
