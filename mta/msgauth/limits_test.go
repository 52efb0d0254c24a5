package msgauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"roost/mta/dns/dnstest"
	"roost/mta/msgauth"

	"golang.org/x/tools/txtar"
)

// TestWalkAsksEightNames is the example of RFC 9989 section 4.10.
func TestWalkAsksEightNames(t *testing.T) {
	a := txtar.Parse([]byte("-- zone --\nexample.com. A 192.0.2.1\n-- message --\nFrom: joe@a.b.c.d.e.f.g.h.i.j.mail.example.com\n\n"))
	s := newScene(t, a)
	msgauth.Verify(t.Context(), s.zone.Resolver(), s.mail)
	want := []string{"TXT _dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com", "TXT _dmarc.g.h.i.j.mail.example.com"}
	for _, name := range []string{"h.i.j.mail", "i.j.mail", "j.mail", "mail"} {
		want = append(want, "TXT _dmarc."+name+".example.com")
	}
	want = append(want, "TXT _dmarc.example.com", "TXT _dmarc.com")
	if got := s.zone.Queries(); !slices.Equal(got, want) {
		t.Errorf("asked %q, want %q", got, want)
	}
}

// TestQueriesAreBounded holds that the worst that a sender can arrange costs a
// bounded number of queries.
func TestQueriesAreBounded(t *testing.T) {
	var zone, m strings.Builder
	zone.WriteString("example.org. TXT \"v=spf1")
	for i := range 10 {
		fmt.Fprintf(&zone, " mx:m%d.example.org", i)
	}
	zone.WriteString(" -all\"\n")
	for i := range 10 {
		for j := range 10 {
			fmt.Fprintf(&zone, "m%d.example.org. MX %d h%d-%d.example.org.\nh%d-%d.example.org. A 192.0.2.200\n", i, j, i, j, i, j)
		}
	}
	for i := range 50 {
		fmt.Fprintf(&zone, "10.2.0.192.in-addr.arpa. PTR p%d.example.org.\n", i)
	}
	for i := range 40 {
		fmt.Fprintf(&m, "DKIM-Signature: v=1; a=rsa-sha256; d=d%d.example.org; s=s%d; h=from; bh=MTIz; b=NDU2\n", i, i)
	}
	m.WriteString("From: ")
	for i := range 100 {
		fmt.Fprintf(&m, "a%d@a.b.c.d.e.f.g.h.i.j%d.example.org, ", i, i)
	}
	m.WriteString("joe@example.org\n\n")
	s := newScene(t, txtar.Parse([]byte("-- zone --\n"+zone.String()+"-- envelope --\nclient: 192.0.2.10\nhelo: example.org\nfrom: joe@example.org\n-- message --\n"+m.String())))
	v := msgauth.Verify(t.Context(), s.zone.Resolver(), s.mail)
	if v.MailFrom.Result != msgauth.Fail || len(v.DKIM) != 10 || v.Unread != 30 {
		t.Errorf("%+v", v)
	}
	checkField(t, v.Header("mx.example.org"))
	// Twice SPF, iprev, ten keys and eight walks.
	if n := len(s.zone.Queries()); n > 2*121+6+10+64 {
		t.Errorf("%d queries", n)
	}
}

// TestHostileHeaderTakesNoTime is about what go-msgauth's time grows with.
func TestHostileHeaderTakesNoTime(t *testing.T) {
	signature := "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org; s=s1; h=from%s;\r\n bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
	from := "From: joe@example.org\r\n"
	many := strings.Repeat(fmt.Sprintf(signature, strings.Repeat(":x", 150)), 10)
	for name, m := range map[string]string{
		"folds":         fmt.Sprintf(signature, ":x") + "X: a" + strings.Repeat("\r\n b", 200_000) + "\r\n" + from + "\r\n",
		"signed names":  fmt.Sprintf(signature, strings.Repeat(":from", 150_000)) + strings.Repeat("X: y\r\n", 9000) + from + "\r\n",
		"signed fields": many + strings.Repeat("X: y\r\n", 9000) + from + "\r\n",
		"within limits": strings.Repeat(fmt.Sprintf(signature, strings.Repeat(":x", 190)), 10) + strings.Repeat("X: y"+strings.Repeat(" ", 200)+"\r\n", 900) + from + "\r\n",
		"folds within":  strings.Repeat(fmt.Sprintf(signature, ":x"), 10) + "X: a" + strings.Repeat("\r\n "+strings.Repeat("b", 100), 1900) + "\r\n" + from + "\r\n",
		"empty lines":   strings.ReplaceAll(many, "relaxed", "simple") + from + "\r\n" + strings.Repeat("\r\n", 10<<20) + "x\r\n",
		"blank lines":   many + from + "\r\n" + strings.Repeat("\t\r\n", 7<<20) + "x\r\n",
		"white space":   many + "X: a" + strings.Repeat(" ", 1<<20-30_000) + "\r\n" + from + "\r\n",
		"endless":       many + from + strings.Repeat("X: y\r\n", 1<<20) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, txtar.Parse([]byte("-- zone --\ns1._domainkey.example.org. TXT \"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"\n")))
			s.mail.Message, s.mail.Size = strings.NewReader(m), int64(len(m))
			start := time.Now()
			v := msgauth.Verify(t.Context(), s.zone.Resolver(), s.mail)
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
			if len(v.DKIM) == 0 || slices.ContainsFunc(v.DKIM, func(s msgauth.Signature) bool { return s.Result == msgauth.Pass }) {
				t.Errorf("%+v", v.DKIM)
			}
			checkField(t, v.Header("mx.example.org"))
		})
	}
}

const forged = `-- zone --
_dmarc.bank.example. TXT "v=DMARC1; p=reject"
;! timeout evil.example 2.0.192.in-addr.arpa
-- envelope --
client: 192.0.2.10
helo: mail.evil.example
from: joe@evil.example
-- message --
DKIM-Signature: v=1; a=rsa-sha256; d=evil.example; s=s1; h=from; bh=MTIz; b=NDU2
DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=s1; h=from; bh=MTIz; b=NDU2
`

// TestSlowServersDontSpareAForger: the domain in From is heard whatever the
// servers of the others do, and all is over when the time is.
func TestSlowServersDontSpareAForger(t *testing.T) {
	for name, from := range map[string]string{
		"alone":           "From: info@bank.example\n\nbody\n",
		"behind a friend": "From: joe@evil.example, info@bank.example\n\nbody\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, txtar.Parse([]byte(forged+from)))
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				v := msgauth.Verify(ctx, s.zone.Resolver(), s.mail)
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("took %s", took)
				}
				if v.DMARC.Result != msgauth.Fail || v.DMARC.Disposition != msgauth.PolicyReject || v.DMARC.From != "bank.example" {
					t.Errorf("%+v", v.DMARC)
				}
				if v.IPRev.Result != msgauth.TempError || v.MailFrom.Result != msgauth.TempError || v.DKIM[0].Result != msgauth.TempError {
					t.Errorf("%+v", v)
				}
				checkField(t, v.Header("mx.example.org"))
			})
		})
	}
}

// TestNoTimeAtAll: a context that is over gives temporary errors, not failures.
func TestNoTimeAtAll(t *testing.T) {
	s := newScene(t, txtar.Parse([]byte(`-- zone --
_dmarc.example.org. TXT "v=DMARC1; p=reject"
-- envelope --
client: 192.0.2.10
helo: mail.example.org
from: joe@example.org
sign: example.org s1
-- message --
From: joe@example.org

body
`)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := msgauth.Verify(ctx, s.zone.Resolver(), s.mail)
	if v.DMARC.Result != msgauth.TempError || v.DKIM[0].Result != msgauth.TempError || v.MailFrom.Result != msgauth.TempError || v.IPRev.Result != msgauth.TempError {
		t.Errorf("%+v", v)
	}
}

// failing fails where it is read at or behind an offset.
type failing struct {
	io.ReaderAt
	from int64
}

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.from {
		return 0, iotest.ErrTimeout
	}
	return f.ReaderAt.ReadAt(b, off)
}

// TestUnreadableMessage: a spool that can't be read is trouble of ours.
func TestUnreadableMessage(t *testing.T) {
	a := txtar.Parse([]byte(`-- zone --
_dmarc.example.org. TXT "v=DMARC1; p=reject"
-- envelope --
client: 192.0.2.10
helo: mail.example.org
from: joe@example.org
sign: example.org s1
sign: example.org s2
-- message --
From: joe@example.org

`))
	a.Files[2].Data = append(a.Files[2].Data, strings.Repeat("0123456789\n", 100_000)...)
	s := newScene(t, a)
	whole := s.mail.Message
	for _, from := range []int64{0, 900_000} {
		s.mail.Message = failing{whole, from}
		v := msgauth.Verify(t.Context(), s.zone.Resolver(), s.mail)
		if v.DMARC.Result != msgauth.TempError || v.DKIM[0].Result != msgauth.TempError || v.DMARC.Disposition != msgauth.PolicyNone {
			t.Errorf("%d: %+v", from, v)
		}
		checkField(t, v.Header("mx.example.org"))
	}
	s.mail.Message = whole
	if v := msgauth.Verify(t.Context(), s.zone.Resolver(), s.mail); v.DMARC.Result != msgauth.Pass {
		t.Errorf("%+v", v.DMARC)
	}
	if _, err := whole.ReadAt(nil, 1<<40); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// FuzzVerify holds that whatever a stranger says and sends, the field and the
// lines that we write about it are ours alone, and that two authors never pass.
func FuzzVerify(f *testing.F) {
	f.Add("mail.example.org", "joe@example.org", "From: joe@example.org\r\n\r\nbody")
	f.Add("[192.0.2.1]", "\"a@b\"@example.org", "From: a@example.org, b@example.org\r\nFrom: c@example.org\r\n\r\n")
	f.Add("x;dkim=pass", "(@)", "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s1; h=from; bh=MTIz; b=\"(;\r\n c=relaxed/simple\r\nFrom: joe@\xc3\xbc.example\r\n\r\n")
	zone := dnstest.NewMemory(f, `
*.example.org. TXT "v=spf1 mx exists:%{l}.%{h}.example.org +all"
example.org. TXT "v=spf1 +all"
example.org. MX 10 mail.example.org.
_dmarc.example.org. TXT "v=DMARC1; p=reject"
s1._domainkey.example.org. TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
`)
	r := zone.Resolver()
	f.Fuzz(func(t *testing.T, hello, from, m string) {
		v := msgauth.Verify(t.Context(), r, msgauth.Mail{
			Client: netip.MustParseAddr("192.0.2.10"), Hello: hello, From: from,
			Message: strings.NewReader(m), Size: int64(len(m)),
		})
		checkField(t, v.Header("mx.example.org"))
		lines := v.Lines()
		if len(lines) > 16 {
			t.Errorf("%d lines", len(lines))
		}
		for _, line := range lines {
			if len(line) > 1000 || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Errorf("line %q", line)
			}
		}
		for _, s := range v.DKIM {
			if s.Result == msgauth.Pass {
				t.Errorf("%q is signed", m)
			}
		}
	})
}
