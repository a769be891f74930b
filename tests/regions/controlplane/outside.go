// What is outside of every region: the global DNS, and the alerting.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// failsFor is how long a URL must fail before its alert fires.
	failsFor = 3 * time.Second
	// answersWithin is how long a check waits.
	answersWithin = time.Second
)

func outside(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("outside", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "the kubeconfig with a context for each region")
	regions := flags.String("regions", "", "the contexts, with commas between them")
	dns := flags.String("dns", "", "where the global DNS listens: 198.18.0.53:53")
	alerts := flags.String("alerts", "", "where alerts are listed: 198.18.0.1:9093")
	rules := flags.String("rules", "", "a JSON file, alert: URL; read before each check, and there may be none")
	_ = flags.Parse(args)
	zone := &zone{}
	for _, region := range strings.Split(*regions, ",") {
		if err := zone.follow(ctx, *kubeconfig, region); err != nil {
			return err
		}
	}
	ended := make(chan error, 2)
	go func() { ended <- zone.serve(ctx, *dns) }()
	go func() { ended <- serveAlerts(ctx, *alerts, *rules, *dns) }()
	return <-ended
}

// watched is what is known of one alert's URL.
type watched struct {
	lastOk time.Time
	since  time.Time
	fires  bool
}

// alerting checks URLs, and lists those that fail.
type alerting struct {
	lock    sync.Mutex
	watched map[string]*watched
	client  http.Client
}

func serveAlerts(ctx context.Context, address, rules, dns string) error {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, dns)
	}}
	alerting := &alerting{watched: map[string]*watched{}, client: http.Client{
		Timeout: answersWithin,
		Transport: &http.Transport{
			DialContext:       (&net.Dialer{Resolver: resolver}).DialContext,
			DisableKeepAlives: true,
		},
	}}
	go every(ctx, time.Second, func(context.Context) { alerting.check(rules) })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v2/alerts", alerting.list)
	server := &http.Server{Addr: address, Handler: mux}
	context.AfterFunc(ctx, func() { server.Close() })
	return server.ListenAndServe()
}

// check asks every URL once.
func (a *alerting) check(file string) {
	rules := map[string]string{}
	if text, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(text, &rules)
	}
	for name, url := range rules {
		answer, err := a.client.Get(url)
		ok := err == nil && answer.StatusCode < 400
		if err == nil {
			answer.Body.Close()
		}
		a.lock.Lock()
		seen := a.watched[name]
		if seen == nil {
			seen = &watched{lastOk: time.Now()}
			a.watched[name] = seen
		}
		if ok {
			seen.lastOk, seen.fires = time.Now(), false
		} else if !seen.fires && time.Since(seen.lastOk) >= failsFor {
			seen.since, seen.fires = time.Now(), true
		}
		a.lock.Unlock()
	}
}

// list answers as Alertmanager's API version 2 does, as far as tests look.
func (a *alerting) list(answer http.ResponseWriter, _ *http.Request) {
	a.lock.Lock()
	defer a.lock.Unlock()
	active := []any{}
	for name, seen := range a.watched {
		if seen.fires {
			active = append(active, map[string]any{
				"labels":      map[string]string{"alertname": name},
				"annotations": map[string]string{},
				"startsAt":    seen.since,
				"status":      map[string]any{"state": "active", "silencedBy": []string{}, "inhibitedBy": []string{}},
			})
		}
	}
	answer.Header().Set("content-type", "application/json")
	_ = json.NewEncoder(answer).Encode(active)
}
