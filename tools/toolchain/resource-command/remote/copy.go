package remote

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"openstack-lab/toolchain/resource-command/internal/output"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// CopyToRemote is a file that is copied to another host. It stays there when the resource is deleted.
type CopyToRemote struct{}

// CopyToRemoteInputs are its arguments.
type CopyToRemoteInputs struct {
	Connection *Connection          `pulumi:"connection" provider:"secret"`
	Triggers   *[]any               `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Source     types.AssetOrArchive `pulumi:"source"`
	RemotePath string               `pulumi:"remotePath"`
}

// CopyToRemoteOutputs are its arguments.
type CopyToRemoteOutputs struct{ CopyToRemoteInputs }

// Annotate describes the arguments.
func (c *CopyToRemoteInputs) Annotate(a infer.Annotator) {
	a.Describe(&c.Connection, "How to reach the host.")
	a.Describe(&c.Triggers, "Values whose change replaces the resource.")
	a.Describe(&c.Source, "A `FileAsset` of a file, or a `StringAsset`.")
	a.Describe(&c.RemotePath, "The file's path on the host, or the path of a directory there that a file is put into. "+
		"Missing directories are made.")
}

// Check refuses what is not copied: archives, directories and what lies on the web.
func (*CopyToRemote) Check(
	ctx context.Context, req infer.CheckRequest,
) (infer.CheckResponse[CopyToRemoteInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CopyToRemoteInputs](ctx, req.NewInputs)
	if err == nil && len(failures) == 0 {
		failures = checkConnection(inputs.Connection, req.NewInputs)
		if !req.NewInputs.Get("source").HasComputed() {
			if err := checkSource(inputs.Source); err != nil {
				failures = append(failures, p.CheckFailure{Property: "source", Reason: err.Error()})
			}
		}
	}
	return infer.CheckResponse[CopyToRemoteInputs]{Inputs: inputs, Failures: failures}, err
}

func checkSource(source types.AssetOrArchive) error {
	asset := source.Asset
	switch {
	case source.Archive != nil:
		return fmt.Errorf("archives and directories are not copied by this plugin: give a FileAsset or a StringAsset")
	case asset == nil || !asset.IsPath() && !asset.IsText():
		return fmt.Errorf("only a FileAsset or a StringAsset is copied")
	case asset.IsText():
		return nil
	}
	info, err := os.Stat(asset.Path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", asset.Path)
	}
	return err
}

// Create copies the file.
func (*CopyToRemote) Create(
	ctx context.Context, req infer.CreateRequest[CopyToRemoteInputs],
) (infer.CreateResponse[CopyToRemoteOutputs], error) {
	id, err := resource.NewUniqueHex(req.Name, 8, 0)
	if err == nil && !req.DryRun {
		err = req.Inputs.copy(ctx)
	}
	return infer.CreateResponse[CopyToRemoteOutputs]{ID: id, Output: CopyToRemoteOutputs{req.Inputs}}, err
}

// Update copies the file again if it or its path has changed.
func (*CopyToRemote) Update(
	ctx context.Context, req infer.UpdateRequest[CopyToRemoteInputs, CopyToRemoteOutputs],
) (infer.UpdateResponse[CopyToRemoteOutputs], error) {
	old, inputs := req.State, req.Inputs
	same := old.RemotePath == inputs.RemotePath && old.hash() == inputs.hash()
	var err error
	if !req.DryRun && !same {
		err = inputs.copy(ctx)
	}
	return infer.UpdateResponse[CopyToRemoteOutputs]{Output: CopyToRemoteOutputs{inputs}}, err
}

func (c *CopyToRemoteInputs) hash() string {
	if c.Source.Asset == nil {
		return ""
	}
	return c.Source.Asset.Hash
}

func (c *CopyToRemoteInputs) copy(ctx context.Context) error {
	if err := checkSource(c.Source); err != nil {
		return err
	}
	asset := c.Source.Asset
	if asset.IsText() {
		return upload(ctx, c.Connection, strings.NewReader(asset.Text), "", c.RemotePath)
	}
	file, err := os.Open(asset.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	return upload(ctx, c.Connection, file, path.Base(asset.Path), c.RemotePath)
}

// upload writes a file through the host's shell, beside its place first, so that no half of it is ever seen there. If
// name is not empty, the target may be a directory to put the file into by that name.
func upload(ctx context.Context, connection *Connection, content io.Reader, name, target string) error {
	session, err := clients.session(ctx, connection)
	if err != nil {
		return err
	}
	defer session.close()
	printed := output.New(nil, nil)
	session.Stdin, session.Stdout, session.Stderr = content, &printed.Stdout, &printed.Stderr
	err = session.run(ctx, fmt.Sprintf(uploadScript, quote(target), quote(name)))
	if err != nil {
		return printed.Failure(fmt.Errorf("copy to %s:%s: %w", connection.address(), target, err), "")
	}
	return nil
}

const uploadScript = `set -eu
target=%s name=%s
if [ -d "$target" ]; then
	[ -n "$name" ] || { echo "$target is a directory: give the path of a file" >&2; exit 1; }
	target=$target/$name
fi
mkdir -p "$(dirname "$target")"
beside=$(mktemp "$target.XXXXXX")
trap 'rm -f "$beside"' EXIT
cat > "$beside"
if [ -e "$target" ]; then
	cat "$beside" > "$target"
else
	chmod "$(printf %%o $((0666 & ~$(umask))))" "$beside"
	mv "$beside" "$target"
fi
`

func quote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// CopyFile is the earlier CopyToRemote.
type CopyFile struct{}

// CopyFileInputs are its arguments.
type CopyFileInputs struct {
	Connection *Connection `pulumi:"connection" provider:"secret"`
	Triggers   *[]any      `pulumi:"triggers,optional"`
	LocalPath  string      `pulumi:"localPath"`
	RemotePath string      `pulumi:"remotePath"`
}

// CopyFileOutputs are its arguments.
type CopyFileOutputs struct{ CopyFileInputs }

// Annotate says what to use instead.
func (c *CopyFile) Annotate(a infer.Annotator) {
	a.Deprecate(&c, "Use CopyToRemote.")
}

// Check refuses the resource.
func (*CopyFile) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[CopyFileInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CopyFileInputs](ctx, req.NewInputs)
	failures = append(failures, p.CheckFailure{Reason: "this plugin has no CopyFile: use CopyToRemote"})
	return infer.CheckResponse[CopyFileInputs]{Inputs: inputs, Failures: failures}, err
}

// Create is never reached.
func (*CopyFile) Create(
	_ context.Context, req infer.CreateRequest[CopyFileInputs],
) (infer.CreateResponse[CopyFileOutputs], error) {
	return infer.CreateResponse[CopyFileOutputs]{Output: CopyFileOutputs{req.Inputs}}, fmt.Errorf("use CopyToRemote")
}
