//go:build tools

// Package nerdctl names the version of nerdctl that is tested with: "go install" of it asks the module proxy for a list that it refuses.
package nerdctl

import _ "github.com/containerd/nerdctl/cmd/nerdctl"
