package remote

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pulumi/pulumi-go-provider/infer"
)

func create(ctx context.Context, inputs CommandInputs) (CommandOutputs, error) {
	response, err := (&Command{}).Create(ctx, infer.CreateRequest[CommandInputs]{Name: "test", Inputs: inputs})
	return response.Output, err
}

func (s *server) run(command string) (CommandOutputs, error) {
	return create(context.Background(), CommandInputs{Connection: s.connection(), Create: &command})
}

func TestCreateKeepsWhatTheCommandPrints(t *testing.T) {
	outputs, err := startServer(t).run("echo to stdout; echo to stderr >&2")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, outputs.Stdout, "to stdout")
	equal(t, outputs.Stderr, "to stderr")
}

func TestAPreviewRunsNothing(t *testing.T) {
	s := newServer(t) // not started
	inputs := CommandInputs{Connection: s.connection(), Create: ptr("true")}
	request := infer.CreateRequest[CommandInputs]{Name: "test", Inputs: inputs, DryRun: true}
	if _, err := (&Command{}).Create(context.Background(), request); err != nil {
		t.Fatal(err)
	}
}

func TestAFailureTellsHostStatusCommandAndLastLines(t *testing.T) {
	s := startServer(t)
	_, err := s.run("seq 1 200 | sed 's/^/line /'; echo the reason >&2; exit 3")
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), s.address(), "exit status 3", `running "seq 1 200`, "[...]", "line 142\n", "line 200", "the reason")
	lacks(t, err.Error(), "line 140\n")
}

func TestACommandKilledBySignalTellsWhich(t *testing.T) {
	_, err := startServer(t).run("kill -KILL $$")
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "signal KILL")
}

func TestWithoutLoggingAFailureHidesCommandAndStdin(t *testing.T) {
	inputs := CommandInputs{
		Connection:  startServer(t).connection(),
		Create:      ptr("read -r line; : hidden-in-command; echo what went wrong; exit 1"),
		Stdin:       ptr("hidden-in-stdin\n"),
		Environment: map[string]string{"LAB_SECRET": "hidden-in-environment"},
		Logging:     ptr(NoLogging),
	}
	_, err := create(context.Background(), inputs)
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "exit status 1", "what went wrong")
	lacks(t, err.Error(), "hidden")
}

func TestLongStdinArrivesWhole(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 1<<18)
	inputs := CommandInputs{Connection: startServer(t).connection(), Create: ptr("wc -c"), Stdin: &text}
	outputs, err := create(context.Background(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, strings.TrimSpace(outputs.Stdout), strconv.Itoa(len(text)))
}

func TestACommandNeedNotReadItsStdin(t *testing.T) {
	text := strings.Repeat("x", 8<<20)
	inputs := CommandInputs{Connection: startServer(t).connection(), Create: ptr("echo done"), Stdin: &text}
	outputs, err := create(context.Background(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, outputs.Stdout, "done")
}

func TestMegabytesOnBothStreamsWithoutALineEndArriveWhole(t *testing.T) {
	within(t, 20*time.Second, func() {
		outputs, err := startServer(t).run(
			"head -c 3000000 /dev/zero | tr '\\0' a & head -c 2000000 /dev/zero | tr '\\0' b >&2; wait")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, outputs.Stdout, strings.Repeat("a", 3000000))
		equal(t, outputs.Stderr, strings.Repeat("b", 2000000))
	})
}

func TestOutputThatIsNoTextIsMadeText(t *testing.T) {
	outputs, err := startServer(t).run(`printf 'a\377b'`)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, outputs.Stdout, "a\uFFFDb")
}

func TestEnvironmentReachesTheCommand(t *testing.T) {
	inputs := CommandInputs{
		Connection:  startServer(t).connection(),
		Create:      ptr("echo $LAB_NAME"),
		Environment: map[string]string{"LAB_NAME": "two words"},
	}
	outputs, err := create(context.Background(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, outputs.Stdout, "two words")
}

func TestAVariableThatTheServerRefusesIsAnError(t *testing.T) {
	inputs := CommandInputs{
		Connection:  startServer(t).connection(),
		Create:      ptr("true"),
		Environment: map[string]string{"OTHER": "x"},
	}
	_, err := create(context.Background(), inputs)
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "OTHER", "AcceptEnv")
}

func TestUpdateRunsTheUpdateCommandWithThePreviousOutput(t *testing.T) {
	inputs := CommandInputs{
		Connection: startServer(t).connection(),
		Create:     ptr("echo created"),
		Update:     ptr("echo updated after $PULUMI_COMMAND_STDOUT"),
	}
	state, err := create(context.Background(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	request := infer.UpdateRequest[CommandInputs, CommandOutputs]{Inputs: inputs, State: state}
	response, err := (&Command{}).Update(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, response.Output.Stdout, "updated after created")

	request.Inputs.AddPreviousOutputInEnv = ptr(false)
	response, err = (&Command{}).Update(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, response.Output.Stdout, "updated after")
}

func TestUpdateWithoutAnUpdateCommandRunsCreateAgain(t *testing.T) {
	inputs := CommandInputs{Connection: startServer(t).connection(), Create: ptr("echo created")}
	request := infer.UpdateRequest[CommandInputs, CommandOutputs]{Inputs: inputs}
	response, err := (&Command{}).Update(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, response.Output.Stdout, "created")
}

func TestAFailedUpdateKeepsTheOutputs(t *testing.T) {
	inputs := CommandInputs{Connection: startServer(t).connection(), Create: ptr("echo new; exit 1")}
	request := infer.UpdateRequest[CommandInputs, CommandOutputs]{Inputs: inputs, State: CommandOutputs{Stdout: "old"}}
	response, err := (&Command{}).Update(context.Background(), request)
	if err == nil {
		t.Fatal("no error")
	}
	equal(t, response.Output.Stdout, "old")
}

func TestDeleteRunsTheDeleteCommand(t *testing.T) {
	s := startServer(t)
	state := CommandOutputs{
		CommandInputs: CommandInputs{Connection: s.connection(), Delete: ptr("echo $PULUMI_COMMAND_STDOUT > " + s.file("gone"))},
		Stdout:        "goodbye",
	}
	if _, err := (&Command{}).Delete(context.Background(), infer.DeleteRequest[CommandOutputs]{State: state}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.file("gone"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, string(text), "goodbye\n")
}

func TestDeleteWithoutADeleteCommandNeedsNoHost(t *testing.T) {
	state := CommandOutputs{CommandInputs: CommandInputs{Connection: newServer(t).connection()}}
	if _, err := (&Command{}).Delete(context.Background(), infer.DeleteRequest[CommandOutputs]{State: state}); err != nil {
		t.Fatal(err)
	}
}

func TestInterruptingStopsTheCommandOnTheHost(t *testing.T) {
	s := startServer(t)
	ctx, interrupt := context.WithCancel(context.Background())
	command := "echo begun; sleep 600 & echo $! > " + s.file("pid") + "; wait"
	go func() {
		for s.pid("pid") == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		interrupt()
	}()
	var err error
	within(t, 8*time.Second, func() {
		_, err = create(ctx, CommandInputs{Connection: s.connection(), Create: &command})
	})
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "stopped after", "context canceled", "begun")
	s.hasEnded("pid")
}

func TestInterruptingStopsAllCommandsOfALogin(t *testing.T) {
	s := startServer(t)
	ctx, interrupt := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for _, name := range []string{"first", "second", "third"} {
		command := "sleep 600 & echo $! > " + s.file(name) + "; wait"
		group.Go(func() {
			if _, err := create(ctx, CommandInputs{Connection: s.connection(), Create: &command}); err == nil {
				t.Error("no error")
			}
		})
		eventually(t, "the command to start", func() bool { return s.pid(name) != 0 })
	}
	interrupt()
	within(t, 8*time.Second, group.Wait)
	for _, name := range []string{"first", "second", "third"} {
		s.hasEnded(name)
	}
}

// pid is the process id that a command has put into a file; 0 if it has not yet.
func (s *server) pid(name string) int {
	text, _ := os.ReadFile(s.file(name))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func (s *server) hasEnded(name string) {
	s.t.Helper()
	eventually(s.t, "the command to end", func() bool { return syscall.Kill(s.pid(name), 0) != nil })
}

func TestATimeLimitEndsACommandThatIgnoresSignals(t *testing.T) {
	s := startServer(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	command := "trap '' TERM; echo $$ > " + s.file("pid") + "; while :; do sleep 0.1; done"
	within(t, 8*time.Second, func() {
		_, err := create(ctx, CommandInputs{Connection: s.connection(), Create: &command})
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "deadline exceeded")
	})
	s.hasEnded("pid")
	// The login is not harmed.
	if _, err := s.run("true"); err != nil {
		t.Fatal(err)
	}
	equal(t, s.logins(), 1)
}

func TestCommandsAtOnceShareALogin(t *testing.T) {
	s := startServer(t)
	s.runAtOnce(8, "echo hello")
	equal(t, s.logins(), 1)
}

func TestMoreCommandsThanALoginTakesGetFurtherLogins(t *testing.T) {
	s := startServer(t)
	s.runAtOnce(20, "sleep 0.5; echo hello")
	equal(t, s.logins(), 3)
}

func TestAServerThatAllowsFewerSessionsIsRespected(t *testing.T) {
	s := startServer(t, "MaxSessions 2")
	s.runAtOnce(7, "sleep 0.5; echo hello")
}

func (s *server) runAtOnce(count int, command string) {
	s.t.Helper()
	var group sync.WaitGroup
	for range count {
		group.Go(func() {
			outputs, err := s.run(command)
			if err != nil {
				s.t.Error(err)
			}
			equal(s.t, outputs.Stdout, "hello")
		})
	}
	group.Wait()
}
