package admin

import (
	"context"
	"io"

	"roost/admin/records"
)

type hostCheckArgs struct {
	Resolver string `json:"resolver,omitempty" placeholder:"IP:PORT" help:"The resolver to check with, instead of the one of this machine."`
	SMTP     string `json:"smtp,omitempty" name:"smtp" placeholder:"HOST:PORT" help:"The mail server to try port 25 with, instead of those of large providers."`
}

// HostFindings are what a check of the host found.
type HostFindings []records.Finding

// Text is a table with what to do below each line that is not as it should be.
func (h HostFindings) Text(w io.Writer, _ any) error { return records.WriteFindings(w, h) }

// Failure makes a check fail that has found something which mail cannot do without.
func (h HostFindings) Failure() error { return failure(h) }

func hostCheck(ctx context.Context, o *Office, a *hostCheckArgs) (HostFindings, error) {
	checks := o.checks(a.Resolver)
	if a.SMTP != "" {
		checks.MailServers = []string{a.SMTP}
	}
	return o.checkHost(ctx, checks)
}

// checkHost looks, within half a minute, at what the world must grant this server: addresses
// and reverse names, outbound port 25, and a place on no block list.
func (o *Office) checkHost(ctx context.Context, checks records.Options) (HostFindings, error) {
	setup, err := o.Setup("")
	if err != nil {
		return nil, err
	}
	list, err := records.CheckHost(ctx, setup, checks)
	if err != nil {
		return nil, errorf(Invalid, "%v", err)
	}
	return list, nil
}
