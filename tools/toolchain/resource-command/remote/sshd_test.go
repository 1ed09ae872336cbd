package remote

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// server is a real sshd on loopback, with keys of its own.
type server struct {
	t         *testing.T
	directory string
	port      int
	process   *exec.Cmd
	hostKey   string
	key       []byte
	mu        sync.Mutex
}

// newServer prepares a server with these lines in its configuration; the first value of an option is the one that counts.
func newServer(t *testing.T, options ...string) *server {
	t.Helper()
	directory := t.TempDir()
	hostKey, hostPublic := newKey(t)
	key, public := newKey(t)
	s := &server{t: t, directory: directory, port: freePort(t), hostKey: hostPublic, key: key}
	write(t, s.file("host_key"), hostKey, 0o600)
	write(t, s.file("authorized_keys"), []byte(public), 0o600)
	options = append(options,
		"ListenAddress 127.0.0.1:"+strconv.Itoa(s.port),
		"HostKey "+s.file("host_key"),
		"AuthorizedKeysFile "+s.file("authorized_keys"),
		"AcceptEnv LAB_* PULUMI_COMMAND_*",
		"SetEnv HOME="+directory, // without the user's .bashrc
		"PasswordAuthentication no",
		"PermitRootLogin prohibit-password",
		"StrictModes no",
		"UsePAM yes",
		"PidFile none",
		"LogLevel VERBOSE",
	)
	write(t, s.file("config"), []byte(strings.Join(options, "\n")+"\n"), 0o600)
	t.Cleanup(s.stop)
	return s
}

func startServer(t *testing.T, options ...string) *server {
	t.Helper()
	s := newServer(t, options...)
	s.start()
	return s
}

func (s *server) file(name string) string { return filepath.Join(s.directory, name) }

// start returns once the server listens.
func (s *server) start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	log, err := os.OpenFile(s.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.process = exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", s.file("config"))
	s.process.Stdout, s.process.Stderr = log, log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // where the tests are killed
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "sshd to listen", func() bool {
		connection, err := net.Dial("tcp", s.address())
		if err == nil {
			connection.Close()
		}
		return err == nil
	})
}

// stop kills the server and all that it has started, as a host that loses its power.
func (s *server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	processes := append(descendants(s.process.Process.Pid), s.process.Process.Pid)
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} { // so that none tells of another's end
		for _, pid := range processes {
			_ = syscall.Kill(pid, signal)
		}
	}
	_ = s.process.Wait()
	s.process = nil
}

func (s *server) address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

func (s *server) connection() *Connection {
	me, err := user.Current()
	if err != nil {
		s.t.Fatal(err)
	}
	return &Connection{Endpoint: Endpoint{
		User:       &me.Username,
		Host:       ptr("127.0.0.1"),
		Port:       ptr(float64(s.port)),
		PrivateKey: ptr(string(s.key)),
		HostKey:    &s.hostKey,
	}}
}

func (s *server) log() string {
	text, err := os.ReadFile(s.file("log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return string(text)
}

func (s *server) logins() int { return strings.Count(s.log(), "Accepted publickey") }

func (s *server) replaceHostKey() {
	s.t.Helper()
	key, _ := newKey(s.t)
	write(s.t, s.file("host_key"), key, 0o600)
}

// newKey makes a key pair: the private key as OpenSSH keeps it, the public one as a line of authorized_keys.
func newKey(t *testing.T) (private []byte, public string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, key)
}

func encode(t *testing.T, key any) (private []byte, public string) {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
}

func descendants(parent int) []int {
	var found []int
	statuses, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range statuses {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// pid (name) state ppid ...
		after := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if string(after[1]) == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
			found = append(append(found, descendants(pid)...), pid)
		}
	}
	return found
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func write(t *testing.T, file string, text []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, text, mode); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < 10*time.Second; time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited 10 s for %s", what)
}

func ptr[T any](value T) *T { return &value }

// set gives a variable another value until the end of the test.
func set[T any](t *testing.T, variable *T, value T) {
	t.Helper()
	before := *variable
	*variable = value
	t.Cleanup(func() { *variable = before })
}

func within(t *testing.T, limit time.Duration, do func()) {
	t.Helper()
	begun := time.Now()
	do()
	if took := time.Since(begun); took > limit {
		t.Errorf("took %s, expected %s at most", took.Round(time.Millisecond), limit)
	}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

func lacks(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%q should not be in:\n%s", part, text)
		}
	}
}

func equal[T comparable](t *testing.T, got, expected T) {
	t.Helper()
	if got != expected {
		t.Errorf("got %v, expected %v", shortened(got), shortened(expected))
	}
}

func shortened(value any) string {
	text := fmt.Sprintf("%#v", value)
	return text[:min(len(text), 300)]
}

func TestMain(m *testing.M) {
	// Outside of Pulumi, what is logged goes there.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}
