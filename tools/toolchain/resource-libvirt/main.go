// The libvirt plugin of Pulumi: the upstream Terraform provider, bridged with the names of pulumi_libvirt 0.5.4.
package main

import (
	"fmt"

	"github.com/dmacvicar/terraform-provider-libvirt/libvirt"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
)

const (
	name    = "libvirt"
	version = "0.5.4"
)

func main() {
	schema := fmt.Sprintf(`{"name": %q, "version": %q}`, name, version)
	tfbridge.Main(name, version, provider(), []byte(schema))
}

func provider() tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:            shimv2.NewProvider(libvirt.Provider()),
		Name:         name,
		Version:      version,
		MetadataInfo: tfbridge.NewProviderMetadata([]byte("{}")),
		Resources: map[string]*tfbridge.ResourceInfo{
			"libvirt_cloudinit_disk": {Tok: "libvirt:index/cloudInitDisk:CloudInitDisk"},
		},
	}
	info.MustComputeTokens(tokens.SingleModule("libvirt_", "index", tokens.MakeStandard(name)))
	info.SetAutonaming(255, "-")
	return info
}
