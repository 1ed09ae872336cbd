// The command plugin of Pulumi: commands on this machine and, over SSH, on others, with the schema of pulumi_command
// 1.2.1. What that schema has and this plugin does not do is refused by name.
package main

import (
	"context"
	"fmt"
	"os"

	"openstack-lab/toolchain/resource-command/local"
	"openstack-lab/toolchain/resource-command/remote"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

const (
	name    = "command"
	version = "1.2.1"
)

func main() {
	if err := provider().Run(context.Background(), name, version); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func provider() p.Provider {
	return infer.Provider(infer.Options{
		Resources: []infer.InferredResource{
			infer.Resource(&local.Command{}),
			infer.Resource(&remote.Command{}),
			infer.Resource(&remote.CopyToRemote{}),
			infer.Resource(&remote.CopyFile{}),
		},
		Functions: []infer.InferredFunction{infer.Function(&local.Run{})},
	})
}
