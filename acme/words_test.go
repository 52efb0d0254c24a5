package acme

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	acmeproto "github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// What the owner of a server reads, for each way in which an authority can say no.
func TestExplain(t *testing.T) {
	problem := func(kind, detail string) error {
		p := acmeproto.Problem{Type: acmeproto.ProblemTypeNamespace + kind, Status: 400, Detail: detail}
		return fmt.Errorf("solving challenge: mail.example.org: [mail.example.org] %w", p)
	}
	both := acmeproto.Problem{Type: acmeproto.ProblemTypeCompound, Detail: "two things", Subproblems: []acmeproto.Subproblem{
		{Problem: acmeproto.Problem{Detail: "one"}}, {Problem: acmeproto.Problem{Detail: "two"}},
	}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{problem("connection", "192.0.2.1: Timeout"), "ca.example could not connect to mail.example.org: 192.0.2.1: Timeout"},
		{problem("dns", "NXDOMAIN"), "ca.example could not look up mail.example.org: NXDOMAIN"},
		{problem("unauthorized", "404"), "ca.example did not find this server behind mail.example.org: 404"},
		{problem("tls", "no ALPN"), "ca.example did not find this server behind mail.example.org: no ALPN"},
		{problem("caa", "issue ;"), "ca.example may not sign for mail.example.org because of a CAA record: issue ;"},
		{problem("rateLimited", "retry after 12:00"), "ca.example has been asked too often: retry after 12:00"},
		{problem("rejectedIdentifier", "policy"), "ca.example does not sign for mail.example.org: policy"},
		{problem("invalidContact", "no such domain"), "ca.example does not take the e-mail address: no such domain"},
		{problem("externalAccountRequired", "EAB"), "ca.example wants an account made elsewhere, which Roost cannot give it: EAB"},
		{problem("serverInternal", "sorry"), "ca.example gave no certificate for mail.example.org: sorry"},
		{both, "ca.example gave no certificate for mail.example.org: two things; one; two"},
		{fmt.Errorf("provisioning client: %w", &url.Error{Op: "Get", URL: "https://ca.example/", Err: errors.New("no route to host")}),
			"cannot talk to the certificate authority ca.example: no route to host"},
		{errors.New("stored account: garbage"), "stored account: garbage"},
	} {
		if got := explain("ca.example", "mail.example.org", c.err); got != c.want {
			t.Errorf("%v\ngives %s\nwant  %s", c.err, got, c.want)
		}
	}
}

func TestLibrariesSpeakLower(t *testing.T) {
	var out bytes.Buffer
	h := slog.NewTextHandler(&out, &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})
	z := zapLogger(quiet{h}).Named("renew").With(zap.String("name", "mail.example.org"))
	z.Debug("one")
	z.Info("two")
	z.Warn("three")
	z.Error("four", zap.Error(errors.New("no luck")), zap.Int("attempt", 3))
	slog.New(quiet{h}).With("a", 1).WithGroup("g").Error("five", "b", 2)
	want := `level=INFO msg=four name=mail.example.org part=renew error="no luck" attempt=3
level=INFO msg=five a=1 g.b=2
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	out.Reset()
	loud := zapLogger(h)
	loud.Debug("one")
	loud.Warn("three")
	if got := strings.TrimSpace(out.String()); got != "level=WARN msg=three" {
		t.Error(got)
	}
}
