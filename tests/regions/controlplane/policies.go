// Enforces NetworkPolicies on one node, for tests: each change becomes a table of nftables in the node's own network namespace.
//
// Pods hang on the node by a link each, so that every packet of theirs is forwarded, even from a pod to its neighbour. Only the original
// direction of a connection is judged, packet by packet: an answer is let through, and an open connection ends with its permission.
// The node itself always reaches its pods (probes), as Kubernetes says. Left out: named ports in egress, IPv6.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
)

const table = "policies"

// cluster is what policies speak of.
type cluster struct {
	pods     []*core.Pod
	spaces   map[string]labels.Set
	policies []*networking.NetworkPolicy
}

func policies(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("policies", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "the region's kubeconfig")
	node := flags.String("node", "", "the name of the node")
	_ = flags.Parse(args)
	_, client, err := connect(*kubeconfig, "")
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, spaces := factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	rules := factory.Networking().V1().NetworkPolicies()
	changed := poked(pods.Informer(), spaces.Informer(), rules.Informer())
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	var stands string
	keep(ctx, "policies", changed, func(ctx context.Context) error {
		seen := cluster{spaces: map[string]labels.Set{}}
		seen.pods, _ = pods.Lister().List(labels.Everything())
		seen.policies, _ = rules.Lister().List(labels.Everything())
		all, _ := spaces.Lister().List(labels.Everything())
		for _, space := range all {
			seen.spaces[space.Name] = space.Labels
		}
		slices.SortFunc(seen.pods, func(a, b *core.Pod) int { return strings.Compare(string(a.UID), string(b.UID)) })
		slices.SortFunc(seen.policies, func(a, b *networking.NetworkPolicy) int { return strings.Compare(string(a.UID), string(b.UID)) })
		ruleset := seen.ruleset(*node)
		if ruleset == stands {
			return nil
		}
		if err := nft(ctx, ruleset); err != nil {
			return err
		}
		stands = ruleset
		return nil
	})
	// Whoever stops enforcing leaves nothing behind that blocks.
	return nft(context.Background(), fmt.Sprintf("table inet %[1]s\ndelete table inet %[1]s\n", table))
}

func nft(ctx context.Context, ruleset string) error {
	run := exec.CommandContext(ctx, "nft", "-f", "-")
	run.Stdin = strings.NewReader(ruleset)
	if said, err := run.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s\n%s", err, bytes.TrimSpace(said), ruleset)
	}
	return nil
}

// ruleset replaces the table by what the policies mean for the pods of a node.
func (c cluster) ruleset(node string) string {
	var jumps, chains strings.Builder
	for _, pod := range c.pods {
		address := pod.Status.PodIP
		if pod.Spec.NodeName != node || !reachable(pod) {
			continue
		}
		for _, way := range []networking.PolicyType{networking.PolicyTypeIngress, networking.PolicyTypeEgress} {
			match := map[networking.PolicyType]string{"Ingress": "daddr", "Egress": "saddr"}[way]
			rules, isolated := c.allowed(pod, way)
			if !isolated {
				continue
			}
			name := strings.ToLower(string(way)) + "-" + strings.ReplaceAll(address, ".", "-")
			fmt.Fprintf(&jumps, "  ip %s %s ct direction original jump %s\n", match, address, name)
			fmt.Fprintf(&chains, " chain %s {\n%s  drop\n }\n", name, rules)
		}
	}
	hook := "  type filter hook forward priority filter; policy accept;\n"
	return fmt.Sprintf("table inet %[1]s\ndelete table inet %[1]s\ntable inet %[1]s {\n%[2]s chain forward {\n%[3]s%[4]s }\n}\n",
		table, chains.String(), hook, jumps.String())
}

// reachable is whether a pod has an address of its own.
func reachable(pod *core.Pod) bool {
	ended := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
	return pod.Status.PodIP != "" && !pod.Spec.HostNetwork && !ended
}

// allowed are the rules that let something through in one direction, and whether any policy selects the pod for it.
func (c cluster) allowed(pod *core.Pod, way networking.PolicyType) (rules string, isolated bool) {
	for _, policy := range c.policies {
		if policy.Namespace != pod.Namespace || !selects(&policy.Spec.PodSelector, pod.Labels) || !has(policy, way) {
			continue
		}
		isolated = true
		if way == networking.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				rules += c.rule(policy.Namespace, rule.From, rule.Ports, "saddr", pod)
			}
		} else {
			for _, rule := range policy.Spec.Egress {
				rules += c.rule(policy.Namespace, rule.To, rule.Ports, "daddr", nil)
			}
		}
	}
	return rules, isolated
}

func has(policy *networking.NetworkPolicy, way networking.PolicyType) bool {
	return slices.Contains(policy.Spec.PolicyTypes, way)
}

func selects(selector *meta.LabelSelector, has map[string]string) bool {
	read, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && read.Matches(labels.Set(has))
}

// rule is one rule as lines of nftables: every peer with every port. No peers are all of them, and so are no ports.
func (c cluster) rule(space string, peers []networking.NetworkPolicyPeer, ports []networking.NetworkPolicyPort, match string, pod *core.Pod) string {
	from := []string{""}
	if len(peers) > 0 {
		from = nil
		for _, peer := range peers {
			from = append(from, c.addresses(space, peer, match)...)
		}
	}
	to := []string{""}
	if len(ports) > 0 {
		to = nil
		for _, port := range ports {
			to = append(to, portOf(port, pod)...)
		}
	}
	var lines strings.Builder
	for _, peer := range from {
		for _, port := range to {
			fmt.Fprintf(&lines, "  %s%sreturn\n", peer, port)
		}
	}
	return lines.String()
}

// addresses are a peer's, each as a match.
func (c cluster) addresses(space string, peer networking.NetworkPolicyPeer, match string) (found []string) {
	if block := peer.IPBlock; block != nil {
		except := ""
		for _, range_ := range block.Except {
			except += fmt.Sprintf("ip %s != %s ", match, range_)
		}
		return []string{fmt.Sprintf("ip %s %s %s", match, block.CIDR, except)}
	}
	for _, pod := range c.pods {
		in := pod.Namespace == space
		if peer.NamespaceSelector != nil {
			in = selects(peer.NamespaceSelector, c.spaces[pod.Namespace])
		}
		chosen := peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels)
		if in && chosen && reachable(pod) {
			found = append(found, fmt.Sprintf("ip %s %s ", match, pod.Status.PodIP))
		}
	}
	return found
}

// portOf is a port as a match; a named one is what the pod calls so.
func portOf(port networking.NetworkPolicyPort, pod *core.Pod) (found []string) {
	protocol := "tcp"
	if port.Protocol != nil {
		protocol = strings.ToLower(string(*port.Protocol))
	}
	switch {
	case port.Port == nil:
		return []string{"meta l4proto " + protocol + " "}
	case port.Port.Type == intstr.Int && port.EndPort != nil:
		return []string{fmt.Sprintf("%s dport %d-%d ", protocol, port.Port.IntVal, *port.EndPort)}
	case port.Port.Type == intstr.Int:
		return []string{fmt.Sprintf("%s dport %d ", protocol, port.Port.IntVal)}
	case pod != nil:
		for _, container := range pod.Spec.Containers {
			for _, declared := range container.Ports {
				if declared.Name == port.Port.StrVal && strings.EqualFold(string(declared.Protocol), protocol) {
					found = append(found, fmt.Sprintf("%s dport %d ", protocol, declared.ContainerPort))
				}
			}
		}
	}
	return found
}
