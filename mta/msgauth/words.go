package msgauth

import (
	"fmt"
	"strings"

	"roost/mailbox/remote"
)

// Lines tells the verdict in plain words, one thing a line, for the journal.
// There are at most 16, each printable and below 1,000 octets.
func (v *Verdict) Lines() []string {
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, printable(fmt.Sprintf(format, args...), maxLineText))
	}
	if s := v.clientWords(); s != "" {
		add("Client: %s", s)
	}
	if !v.Null && v.Hello.Result != None {
		add("SPF of the client's own name: %s", v.spfWords(v.Hello))
	}
	if v.MailFrom.Result != None || v.IPRev.Result != None {
		add("SPF: %s", v.spfWords(v.MailFrom))
	}
	if len(v.DKIM) == 0 {
		add("DKIM: not signed")
	}
	for _, s := range v.DKIM {
		add("DKIM: %s", s.words())
	}
	if v.Unread > 0 {
		add("DKIM: %d more signatures, which were not looked at", v.Unread)
	}
	add("DMARC: %s", v.DMARC.words())
	return lines
}

// Author tells in plain words, in one line, whether the message is from whom its
// From says.
func (v *Verdict) Author() string { return printable(v.DMARC.words(), maxLineText) }

// maxLineText bounds a line, in octets; the longest domain has 253.
const maxLineText = 900

func (v *Verdict) clientWords() string {
	switch v.IPRev.Result {
	case Pass:
		return fmt.Sprintf("%s is %s", v.Client, v.IPRev.Name)
	case Fail:
		return fmt.Sprintf("%s calls itself %s in the DNS, but that name leads elsewhere", v.Client, v.IPRev.Name)
	case PermError:
		return fmt.Sprintf("%s has no name in the DNS", v.Client)
	case TempError:
		return fmt.Sprintf("the name of %s could not be looked up: %s", v.Client, v.IPRev.Reason)
	}
	if v.Client.IsValid() && !remote.Public(v.Client) {
		return fmt.Sprintf("%s is a private address, which SPF does not apply to", v.Client)
	}
	return ""
}

func (v *Verdict) spfWords(s SPF) string {
	switch s.Result {
	case Pass:
		return fmt.Sprintf("%s may send for %s", v.Client, s.Domain)
	case Fail:
		return fmt.Sprintf("%s may not send for %s", v.Client, s.Domain)
	case SoftFail:
		return fmt.Sprintf("%s should not send for %s (softfail)", v.Client, s.Domain)
	case Neutral:
		return fmt.Sprintf("%s does not say whether %s may send for it", s.Domain, v.Client)
	case PermError:
		return fmt.Sprintf("the record of %s is broken: %s", s.Domain, s.Reason)
	case TempError:
		return fmt.Sprintf("the record of %s could not be looked up: %s", s.Domain, s.Reason)
	}
	if s.Domain == "" {
		return "there is no domain to ask"
	}
	return fmt.Sprintf("%s has no record", s.Domain)
}

func (s *Signature) words() string {
	who := "signed by " + s.Domain
	if s.Domain == "" {
		who = "signed by nobody"
	}
	switch s.Result {
	case Pass:
		return who + ", valid"
	case TempError:
		return who + ", could not be verified: " + s.Reason
	case Neutral, Policy:
		return who + ", does not count: " + s.Reason
	}
	return who + ", not valid: " + s.Reason
}

func (d *DMARC) words() string {
	switch d.Result {
	case Pass:
		return fmt.Sprintf("really from %s, by %s", d.From, d.By)
	case Fail:
		s := "claims to be from " + d.From + ", which nothing confirms"
		if d.Reason != "" {
			s = "claims to be from " + d.From + ": " + d.Reason
		}
		switch d.Disposition {
		case PolicyReject:
			return s + "; " + d.Record + " wants such mail refused"
		case PolicyQuarantine:
			return s + "; " + d.Record + " wants such mail treated as junk"
		}
		return s
	case TempError:
		return fmt.Sprintf("whether it is from %s can't be told for now: %s", d.From, d.Reason)
	case PermError:
		return "who wrote it can't be told: " + d.Reason
	}
	if d.Reason != "" {
		return fmt.Sprintf("whether it is from %s can't be told: %s", d.From, d.Reason)
	}
	return d.From + " has no policy"
}

// printable makes text that strangers had a hand in fit for one line: what is
// not printable ASCII becomes "?", and it is cut at limit octets.
func printable(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit-3] + "..."
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}
