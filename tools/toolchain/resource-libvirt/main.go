// The libvirt plugin of Pulumi: the upstream Terraform provider, bridged with the names of pulumi_libvirt 0.5.4.
package main

import (
	"openstack-lab/toolchain/bridge"

	"github.com/dmacvicar/terraform-provider-libvirt/libvirt"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
)

func main() {
	info := tfbridge.ProviderInfo{
		P:            shimv2.NewProvider(libvirt.Provider()),
		Name:         "libvirt",
		Version:      "0.5.4",
		MetadataInfo: tfbridge.NewProviderMetadata([]byte("{}")),
		Resources: map[string]*tfbridge.ResourceInfo{
			"libvirt_cloudinit_disk": {Tok: "libvirt:index/cloudInitDisk:CloudInitDisk"},
		},
	}
	info.MustComputeTokens(tokens.SingleModule("libvirt_", "index", tokens.MakeStandard("libvirt")))
	info.SetAutonaming(255, "-")
	bridge.Main(info)
}
