// Package bridge makes a Pulumi plugin of a Terraform provider.
package bridge

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

// Main runs the plugin.
func Main(info tfbridge.ProviderInfo) {
	text, err := json.Marshal(Schema(info))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	tfbridge.Main(info.Name, info.Version, info, text)
}

// Schema is the plugin's schema without descriptions: what the bridge turns each resource, data source and property
// of the Terraform provider into. Overrides are looked for in a resource's own fields, not in those of nested objects.
func Schema(info tfbridge.ProviderInfo) schema.PackageSpec {
	g := generator{schema.PackageSpec{
		Name:      info.Name,
		Version:   info.Version,
		Meta:      &schema.MetadataSpec{ModuleFormat: "(.*)(?:/[^/]*)"},
		Types:     map[string]schema.ComplexTypeSpec{},
		Resources: map[string]schema.ResourceSpec{},
		Functions: map[string]schema.FunctionSpec{},
	}}
	provider := fields{info.P.Schema(), info.Config}
	g.Config = schema.ConfigSpec{Variables: g.properties(g.Name+":index:Provider", provider, anything)}
	configuration := g.resource(g.Name+":index:Provider", provider)
	g.Provider = &configuration
	for name, resource := range info.Resources {
		upstream := info.P.ResourcesMap().Get(name)
		spec := g.resource(string(resource.Tok), fields{upstream.Schema(), resource.Fields})
		spec.DeprecationMessage = resource.DeprecationMessage
		g.Resources[string(resource.Tok)] = spec
	}
	for name, source := range info.DataSources {
		upstream := fields{info.P.DataSourcesMap().Get(name).Schema(), source.Fields}
		results := g.properties(string(source.Tok), upstream, anything)
		if _, listed := results["id"]; !listed {
			results["id"] = schema.PropertySpec{TypeSpec: schema.TypeSpec{Type: "string"}}
		}
		g.Functions[string(source.Tok)] = schema.FunctionSpec{
			Inputs: &schema.ObjectTypeSpec{
				Type:       "object",
				Properties: g.properties(string(source.Tok), upstream, settable),
				Required:   upstream.names(required),
			},
			Outputs:            &schema.ObjectTypeSpec{Type: "object", Properties: results},
			DeprecationMessage: source.DeprecationMessage,
		}
	}
	return g.PackageSpec
}

type generator struct{ schema.PackageSpec }

// fields is a Terraform schema with the overrides of its properties.
type fields struct {
	shim.SchemaMap
	overrides map[string]*tfbridge.SchemaInfo
}

func anything(shim.Schema, *tfbridge.SchemaInfo) bool { return true }

func settable(s shim.Schema, _ *tfbridge.SchemaInfo) bool { return s.Optional() || s.Required() }

func required(s shim.Schema, override *tfbridge.SchemaInfo) bool {
	return s.Required() && s.DefaultFunc() == nil && (override == nil || override.Default == nil)
}

// each calls use for every property that is kept, by its Pulumi name.
func (f fields) each(
	keep func(shim.Schema, *tfbridge.SchemaInfo) bool,
	use func(name string, s shim.Schema, override *tfbridge.SchemaInfo),
) {
	f.Range(func(key string, s shim.Schema) bool {
		if override := f.overrides[key]; s.Removed() == "" && keep(s, override) {
			use(tfbridge.TerraformToPulumiNameV2(key, f.SchemaMap, f.overrides), s, override)
		}
		return true
	})
}

func (f fields) names(keep func(shim.Schema, *tfbridge.SchemaInfo) bool) []string {
	var names []string
	f.each(keep, func(name string, _ shim.Schema, _ *tfbridge.SchemaInfo) { names = append(names, name) })
	sort.Strings(names)
	return names
}

func (g *generator) resource(token string, upstream fields) schema.ResourceSpec {
	outputs := g.properties(token, upstream, anything)
	delete(outputs, "id")
	return schema.ResourceSpec{
		ObjectTypeSpec:  schema.ObjectTypeSpec{Properties: outputs},
		InputProperties: g.properties(token, upstream, settable),
		RequiredInputs:  upstream.names(required),
	}
}

func (g *generator) properties(
	owner string, upstream fields, keep func(shim.Schema, *tfbridge.SchemaInfo) bool,
) map[string]schema.PropertySpec {
	specs := map[string]schema.PropertySpec{}
	upstream.each(keep, func(name string, s shim.Schema, override *tfbridge.SchemaInfo) {
		specs[name] = schema.PropertySpec{
			TypeSpec:           g.typeOf(nested(owner, name), s, override),
			DeprecationMessage: s.Deprecated(),
			Secret:             s.Sensitive(),
		}
	})
	return specs
}

func (g *generator) typeOf(token string, s shim.Schema, override *tfbridge.SchemaInfo) schema.TypeSpec {
	switch s.Type() {
	case shim.TypeBool:
		return schema.TypeSpec{Type: "boolean"}
	case shim.TypeInt:
		return schema.TypeSpec{Type: "integer"}
	case shim.TypeFloat:
		return schema.TypeSpec{Type: "number"}
	case shim.TypeMap:
		element := g.element(token, s)
		return schema.TypeSpec{Type: "object", AdditionalProperties: &element}
	case shim.TypeList, shim.TypeSet:
		element := g.element(token, s)
		if tfbridge.IsMaxItemsOne(s, override) {
			return element
		}
		return schema.TypeSpec{Type: "array", Items: &element}
	default:
		return schema.TypeSpec{Type: "string"}
	}
}

func (g *generator) element(token string, s shim.Schema) schema.TypeSpec {
	switch element := s.Elem().(type) {
	case shim.Schema:
		return g.typeOf(token, element, nil)
	case shim.Resource:
		upstream := fields{element.Schema(), nil}
		g.Types[token] = schema.ComplexTypeSpec{ObjectTypeSpec: schema.ObjectTypeSpec{
			Type:       "object",
			Properties: g.properties(token, upstream, anything),
			Required:   upstream.names(required),
		}}
		return schema.TypeSpec{Ref: "#/types/" + token}
	default:
		return schema.TypeSpec{Type: "string"}
	}
}

// nested is the token of the type of a property: libvirt:index/domain:Domain and cpu are libvirt:index/domainCpu:DomainCpu.
func nested(owner, property string) string {
	suffix := strings.ToUpper(property[:1]) + property[1:]
	if module, name, found := strings.Cut(owner, ":index:"); found {
		return module + ":index:" + name + suffix
	}
	parts := strings.SplitN(owner, ":", 3)
	return parts[0] + ":" + parts[1] + suffix + ":" + parts[2] + suffix
}
