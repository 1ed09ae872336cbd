// Package remote runs commands and copies files over SSH.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"openstack-lab/toolchain/resource-command/internal/output"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"golang.org/x/crypto/ssh"
)

// Command is a resource whose life is commands on another host.
type Command struct{}

// CommandInputs are its arguments.
type CommandInputs struct {
	Create                 *string           `pulumi:"create,optional"`
	Update                 *string           `pulumi:"update,optional"`
	Delete                 *string           `pulumi:"delete,optional"`
	Triggers               *[]any            `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Stdin                  *string           `pulumi:"stdin,optional" provider:"secret"`
	Environment            map[string]string `pulumi:"environment,optional" provider:"secret"`
	Logging                *Logging          `pulumi:"logging,optional"`
	AddPreviousOutputInEnv *bool             `pulumi:"addPreviousOutputInEnv,optional"`
	Connection             *Connection       `pulumi:"connection" provider:"secret"`
}

// CommandOutputs are its arguments and what the command printed.
type CommandOutputs struct {
	CommandInputs
	Stdout string `pulumi:"stdout"`
	Stderr string `pulumi:"stderr"`
}

// Annotate describes the arguments.
func (c *CommandInputs) Annotate(a infer.Annotator) {
	a.Describe(&c.Create, "The command that creates the resource, and updates it where there is no `update`.")
	a.Describe(&c.Update, "The command to run when another argument has changed.")
	a.Describe(&c.Delete, "The command to run when the resource is deleted.")
	a.Describe(&c.Triggers, "Values whose change replaces the resource.")
	a.Describe(&c.Stdin, "What the command reads from standard input.")
	a.Describe(&c.Environment, "Environment variables. The SSH server must accept them (AcceptEnv).")
	a.Describe(&c.Logging, "Which streams are shown while the command runs; both, unless given.")
	a.Describe(&c.AddPreviousOutputInEnv, "Whether the previous run's output is passed on as PULUMI_COMMAND_STDOUT "+
		"and PULUMI_COMMAND_STDERR; true, unless given.")
	a.Describe(&c.Connection, "How to reach the host.")
}

// Check validates the connection where it is known, so that a preview finds what is wrong with it.
func (*Command) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[CommandInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CommandInputs](ctx, req.NewInputs)
	if err == nil && len(failures) == 0 {
		failures = checkConnection(inputs.Connection, req.NewInputs)
	}
	return infer.CheckResponse[CommandInputs]{Inputs: inputs, Failures: failures}, err
}

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
	state := CommandOutputs{CommandInputs: req.Inputs, Stdout: req.State.Stdout, Stderr: req.State.Stderr}
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

// run runs the command and keeps what it printed. The outputs stay as they were if it fails.
func (c *CommandOutputs) run(ctx context.Context, command *string) error {
	if command == nil {
		return nil
	}
	session, err := clients.session(ctx, c.Connection)
	if err != nil {
		return err
	}
	defer session.close()
	if err := c.setEnvironment(ctx, session.Session); err != nil {
		return err
	}
	if c.Stdin != nil {
		session.Stdin = strings.NewReader(*c.Stdin)
	}
	log := p.GetLogger(ctx).InfoStatus
	var logStdout, logStderr func(string)
	if c.Logging.has(LogStdout) {
		logStdout = log
	}
	if c.Logging.has(LogStderr) {
		logStderr = log
	}
	printed := output.New(logStdout, logStderr)
	session.Stdout, session.Stderr = &printed.Stdout, &printed.Stderr
	err = session.run(ctx, *command)
	printed.Close()
	if err != nil {
		named := *command
		if c.Logging != nil && *c.Logging == NoLogging {
			named = ""
		}
		return printed.Failure(fmt.Errorf("%s: %w", c.Connection.address(), err), named)
	}
	c.Stdout, c.Stderr = printed.Stdout.String(), printed.Stderr.String()
	return nil
}

func (c *CommandOutputs) setEnvironment(ctx context.Context, session *ssh.Session) error {
	for name, value := range c.Environment {
		if err := session.Setenv(name, value); err != nil {
			return fmt.Errorf("environment variable %s: %s does not take it (see AcceptEnv in sshd_config): %w",
				name, c.Connection.address(), err)
		}
	}
	if c.AddPreviousOutputInEnv != nil && !*c.AddPreviousOutputInEnv {
		return nil
	}
	previous := []struct{ name, value string }{
		{"PULUMI_COMMAND_STDOUT", c.Stdout}, {"PULUMI_COMMAND_STDERR", c.Stderr},
	}
	for _, variable := range previous {
		if variable.value == "" {
			continue
		}
		if err := session.Setenv(variable.name, variable.value); err != nil {
			p.GetLogger(ctx).Warningf("%s is not passed on: %s does not take it (see AcceptEnv in sshd_config): %v",
				variable.name, c.Connection.address(), err)
		}
	}
	return nil
}

// run starts the command and waits for its end. When ctx ends first, the command is told to stop.
func (s *session) run(ctx context.Context, command string) error {
	begun := time.Now()
	if err := s.Start(command); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Wait() }()
	select {
	case err := <-ended:
		return describe(err)
	case <-ctx.Done():
	}
	stopped := fmt.Errorf("stopped after %s: %w", time.Since(begun).Round(time.Second), ctx.Err())
	defer s.client.stop()()
	for _, signal := range []ssh.Signal{ssh.SIGTERM, ssh.SIGKILL} {
		_ = s.Signal(signal)
		s.client.signalAll(signal)
		select {
		case <-ended:
			return stopped
		case <-time.After(killAfter):
		}
	}
	return fmt.Errorf("%w; it may still be running there", stopped)
}

const killAfter = 2 * time.Second

func describe(err error) error {
	var status *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case errors.As(err, &status) && status.Signal() != "":
		return fmt.Errorf("ended by signal %s", status.Signal())
	case errors.As(err, &status):
		return fmt.Errorf("exit status %d", status.ExitStatus())
	case errors.As(err, &missing):
		return errors.New("connection lost while the command ran")
	case errors.Is(err, io.EOF):
		return nil // it ended well, and had not read all of its standard input
	}
	return err
}
