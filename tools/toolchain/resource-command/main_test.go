package main

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/blang/semver"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

func TestMain(m *testing.M) {
	// Outside of Pulumi, what is logged goes there.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

func start(t *testing.T) integration.Server {
	t.Helper()
	server, err := integration.NewServer(t.Context(), name, semver.MustParse(version), integration.WithProvider(provider()))
	if err != nil {
		t.Fatal(err)
	}
	return server
}

type values = map[string]property.Value

func check(t *testing.T, typ tokens.Type, inputs values) p.CheckResponse {
	t.Helper()
	response, err := start(t).Check(p.CheckRequest{
		Urn:    resource.NewURN("stack", "project", "", typ, "test"),
		Inputs: property.NewMap(inputs),
	})
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestWhatIsWrongWithAConnectionIsFoundAtAPreview(t *testing.T) {
	for field, wrong := range map[string]struct {
		value  property.Value
		reason string
	}{
		"host":           {property.New(""), "the host is empty"},
		"port":           {property.New(70000.0), "70000 is not a port: a whole number from 1 to 65535"},
		"dialErrorLimit": {property.New(-2.0), "-2 is not a number of attempts: -1 (any number) or more"},
		"perDialTimeout": {property.New(-1.0), "-1 is not a number of seconds: 0 (any number) or more"},
		"hostKey":        {property.New("AAAA"), "not a public key as in authorized_keys: ssh: no key found"},
		"privateKey":     {property.New("my key"), "not a usable private key: ssh: no key found"},
	} {
		connection := values{"host": property.New("127.0.0.1")}
		connection[field] = wrong.value
		response := check(t, "command:remote:Command", values{"connection": property.New(property.NewMap(connection))})
		if len(response.Failures) != 1 || response.Failures[0].Property != "connection."+field ||
			response.Failures[0].Reason != wrong.reason {
			t.Errorf("%s: %v", field, response.Failures)
		}
	}
}

func TestAConnectionThatIsNotKnownYetIsNotJudged(t *testing.T) {
	connection := values{"host": property.New(property.Computed), "hostKey": property.New(property.Computed)}
	response := check(t, "command:remote:Command", values{"connection": property.New(property.NewMap(connection))})
	if len(response.Failures) != 0 {
		t.Error(response.Failures)
	}
}

func TestConnectionStdinAndEnvironmentAreSecret(t *testing.T) {
	response := check(t, "command:remote:Command", values{
		"connection":  property.New(property.NewMap(values{"host": property.New("127.0.0.1")})),
		"stdin":       property.New("x"),
		"environment": property.New(property.NewMap(values{"NAME": property.New("x")})),
		"create":      property.New("true"),
	})
	for field, secret := range map[string]bool{"connection": true, "stdin": true, "environment": true, "create": false} {
		if response.Inputs.Get(field).Secret() != secret {
			t.Errorf("%s: secret is not %v", field, secret)
		}
	}
}

func TestWhatIsNotDoneIsRefusedByName(t *testing.T) {
	connection := property.New(property.NewMap(values{"host": property.New("127.0.0.1")}))
	archive, err := resource.NewPathArchive(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	web := &resource.Asset{Sig: resource.AssetSig, Hash: "0", URI: "https://example.org/"}
	paths := property.New(property.NewArray([]property.Value{property.New("*")}))
	for _, refused := range []struct {
		typ    tokens.Type
		inputs values
		reason string
	}{
		{"command:local:Command", values{"assetPaths": paths}, "does not collect files"},
		{"command:local:Command", values{"archivePaths": paths}, "does not collect files"},
		{
			"command:remote:CopyToRemote",
			values{"connection": connection, "remotePath": property.New("/x"), "source": property.New(archive)},
			"archives and directories are not copied",
		},
		{
			"command:remote:CopyToRemote",
			values{"connection": connection, "remotePath": property.New("/x"), "source": property.New(web)},
			"only a FileAsset or a StringAsset is copied",
		},
		{
			"command:remote:CopyFile",
			values{"connection": connection, "remotePath": property.New("/x"), "localPath": property.New("/y")},
			"use CopyToRemote",
		},
	} {
		response := check(t, refused.typ, refused.inputs)
		if len(response.Failures) != 1 || !strings.Contains(response.Failures[0].Reason, refused.reason) {
			t.Errorf("%s: %v", refused.typ, response.Failures)
		}
	}
}

func TestAFailedCommandLeavesNothingBehind(t *testing.T) {
	response, err := start(t).Create(p.CreateRequest{
		Urn:        resource.NewURN("stack", "project", "", "command:local:Command", "test"),
		Properties: property.NewMap(values{"create": property.New("exit 1")}),
	})
	if err == nil || response.ID != "" {
		t.Error(response, err)
	}
}
