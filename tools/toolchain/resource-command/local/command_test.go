package local

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pulumi/pulumi-go-provider/infer"
)

func TestMain(m *testing.M) {
	// Outside of Pulumi, what is logged goes there.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

func create(ctx context.Context, inputs CommandInputs) (CommandOutputs, error) {
	response, err := (&Command{}).Create(ctx, infer.CreateRequest[CommandInputs]{Name: "test", Inputs: inputs})
	return response.Output, err
}

func ptr[T any](value T) *T { return &value }

func TestCreateKeepsWhatTheCommandPrints(t *testing.T) {
	directory := t.TempDir()
	outputs, err := create(context.Background(), CommandInputs{
		Create: ptr("cat; pwd; echo $NAME >&2"),
		BaseInputs: BaseInputs{
			Stdin: ptr("from stdin\n"), Dir: &directory, Environment: map[string]string{"NAME": "value"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if outputs.Stdout != "from stdin\n"+directory || outputs.Stderr != "value" {
		t.Errorf("%+v", outputs.BaseOutputs)
	}
}

func TestAnotherInterpreterRunsTheCommand(t *testing.T) {
	outputs, err := create(context.Background(), CommandInputs{
		Create: ptr("the command"), BaseInputs: BaseInputs{Interpreter: []string{"/bin/echo", "run:"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if outputs.Stdout != "run: the command" {
		t.Error(outputs.Stdout)
	}
}

func TestAFailureTellsStatusCommandAndOutput(t *testing.T) {
	inputs := CommandInputs{Create: ptr("echo the reason >&2; exit 3")}
	_, err := create(context.Background(), inputs)
	if err == nil || !strings.Contains(err.Error(), `exit status 3: running "echo the`) ||
		!strings.Contains(err.Error(), "\nthe reason") {
		t.Error(err)
	}
	inputs.Logging = ptr(NoLogging)
	_, err = create(context.Background(), inputs)
	if err == nil || err.Error() != "exit status 3\nthe reason" {
		t.Error(err)
	}
}

func TestUpdateAndDeleteGetThePreviousOutput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	inputs := CommandInputs{
		Create: ptr("echo created"), Update: ptr("echo updated after $PULUMI_COMMAND_STDOUT"),
		Delete: ptr("echo deleted after $PULUMI_COMMAND_STDOUT > " + file),
	}
	state, err := create(context.Background(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	updated, err := (&Command{}).Update(context.Background(),
		infer.UpdateRequest[CommandInputs, CommandOutputs]{Inputs: inputs, State: state})
	if err != nil || updated.Output.Stdout != "updated after created" {
		t.Error(updated.Output.Stdout, err)
	}
	request := infer.DeleteRequest[CommandOutputs]{State: updated.Output}
	if _, err := (&Command{}).Delete(context.Background(), request); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); string(text) != "deleted after updated after created\n" {
		t.Error(string(text), err)
	}
}

func TestInterruptingStopsTheCommandAndItsChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	begun := time.Now()
	_, err := create(ctx, CommandInputs{Create: ptr("echo begun; sleep 600 & echo $! > " + file + "; wait")})
	if err == nil || !strings.Contains(err.Error(), "deadline exceeded") || !strings.Contains(err.Error(), "begun") {
		t.Error(err)
	}
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("took %s", took)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	for syscall.Kill(pid, 0) == nil {
		if time.Since(begun) > 15*time.Second {
			t.Fatal("the command's child still runs")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestRunIsTheCommandAsAFunction(t *testing.T) {
	response, err := (&Run{}).Invoke(context.Background(),
		infer.FunctionRequest[RunInputs]{Input: RunInputs{Command: "echo hello"}})
	if err != nil || response.Output.Stdout != "hello" {
		t.Error(response.Output, err)
	}
}

func TestFilesAreNotCollected(t *testing.T) {
	for _, inputs := range []BaseInputs{{AssetPaths: []string{"*"}}, {ArchivePaths: []string{"*"}}} {
		_, err := (&Run{}).Invoke(context.Background(),
			infer.FunctionRequest[RunInputs]{Input: RunInputs{BaseInputs: inputs, Command: "true"}})
		if err == nil || !strings.Contains(err.Error(), "assetPaths and archivePaths must not be given") {
			t.Error(err)
		}
	}
}
