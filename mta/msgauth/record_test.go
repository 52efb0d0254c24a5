package msgauth

import (
	"slices"
	"strings"
	"testing"
)

func TestParseRecord(t *testing.T) {
	for text, want := range map[string]*record{
		"v=DMARC1; p=reject":                                  {p: PolicyReject, psd: 'u', old: true},
		"v=DMARC1;p=none":                                     {p: PolicyNone, psd: 'u', old: true},
		" v = DMARC1 ; p = Reject ; ":                         {p: PolicyReject, psd: 'u', old: true},
		"V=DMARC1; P=quarantine; SP=none":                     {p: PolicyQuarantine, sp: PolicyNone, psd: 'u', old: true},
		"v=DMARC1; sp=none; p=reject":                         {p: PolicyReject, sp: PolicyNone, psd: 'u', old: true},
		"v=DMARC1; p=reject; adkim=s; aspf=S; np=none":        {p: PolicyReject, np: PolicyNone, adkim: true, aspf: true, psd: 'u'},
		"v=DMARC1; p=reject; adkim=x; psd=x":                  {p: PolicyReject, psd: 'u'},
		"v=DMARC1; p=reject; psd=Y; t=y":                      {p: PolicyReject, psd: 'y', testing: true, testingGiven: true},
		"v=DMARC1; p=reject; psd=n; t=n; pct=0":               {p: PolicyReject, psd: 'n', testingGiven: true, pctZero: true},
		"v=DMARC1; p=reject; pct=0; ri=1; rf=afrf; fo=1; x=y": {p: PolicyReject, psd: 'u', old: true, testing: true, pctZero: true},
		"v=DMARC1; p=reject; pct=50":                          {p: PolicyReject, psd: 'u', old: true},
		"v=DMARC1; p=reject; p=none":                          {p: PolicyReject, psd: 'u', old: true},
		"v=DMARC1; p=reject; ; nonsense; =; a=b=c":            {p: PolicyReject, psd: 'u', old: true},
		"v=DMARC1; p=reject; rua=mailto:a@b.example!10m":      {p: PolicyReject, psd: 'u', old: true, reports: true},
		"v=DMARC1; p=; rua=,mailto:a@b.example":               {psd: 'u', old: true, reports: true, broken: true},
		"v=DMARC1; p=reject; sp=perhaps; rua=mailto:":         {p: PolicyReject, psd: 'u', old: true, broken: true},
		"v=DMARC1":                  {psd: 'u', old: true, broken: true},
		"v=DMARC1; rua=a@b.example": {psd: 'u', old: true, broken: true},
		"v=dmarc1; p=reject":        nil,
		"v=DMARC2; p=reject":        nil,
		"v=DMARC1 p=reject":         nil,
		"p=reject; v=DMARC1":        nil,
		"; v=DMARC1; p=reject":      nil,
		"v=spf1 -all":               nil,
		"":                          nil,
		"v=DMARC1; p=reject; rua=x:" + strings.Repeat("a;", 999): {p: PolicyReject, psd: 'u', old: true, reports: true},
	} {
		got, ok := parseRecord(text)
		if ok != (want != nil) || ok && *got != *want {
			t.Errorf("%.60q: got %+v, want %+v", text, got, want)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; aspf=r; psd=y; t=y; rua=mailto:a@b.example,https://c.example!1m")
	f.Add("v=DMARC1;p=none;pct=0;rf=afrf;ri=1")
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := parseRecord(s)
		if !ok {
			if strings.HasPrefix(s, "v=DMARC1;") {
				t.Errorf("%q is a record", s)
			}
			return
		}
		known := []DMARCPolicy{"", PolicyNone, PolicyQuarantine, PolicyReject}
		for _, p := range []DMARCPolicy{r.p, r.sp, r.np} {
			if !slices.Contains(known, p) {
				t.Errorf("%q has the policy %q", s, p)
			}
		}
		if !strings.Contains("ynu", string(r.psd)) || r.p == "" && !r.broken {
			t.Errorf("%q is %+v", s, r)
		}
		// What nobody knows changes nothing.
		again, ok := parseRecord(s + "; unknown=tag;")
		if !ok || *again != *r {
			t.Errorf("%q is %+v, and with an unknown tag %+v", s, r, again)
		}
	})
}

func FuzzTagList(f *testing.F) {
	f.Add("v=1; a=rsa-sha256; b=a b\r\n c; b=")
	f.Fuzz(func(t *testing.T, s string) {
		tags, _ := tagList(s)
		for name, value := range tags {
			if strings.ContainsAny(name+value, ";") || strings.Contains(name, "=") {
				t.Errorf("%q has %q=%q", s, name, value)
			}
		}
		rsaBits(tags)
	})
}
