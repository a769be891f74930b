// What runs in the containers of applications that are not there: `web` answers 200 to every GET, `pause` waits.
//
// Its own binary, since each container would otherwise carry all of Kubernetes in memory. `PORT` is where it listens, the first port
// that the container declares (runc.go); `REGION`, which the region's image sets, is told in `x-region`.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if filepath.Base(os.Args[0]) == wrapper {
		fail(runc(os.Args[1:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == "pause" {
		<-ctx.Done()
		return
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{Addr: ":" + port, Handler: http.HandlerFunc(answer)}
	go func() {
		<-ctx.Done()
		patience, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(patience)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}

func answer(writer http.ResponseWriter, _ *http.Request) {
	writer.Header().Set("x-region", os.Getenv("REGION"))
	fmt.Fprintln(writer, "ok")
}
