package msgauth_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"roost/mta/dns/dnstest"
	"roost/mta/msgauth"

	"github.com/emersion/go-msgauth/authres"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what the tests see into testdata")

// scene is one file of testdata: a zone, an envelope, a message and what is
// found out about it. The envelope has lines of these kinds:
//
//	client: 192.0.2.1
//	helo: mail.example.org
//	from: joe@example.org
//	sign: example.org SELECTOR [TAGS]   sign the message, publish the key with these tags
//	change: old => new                  afterwards
type scene struct {
	t        *testing.T
	archive  *txtar.Archive
	zone     *dnstest.Server
	mail     msgauth.Mail
	message  string
	unstable bool // the signatures are another time's each time
}

func (s *scene) section(name string) string {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func newScene(t *testing.T, a *txtar.Archive) *scene {
	t.Helper()
	s := &scene{t: t, archive: a}
	s.zone = dnstest.NewMemory(t, s.section("zone"))
	s.message = strings.ReplaceAll(s.section("message"), "\n", "\r\n")
	for line := range strings.Lines(s.section("envelope")) {
		word, arg, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch word {
		case "client":
			s.mail.Client = netip.MustParseAddr(arg)
		case "helo":
			s.mail.Hello = arg
		case "from":
			s.mail.From = arg
		case "sign":
			s.sign(arg)
		case "change":
			before, after, _ := strings.Cut(arg, " => ")
			if !strings.Contains(s.message, before) {
				t.Fatalf("the message has no %q", before)
			}
			s.message = strings.ReplaceAll(s.message, before, after)
		default:
			t.Fatalf("envelope has %q", line)
		}
	}
	s.mail.Message, s.mail.Size = strings.NewReader(s.message), int64(len(s.message))
	return s
}

// seed is that of the key in RFC 8463 appendix A.
const seed = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="

func (s *scene) sign(arg string) {
	s.t.Helper()
	words := strings.SplitN(arg+"  ", " ", 3)
	raw, err := base64.StdEncoding.DecodeString(seed)
	if err != nil {
		s.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	s.unstable = true
	fields, err := msgauth.Sign(strings.NewReader(s.message), words[0], []msgauth.Key{{Selector: words[1], PKCS8: pkcs8}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.message = string(fields) + s.message
	s.zone.Add(fmt.Sprintf("%s._domainkey.%s. TXT \"v=DKIM1; k=ed25519; %s; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"\n",
		words[1], words[0], strings.TrimSpace(words[2])))
}

var startOfSignature = regexp.MustCompile(`header\.b=("[^"]*"|[^;\s]+)`)

// found is the verdict as testdata has it.
func (s *scene) found(v *msgauth.Verdict) string {
	header := v.Header("mx.example.org")
	checkField(s.t, header)
	if s.unstable {
		header = startOfSignature.ReplaceAllString(header, "header.b=...")
	}
	return strings.ReplaceAll(header, "\r\n", "\n") + "\n" + strings.Join(v.Lines(), "\n") +
		"\n\ndisposition: " + string(v.DMARC.Disposition) + "\n"
}

// checkField holds that a field is one that others can read.
func checkField(t *testing.T, header string) {
	t.Helper()
	value, ok := strings.CutPrefix(header, "Authentication-Results: ")
	if !ok || !strings.HasSuffix(value, "\r\n") {
		t.Fatalf("no field: %q", header)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(header, "\r\n"), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n") || strings.TrimSpace(line) == "" {
			t.Errorf("bad line %q", line)
		}
		for _, c := range []byte(line) {
			if c > '~' || c < ' ' && c != '\t' {
				t.Errorf("bad octet %#x in %q", c, line)
			}
		}
	}
	value = strings.TrimSpace(strings.ReplaceAll(value, "\r\n", ""))
	id, results, err := authres.Parse(value)
	if err != nil || id != "mx.example.org" || len(results) < 2 {
		t.Errorf("%q reads as %d results of %q: %v", value, len(results), id, err)
	}
}

// TestVerdicts goes through testdata.
func TestVerdicts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 25 {
		t.Fatal("too few cases:", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s := newScene(t, a)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			got := s.found(msgauth.Verify(ctx, s.zone.Resolver(), s.mail))
			if got == s.section("verdict") {
				return
			}
			if !*update {
				t.Fatalf("got\n%s\nwant\n%s", got, s.section("verdict"))
			}
			a.Files = append(a.Files[:len(a.Files):len(a.Files)], txtar.File{Name: "verdict", Data: []byte(got)})
			for i, f := range a.Files[:len(a.Files)-1] {
				if f.Name == "verdict" {
					a.Files = append(a.Files[:i], a.Files[i+1:]...)
					break
				}
			}
			if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}
