package admin_test

import (
	"crypto/tls"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roost/admin"
	"roost/mailbox"
)

func discover(o *admin.Office, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "https://autodiscover.example.org"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/xml")
	o.Public().ServeHTTP(w, r)
	return w
}

// outlook is what Outlook sends, for an address and a schema.
func outlook(address, schema string) string {
	return `<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
  <Request>
    <EMailAddress>` + address + `</EMailAddress>
    <AcceptableResponseSchema>` + schema + `</AcceptableResponseSchema>
  </Request>
</Autodiscover>`
}

const outlookSchema = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"

func TestAutodiscoverIsWhatOutlookReads(t *testing.T) {
	w := discover(office(t), "/autodiscover/autodiscover.xml", outlook("Anna@Example.org", outlookSchema))
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/xml; charset=utf-8" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	file := filepath.Join("testdata", "autodiscover.xml")
	if *update {
		if err := os.WriteFile(file, w.Body.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if w.Body.String() != string(want) {
		t.Errorf("got\n%s", w.Body)
	}
}

func TestAutodiscoverRequests(t *testing.T) {
	o := office(t)
	entities := `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "` + strings.Repeat("x", 1000) + `"><!ENTITY y "` + strings.Repeat("&x;", 1000) + `">]>` +
		strings.TrimPrefix(outlook("&y;@example.org", outlookSchema), `<?xml version="1.0" encoding="utf-8"?>`)
	for _, test := range []struct {
		what, path, body string
		want             string // in the body
	}{
		{"Outlook's own case", "/Autodiscover/Autodiscover.xml", outlook("anna@example.org", outlookSchema), "<Port>993</Port>"},
		{"capitals", "/AUTODISCOVER/AUTODISCOVER.XML", outlook("anna@example.org", outlookSchema), "<Type>SMTP</Type>"},
		{"no schema", "/autodiscover/autodiscover.xml", outlook("anna@example.org", ""), "<LoginName>anna@example.org</LoginName>"},
		{"spaces around", "/autodiscover/autodiscover.xml", outlook(" anna@example.org\n", "\n"+outlookSchema+" "), "<LoginName>anna@example.org</LoginName>"},
		{"nobody of that name", "/autodiscover/autodiscover.xml", outlook("ghost@example.org", outlookSchema), "<LoginName>ghost@example.org</LoginName>"},
		{"markup in the address", "/autodiscover/autodiscover.xml", outlook(`"&lt;b&gt;"@example.org`, outlookSchema), "&lt;b&gt;"},
		{"not our domain", "/autodiscover/autodiscover.xml", outlook("anna@example.net", outlookSchema), "<ErrorCode>601</ErrorCode>"},
		{"a telephone", "/autodiscover/autodiscover.xml", outlook("anna@example.org", "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006"), "<ErrorCode>601</ErrorCode>"},
		{"no address", "/autodiscover/autodiscover.xml", outlook("", outlookSchema), "<ErrorCode>600</ErrorCode>"},
		{"no XML", "/autodiscover/autodiscover.xml", "EMailAddress=anna@example.org", "<ErrorCode>600</ErrorCode>"},
		{"nothing", "/autodiscover/autodiscover.xml", "", "<ErrorCode>600</ErrorCode>"},
		{"entities", "/autodiscover/autodiscover.xml", entities, "<ErrorCode>600</ErrorCode>"},
		{"deep", "/autodiscover/autodiscover.xml", strings.Repeat("<a>", 15000), "<ErrorCode>600</ErrorCode>"},
		{"too long", "/autodiscover/autodiscover.xml", strings.Replace(outlook("anna@example.org", outlookSchema), "<Request>", "<!--"+strings.Repeat("x", 64<<10)+"--><Request>", 1), "<ErrorCode>600</ErrorCode>"},
		{"another encoding", "/autodiscover/autodiscover.xml", strings.Replace(outlook("anna@example.org", outlookSchema), "utf-8", "utf-7", 1), "<ErrorCode>600</ErrorCode>"},
	} {
		w := discover(o, test.path, test.body)
		if w.Code != 200 || !strings.Contains(w.Body.String(), test.want) || w.Body.Len() > 4<<10 {
			t.Errorf("%s: %d %s", test.what, w.Code, w.Body)
		}
		var any struct{ XMLName xml.Name }
		if err := xml.Unmarshal(w.Body.Bytes(), &any); err != nil || strings.Contains(w.Body.String(), "<b>") {
			t.Errorf("%s: %v in %s", test.what, err, w.Body)
		}
	}
}

// Outlook looks for the place with a GET in the clear, and follows only to https.
func TestAutodiscoverByGet(t *testing.T) {
	o := office(t)
	ask := func(over *tls.ConnectionState) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/autodiscover/autodiscover.xml", nil)
		r.TLS = over
		o.Public().ServeHTTP(w, r)
		return w
	}
	if w := ask(nil); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("without https: %d", w.Code)
	}
	for address, want := range map[string]string{
		"[::]:443":       "https://mail.example.org/autodiscover/autodiscover.xml",
		"127.0.0.1:1443": "https://mail.example.org:1443/autodiscover/autodiscover.xml",
	} {
		o.Listeners = []admin.Listener{{Name: "https", Address: address}}
		if w := ask(nil); w.Code != http.StatusFound || w.Header().Get("Location") != want {
			t.Errorf("%s: %d %v", address, w.Code, w.Header())
		}
	}
	if w := ask(&tls.ConnectionState{}); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("over TLS: %d", w.Code)
	}
}

func FuzzAutodiscover(f *testing.F) {
	f.Add(outlook("anna@example.org", outlookSchema))
	f.Add(outlook("&#60;@example.org", ""))
	f.Add("<!DOCTYPE a [<!ENTITY x \"y\">]><Autodiscover>&x;</Autodiscover>")
	store, err := mailbox.Open(f.TempDir(), mailbox.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { store.Close() })
	if _, err := store.AddDomain(f.Context(), "example.org"); err != nil {
		f.Fatal(err)
	}
	o := &admin.Office{Store: store, Listeners: []admin.Listener{{Name: "imaps", Address: "[::]:993"}}}
	f.Fuzz(func(t *testing.T, body string) {
		w := discover(o, "/autodiscover/autodiscover.xml", body)
		var any struct{ XMLName xml.Name }
		if err := xml.Unmarshal(w.Body.Bytes(), &any); w.Code != 200 || err != nil {
			t.Errorf("%d %v %s", w.Code, err, w.Body)
		}
	})
}
