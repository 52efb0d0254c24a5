package records

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// connectTime is how long one mail server may take to greet.
	connectTime = 8 * time.Second
	// maxGreeting is a reply line (RFC 5321 section 4.5.3.1.5).
	maxGreeting = 512
)

// port25 tries whether connections to port 25 of other servers get through, within some
// seconds.
func (a *asker) port25(ctx context.Context, s Setup) Finding {
	f := Finding{
		Record: Record{Kind: "port 25", Name: "outbound port 25", Why: "Mail is handed to other servers on their port 25, which many providers keep closed to their customers."},
	}
	f.Required = !s.relayed()
	servers := a.MailServers
	if len(servers) == 0 {
		servers = []string{"gmail-smtp-in.l.google.com:25", "outlook-com.olc.protection.outlook.com:25"}
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	type result struct {
		greeting string
		found    bool // the server's address
		err      error
	}
	results := make([]result, len(servers))
	var trying sync.WaitGroup
	for i, server := range servers {
		trying.Go(func() {
			addresses, err := a.dialable(ctx, server)
			if len(addresses) == 0 {
				results[i] = result{err: err}
				return
			}
			greeting, err := a.greeting(ctx, addresses)
			if err == nil {
				cancel() // one is enough
			}
			results[i] = result{greeting, true, err}
		})
	}
	trying.Wait()
	found := false
	var hosts, failures []string
	for i, r := range results {
		host, _, _ := net.SplitHostPort(servers[i])
		hosts = append(hosts, host)
		if r.found && r.err == nil {
			f.State, f.Says = Passed, fmt.Sprintf("Port 25 is open: %s answers.", host)
			if !strings.HasPrefix(r.greeting, "2") {
				f.Advice = "It answers with a refusal, though: " + brief(r.greeting)
			}
			return f
		}
		if r.found {
			found = true
			failures = append(failures, host+" ("+reason(r.err)+")")
		}
	}
	switch {
	case s.relayed():
		f.State, f.Says = Passed, fmt.Sprintf("Port 25 is closed, which does not matter: mail goes out through %s.", s.Relay)
	case !found:
		f.State, f.Says = Unknown, fmt.Sprintf("The DNS did not give the address of %s, so nothing could be tried.", listing(hosts))
		f.Advice = "Check again in a minute, or ask another resolver with --resolver IP:port."
	default:
		f.State, f.Says = Wrong, fmt.Sprintf("Port 25 is closed from here. Tried: %s.", listing(failures))
		f.Advice = "Ask the provider of this server to open outbound port 25, or send through a relay: `roost relay set URL`."
	}
	return f
}

// reason is an error in few words.
func reason(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer"
	case errors.As(err, &op) && op.Timeout():
		return "no answer"
	case errors.As(err, &op):
		err = op.Err
	}
	return brief(err.Error())
}

// dialable are at most one IPv4 and one IPv6 address of a server, with its port.
func (a *asker) dialable(ctx context.Context, server string) ([]string, error) {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{server}, nil
	}
	var list []string
	for _, typ := range []string{"A", "AAAA"} {
		have := source{asker: a}.lookup(ctx, host, typ)
		if len(have.values) > 0 {
			list = append(list, net.JoinHostPort(have.values[0], port))
		} else if have.err != nil {
			err = have.err
		}
	}
	return list, err
}

// greeting connects to the addresses side by side and returns what the first server that
// speaks says.
func (a *asker) greeting(ctx context.Context, addresses []string) (string, error) {
	type result struct {
		text string
		err  error
	}
	results := make(chan result, len(addresses))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, address := range addresses {
		go func() {
			text, err := a.greet(ctx, address)
			results <- result{text, err}
		}()
	}
	var first result
	won := false
	for i := range addresses {
		r := <-results
		if won {
			continue
		}
		if r.err == nil {
			first, won = r, true
			cancel()
		} else if i == 0 {
			first = r // the error of the first to fail says as much as any
		}
	}
	return first.text, first.err
}

func (a *asker) greet(ctx context.Context, address string) (string, error) {
	conn, err := a.dial(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	// Not all connections have deadlines of their own; the context ends this one.
	line, err := bufio.NewReader(io.LimitReader(conn, maxGreeting)).ReadString('\n')
	if ctx.Err() != nil {
		return "", fmt.Errorf("connected, but no greeting: %w", ctx.Err())
	}
	if err != nil {
		return "", fmt.Errorf("connected, but no greeting: %w", err)
	}
	if len(line) < 4 || line[0] < '2' || line[0] > '5' {
		return "", fmt.Errorf("what answers is no mail server: %s", strings.TrimSpace(line))
	}
	// Politeness that nobody needs to wait for.
	_, _ = io.WriteString(conn, "QUIT\r\n")
	return strings.TrimRight(line, "\r\n"), nil
}
