// One static binary with everything of a region that is not containerd: its first argument names the part.
//
//	etcd · apiserver · controller-manager · scheduler · kubelet · proxy · coredns · kubectl     Kubernetes' own
//	region · policies · outside                                                               what stands around clusters
//
// `region` is what a cloud gives a cluster (addresses of load balancers, volumes) and a place to send from; `policies` enforces
// NetworkPolicies on a node; `outside` is the global DNS and the alerting. All for tests only.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/restclient"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// Each part takes its own arguments and gives the exit status.
var parts = map[string]func(context.Context, []string) int{
	"apiserver":          command(func(context.Context) *cobra.Command { return apiserver.NewAPIServerCommand() }),
	"controller-manager": command(func(context.Context) *cobra.Command { return manager.NewControllerManagerCommand() }),
	"scheduler":          command(func(context.Context) *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kubelet":            command(kubelet.NewKubeletCommand),
	"proxy":              command(func(context.Context) *cobra.Command { return proxy.NewProxyCommand() }),
	"kubectl":            command(func(context.Context) *cobra.Command { return kubectl.NewDefaultKubectlCommand() }),
	"etcd":               func(context.Context, []string) int { etcdmain.Main(os.Args); return 0 },
	"coredns":            func(context.Context, []string) int { coremain.Run(); return 0 },
	"region":             ours(region),
	"policies":           ours(policies),
	"outside":            ours(outside),
}

// command is a part of Kubernetes', which reads its flags from os.Args.
func command(build func(context.Context) *cobra.Command) func(context.Context, []string) int {
	return func(ctx context.Context, _ []string) int { return cli.Run(build(ctx)) }
}

// ours is a part of this folder, which ends when it is told to.
func ours(run func(context.Context, []string) error) func(context.Context, []string) int {
	return func(ctx context.Context, args []string) int {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := run(ctx, args); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			return 1
		}
		return 0
	}
}

func main() {
	names := slices.Sorted(maps.Keys(parts))
	if len(os.Args) < 2 || parts[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: controlplane", strings.Join(names, "|"), "[flags]")
		os.Exit(2)
	}
	part := parts[os.Args[1]]
	os.Args = os.Args[1:]
	os.Exit(part(context.Background(), os.Args[1:]))
}
