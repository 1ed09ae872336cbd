// The OpenStack plugin of Pulumi: the upstream Terraform provider, bridged with the names of pulumi_openstack 5.5.1.
package main

import (
	"fmt"
	"strings"

	"openstack-lab/toolchain/bridge"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/terraform-provider-openstack/terraform-provider-openstack/v3/openstack"
)

// Where the SDK's property names are not the upstream ones in camel case.
var renamedFields = map[string]map[string]*tfbridge.SchemaInfo{
	"openstack_networking_subnet_v2":   {"allocation_pool": {Name: "allocationPools"}},
	"openstack_orchestration_stack_v1": {"outputs": {Name: "StackOutputs"}},
}

func main() {
	info := tfbridge.ProviderInfo{
		P:            shimv2.NewProvider(openstack.Provider()),
		Name:         "openstack",
		Version:      "5.5.1",
		MetadataInfo: tfbridge.NewProviderMetadata([]byte("{}")),
		Resources:    map[string]*tfbridge.ResourceInfo{},
		DataSources:  map[string]*tfbridge.DataSourceInfo{},
	}
	for upstream, member := range resources {
		info.Resources[upstream] = &tfbridge.ResourceInfo{
			Tok:    tokens.Type(token(member)),
			Fields: renamedFields[upstream],
		}
	}
	for upstream, member := range dataSources {
		info.DataSources[upstream] = &tfbridge.DataSourceInfo{Tok: token(member)}
	}
	for upstream, former := range formerResources {
		current := info.Resources[upstream]
		info.RenameResourceWithAlias(upstream, tokens.Type(token(former)), current.Tok,
			module(former), module(resources[upstream]), current)
	}
	for upstream, former := range formerDataSources {
		current := info.DataSources[upstream]
		info.RenameDataSource(upstream, token(former), current.Tok,
			module(former), module(dataSources[upstream]), current)
	}
	info.SetAutonaming(255, "-")
	bridge.Main(info)
}

// token turns "compute/Instance" into "openstack:compute/instance:Instance".
func token(member string) tokens.ModuleMember {
	module, typ, _ := strings.Cut(member, "/")
	return tokens.ModuleMember(fmt.Sprintf("openstack:%s/%s%s:%s", module, strings.ToLower(typ[:1]), typ[1:], typ))
}

func module(member string) string {
	module, _, _ := strings.Cut(member, "/")
	return module
}
