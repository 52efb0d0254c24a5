package msgauth

import "testing"

// TestConfirmed holds whose word counts for the domain in From where it has no
// record of DMARC, and that with one DMARC decides.
func TestConfirmed(t *testing.T) {
	spf := func(domain string, r Result) *Verdict {
		return &Verdict{MailFrom: SPF{Result: r, Domain: domain}, DMARC: DMARC{Result: None, From: "news.shop.example"}}
	}
	dkim := func(domain string, r Result) *Verdict {
		return &Verdict{DKIM: []Signature{{Result: r, Domain: domain}}, DMARC: DMARC{Result: None, From: "news.shop.example"}}
	}
	dmarc := func(r Result) *Verdict {
		v := spf("news.shop.example", Pass)
		v.DMARC.Result, v.DMARC.Record = r, "shop.example"
		return v
	}
	suffix := dkim("co.uk", Pass)
	suffix.DMARC.From = "co.uk"
	irregular := spf("news.shop.example", Pass)
	irregular.DMARC = DMARC{Result: PermError}
	for name, c := range map[string]struct {
		v    *Verdict
		want string
	}{
		"SPF":                         {spf("news.shop.example", Pass), "news.shop.example"},
		"SPF of the organization":     {spf("shop.example", Pass), "news.shop.example"},
		"SPF of a sister":             {spf("mail.shop.example", Pass), "news.shop.example"},
		"SPF of somebody else":        {spf("shop.example.net", Pass), ""},
		"SPF, softly not":             {spf("news.shop.example", SoftFail), ""},
		"DKIM":                        {dkim("SHOP.example", Pass), "news.shop.example"},
		"DKIM, broken":                {dkim("shop.example", Fail), ""},
		"DKIM of a provider":          {dkim("esp.example", Pass), ""},
		"DKIM above the shop":         {dkim("example", Pass), ""},
		"DMARC":                       {dmarc(Pass), "news.shop.example"},
		"DMARC says no":               {dmarc(Fail), ""},
		"DMARC can't tell":            {dmarc(TempError), ""},
		"several authors":             {irregular, ""},
		"a domain that nobody bought": {suffix, ""},
	} {
		if got := c.v.Confirmed(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
