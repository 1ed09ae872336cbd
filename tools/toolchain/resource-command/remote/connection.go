package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const (
	defaultUser           = "root"
	defaultPort           = 22
	defaultDialErrorLimit = 10
	defaultPerDialTimeout = 15

	agentTimeout = 5 * time.Second
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

var (
	handshakeTimeout = 120 * time.Second
	// A guest that boots may answer before its keys are in place; a wrong key stays wrong.
	refusalPatience = 60 * time.Second
)

// Connection says how to reach a host.
type Connection struct {
	Endpoint
	Proxy *ProxyConnection `pulumi:"proxy,optional"`
}

// ProxyConnection says how to reach the host that the connection goes through.
type ProxyConnection struct{ Endpoint }

// Endpoint is one SSH server and how to log in to it.
type Endpoint struct {
	User               *string  `pulumi:"user,optional"`
	Password           *string  `pulumi:"password,optional" provider:"secret"`
	Host               *string  `pulumi:"host"`
	Port               *float64 `pulumi:"port,optional"`
	PrivateKey         *string  `pulumi:"privateKey,optional" provider:"secret"`
	PrivateKeyPassword *string  `pulumi:"privateKeyPassword,optional" provider:"secret"`
	AgentSocketPath    *string  `pulumi:"agentSocketPath,optional"`
	DialErrorLimit     *int     `pulumi:"dialErrorLimit,optional"`
	PerDialTimeout     *int     `pulumi:"perDialTimeout,optional"`
	HostKey            *string  `pulumi:"hostKey,optional"`
}

// Annotate describes the arguments and gives their defaults.
func (e *Endpoint) Annotate(a infer.Annotator) {
	a.Describe(&e.User, "The user to log in as.")
	a.SetDefault(&e.User, defaultUser)
	a.Describe(&e.Password, "The user's password.")
	a.Describe(&e.Host, "The host's name or address.")
	a.Describe(&e.Port, "The SSH server's port.")
	a.SetDefault(&e.Port, defaultPort)
	a.Describe(&e.PrivateKey, "The private key to log in with. It goes before the password.")
	a.Describe(&e.PrivateKeyPassword, "The password of an encrypted private key.")
	a.Describe(&e.AgentSocketPath, "The SSH agent's socket; that of SSH_AUTH_SOCK, unless given.")
	a.Describe(&e.DialErrorLimit, "How many failed attempts to connect are allowed; -1 for any number.")
	a.SetDefault(&e.DialErrorLimit, defaultDialErrorLimit)
	a.Describe(&e.PerDialTimeout, "How many seconds one attempt to connect may take; 0 for any number.")
	a.SetDefault(&e.PerDialTimeout, defaultPerDialTimeout)
	a.Describe(&e.HostKey, "The host key the server must have, as in authorized_keys. Without it any is accepted.")
}

// Annotate describes the argument that only a Connection has.
func (c *Connection) Annotate(a infer.Annotator) {
	a.Describe(&c, "How to reach a host over SSH.")
	a.Describe(&c.Proxy, "The host to go through.")
}

// Annotate describes the type.
func (c *ProxyConnection) Annotate(a infer.Annotator) {
	a.Describe(&c, "How to reach the host that a connection goes through.")
}

// checkConnection finds what is wrong with a connection's keys, as far as the connection is known yet.
func checkConnection(connection *Connection, inputs property.Map) []p.CheckFailure {
	if connection == nil || inputs.Get("connection").HasComputed() {
		return nil
	}
	failures := connection.check("connection")
	if connection.Proxy != nil {
		failures = append(failures, connection.Proxy.check("connection.proxy")...)
	}
	return failures
}

func (e *Endpoint) check(path string) []p.CheckFailure {
	var failures []p.CheckFailure
	refuse := func(field, reason string, values ...any) {
		failures = append(failures, p.CheckFailure{Property: path + "." + field, Reason: fmt.Sprintf(reason, values...)})
	}
	if or(e.Host, "") == "" {
		refuse("host", "the host is empty")
	}
	if port := or(e.Port, defaultPort); port < 1 || port > 65535 || port != float64(int(port)) {
		refuse("port", "%v is not a port: a whole number from 1 to 65535", port)
	}
	if limit := or(e.DialErrorLimit, defaultDialErrorLimit); limit < -1 {
		refuse("dialErrorLimit", "%d is not a number of attempts: -1 (any number) or more", limit)
	}
	if timeout := or(e.PerDialTimeout, defaultPerDialTimeout); timeout < 0 {
		refuse("perDialTimeout", "%d is not a number of seconds: 0 (any number) or more", timeout)
	}
	if _, err := e.hostKey(); err != nil {
		refuse("hostKey", "not a public key as in authorized_keys: %v", err)
	}
	if _, err := e.signer(); err != nil {
		refuse("privateKey", "not a usable private key: %v", err)
	}
	return failures
}

func or[T any](value *T, unset T) T {
	if value == nil {
		return unset
	}
	return *value
}

// address is the server's address as text: host:port.
func (e *Endpoint) address() string {
	return net.JoinHostPort(or(e.Host, ""), strconv.Itoa(int(or(e.Port, defaultPort))))
}

func (e *Endpoint) hostKey() (ssh.PublicKey, error) {
	if e.HostKey == nil {
		return nil, nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(*e.HostKey))
	return key, err
}

func (e *Endpoint) signer() (ssh.Signer, error) {
	switch {
	case e.PrivateKey == nil:
		return nil, nil
	case e.PrivateKeyPassword != nil:
		return ssh.ParsePrivateKeyWithPassphrase([]byte(*e.PrivateKey), []byte(*e.PrivateKeyPassword))
	default:
		return ssh.ParsePrivateKey([]byte(*e.PrivateKey))
	}
}

// auth lists the ways to log in. finish closes what they hold.
func (e *Endpoint) auth() (methods []ssh.AuthMethod, finish func(), err error) {
	finish = func() {}
	signer, err := e.signer()
	if err != nil {
		return nil, finish, final("privateKey: %v", err)
	}
	if signer != nil {
		methods = append(methods, ssh.PublicKeys(signer))
	}
	if e.Password != nil {
		methods = append(methods, ssh.Password(*e.Password), ssh.KeyboardInteractive(
			func(_, _ string, questions []string, _ []bool) ([]string, error) {
				answers := make([]string, len(questions))
				for i := range answers {
					answers[i] = *e.Password
				}
				return answers, nil
			}))
	}
	if socket := or(e.AgentSocketPath, os.Getenv("SSH_AUTH_SOCK")); socket != "" {
		connection, err := net.DialTimeout("unix", socket, agentTimeout)
		switch {
		case err == nil:
			finish = func() { _ = connection.Close() }
			methods = append(methods, ssh.PublicKeysCallback(agent.NewClient(connection).Signers))
		case e.AgentSocketPath != nil:
			return nil, finish, final("agentSocketPath: %v", err)
		}
	}
	return methods, finish, nil
}

func algorithms(key ssh.PublicKey) []string {
	if key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{key.Type()}
}

func fingerprint(key ssh.PublicKey) string {
	return key.Type() + " " + ssh.FingerprintSHA256(key)
}

// finalError is one that no further attempt can mend.
type finalError struct{ text string }

func (e *finalError) Error() string { return e.text }

func final(format string, values ...any) error { return &finalError{fmt.Sprintf(format, values...)} }

// dial connects and logs in, through the proxy if there is one. The function closes all that was opened.
func (c *Connection) dial(ctx context.Context) (*ssh.Client, func(), error) {
	var dialer net.Dialer
	if c.Proxy == nil {
		client, err := c.retry(ctx, dialer.DialContext)
		if err != nil {
			return nil, nil, err
		}
		return client, func() { _ = client.Close() }, nil
	}
	proxy, err := c.Proxy.retry(ctx, dialer.DialContext)
	if err != nil {
		return nil, nil, fmt.Errorf("proxy: %w", err)
	}
	client, err := c.retry(ctx, proxy.DialContext)
	if err != nil {
		_ = proxy.Close()
		return nil, nil, fmt.Errorf("through proxy %s: %w", c.Proxy.address(), err)
	}
	return client, func() { _ = client.Close(); _ = proxy.Close() }, nil
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// retry attempts to connect until it works, the limit of errors is reached, or an error shows that it never will.
func (e *Endpoint) retry(ctx context.Context, dial dialFunc) (*ssh.Client, error) {
	limit := or(e.DialErrorLimit, defaultDialErrorLimit)
	pause := firstPause
	var refusedSince time.Time
	for failed := 1; ; failed++ {
		client, err := e.attempt(ctx, dial)
		if err == nil {
			return client, nil
		}
		if final := (*finalError)(nil); errors.As(err, &final) {
			return nil, fmt.Errorf("%s: %w", e.address(), err)
		}
		refused := errors.Is(err, errRefused)
		switch {
		case !refused:
			refusedSince = time.Time{}
		case refusedSince.IsZero():
			refusedSince = time.Now()
		}
		if refused && time.Since(refusedSince) > refusalPatience || limit >= 0 && failed > limit {
			return nil, fmt.Errorf("%s: gave up after %d attempts: %w", e.address(), failed, err)
		}
		p.GetLogger(ctx).InfoStatusf("%s: attempt %d: %v", e.address(), failed, err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w after %d attempts, the last one: %w", e.address(), context.Cause(ctx), failed, err)
		case <-time.After(pause):
		}
		pause = min(pause*3/2, longestPause)
	}
}

var errRefused = errors.New("login refused")

// attempt connects and logs in once.
func (e *Endpoint) attempt(ctx context.Context, dial dialFunc) (*ssh.Client, error) {
	expected, err := e.hostKey()
	if err != nil {
		return nil, final("hostKey: %v", err)
	}
	methods, finish, err := e.auth()
	defer finish()
	if err != nil {
		return nil, err
	}
	var mismatch error
	config := &ssh.ClientConfig{User: or(e.User, defaultUser), Auth: methods}
	config.HostKeyCallback = func(_ string, _ net.Addr, got ssh.PublicKey) error {
		if expected != nil && !bytes.Equal(expected.Marshal(), got.Marshal()) {
			mismatch = final("another host key than expected: expected %s, got %s", fingerprint(expected), fingerprint(got))
		}
		return mismatch
	}
	if expected != nil {
		config.HostKeyAlgorithms = algorithms(expected)
	}

	dialing := ctx
	if seconds := or(e.PerDialTimeout, defaultPerDialTimeout); seconds > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
		defer cancel()
		dialing = limited
	}
	connection, err := dial(dialing, "tcp", e.address())
	if err != nil {
		return nil, err
	}
	// A connection through a proxy has no deadlines, so it is closed to end a handshake.
	shaking, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	unguard := context.AfterFunc(shaking, func() { _ = connection.Close() })
	inner, channels, requests, err := ssh.NewClientConn(connection, e.address(), config)
	if !unguard() {
		_ = connection.Close()
		return nil, fmt.Errorf("handshake: %w", shaking.Err())
	}
	if err == nil {
		return ssh.NewClient(inner, channels, requests), nil
	}
	_ = connection.Close()
	var negotiation *ssh.AlgorithmNegotiationError
	switch {
	case mismatch != nil:
		return nil, mismatch
	case expected != nil && errors.As(err, &negotiation) && negotiation.What == "host key":
		return nil, final("another host key than expected: expected %s, got only keys of other types (%s)",
			fingerprint(expected), strings.Join(negotiation.RequestedAlgorithms, ", "))
	case strings.Contains(err.Error(), "unable to authenticate"):
		return nil, fmt.Errorf("%w for user %s: %w", errRefused, config.User, err)
	}
	return nil, err
}
