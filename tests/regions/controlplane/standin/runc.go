package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	// wrapper is the name under which this binary is containerd's runtime.
	wrapper = "runc-with-port"
	// declared is where the kubelet tells the runtime which ports a container declares.
	declared = "io.kubernetes.container.ports"
)

// runc gives a container its first declared port as `PORT`, and runs the real runc: what stands in for an application is then found
// where its manifest says, and the manifest stays as it is.
func runc(args []string) error {
	for n, arg := range args {
		if arg == "--bundle" && n+1 < len(args) && slices.Contains(args, "create") {
			if err := addPort(filepath.Join(args[n+1], "config.json")); err != nil {
				return err
			}
		}
	}
	real, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	return syscall.Exec(real, append([]string{"runc"}, args...), os.Environ())
}

func addPort(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var spec struct {
		Annotations map[string]string
		Process     struct{ Env []string }
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		return err
	}
	var ports []struct{ ContainerPort json.Number }
	_ = json.Unmarshal([]byte(spec.Annotations[declared]), &ports)
	has := func(variable string) bool { return strings.HasPrefix(variable, "PORT=") }
	if len(ports) == 0 || slices.ContainsFunc(spec.Process.Env, has) {
		return nil
	}
	// Everything else of the file stays as it is.
	var whole, process map[string]json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		return err
	}
	if err := json.Unmarshal(whole["process"], &process); err != nil {
		return err
	}
	process["env"], _ = json.Marshal(append(spec.Process.Env, "PORT="+ports[0].ContainerPort.String()))
	whole["process"], _ = json.Marshal(process)
	changed, err := json.Marshal(whole)
	if err != nil {
		return err
	}
	return os.WriteFile(file, changed, 0o600)
}
