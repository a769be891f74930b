// How every loop here runs: look at all that is known, do what is missing, and again when something changes.
package main

import (
	"context"
	"log"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// again is how soon a loop tries again after a failure.
const again = time.Second

// connect is a client for a kubeconfig's context; its current one where the name is empty.
func connect(kubeconfig, name string) (*rest.Config, *kubernetes.Clientset, error) {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		rules, &clientcmd.ConfigOverrides{CurrentContext: name}).ClientConfig()
	if err != nil {
		return nil, nil, err
	}
	config.QPS, config.Burst = 50, 100
	client, err := kubernetes.NewForConfig(config)
	return config, client, err
}

// poked is told of every change of what the informers see. Changes in quick succession are one.
func poked(informers ...cache.SharedIndexInformer) <-chan struct{} {
	poke := make(chan struct{}, 1)
	changed := func() {
		select {
		case poke <- struct{}{}:
		default:
		}
	}
	for _, informer := range informers {
		_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { changed() },
			UpdateFunc: func(any, any) { changed() },
			DeleteFunc: func(any) { changed() },
		})
	}
	changed()
	return poke
}

// keep acts now, after every poke, and soon again after a failure, until the context ends.
func keep(ctx context.Context, name string, poke <-chan struct{}, act func(context.Context) error) {
	for {
		var retry <-chan time.Time
		if err := act(ctx); err != nil && ctx.Err() == nil {
			log.Printf("%s: %v", name, err)
			retry = time.After(again)
		}
		select {
		case <-ctx.Done():
			return
		case <-poke:
		case <-retry:
		}
	}
}

// every acts at a period until the context ends.
func every(ctx context.Context, period time.Duration, act func(context.Context)) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		act(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
