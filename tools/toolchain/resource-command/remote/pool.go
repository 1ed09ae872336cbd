package remote

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// A login costs a slow guest seconds, so commands with the same connection share logins. sshd allows ten sessions a
// login (MaxSessions), and less where it is told so.
const sessionsPerClient = 8

var (
	idleTimeout       = 60 * time.Second
	keepaliveInterval = 15 * time.Second
	// Emulated guests that all boot at once on two cores take longer than a minute to answer.
	openTimeout      = 120 * time.Second
	keepaliveTimeout = 120 * time.Second
)

var clients = pool{hosts: map[[sha256.Size]byte]*host{}}

// pool holds the logged-in clients, by connection.
type pool struct {
	mu    sync.Mutex
	hosts map[[sha256.Size]byte]*host
}

type host struct {
	mu      sync.Mutex
	clients []*client
	dialing *dialing
}

// dialing is an attempt to connect that others wait for.
type dialing struct {
	done chan struct{}
	err  error
}

type client struct {
	*ssh.Client
	host    *host
	closing func()
	// Under the host's lock:
	active, limit int
	stopping      int // how many of the active are told to stop
	idle          *time.Timer
}

type session struct {
	*ssh.Session
	client *client
}

func (p *pool) host(connection *Connection) (*host, error) {
	text, err := json.Marshal(connection)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(text)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hosts[key] == nil {
		p.hosts[key] = &host{}
	}
	return p.hosts[key], nil
}

// session opens a session on a client that is logged in already, or on a new one. A client that turns out to be dead
// is dropped and replaced, which is safe as long as no command has been sent.
func (p *pool) session(ctx context.Context, connection *Connection) (*session, error) {
	h, err := p.host(connection)
	if err != nil {
		return nil, err
	}
	for {
		client, fresh, err := h.client(ctx, connection)
		if err != nil {
			return nil, err
		}
		opened, err := client.open(ctx)
		if err == nil {
			return &session{opened, client}, nil
		}
		var refused *ssh.OpenChannelError
		full := errors.As(err, &refused)
		if full && client.refused() {
			continue
		}
		if !full {
			client.drop()
		}
		client.release()
		if fresh || full || ctx.Err() != nil {
			return nil, fmt.Errorf("%s: no session: %w", connection.address(), err)
		}
	}
}

func (s *session) close() {
	_ = s.Close()
	s.client.release()
}

// client takes a client with room for a session, or connects. Of many that need a new one, one connects.
func (h *host) client(ctx context.Context, connection *Connection) (taken *client, fresh bool, err error) {
	for {
		h.mu.Lock()
		for _, client := range h.clients {
			if client.active < client.limit {
				client.take()
				h.mu.Unlock()
				return client, false, nil
			}
		}
		if other := h.dialing; other != nil {
			h.mu.Unlock()
			select {
			case <-ctx.Done():
				return nil, false, fmt.Errorf("%s: %w", connection.address(), context.Cause(ctx))
			case <-other.done:
			}
			if other.err != nil {
				return nil, false, other.err
			}
			continue
		}
		own := &dialing{done: make(chan struct{})}
		h.dialing = own
		h.mu.Unlock()

		dialed, closing, err := connection.dial(ctx)
		h.mu.Lock()
		h.dialing = nil
		if err == nil {
			taken = &client{Client: dialed, host: h, closing: closing, limit: sessionsPerClient}
			taken.take()
			h.clients = append(h.clients, taken)
			go taken.watch()
		} else if ctx.Err() == nil {
			own.err = err // not when only this caller gave up
		}
		h.mu.Unlock()
		close(own.done)
		return taken, true, err
	}
}

func (c *client) take() {
	c.active++
	if c.idle != nil {
		c.idle.Stop()
	}
}

func (c *client) release() {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	c.active--
	if c.active == 0 {
		c.idle = time.AfterFunc(idleTimeout, func() {
			c.host.mu.Lock()
			unused := c.active == 0
			if unused {
				c.forget()
			}
			c.host.mu.Unlock()
			if unused {
				c.closing()
			}
		})
	}
}

// refused takes back a session that the server did not allow beside the others of this client, and asks for no more
// than those from now on. It reports false where there are no others.
func (c *client) refused() bool {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	if c.active == 1 {
		return false
	}
	c.active--
	c.limit = c.active
	return true
}

// open opens a session within a bounded time; a host that has gone does not answer.
func (c *client) open(ctx context.Context) (*ssh.Session, error) {
	type result struct {
		session *ssh.Session
		err     error
	}
	results := make(chan result, 1)
	go func() {
		opened, err := c.NewSession()
		results <- result{opened, err}
	}()
	late := func() {
		if result := <-results; result.err == nil {
			_ = result.session.Close()
		}
	}
	select {
	case result := <-results:
		return result.session, result.err
	case <-ctx.Done():
		go late()
		return nil, context.Cause(ctx)
	case <-time.After(openTimeout):
		go late()
		return nil, fmt.Errorf("no answer within %s", openTimeout)
	}
}

// forget takes the client out of the pool; the host's lock is held.
func (c *client) forget() {
	for i, other := range c.host.clients {
		if other == c {
			c.host.clients = append(c.host.clients[:i], c.host.clients[i+1:]...)
			return
		}
	}
}

func (c *client) drop() {
	c.host.mu.Lock()
	c.forget()
	c.host.mu.Unlock()
	c.closing()
}

// stop counts a session among those that are told to stop, until the returned function is called.
func (c *client) stop() (finish func()) {
	count := func(change int) {
		c.host.mu.Lock()
		defer c.host.mu.Unlock()
		c.stopping += change
	}
	count(1)
	return func() { count(-1) }
}

// signalAll sends a signal to the commands of all sessions if all are told to stop. Without a terminal sshd does not
// end the command of a session that is closed, and passes no signal on to the commands of root.
func (c *client) signalAll(signal ssh.Signal) {
	c.host.mu.Lock()
	all := c.stopping == c.active
	c.host.mu.Unlock()
	if !all {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), killAfter)
	defer cancel()
	session, err := c.open(ctx)
	if err != nil {
		return
	}
	defer session.Close()
	done := make(chan error, 1)
	go func() { done <- session.Run(fmt.Sprintf(signalScript, signal)) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Each command of a login is a child of its sshd and leads a process group.
const signalScript = `for leader in $(cat /proc/$PPID/task/$PPID/children); do
	[ "$leader" = $$ ] || kill -%s -- "-$leader"
done`

// watch drops the client once its connection has ended or its host does not answer any more.
func (c *client) watch() {
	ended := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(ended)
	}()
	defer c.drop()
	for {
		select {
		case <-ended:
			return
		case <-time.After(keepaliveInterval):
		}
		answered := make(chan error, 1)
		go func() {
			_, _, err := c.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		select {
		case <-ended:
			return
		case err := <-answered:
			if err != nil {
				return
			}
		case <-time.After(keepaliveTimeout):
			return
		}
	}
}
