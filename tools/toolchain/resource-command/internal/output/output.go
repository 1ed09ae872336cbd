// Package output captures what a command prints: whole for the resource's outputs, line by line for the log, and the
// last lines for an error.
package output

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

const (
	lastLines     = 60
	lastBytes     = 32 << 10
	logLineBytes  = 4 << 10
	commandLength = 200
)

// Capture collects a command's two streams. Both may be written at the same time.
type Capture struct {
	Stdout, Stderr stream

	mu     sync.Mutex
	recent []byte // the end of both streams in the order of arrival
	older  bool   // whether something before recent was dropped
}

// New returns a capture which hands each line of a stream to that stream's log function, where it has one.
func New(logStdout, logStderr func(line string)) *Capture {
	c := &Capture{}
	c.Stdout = stream{capture: c, log: logStdout}
	c.Stderr = stream{capture: c, log: logStderr}
	return c
}

// Close logs what the streams have after their last line end.
func (c *Capture) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Stdout.flush()
	c.Stderr.flush()
}

// Failure is err with the last lines of the output. The command is named only where it is given.
func (c *Capture) Failure(err error, command string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if command != "" {
		err = fmt.Errorf("%w: running %q", err, shorten(command))
	}
	text := strings.TrimRight(valid(c.recent), "\n")
	if text == "" {
		return err
	}
	lines := strings.Split(text, "\n")
	if c.older || len(lines) > lastLines {
		lines = append([]string{"[...]"}, lines[max(0, len(lines)-lastLines):]...)
	}
	return fmt.Errorf("%w\n%s", err, strings.Join(lines, "\n"))
}

type stream struct {
	capture *Capture
	log     func(string)
	all     bytes.Buffer
	line    []byte
}

var _ io.Writer = (*stream)(nil)

// Write never fails and never waits for a line to end, so that no output can stop the command.
func (s *stream) Write(text []byte) (int, error) {
	s.capture.mu.Lock()
	defer s.capture.mu.Unlock()
	s.all.Write(text)
	s.capture.remember(text)
	if s.log != nil {
		s.line = append(s.line, text...)
		s.logLines()
	}
	return len(text), nil
}

// String is the whole stream without its last line end. Bytes that are no UTF-8 are replaced, since Pulumi's strings
// cannot hold them.
func (s *stream) String() string {
	s.capture.mu.Lock()
	defer s.capture.mu.Unlock()
	return strings.TrimSuffix(valid(s.all.Bytes()), "\n")
}

func (s *stream) logLines() {
	for {
		end := bytes.IndexByte(s.line, '\n')
		switch {
		case end >= 0 && end <= logLineBytes:
			s.log(valid(s.line[:end]))
			s.line = s.line[end+1:]
		case len(s.line) > logLineBytes:
			s.log(valid(s.line[:logLineBytes]))
			s.line = s.line[logLineBytes:]
		default:
			return
		}
	}
}

func (s *stream) flush() {
	if len(s.line) > 0 {
		s.log(valid(s.line))
		s.line = nil
	}
}

func (c *Capture) remember(text []byte) {
	c.recent = append(c.recent, text...)
	if surplus := len(c.recent) - lastBytes; surplus > 0 {
		c.recent = append([]byte(nil), c.recent[surplus:]...)
		c.older = true
	}
}

func valid(text []byte) string {
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

func shorten(command string) string {
	if len(command) <= commandLength {
		return command
	}
	return valid([]byte(command[:commandLength])) + "..."
}
