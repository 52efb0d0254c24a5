package msgauth_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"roost/mta/dns"
	"roost/mta/dns/dnstest"
	"roost/mta/msgauth"

	"github.com/emersion/go-msgauth/dkim"
)

const message = "From: Joe <joe@example.org>\r\n" +
	"To: Ann <ann@example.net>\r\n" +
	"Subject: folded\r\n subject\r\n" +
	"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n" +
	"Message-ID: <1@example.org>\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\n" +
	"List-Unsubscribe: <https://example.org/u>\r\n" +
	"X-Other: not signed\r\n" +
	"\r\n" +
	"Hello  there, \r\n\r\n.dot\r\n\r\n\r\n"

// keys makes one key of each kind and a zone that publishes them.
func keys(t *testing.T) ([]msgauth.Key, *dnstest.Server) {
	t.Helper()
	var list []msgauth.Key
	var zone strings.Builder
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaPublic, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	// The key of RFC 8463 appendix A.
	seed, err := base64.StdEncoding.DecodeString("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
	if err != nil {
		t.Fatal(err)
	}
	for a, key := range map[string]struct {
		private any
		record  string
	}{
		"rsa":     {rsaKey, "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(rsaPublic)},
		"ed25519": {ed25519.NewKeyFromSeed(seed), "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
	} {
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key.private)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, msgauth.Key{Selector: "s-" + a, PKCS8: pkcs8})
		zone.WriteString("s-" + a + "._domainkey.example.org. TXT")
		for part := range slices.Chunk([]byte(key.record), 255) {
			zone.WriteString(" \"" + string(part) + "\"")
		}
		zone.WriteString("\n")
	}
	return list, dnstest.NewMemory(t, zone.String())
}

// verify returns go-msgauth's result for every signature.
func verify(t *testing.T, r *dns.Resolver, message string) []*dkim.Verification {
	t.Helper()
	list, err := dkim.VerifyWithOptions(strings.NewReader(message), &dkim.VerifyOptions{
		MaxVerifications: 10,
		LookupTXT: func(name string) ([]string, error) {
			a, err := r.TXT(t.Context(), name)
			return a.Records, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestSignedMessageVerifies(t *testing.T) {
	keys, zone := keys(t)
	r := zone.Resolver()
	fields, err := msgauth.Sign(iotest.OneByteReader(strings.NewReader(message)), "example.org", keys)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(fields), "DKIM-Signature:"); n != 2 || !strings.HasSuffix(string(fields), "\r\n") {
		t.Fatalf("%d fields: %q", n, fields)
	}
	for _, line := range strings.Split(string(fields), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line of %d octets: %q", len(line), line)
		}
	}
	signed := string(fields) + message
	for _, v := range verify(t, r, signed) {
		if v.Err != nil || v.Domain != "example.org" {
			t.Errorf("%s: %v", v.Domain, v.Err)
		}
	}

	for what, test := range map[string]struct {
		old, new string
		valid    bool
	}{
		"another subject":         {"folded", "forged", false},
		"another body":            {"there", "where", false},
		"From added":              {"From: Joe", "From: Eve <eve@example.com>\r\nFrom: Joe", false},
		"To added":                {"To: Ann", "To: Eve <eve@example.com>\r\nTo: Ann", false},
		"Cc added":                {"To: Ann", "Cc: Eve <eve@example.com>\r\nTo: Ann", false},
		"Reply-To added":          {"To: Ann", "Reply-To: Eve <eve@example.com>\r\nTo: Ann", false},
		"Content-Type added":      {"MIME-Version: 1.0", "Content-Type: text/html\r\nMIME-Version: 1.0", false},
		"unsubscribe changed":     {"example.org/u", "example.com/u", false},
		"Sender added, by a list": {"To: Ann", "Sender: <list@example.net>\r\nTo: Ann", true},
		"trace added":             {"From: Joe", "Received: by x; Fri, 20 Nov 2026 10:00:00 +0000\r\nFrom: Joe", true},
		"white space changed":     {"Hello  there, ", "Hello there,", true},
		"folding changed":         {"folded\r\n subject", "folded  subject", true},
	} {
		changed := strings.Replace(signed, test.old, test.new, 1)
		if changed == signed {
			t.Fatalf("%s: nothing changed", what)
		}
		for _, v := range verify(t, r, changed) {
			if (v.Err == nil) != test.valid {
				t.Errorf("%s: %v", what, v.Err)
			}
		}
	}
}

func TestSignUncommonMessages(t *testing.T) {
	keys, zone := keys(t)
	for what, message := range map[string]string{
		"no body":                   "From: a@example.org\r\n\r\n",
		"no empty line":             "From: a@example.org\r\n",
		"nothing after the colon":   "From:\r\nTo:\r\n\r\nx\r\n",
		"space before the colon":    "From : a@example.org\r\n\r\nx\r\n",
		"no line end at the end":    "From: a@example.org\r\n\r\nx",
		"a body of empty lines":     "From: a@example.org\r\n\r\n" + strings.Repeat("\r\n", 100000),
		"a long line in the header": "From: a@example.org\r\nX: " + strings.Repeat("x", 100000) + "\r\n\r\nx\r\n",
		"a field of many lines":     "From: a@example.org\r\nSubject: x\r\n" + strings.Repeat(" x\r\n", 2000) + "\r\nx\r\n",
		"hundreds of fields":        "From: a@example.org\r\n" + strings.Repeat("To: b@example.net\r\n", 500) + "\r\nx\r\n",
	} {
		fields, err := msgauth.Sign(strings.NewReader(message), "example.org", keys)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		sent := message
		if !strings.Contains(sent, "\r\n\r\n") {
			sent += "\r\n"
		}
		for _, v := range verify(t, zone.Resolver(), string(fields)+sent) {
			if v.Err != nil {
				t.Errorf("%s: %v", what, v.Err)
			}
		}
		for _, line := range strings.Split(string(fields), "\r\n") {
			if len(line) > 998 {
				t.Errorf("%s: line of %d octets", what, len(line))
			}
		}
	}
}

// A folded field is not copied anew for each of its lines.
func TestSignManyFoldsInTime(t *testing.T) {
	keys, _ := keys(t)
	start := time.Now()
	long := "From: a@example.org\r\nSubject: x\r\n" + strings.Repeat(" \r\n", 300000) + "\r\nx\r\n"
	if _, err := msgauth.Sign(strings.NewReader(long), "example.org", keys); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestSignRefuses(t *testing.T) {
	keys, _ := keys(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	short, err := x509.MarshalPKCS8PrivateKey(weak)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken disk")
	for what, test := range map[string]struct {
		message io.Reader
		keys    []msgauth.Key
		want    error
	}{
		"no From":                 {strings.NewReader("To: a@example.org\r\n\r\nx\r\n"), keys, msgauth.ErrHeader},
		"From in a fold":          {strings.NewReader("To: a@example.org\r\n From: x\r\n\r\n"), keys, msgauth.ErrHeader},
		"a line that is no field": {strings.NewReader("From: a@example.org\r\nTo\r\n\r\n"), keys, msgauth.ErrHeader},
		"a name that is none":     {strings.NewReader("From: a@example.org\r\nT o: x\r\n\r\n"), keys, msgauth.ErrHeader},
		"a fold of nothing":       {strings.NewReader(" x\r\nFrom: a@example.org\r\n\r\n"), keys, msgauth.ErrHeader},
		"empty":                   {strings.NewReader(""), keys, msgauth.ErrHeader},
		"endless header":          {io.MultiReader(strings.NewReader("From: a\r\n"), strings.NewReader(strings.Repeat("X: x\r\n", 1<<18))), keys, msgauth.ErrHeader},
		"no key":                  {strings.NewReader(message), []msgauth.Key{{Selector: "s", PKCS8: []byte("x")}}, msgauth.ErrKey},
		"a short key":             {strings.NewReader(message), []msgauth.Key{keys[0], {Selector: "s", PKCS8: short}}, msgauth.ErrKey},
		"a broken header":         {iotest.ErrReader(broken), keys, broken},
		"a broken body":           {io.MultiReader(strings.NewReader(message), iotest.ErrReader(broken)), keys, broken},
	} {
		fields, err := msgauth.Sign(test.message, "example.org", test.keys)
		if !errors.Is(err, test.want) || fields != nil {
			t.Errorf("%s: %q, %v; want %v", what, fields, err, test.want)
		}
	}
	if fields, err := msgauth.Sign(strings.NewReader(message), "example.org", nil); err != nil || len(fields) != 0 {
		t.Errorf("without keys: %q, %v", fields, err)
	}
}

func FuzzSign(f *testing.F) {
	f.Add([]byte(message))
	f.Add([]byte("From: a\r\n\r\n"))
	f.Add([]byte("From : a\r\n b\r\n\n\r\r\n"))
	seed := make([]byte, ed25519.SeedSize)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		f.Fatal(err)
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	record := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	keys := []msgauth.Key{{Selector: "s", PKCS8: pkcs8}}
	f.Fuzz(func(t *testing.T, b []byte) {
		// As it comes, for panics; with clean lines, for the signature.
		msgauth.Sign(bytes.NewReader(b), "example.org", keys)
		b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r"), nil), []byte("\n"), []byte("\r\n"))
		if !bytes.Contains(b, []byte("\r\n\r\n")) {
			b = append(b, "\r\n\r\n"...)
		}
		fields, err := msgauth.Sign(bytes.NewReader(b), "example.org", keys)
		if err != nil {
			return
		}
		list, err := dkim.VerifyWithOptions(bytes.NewReader(append(fields, b...)), &dkim.VerifyOptions{
			LookupTXT:        func(string) ([]string, error) { return []string{record}, nil },
			MaxVerifications: 1,
		})
		if err == nil && len(list) == 1 && list[0].Err != nil {
			t.Fatalf("%q: %v", fields, list[0].Err)
		}
	})
}
