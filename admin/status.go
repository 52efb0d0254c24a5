package admin

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"roost/mailbox"
)

// Status is what an owner looks at first.
type Status struct {
	Version   string     `json:"version"`
	Running   bool       `json:"running"`          // a server answered
	Uptime    int64      `json:"uptime,omitempty"` // seconds
	Started   time.Time  `json:"started,omitzero"` // of the server
	Data      string     `json:"data"`             // the data directory
	Format    int        `json:"format"`           // of the store
	Host      string     `json:"host"`             // the name of this server
	Domains   []string   `json:"domains"`
	Accounts  []Account  `json:"accounts"`
	Outbox    Outbox     `json:"outbox"`    // what waits to be sent
	Frozen    []Frozen   `json:"frozen"`    // devices that may not send
	Listeners []Listener `json:"listeners"` // empty when no server runs
}

// Outbox is how much waits to be sent.
type Outbox struct {
	Rows       int   `json:"rows"` // one per message and destination domain
	Recipients int   `json:"recipients"`
	Bytes      int64 `json:"bytes"`
}

// Status is the operation "status", for main's own use.
func (o *Office) Status(ctx context.Context) (Status, error) { return status(ctx, o, nil) }

func status(ctx context.Context, o *Office, _ *struct{}) (Status, error) {
	s := Status{
		Version: Version(), Running: o.Running, Data: o.Store.Dir(), Format: o.Store.Format(),
		Host: o.Hostname(), Domains: []string{}, Accounts: []Account{}, Frozen: []Frozen{}, Listeners: []Listener{},
	}
	if o.Running {
		s.Started = o.Started
		s.Uptime = int64(time.Since(o.Started).Seconds())
		s.Listeners = append(s.Listeners, o.Listeners...)
	}
	domains, err := o.Store.Domains()
	if err != nil {
		return s, err
	}
	for _, d := range domains {
		s.Domains = append(s.Domains, d.Name)
	}
	accounts, err := accountList(ctx, o, nil)
	if err != nil {
		return s, err
	}
	s.Accounts = append(s.Accounts, accounts...)
	all, err := o.Store.Accounts()
	if err != nil {
		return s, err
	}
	for _, a := range all {
		cold, err := frozen(o, a)
		if err != nil {
			return s, err
		}
		s.Frozen = append(s.Frozen, cold...)
	}
	waiting, err := o.Store.Outbox()
	for _, row := range waiting {
		s.Outbox.Rows++
		s.Outbox.Recipients += len(row.Recipients)
		s.Outbox.Bytes += row.Size
	}
	return s, err
}

// Text is one line per thing.
func (s Status) Text(w io.Writer, _ any) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("Roost", "%s", s.Version)
	if s.Running {
		line("running", "for %s, since %s", time.Duration(s.Uptime)*time.Second, s.Started.Local().Format("2006-01-02 15:04"))
	} else {
		line("running", "no")
	}
	line("data", "%s (format %d)", s.Data, s.Format)
	line("host", "%s", s.Host)
	for _, d := range s.Domains {
		line("domain", "%s", d)
	}
	for _, a := range s.Accounts {
		line("account", "%s: %s, %s", a.Address, count(a.Messages, "message"), size(a.Bytes))
	}
	for _, f := range s.Frozen {
		line("frozen", "%s", f)
	}
	if s.Outbox.Rows == 0 {
		line("outbox", "empty")
	} else {
		line("outbox", "%s for %s, %s", count(s.Outbox.Rows, "message"), count(s.Outbox.Recipients, "recipient"), size(s.Outbox.Bytes))
	}
	for _, l := range s.Listeners {
		line("listens", "%s on %s", l.Name, l.Address)
	}
	return tw.Flush()
}

func count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// size is a number of bytes for reading.
func size(n int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB"}
	v, i := float64(n), 0
	for ; v >= 1000 && i < len(units)-1; i++ {
		v /= 1000
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// Report is what "check" found.
type Report struct {
	Accounts int      `json:"accounts"`
	Folders  int      `json:"mailboxes"`
	Messages int      `json:"messages"`
	Outbox   int      `json:"outbox"`
	Packs    int      `json:"packs"`
	Bytes    int64    `json:"bytes"`    // of messages read and compared with their checksums
	Seconds  float64  `json:"seconds"`  // that it took
	Problems []string `json:"problems"` // a sentence each; empty when all is well
	// Quarantine lists the messages that are damaged and not served, each a problem, too.
	Quarantine []Quarantined `json:"quarantine"`
}

// Quarantined is a message body that is damaged on the disk.
type Quarantined struct {
	Message string    `json:"message"` // its number, as the journal shows it
	Pack    uint32    `json:"pack"`
	Offset  int64     `json:"offset"` // of its record in the pack
	Found   time.Time `json:"found"`
	What    string    `json:"what"`
}

// Text lists the problems, then what was looked at.
func (r Report) Text(w io.Writer, _ any) error {
	for _, p := range r.Problems {
		fmt.Fprintln(w, p)
	}
	verdict := "All is well"
	if len(r.Problems) > 0 {
		verdict = count(len(r.Problems), "problem")
	}
	for _, q := range r.Quarantine {
		fmt.Fprintf(w, "In quarantine since %s: message %s, in pack %d at %d.\n", q.Found.Local().Format("2006-01-02 15:04"), q.Message, q.Pack, q.Offset)
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s, %s, %s, %s in the outbox, checked in %.1f s (%.0f MB/s).\n", verdict,
		count(r.Accounts, "account"), count(r.Messages, "message"), size(r.Bytes), count(r.Packs, "pack"), count(r.Outbox, "message"),
		r.Seconds, float64(r.Bytes)/1e6/max(r.Seconds, 0.001))
	return err
}

// Failure makes a command fail that has found damage, after it has said which.
func (r Report) Failure() error {
	if len(r.Problems) == 0 {
		return nil
	}
	return errorf(Damaged, "the check found %s", count(len(r.Problems), "problem"))
}

func check(ctx context.Context, o *Office, _ *struct{}) (Report, error) {
	found, err := o.Store.CheckWithProgress(ctx, progressOf(ctx))
	if err != nil {
		return Report{}, err
	}
	return report(found), nil
}

func report(r mailbox.Report) Report {
	quarantine := []Quarantined{}
	for _, d := range r.Quarantine {
		quarantine = append(quarantine, Quarantined{d.Body.String(), d.Pack, d.Offset, d.Found, d.What})
	}
	return Report{
		Quarantine: quarantine,
		Accounts:   r.Accounts, Folders: r.Folders, Messages: r.Messages, Outbox: r.Outbox, Packs: r.Packs,
		Bytes: r.Bytes, Seconds: r.Took.Seconds(), Problems: append([]string{}, r.Problems...),
	}
}

// Program is what the program is.
type Program struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Text is one line.
func (p Program) Text(w io.Writer, _ any) error {
	_, err := fmt.Fprintf(w, "roost %s (%s, %s)\n", p.Version, p.Go, p.Platform)
	return err
}

func version(context.Context, *Office, *struct{}) (Program, error) {
	return Program{Version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}, nil
}

// Version is the version of this program: that of the module it was built from, or the
// revision of the checkout.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
