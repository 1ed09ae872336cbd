package remote

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func runOver(connection *Connection, command string) (CommandOutputs, error) {
	return create(context.Background(), CommandInputs{Connection: connection, Create: &command})
}

func TestAnotherHostKeyFailsAtOnceAndNamesBoth(t *testing.T) {
	s := newServer(t)
	s.replaceHostKey()
	s.start()
	connection := s.connection()
	connection.DialErrorLimit = ptr(-1)
	expected, _, _, _, _ := ssh.ParseAuthorizedKey([]byte(s.hostKey))
	within(t, 3*time.Second, func() {
		_, err := runOver(connection, "true")
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), s.address(), "another host key", "expected ssh-ed25519 "+ssh.FingerprintSHA256(expected),
			"got ssh-ed25519 SHA256:")
	})
	equal(t, s.logins(), 0)
}

func TestAHostKeyOfAnotherTypeFailsAtOnce(t *testing.T) {
	s := startServer(t)
	connection := s.connection()
	_, public := rsaKey(t)
	connection.HostKey = &public
	within(t, 3*time.Second, func() {
		_, err := runOver(connection, "true")
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), s.address(), "another host key", "expected ssh-rsa SHA256:", "ssh-ed25519")
	})
}

func TestAnRSAHostKeyIsAccepted(t *testing.T) {
	s := newServer(t)
	private, public := rsaKey(t)
	write(t, s.file("host_key"), private, 0o600)
	s.hostKey = public
	s.start()
	if _, err := s.run("true"); err != nil {
		t.Fatal(err)
	}
}

func rsaKey(t *testing.T) (private []byte, public string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, key)
}

func TestAServerThatStartsLateIsWaitedFor(t *testing.T) {
	s := newServer(t)
	time.AfterFunc(2*time.Second, s.start)
	outputs, err := s.run("echo hello")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, outputs.Stdout, "hello")
}

func TestTheDialErrorLimitEndsTheWaiting(t *testing.T) {
	s := newServer(t)
	connection := s.connection()
	connection.DialErrorLimit = ptr(2)
	within(t, 3*time.Second, func() {
		_, err := runOver(connection, "true")
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), s.address(), "gave up after 3 attempts", "connection refused")
	})
}

func TestInterruptingEndsTheWaiting(t *testing.T) {
	s := newServer(t)
	connection := s.connection()
	connection.DialErrorLimit = ptr(-1)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	within(t, 2*time.Second, func() {
		_, err := create(ctx, CommandInputs{Connection: connection, Create: ptr("true")})
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "deadline exceeded", "connection refused")
	})
}

func TestARefusedLoginIsNotTriedForEver(t *testing.T) {
	set(t, &refusalPatience, time.Second)
	s := startServer(t)
	connection := s.connection()
	other, _ := newKey(t)
	connection.PrivateKey = ptr(string(other))
	connection.DialErrorLimit = ptr(-1)
	within(t, 10*time.Second, func() {
		_, err := runOver(connection, "true")
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "login refused for user "+*connection.User, "unable to authenticate")
		lacks(t, err.Error(), "PRIVATE KEY")
	})
}

func TestAKeyThatIsInstalledLateIsWaitedFor(t *testing.T) {
	s := newServer(t)
	right, err := os.ReadFile(s.file("authorized_keys"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.file("authorized_keys"), nil, 0o600)
	s.start()
	time.AfterFunc(time.Second, func() { write(t, s.file("authorized_keys"), right, 0o600) })
	if _, err := s.run("true"); err != nil {
		t.Fatal(err)
	}
}

func TestAServerThatNeverSpeaksIsGivenUp(t *testing.T) {
	set(t, &handshakeTimeout, 300*time.Millisecond)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s := newServer(t)
	s.port = listener.Addr().(*net.TCPAddr).Port
	connection := s.connection()
	connection.DialErrorLimit = ptr(0)
	within(t, 3*time.Second, func() {
		_, err := runOver(connection, "true")
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "handshake", "deadline exceeded")
	})
}

func TestACommandAfterARestartOfTheServerLogsInAgain(t *testing.T) {
	s := startServer(t)
	for range 3 {
		if _, err := s.run("true"); err != nil {
			t.Fatal(err)
		}
		s.stop()
		s.start()
	}
	equal(t, s.logins(), 3)
}

func TestACommandWhoseServerDiesFails(t *testing.T) {
	s := startServer(t)
	time.AfterFunc(time.Second, s.stop)
	within(t, 5*time.Second, func() {
		_, err := s.run("echo begun; sleep 60")
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "connection lost while the command ran", "begun")
	})
}

// relay passes connections on to a server until it is frozen, as a cable that is pulled.
type relay struct {
	net.Listener
	frozen sync.RWMutex
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: listener}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			go r.pass(near, far)
			go r.pass(far, near)
		}
	}()
	return r
}

func (r *relay) pass(from, to net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		count, err := from.Read(buffer)
		r.frozen.RLock()
		_, failed := to.Write(buffer[:count])
		r.frozen.RUnlock()
		if err != nil || failed != nil {
			return
		}
	}
}

func (r *relay) port() *float64 { return ptr(float64(r.Addr().(*net.TCPAddr).Port)) }

func TestACommandWhoseHostStopsAnsweringFails(t *testing.T) {
	set(t, &keepaliveInterval, 100*time.Millisecond)
	set(t, &keepaliveTimeout, 500*time.Millisecond)
	s := startServer(t)
	relay := newRelay(t, s.address())
	connection := s.connection()
	connection.Port = relay.port()
	time.AfterFunc(500*time.Millisecond, relay.frozen.Lock)
	defer relay.frozen.Unlock()
	within(t, 5*time.Second, func() {
		_, err := runOver(connection, "echo begun; sleep 60")
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), "connection lost while the command ran", "begun")
	})
}

func TestAnIdleLoginToAHostThatIsGoneIsReplaced(t *testing.T) {
	set(t, &openTimeout, 500*time.Millisecond)
	s := startServer(t)
	first := newRelay(t, s.address())
	connection := s.connection()
	connection.Port = first.port()
	if _, err := runOver(connection, "true"); err != nil {
		t.Fatal(err)
	}
	// The host comes back at the same address; what the old connection sends gets no answer.
	first.frozen.Lock()
	defer first.frozen.Unlock()
	first.Close()
	second, err := net.Listen("tcp", first.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	go func() {
		near, err := second.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", s.address())
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(far, near) }()
		_, _ = io.Copy(near, far)
	}()
	within(t, 5*time.Second, func() {
		if _, err := runOver(connection, "true"); err != nil {
			t.Fatal(err)
		}
	})
	equal(t, s.logins(), 2)
}

func TestAnIdleLoginIsClosed(t *testing.T) {
	set(t, &idleTimeout, 200*time.Millisecond)
	s := startServer(t)
	if _, err := s.run("true"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server to see the login end", func() bool { return len(descendants(s.process.Process.Pid)) == 0 })
}

func TestAProxyIsGoneThrough(t *testing.T) {
	target, proxy := startServer(t), startServer(t)
	connection := target.connection()
	connection.Proxy = &ProxyConnection{proxy.connection().Endpoint}
	outputs, err := runOver(connection, "echo $SSH_CONNECTION")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, outputs.Stdout, "127.0.0.1")
	equal(t, target.logins(), 1)
	equal(t, proxy.logins(), 1)
}

func TestATargetBehindAProxyIsWaitedForToo(t *testing.T) {
	target, proxy := newServer(t), startServer(t)
	connection := target.connection()
	connection.Proxy = &ProxyConnection{proxy.connection().Endpoint}
	time.AfterFunc(time.Second, target.start)
	if _, err := runOver(connection, "true"); err != nil {
		t.Fatal(err)
	}
}

func TestAnErrorOfTheProxySaysSo(t *testing.T) {
	target, proxy := startServer(t), newServer(t)
	proxy.replaceHostKey()
	proxy.start()
	connection := target.connection()
	connection.Proxy = &ProxyConnection{proxy.connection().Endpoint}
	_, err := runOver(connection, "true")
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "proxy: "+proxy.address()+": another host key")
}

func TestAnEncryptedPrivateKeyIsOpenedWithItsPassword(t *testing.T) {
	s := startServer(t)
	key, err := ssh.ParseRawPrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	connection := s.connection()
	connection.PrivateKey = ptr(string(pem.EncodeToMemory(block)))
	connection.PrivateKeyPassword = ptr("open sesame")
	if _, err := runOver(connection, "true"); err != nil {
		t.Fatal(err)
	}
}

func TestTheKeysOfAnAgentAreUsed(t *testing.T) {
	s := startServer(t)
	key, err := ssh.ParseRawPrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	socket := s.file("agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keyring, client) }()
		}
	}()
	connection := s.connection()
	connection.PrivateKey = nil
	connection.AgentSocketPath = &socket
	if _, err := runOver(connection, "true"); err != nil {
		t.Fatal(err)
	}
}

func TestAnAmbientAgentThatIsGoneDoesNotMatter(t *testing.T) {
	s := startServer(t)
	t.Setenv("SSH_AUTH_SOCK", s.file("no agent"))
	if _, err := s.run("true"); err != nil {
		t.Fatal(err)
	}
	connection := s.connection()
	connection.AgentSocketPath = ptr(s.file("no agent"))
	_, err := runOver(connection, "true")
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "agentSocketPath", "no such file")
}

// passwordServer is an SSH server in this process, since no system user's password is known. It runs no commands.
func passwordServer(t *testing.T, password string, interactive bool) *Connection {
	t.Helper()
	config := &ssh.ServerConfig{}
	errWrong := errors.New("wrong password")
	if interactive {
		config.KeyboardInteractiveCallback = func(
			_ ssh.ConnMetadata, challenge ssh.KeyboardInteractiveChallenge,
		) (*ssh.Permissions, error) {
			answers, err := challenge("", "", []string{"Password: "}, []bool{false})
			if err != nil || answers[0] != password {
				return nil, errWrong
			}
			return nil, nil
		}
	} else {
		config.PasswordCallback = func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
			if string(given) != password {
				return nil, errWrong
			}
			return nil, nil
		}
	}
	private, public := newKey(t)
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, channels, requests, err := ssh.NewServerConn(connection, config)
				if err != nil {
					return
				}
				go ssh.DiscardRequests(requests)
				for channel := range channels {
					_ = channel.Reject(ssh.Prohibited, "logged in, which is all that is asked for")
				}
			}()
		}
	}()
	return &Connection{Endpoint: Endpoint{
		Host:           ptr("127.0.0.1"),
		Port:           ptr(float64(listener.Addr().(*net.TCPAddr).Port)),
		HostKey:        &public,
		Password:       ptr("right"),
		DialErrorLimit: ptr(0),
	}}
}

func TestAPasswordLogsIn(t *testing.T) {
	for name, interactive := range map[string]bool{"password": false, "keyboard-interactive": true} {
		t.Run(name, func(t *testing.T) {
			_, err := runOver(passwordServer(t, "right", interactive), "true")
			if err == nil || !strings.Contains(err.Error(), "logged in") {
				t.Error(err)
			}
			_, err = runOver(passwordServer(t, "another", interactive), "true")
			if err == nil || !strings.Contains(err.Error(), "login refused for user root") {
				t.Error(err)
			}
		})
	}
}
