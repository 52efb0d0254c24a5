// Command roost is a personal mail server: one process, one data directory.
//
// This file says what the program consists of. It reads the flags, opens the doors and
// the store, and hands each room what it needs; what the rooms do is theirs.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"roost/acme"
	"roost/admin"
	"roost/admin/cli"
	"roost/admin/machine"
	"roost/admin/panel"
	"roost/imapd"
	"roost/mailbox"
	"roost/mailbox/sasl"
	"roost/mta/dns"
	"roost/mta/inbound"
	"roost/mta/outbound"
	"roost/mta/queue"
	"roost/mta/smtp"
	"roost/mta/submit"
)

// flags is the command line, less the operations of the office.
type flags struct {
	Data string `env:"ROOST_DATA" placeholder:"DIR" help:"The data directory. Without it: /var/lib/roost for a server, else roost in your state directory ($XDG_STATE_HOME or ~/.local/state)."`
	JSON bool   `help:"Print JSON."`

	//lint:ignore SA5008 kong takes more than one set, each a variable for the flags below it
	Local localFlags `cmd:"" set:"smtp=127.0.0.1:1025" set:"submission=127.0.0.1:1587" set:"submissions=127.0.0.1:1465" set:"imap=127.0.0.1:1143" set:"imaps=127.0.0.1:1993" set:"http=127.0.0.1:1080" set:"https=127.0.0.1:1443" help:"Try Roost on this machine: two accounts, everything on loopback, nothing to configure."`
	//lint:ignore SA5008 as above
	Serve serveFlags `cmd:"" set:"smtp=:25" set:"submission=:587" set:"submissions=:465" set:"imap=:143" set:"imaps=:993" set:"http=:80" set:"https=:443" help:"Run the mail server. Started by root, it binds its ports and goes on as the owner of the data directory."`

	Install   cli.InstallFlags   `cmd:"" help:"Make Roost a service of this machine."`
	Uninstall cli.UninstallFlags `cmd:"" help:"Take the service away again; the mail stays."`

	Backup  cli.BackupFlags  `cmd:"" help:"Write a backup of all mail and settings, while the server runs or not."`
	Restore cli.RestoreFlags `cmd:"" help:"Put a backup into the data directory."`
	Rescue  cli.RescueFlags  `cmd:"" help:"Give the mail back when roost.db is damaged or lost."`

	Inspect struct {
		Path string `arg:""`
	} `cmd:"" name:"inspect-database" hidden:""`
}

type localFlags struct {
	Doors doorFlags `embed:""`
	Relay string    `placeholder:"URL" env:"ROOST_RELAY" help:"Send mail to other domains through a smart host, such as smtp://127.0.0.1:2526, instead of keeping it in the mailbox Captured."`
}

type serveFlags struct {
	Doors doorFlags `embed:""`

	ACMEDirectory string `name:"acme-directory" env:"ROOST_ACME_DIRECTORY" placeholder:"URL" help:"The ACME server that certificates come from (default Let's Encrypt)."`
	ACMERoot      string `name:"acme-root" env:"ROOST_ACME_ROOT" placeholder:"FILE" help:"The root certificate that the ACME server is known by, as PEM (default those of the system)."`
	ACMEEmail     string `name:"acme-email" env:"ROOST_ACME_EMAIL" placeholder:"ADDRESS" help:"Where the ACME server may write to."`
	Cert          string `name:"cert" env:"ROOST_CERT" placeholder:"FILE" help:"A certificate that somebody else renews, as PEM, instead of ACME. It is read again when it changes."`
	Key           string `name:"key" env:"ROOST_KEY" placeholder:"FILE" help:"The key of that certificate."`

	TrustedProxy []netip.Prefix `env:"ROOST_TRUSTED_PROXY" placeholder:"ADDRESS/BITS" help:"The addresses of a web server in front of --http that is believed what it says of the browser (X-Forwarded-For, X-Forwarded-Proto); one on loopback always is."`

	MailProxy []netip.Prefix `env:"ROOST_MAIL_PROXY" placeholder:"ADDRESS/BITS" help:"The addresses of a proxy in front of --smtp, --submission and --submissions, which must say with the PROXY protocol whom it speaks for."`

	Resolver   string `env:"ROOST_RESOLVER" placeholder:"IP:PORT" help:"The DNS resolver to ask (default those of this machine)."`
	ProbeMail  string `default:"gmail-smtp-in.l.google.com:25" placeholder:"HOST:PORT|off" help:"The mail server that the first start greets, to see whether port 25 is open outwards (default ${default})."`
	ProbeClock string `default:"time.cloudflare.com:123" placeholder:"HOST:PORT|off" help:"The NTP server that the first start compares the clock with (default ${default})."`
}

// doorFlags says where to listen: HOST:PORT or off.
type doorFlags struct {
	SMTP        string `name:"smtp" default:"${smtp}" env:"ROOST_SMTP" placeholder:"HOST:PORT|off" help:"Where mail from other servers comes in (default ${smtp})."`
	Submission  string `name:"submission" default:"${submission}" env:"ROOST_SUBMISSION" placeholder:"HOST:PORT|off" help:"Where mail programs send, with STARTTLS (default ${submission})."`
	Submissions string `name:"submissions" default:"${submissions}" env:"ROOST_SUBMISSIONS" placeholder:"HOST:PORT|off" help:"Where mail programs send, over TLS (default ${submissions})."`
	IMAP        string `name:"imap" default:"${imap}" env:"ROOST_IMAP" placeholder:"HOST:PORT|off" help:"Where mail is read, with STARTTLS (default ${imap})."`
	IMAPS       string `name:"imaps" default:"${imaps}" env:"ROOST_IMAPS" placeholder:"HOST:PORT|off" help:"Where mail is read, over TLS (default ${imaps})."`
	HTTP        string `name:"http" default:"${http}" env:"ROOST_HTTP" placeholder:"HOST:PORT|off" help:"What mail programs and strangers may fetch (default ${http})."`
	HTTPS       string `name:"https" default:"${https}" env:"ROOST_HTTPS" placeholder:"HOST:PORT|off" help:"The same over TLS (default ${https})."`
}

func main() {
	// Whatever is made in the data directory is for its owner alone.
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends at once
	os.Exit(execute(ctx, os.Args[1:]))
}

func execute(ctx context.Context, args []string) int {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	var f flags
	parser, err := kong.New(&f, append(cli.Grammar(), kong.Name("roost"),
		kong.Description("Roost is a personal mail server: one process, one data directory. A command ends with 0, or with "+
			"2 (invalid), 3 (not found), 4 (exists), 5 (forbidden), 6 (in use), 7 (full), 8 (damaged) or 1 (anything else)."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))...)
	if err != nil {
		return cli.Fail(os.Stderr, err, false)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "roost: %v; `roost --help` tells more\n", err)
		return admin.Invalid.ExitCode()
	}
	files := cli.Files{Dir: f.Data, JSON: f.JSON, Inspect: cli.Inspect, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	switch parsed.Command() {
	case "local":
		err = local(ctx, f)
	case "serve":
		err = serve(ctx, f)
	case "install":
		err = cli.Install(ctx, f.Data, f.Install, os.Stdout)
	case "uninstall":
		err = cli.Uninstall(ctx, f.Data, f.Uninstall, os.Stdin, os.Stdout, os.Stderr)
	case "backup <to>":
		err = files.Backup(ctx, f.Backup)
	case "restore <from>":
		err = files.Restore(ctx, f.Restore)
	case "rescue":
		err = files.Rescue(ctx, f.Rescue)
	case cli.InspectCommand + " <path>":
		err = mailbox.Inspect(f.Inspect.Path)
	default:
		op, opArgs, err := cli.Selected(parsed)
		if err == nil {
			err = cli.Command{Op: op, Args: opArgs, Dir: f.Data, JSON: f.JSON, Inspect: cli.Inspect, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}.Run(ctx)
		}
		if err != nil {
			return cli.Fail(os.Stderr, err, f.JSON)
		}
		return 0
	}
	if err != nil {
		return cli.Fail(os.Stderr, err, f.JSON)
	}
	return 0
}

// local is the mail server that somebody tries: a domain, two accounts and a certificate
// authority of its own.
func local(ctx context.Context, f flags) error {
	dir, err := cli.Dir(f.Data, cli.UserDir)
	if err != nil {
		return err
	}
	var relay *outbound.Relay
	if f.Local.Relay != "" {
		if relay, err = outbound.ParseRelay(f.Local.Relay); err != nil {
			return fmt.Errorf("--relay: %w", err)
		}
	}
	h, err := open(dir, f.Local.Doors, "")
	if err != nil {
		return err
	}
	defer h.close()
	if err := cli.Occupied(h.office.Taken); err != nil {
		return err
	}
	if err := h.office.Furnish(ctx); err != nil {
		return err
	}
	local, err := acme.NewLocal(dir, admin.LocalDomain, "localhost", "127.0.0.1", "::1")
	if err != nil {
		return cli.CannotUse(dir, err)
	}
	fate := "their mail stays here, in the sender's mailbox " + submit.Captured
	h.relay, h.remote = relay, submit.Capture
	if relay != nil {
		h.remote, fate = submit.Queue, "their mail goes to "+relay.String()
	}
	h.keys = keys{mail: sasl.Config(local.TLSConfig()), web: local.TLSConfig()}
	return h.live(ctx, func() error { return cli.Welcome(ctx, os.Stdout, h.office, fate) })
}

// serve is the appliance.
func serve(ctx context.Context, f flags) error {
	dir, err := cli.Dir(f.Data, cli.ServeDir)
	if err != nil {
		return err
	}
	if err := cli.NotAsRoot(dir); err != nil {
		return err
	}
	h, err := open(dir, f.Serve.Doors, f.Serve.Resolver)
	if err != nil {
		return err
	}
	defer h.close()
	if err := h.office.RefuseFurnished(ctx); err != nil {
		return err
	}
	unset, err := h.office.NeedsSetup()
	if err == nil && !unset {
		err = cli.Occupied(h.office.Taken)
	}
	if err != nil {
		return err
	}
	if err := h.hire(ctx, f.Serve); err != nil {
		return cli.CannotUse(dir, err)
	}
	h.remote, h.witness = submit.Queue, h.resolver
	h.office.Proxies, h.mailProxies = f.Serve.TrustedProxy, f.Serve.MailProxy
	if unset {
		h.questions = questions(f.Serve)
	}
	return h.live(ctx, func() error { return nil })
}

// hire gives the house a locksmith, who has the certificates from an ACME server, or from
// files. Until there is one, a self-signed certificate serves.
func (h *house) hire(ctx context.Context, f serveFlags) error {
	self, err := acme.NewSelfSigned(h.store.Dir(), func() []string { return []string{h.office.Hostname()} })
	if err != nil {
		return err
	}
	o := acme.Options{
		Store: h.store.Corner("acme"), Directory: f.ACMEDirectory, Email: f.ACMEEmail, CertFile: f.Cert, KeyFile: f.Key,
		NoHTTP: f.Doors.HTTP == "off", NoTLSALPN: f.Doors.HTTPS == "off", Fallback: self.GetCertificate, Log: h.log,
	}
	if f.ACMERoot != "" {
		if o.Roots, err = acme.ReadRoots(f.ACMERoot); err != nil {
			return fmt.Errorf("--acme-root: %w", err)
		}
	}
	o.Names = func(ctx context.Context) ([]string, error) {
		return h.office.CertificateNames(ctx, func(ctx context.Context, name string) bool {
			found, err := h.resolver.Addrs(ctx, name)
			return err == nil && len(found.Records) > 0
		})
	}
	smith, err := acme.New(ctx, o)
	if err != nil {
		return err
	}
	h.keys = keys{mail: sasl.Config(smith.TLSConfig()), web: smith.HTTPSConfig(), challenges: smith.HTTPHandler, run: smith.Run}
	h.office.RetryCertificates = smith.Retry
	h.office.Certificates = func() []admin.Certificate {
		var all []admin.Certificate
		for _, c := range smith.Status() {
			all = append(all, admin.Certificate(c))
		}
		return all
	}
	return nil
}

// questions are what a server that is not set up asks about its machine, and whom.
func questions(f serveFlags) *machine.Questions {
	q := &machine.Questions{Addresses: machine.LocalAddresses, Dial: (&net.Dialer{}).DialContext}
	if f.ProbeMail != "off" {
		q.Mail = f.ProbeMail
	}
	if f.ProbeClock != "off" {
		q.Clock = f.ProbeClock
	}
	return q
}

// door is a listener by the name of its flag.
type door struct {
	name string
	tls  bool // from the first byte
	net.Listener
}

// keys are what the doors are locked with.
type keys struct {
	mail, web  *tls.Config
	challenges func(http.Handler) http.Handler // answers an ACME server; nil: there is none
	run        func(context.Context) error     // keeps the certificates good; nil: they need no care
}

// house is Roost with its doors and its store open.
type house struct {
	store  *mailbox.Store
	office *admin.Office
	doors  []door
	log    *slog.Logger
	keys   keys

	resolver *dns.Resolver
	witness  *dns.Resolver   // asked who a message is from; nil: nobody is
	remote   submit.Remote   // what becomes of mail to other domains
	relay    *outbound.Relay // from a flag; nil: what the settings say

	mailProxies []netip.Prefix // who speaks for clients of SMTP

	questions *machine.Questions // nil when the server is set up
}

// open binds the ports, becomes the owner of the data directory when root runs it, and
// only then touches the data.
func open(dir string, f doorFlags, resolver string) (h *house, err error) {
	if limit := machine.MemoryLimit(os.DirFS("/")); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit - limit/10) // the kernel counts more than Go's heap
	}
	h = &house{log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	owner, err := cli.OwnerOf(dir)
	if err != nil {
		return h, cli.CannotUse(dir, err)
	}
	var ask dns.Options
	if resolver != "" {
		ask.Servers = []string{resolver}
	}
	if h.resolver, err = dns.New(ask); err != nil {
		return h, fmt.Errorf("--resolver: %w", err)
	}
	var taken []machine.Taken
	for _, d := range []struct {
		name, address string
		tls           bool
	}{
		{"smtp", f.SMTP, false}, {"submission", f.Submission, false}, {"submissions", f.Submissions, true},
		{"imap", f.IMAP, false}, {"imaps", f.IMAPS, true}, {"http", f.HTTP, false}, {"https", f.HTTPS, true},
	} {
		if d.address == "off" {
			continue
		}
		l, err := net.Listen("tcp", d.address)
		if errors.Is(err, syscall.EADDRINUSE) {
			// Root may see who it is; it is for the caller to go on without, or not.
			taken = append(taken, cli.InUse(d.name, d.address))
			continue
		}
		if err != nil {
			return h, cli.CannotListen(d.name, d.address, err)
		}
		h.doors = append(h.doors, door{d.name, d.tls, l})
	}
	if err := owner.Become(); err != nil {
		return h, err
	}
	if h.store, err = mailbox.Open(dir, mailbox.Options{Log: h.log, Inspect: cli.Inspect}); err != nil {
		return h, cli.CannotUse(dir, err)
	}
	h.office = &admin.Office{Store: h.store, Log: h.log, Running: true, Started: time.Now(), Taken: taken}
	h.office.Checks.Resolver = resolver
	for _, d := range h.doors {
		h.office.Listeners = append(h.office.Listeners, admin.Listener{Name: d.name, Address: d.Addr().String()})
	}
	return h, nil
}

func (h *house) close() {
	for _, d := range h.doors {
		d.Close()
	}
	if h.store != nil {
		if err := h.store.Close(); err != nil {
			h.log.Error("close the store", "err", err)
		}
	}
}

// smartHost is what mail to others goes through now; nil: their own exchangers.
func (h *house) smartHost() *outbound.Relay {
	if h.relay != nil {
		return h.relay
	}
	s, err := h.store.Settings()
	if err != nil || s.Relay == "" {
		return nil
	}
	relay, err := outbound.ParseRelay(s.Relay)
	if err != nil {
		h.log.Error("the setting of the smart host", "err", err)
	}
	return relay
}

// live runs every room until ctx is done, or until one fails. It calls greet when all
// doors are open, and prints the word ready after it.
func (h *house) live(ctx context.Context, greet func() error) error {
	hostname := h.office.Hostname
	post := inbound.New(inbound.Options{Store: h.store, Log: h.log, TLS: h.keys.mail, Hostname: hostname, Resolver: h.witness, Proxies: h.mailProxies, RefuseNullMX: true, Forward: h.remote == submit.Queue})
	desk := submit.New(submit.Options{Store: h.store, Log: h.log, TLS: h.keys.mail, Hostname: hostname, Remote: h.remote})
	reading := imapd.New(imapd.Options{Store: h.store, Log: h.log, TLS: h.keys.mail, Hostname: hostname})
	outbox := queue.New(queue.Options{
		Store:    h.store,
		Sender:   outbound.New(outbound.Options{Hostname: hostname, Resolver: h.resolver}),
		Relay:    h.smartHost,
		Hostname: hostname,
		Log:      h.log,
	})
	web := func(handler http.Handler) func(context.Context, net.Listener) error {
		return func(ctx context.Context, l net.Listener) error { return admin.Serve(ctx, l, handler, h.log) }
	}
	site := http.NewServeMux()
	site.Handle("/", h.office.Public())
	site.Handle("/setup", h.office.SetupPage())
	site.Handle(admin.PanelPath, panel.New(h.office))
	public, plain := web(site), web(site)
	if h.keys.challenges != nil {
		plain = web(h.keys.challenges(site))
	}
	rooms := map[string]func(context.Context, net.Listener) error{
		"smtp":       post.Serve,
		"submission": desk.Serve, "submissions": desk.Serve,
		"imap": reading.Serve, "imaps": reading.Serve,
		"http": plain, "https": public,
		"admin": web(h.office.API()),
	}
	socket, err := admin.Listen(h.store.Dir())
	if err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}

	asked := ctx
	ctx, fail := context.WithCancelCause(asked)
	defer fail(nil)
	var running sync.WaitGroup
	for _, d := range append(h.doors, door{name: "admin", Listener: socket}) {
		if d.name == "smtp" || d.name == "submission" || d.name == "submissions" {
			d.Listener = smtp.BehindProxy(d.Listener, h.mailProxies)
		}
		if strings.HasPrefix(d.name, "submission") || strings.HasPrefix(d.name, "imap") {
			d.Listener = sasl.Listen(d.Listener) // where people log in
		}
		if d.name == "https" {
			d.Listener = tls.NewListener(d.Listener, h.keys.web)
		} else if d.tls {
			d.Listener = tls.NewListener(d.Listener, h.keys.mail)
		}
		running.Go(func() {
			if err := rooms[d.name](ctx, d.Listener); err != nil {
				fail(fmt.Errorf("%s: %w", d.name, err))
			}
		})
	}
	// When nothing may leave the machine, what waits from an earlier start may not either.
	if h.remote == submit.Queue {
		running.Go(func() { fail(outbox.Run(ctx)) })
	}
	running.Go(func() { h.store.Maintain(ctx) })
	running.Go(func() {
		select {
		case <-h.store.Broken():
			// In words only: whoever starts it again may, and the store is looked at then.
			fail(errors.New("the disk failed to take what was written: the server ends, and looks at the store when it is started again"))
		case <-ctx.Done():
		}
	})
	if h.keys.run != nil {
		running.Go(func() { fail(h.keys.run(ctx)) })
	}
	if err := greet(); err != nil {
		fail(err)
	}
	fmt.Println("ready")
	if err := machine.Notify(machine.Ready); err != nil {
		h.log.Error("tell the service manager", "err", err)
	}
	if h.questions != nil {
		h.questions.Names = func(ctx context.Context, a netip.Addr) ([]string, error) {
			found, err := h.resolver.PTR(ctx, a)
			if errors.Is(err, dns.ErrNotFound) {
				return nil, nil
			}
			return found.Records, err
		}
		running.Go(func() {
			if err := cli.Introduce(ctx, os.Stdout, h.office, *h.questions, h.keys.mail); err != nil && ctx.Err() == nil {
				h.log.Error("first screen", "err", err)
			}
		})
	}
	<-ctx.Done()
	_ = machine.Notify(machine.Stopping) // nobody waits for it
	running.Wait()
	if asked.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}
