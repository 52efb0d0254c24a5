package admin_test

import (
	"context"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roost/admin"
	"roost/admin/records"
	"roost/mailbox"
)

var update = flag.Bool("update", false, "write the golden files")

// office is one with the domain example.org, on a store that is checked at the end.
func office(t *testing.T) *admin.Office {
	t.Helper()
	store, err := mailbox.Open(t.TempDir(), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		report, err := store.Check(context.Background())
		if err != nil || report.Err() != nil {
			t.Error(err, report.Err())
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	o := &admin.Office{Store: store, Listeners: []admin.Listener{
		{Name: "smtp", Address: "[::]:25"},
		{Name: "submission", Address: "[::]:587"},
		{Name: "submissions", Address: "[::]:465"},
		{Name: "imaps", Address: "[::]:993"},
	}}
	do(t, o, admin.Caller{Owner: true}, "domain add", func(args any) { set(args, "Domain", "example.org") })
	return o
}

func get(t *testing.T, o *admin.Office, url string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	o.Public().ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
	return w
}

func TestPublic(t *testing.T) {
	o := office(t)
	for _, test := range []struct {
		url    string
		status int
		want   string // something in the body
	}{
		{"http://example.org/", 200, "Roost mail server for <b>example.org</b>"},
		{"https://MAIL.example.org:443/", 200, "for <b>example.org</b>"},
		{"http://192.0.2.1/", 200, "This is a Roost mail server."},
		{"http://<script>.example.net/", 200, "This is a Roost mail server."},
		{"http://example.org/style.css", 200, "font"},
		{"http://example.org/nothing", 404, ""},
		{"http://example.org/ui/landing.html", 404, ""},
		{"http://autoconfig.example.org/mail/config-v1.1.xml", 200, "<domain>example.org</domain>"},
		{"http://autoconfig.example.org/mail/config-v1.1.xml?emailaddress=anna%40example.org", 200, "<domain>example.org</domain>"},
		{"http://example.org/.well-known/autoconfig/mail/config-v1.1.xml", 200, "<domain>example.org</domain>"},
		{"http://autoconfig.example.net/mail/config-v1.1.xml", 404, ""},
		{"http://example.org/mail/config-v1.1.xml?emailaddress=anna@example.net", 404, ""},
		{"https://mta-sts.example.org/.well-known/mta-sts.txt", 200, "mx: mail.example.org\r\n"},
		{"https://mta-sts.example.org:443/.well-known/mta-sts.txt", 200, "version: STSv1\r\n"},
		{"https://example.org/.well-known/mta-sts.txt", 404, ""},
		{"https://mta-sts.example.net/.well-known/mta-sts.txt", 404, ""},
	} {
		url := strings.ReplaceAll(test.url, "<script>", "x")
		w := get(t, o, url)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %d %s", url, w.Code, w.Body)
		}
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", url, csp)
		}
	}
}

// A Host header is bytes from a stranger.
func TestHostHeaderIsNotTrusted(t *testing.T) {
	o := office(t)
	for _, host := range []string{"<script>alert(1)</script>", "mta-sts.", "mta-sts.example.org.example.org", strings.Repeat("a.", 4000), "[::1", "\xff"} {
		for _, path := range []string{"/", "/.well-known/mta-sts.txt", "/mail/config-v1.1.xml"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			o.Public().ServeHTTP(w, r)
			if strings.Contains(w.Body.String(), "script>") || path != "/" && w.Code != 404 {
				t.Errorf("%q %s: %d %s", host, path, w.Code, w.Body)
			}
		}
	}
}

func TestAutoconfigIsWhatMailProgramsRead(t *testing.T) {
	body := get(t, office(t), "http://autoconfig.example.org/mail/config-v1.1.xml").Body.Bytes()
	file := filepath.Join("testdata", "config-v1.1.xml")
	if *update {
		if err := os.WriteFile(file, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(body) != string(want) {
		t.Errorf("got\n%s", body)
	}
}

// A sender that finds the record fetches the policy that the record names.
func TestPolicyAndRecordAgree(t *testing.T) {
	o := office(t)
	list := do(t, o, admin.Caller{Owner: true}, "dns", func(args any) { set(args, "Domain", "example.org") }).(admin.Records)
	body := get(t, o, "https://mta-sts.example.org/.well-known/mta-sts.txt").Body.String()
	found := false
	for _, r := range list {
		if r.Name == "_mta-sts.example.org" {
			found = r.Value == "v=STSv1; id="+records.NewPolicy("mail.example.org").ID() && body == records.NewPolicy("mail.example.org").String()
		}
	}
	if !found {
		t.Errorf("policy %q, records %v", body, list)
	}
}
