package remote

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

func (s *server) copy(asset *resource.Asset, target string) error {
	inputs := CopyToRemoteInputs{
		Connection: s.connection(), Source: types.AssetOrArchive{Asset: asset}, RemotePath: target,
	}
	request := infer.CreateRequest[CopyToRemoteInputs]{Name: "test", Inputs: inputs}
	_, err := (&CopyToRemote{}).Create(context.Background(), request)
	return err
}

func text(t *testing.T, content string) *resource.Asset {
	t.Helper()
	asset, err := resource.NewTextAsset(content)
	if err != nil {
		t.Fatal(err)
	}
	return asset
}

func file(t *testing.T, path string) *resource.Asset {
	t.Helper()
	asset, err := resource.NewPathAsset(path)
	if err != nil {
		t.Fatal(err)
	}
	return asset
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestATextIsCopiedAndItsDirectoriesAreMade(t *testing.T) {
	s := startServer(t)
	target := s.file("it's/a new/directory/file")
	if err := s.copy(text(t, "content\n"), target); err != nil {
		t.Fatal(err)
	}
	equal(t, read(t, target), "content\n")
	beside, _ := os.ReadDir(filepath.Dir(target))
	equal(t, len(beside), 1)
}

func TestAFileIsCopiedIntoADirectory(t *testing.T) {
	s := startServer(t)
	content := strings.Repeat("binary\x00\xff", 1<<18)
	source := filepath.Join(t.TempDir(), "image.bin")
	write(t, source, []byte(content), 0o600)
	if err := s.copy(file(t, source), s.directory); err != nil {
		t.Fatal(err)
	}
	equal(t, read(t, s.file("image.bin")), content)
}

func TestAFileThatIsThereKeepsItsMode(t *testing.T) {
	s := startServer(t)
	write(t, s.file("secret"), []byte("old and longer than the new"), 0o600)
	if err := s.copy(text(t, "new"), s.file("secret")); err != nil {
		t.Fatal(err)
	}
	equal(t, read(t, s.file("secret")), "new")
	info, err := os.Stat(s.file("secret"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, info.Mode(), 0o600)
}

func TestATextCannotBecomeADirectory(t *testing.T) {
	s := startServer(t)
	err := s.copy(text(t, "new"), s.directory)
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "is a directory", s.address())
}

func TestAnUpdateCopiesOnlyWhatHasChanged(t *testing.T) {
	s := startServer(t)
	inputs := CopyToRemoteInputs{
		Connection: s.connection(), Source: types.AssetOrArchive{Asset: text(t, "same")}, RemotePath: s.file("file"),
	}
	update := func(news CopyToRemoteInputs) {
		t.Helper()
		request := infer.UpdateRequest[CopyToRemoteInputs, CopyToRemoteOutputs]{
			Inputs: news, State: CopyToRemoteOutputs{inputs},
		}
		if _, err := (&CopyToRemote{}).Update(context.Background(), request); err != nil {
			t.Fatal(err)
		}
	}
	update(inputs)
	if _, err := os.Stat(s.file("file")); err == nil {
		t.Error("copied, though nothing has changed")
	}
	news := inputs
	news.Source = types.AssetOrArchive{Asset: text(t, "other")}
	update(news)
	equal(t, read(t, s.file("file")), "other")
}
