// The global DNS: an authoritative server for what DNSEndpoint objects and ExternalDNS's annotations of Services say, in all regions.
//
// A region that is out of reach keeps the names that it had, as a real zone would.
package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/miekg/dns"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

const (
	hostname = "external-dns.alpha.kubernetes.io/hostname"
	ttl      = "external-dns.alpha.kubernetes.io/ttl"
	// defaultTTL is ExternalDNS's own.
	defaultTTL = "300"
)

var endpoints = schema.GroupVersionResource{Group: "externaldns.k8s.io", Version: "v1alpha1", Resource: "dnsendpoints"}

// zone is everything that the regions name.
type zone struct {
	stores []cache.Store
}

// follow adds a region.
func (z *zone) follow(ctx context.Context, kubeconfig, region string) error {
	config, client, err := connect(kubeconfig, region)
	if err != nil {
		return err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	services := informers.NewSharedInformerFactory(client, 0)
	named := dynamicinformer.NewDynamicSharedInformerFactory(objects, 0)
	z.stores = append(z.stores, services.Core().V1().Services().Informer().GetStore(),
		named.ForResource(endpoints).Informer().GetStore())
	services.Start(ctx.Done())
	named.Start(ctx.Done())
	return nil
}

// records are those of a name, now.
func (z *zone) records(name string) []dns.RR {
	var found []dns.RR
	add := func(owner, ttl, kind, target string) {
		if dns.CanonicalName(owner) != name {
			return
		}
		if record, err := dns.NewRR(fmt.Sprintf("%s %s IN %s %s", name, ttl, kind, target)); err == nil && record != nil {
			found = append(found, record)
		}
	}
	for _, store := range z.stores {
		for _, item := range store.List() {
			switch object := item.(type) {
			case *core.Service:
				ofService(object, add)
			case *unstructured.Unstructured:
				ofEndpoint(object, add)
			}
		}
	}
	return found
}

func ofService(service *core.Service, add func(owner, ttl, kind, target string)) {
	seconds := service.Annotations[ttl]
	if seconds == "" {
		seconds = defaultTTL
	}
	for owner := range strings.SplitSeq(service.Annotations[hostname], ",") {
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			if owner = strings.TrimSpace(owner); owner != "" {
				add(owner, seconds, "A", ingress.IP)
			}
		}
	}
}

func ofEndpoint(object *unstructured.Unstructured, add func(owner, ttl, kind, target string)) {
	list, _, _ := unstructured.NestedSlice(object.Object, "spec", "endpoints")
	for _, item := range list {
		endpoint, _ := item.(map[string]any)
		seconds := defaultTTL
		if given, ok, _ := unstructured.NestedInt64(endpoint, "recordTTL"); ok {
			seconds = fmt.Sprint(given)
		}
		owner, _, _ := unstructured.NestedString(endpoint, "dnsName")
		kind, _, _ := unstructured.NestedString(endpoint, "recordType")
		targets, _, _ := unstructured.NestedStringSlice(endpoint, "targets")
		for _, target := range targets {
			add(owner, seconds, kind, target)
		}
	}
}

// ServeDNS answers one question.
func (z *zone) ServeDNS(writer dns.ResponseWriter, question *dns.Msg) {
	answer := new(dns.Msg).SetReply(question)
	answer.Authoritative = true
	if len(question.Question) == 1 {
		asked := question.Question[0]
		records := z.records(dns.CanonicalName(asked.Name))
		for _, record := range records {
			kind := record.Header().Rrtype
			if kind == asked.Qtype || kind == dns.TypeCNAME {
				answer.Answer = append(answer.Answer, record)
			}
		}
		if len(records) == 0 {
			answer.Rcode = dns.RcodeNameError
		}
	}
	if len(answer.Answer) == 0 {
		// Says for how long "there is none" may be remembered (RFC 2308): one second.
		soa, _ := dns.NewRR(". 1 IN SOA dns.drillmaster.test. tests.drillmaster.test. 1 1 1 1 1")
		answer.Ns = []dns.RR{soa}
	}
	_ = writer.WriteMsg(answer)
}

func (z *zone) serve(ctx context.Context, address string) error {
	ended := make(chan error, 2)
	for _, network := range []string{"udp", "tcp"} {
		server := &dns.Server{Addr: address, Net: network, Handler: z}
		context.AfterFunc(ctx, func() { _ = server.Shutdown() })
		go func() { ended <- server.ListenAndServe() }()
	}
	return <-ended
}
