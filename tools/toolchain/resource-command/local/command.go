// Package local runs commands on this machine.
package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"openstack-lab/toolchain/resource-command/internal/output"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// Command is a resource whose life is commands on this machine.
type Command struct{}

// Run is a function that runs a command each time it is called, at a preview too.
type Run struct{}

// BaseInputs are the arguments of both.
type BaseInputs struct {
	Stdin                  *string           `pulumi:"stdin,optional" provider:"secret"`
	Environment            map[string]string `pulumi:"environment,optional" provider:"secret"`
	Logging                *Logging          `pulumi:"logging,optional"`
	Interpreter            []string          `pulumi:"interpreter,optional"`
	Dir                    *string           `pulumi:"dir,optional"`
	AssetPaths             []string          `pulumi:"assetPaths,optional"`
	ArchivePaths           []string          `pulumi:"archivePaths,optional"`
	AddPreviousOutputInEnv *bool             `pulumi:"addPreviousOutputInEnv,optional"`
}

// BaseOutputs is what a command printed. Assets and Archive are never set.
type BaseOutputs struct {
	Stdout  string                           `pulumi:"stdout"`
	Stderr  string                           `pulumi:"stderr"`
	Assets  map[string]*types.AssetOrArchive `pulumi:"assets,optional"`
	Archive *resource.Archive                `pulumi:"archive,optional"`
}

// CommandInputs are the arguments of Command.
type CommandInputs struct {
	BaseInputs
	Create   *string `pulumi:"create,optional"`
	Update   *string `pulumi:"update,optional"`
	Delete   *string `pulumi:"delete,optional"`
	Triggers *[]any  `pulumi:"triggers,optional" provider:"replaceOnChanges"`
}

// CommandOutputs are its arguments and what the command printed.
type CommandOutputs struct {
	CommandInputs
	BaseOutputs
}

// RunInputs are the arguments of Run.
type RunInputs struct {
	BaseInputs
	Command string `pulumi:"command"`
}

// RunOutputs are its arguments and what the command printed.
type RunOutputs struct {
	RunInputs
	BaseOutputs
}

// Annotate describes the arguments.
func (b *BaseInputs) Annotate(a infer.Annotator) {
	a.Describe(&b.Stdin, "What the command reads from standard input.")
	a.Describe(&b.Environment, "Environment variables, beside those of Pulumi itself.")
	a.Describe(&b.Logging, "Which streams are shown while the command runs; both, unless given.")
	a.Describe(&b.Interpreter, `The program that runs the command; ["/bin/sh", "-c"], unless given.`)
	a.Describe(&b.Dir, "The directory to run the command in.")
	a.Describe(&b.AssetPaths, "Not done by this plugin.")
	a.Describe(&b.ArchivePaths, "Not done by this plugin.")
	a.Describe(&b.AddPreviousOutputInEnv, "Whether the previous run's output is passed on as PULUMI_COMMAND_STDOUT "+
		"and PULUMI_COMMAND_STDERR; true, unless given.")
}

// Annotate describes the arguments.
func (c *CommandInputs) Annotate(a infer.Annotator) {
	a.Describe(&c.Create, "The command that creates the resource, and updates it where there is no `update`.")
	a.Describe(&c.Update, "The command to run when another argument has changed.")
	a.Describe(&c.Delete, "The command to run when the resource is deleted.")
	a.Describe(&c.Triggers, "Values whose change replaces the resource.")
}

// Annotate describes the function's own argument.
func (r *RunInputs) Annotate(a infer.Annotator) {
	a.Describe(&r.Command, "The command to run.")
}

// Check refuses what this plugin does not do.
func (*Command) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[CommandInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CommandInputs](ctx, req.NewInputs)
	for _, field := range []string{"assetPaths", "archivePaths"} {
		if given := req.NewInputs.Get(field); !given.Equals(property.Value{}) {
			failures = append(failures, p.CheckFailure{Property: field, Reason: errNoFiles.Error()})
		}
	}
	return infer.CheckResponse[CommandInputs]{Inputs: inputs, Failures: failures}, err
}

var errNoFiles = errors.New("this plugin does not collect files: assetPaths and archivePaths must not be given")

// Create runs the create command, if there is one.
func (*Command) Create(
	ctx context.Context, req infer.CreateRequest[CommandInputs],
) (infer.CreateResponse[CommandOutputs], error) {
	state := CommandOutputs{CommandInputs: req.Inputs}
	id, err := resource.NewUniqueHex(req.Name, 8, 0)
	if err == nil && !req.DryRun {
		err = state.run(ctx, req.Inputs.Create)
	}
	return infer.CreateResponse[CommandOutputs]{ID: id, Output: state}, err
}

// Update runs the update command or, without one, the create command again.
func (*Command) Update(
	ctx context.Context, req infer.UpdateRequest[CommandInputs, CommandOutputs],
) (infer.UpdateResponse[CommandOutputs], error) {
	state := CommandOutputs{CommandInputs: req.Inputs, BaseOutputs: req.State.BaseOutputs}
	var err error
	if !req.DryRun {
		command := req.Inputs.Update
		if command == nil {
			command = req.Inputs.Create
		}
		err = state.run(ctx, command)
	}
	return infer.UpdateResponse[CommandOutputs]{Output: state}, err
}

// Delete runs the delete command, if there is one.
func (*Command) Delete(ctx context.Context, req infer.DeleteRequest[CommandOutputs]) (infer.DeleteResponse, error) {
	state := req.State
	return infer.DeleteResponse{}, state.run(ctx, state.Delete)
}

func (c *CommandOutputs) run(ctx context.Context, command *string) error {
	if command == nil {
		return nil
	}
	return run(ctx, *command, c.BaseInputs, &c.BaseOutputs)
}

// Invoke runs the command.
func (*Run) Invoke(ctx context.Context, req infer.FunctionRequest[RunInputs]) (infer.FunctionResponse[RunOutputs], error) {
	result := RunOutputs{RunInputs: req.Input}
	err := run(ctx, req.Input.Command, req.Input.BaseInputs, &result.BaseOutputs)
	return infer.FunctionResponse[RunOutputs]{Output: result}, err
}

// run runs a command in a process group of its own and keeps what it printed. The outputs stay as they were if it
// fails.
func run(ctx context.Context, command string, in BaseInputs, out *BaseOutputs) error {
	if in.AssetPaths != nil || in.ArchivePaths != nil {
		return errNoFiles
	}
	words := append([]string(nil), in.Interpreter...)
	if len(words) == 0 {
		words = []string{"/bin/sh", "-c"}
	}
	words = append(words, command)
	process := exec.CommandContext(ctx, words[0], words[1:]...)
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	process.Cancel = func() error { return syscall.Kill(-process.Process.Pid, syscall.SIGTERM) }
	process.WaitDelay = killAfter
	if in.Dir != nil {
		process.Dir = *in.Dir
	}
	process.Env = os.Environ()
	for name, value := range in.Environment {
		process.Env = append(process.Env, name+"="+value)
	}
	if in.AddPreviousOutputInEnv == nil || *in.AddPreviousOutputInEnv {
		if out.Stdout != "" {
			process.Env = append(process.Env, "PULUMI_COMMAND_STDOUT="+out.Stdout)
		}
		if out.Stderr != "" {
			process.Env = append(process.Env, "PULUMI_COMMAND_STDERR="+out.Stderr)
		}
	}
	if in.Stdin != nil {
		process.Stdin = strings.NewReader(*in.Stdin)
	}
	log := p.GetLogger(ctx).InfoStatus
	var logStdout, logStderr func(string)
	if in.Logging.has(LogStdout) {
		logStdout = log
	}
	if in.Logging.has(LogStderr) {
		logStderr = log
	}
	printed := output.New(logStdout, logStderr)
	process.Stdout, process.Stderr = &printed.Stdout, &printed.Stderr
	begun := time.Now()
	err := process.Run()
	printed.Close()
	if err != nil {
		if ctx.Err() != nil && process.Process != nil {
			_ = syscall.Kill(-process.Process.Pid, syscall.SIGKILL)
			err = fmt.Errorf("stopped after %s: %w", time.Since(begun).Round(time.Second), context.Cause(ctx))
		}
		if in.Logging != nil && *in.Logging == NoLogging {
			command = ""
		}
		return printed.Failure(err, command)
	}
	out.Stdout, out.Stderr = printed.Stdout.String(), printed.Stderr.String()
	return nil
}

const killAfter = 2 * time.Second
