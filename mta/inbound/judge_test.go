package inbound

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"roost/mailbox"
	"roost/mta/dns"
	"roost/mta/msgauth"
	"roost/mta/smtp"
)

func TestJudge(t *testing.T) {
	verdict := func(r msgauth.Result, d msgauth.DMARCPolicy) *msgauth.Verdict {
		return &msgauth.Verdict{DMARC: msgauth.DMARC{Result: r, From: "shop.example", Record: "shop.example", Policy: d, Disposition: d, By: "DKIM"}}
	}
	allow := &mailbox.Rule{Account: 1, Sender: "joe@shop.example"}
	block := &mailbox.Rule{Sender: "shop.example", Block: true}
	claims := "DMARC: claims to be from shop.example, which nothing confirms"
	for name, c := range map[string]struct {
		v       *msgauth.Verdict
		rule    *mailbox.Rule
		want    decision
		reply   string
		reasons []string
	}{
		"nobody was asked":         {nil, nil, accepted, "", nil},
		"confirmed":                {verdict(msgauth.Pass, msgauth.PolicyNone), nil, accepted, "", []string{"DMARC: really from shop.example, by DKIM"}},
		"nothing is wanted":        {verdict(msgauth.Fail, msgauth.PolicyNone), nil, accepted, "", []string{claims}},
		"junk is wanted":           {verdict(msgauth.Fail, msgauth.PolicyQuarantine), nil, junk, "", []string{claims + "; shop.example wants such mail treated as junk"}},
		"refusal is wanted":        {verdict(msgauth.Fail, msgauth.PolicyReject), nil, refused, "550 5.7.1 The message says it is from shop.example", []string{claims + "; shop.example wants such mail refused"}},
		"let in over a refusal":    {verdict(msgauth.Fail, msgauth.PolicyReject), allow, accepted, "", []string{claims + "; shop.example wants such mail refused", "Rule: mail from joe@shop.example is let in by this account"}},
		"let in over junk":         {verdict(msgauth.Fail, msgauth.PolicyQuarantine), allow, accepted, "", []string{claims + "; shop.example wants such mail treated as junk", "Rule: mail from joe@shop.example is let in by this account"}},
		"blocked though confirmed": {verdict(msgauth.Pass, msgauth.PolicyNone), block, refused, "550 5.7.1 Mail from shop.example is not wanted here", []string{"DMARC: really from shop.example, by DKIM", "Rule: mail from shop.example is not wanted on this server"}},
		"blocked, nobody asked":    {nil, block, refused, "550 5.7.1 Mail from shop.example is not wanted here", []string{"Rule: mail from shop.example is not wanted on this server"}},
		"for now not to be told":   {verdict(msgauth.TempError, msgauth.PolicyNone), nil, accepted, "", []string{"DMARC: whether it is from shop.example can't be told for now: "}},
	} {
		j := judge(c.v, mailbox.Reputation{}, 0, c.rule, nil)
		reply := ""
		if j.decision == refused {
			reply = j.reply.Error()
		}
		if j.decision != c.want || !strings.HasPrefix(reply, c.reply) || !slices.Equal(j.reasons, c.reasons) {
			t.Errorf("%s: %s, %q, %q", name, j.decision, reply, j.reasons)
		}
	}
}

// TestJudgeWeighs holds what counts how much where neither a rule nor the owner of
// the author's domain has a say, and that nothing of it counts where they have.
func TestJudgeWeighs(t *testing.T) {
	const day = 20000
	joe := func(address, domain mailbox.Tally) mailbox.Reputation {
		return mailbox.Reputation{Sender: "joe@shop.example", Now: day, Address: address, Domain: domain}
	}
	friend := mailbox.Tally{First: day - 100, Last: day - 1, Wrote: day - 90, Received: 2, Sent: 1}
	regular := mailbox.Tally{First: day - 7, Last: day - 1, Received: 3}
	saved := mailbox.Tally{First: day - 1, Last: day - 1, Rescued: 1}
	pest := mailbox.Tally{First: day - 50, Last: day - 1, Received: 4, Junked: 3}
	bad := mailbox.Tally{First: day - 50, Last: day - 1, Received: 6, Junked: 5}
	none := mailbox.Tally{}
	pass := &msgauth.Verdict{DMARC: msgauth.DMARC{Result: msgauth.Pass, From: "shop.example", Record: "shop.example", By: "DKIM"}}
	really := "DMARC: really from shop.example, by DKIM"
	quarantine := &msgauth.Verdict{DMARC: msgauth.DMARC{Result: msgauth.Fail, From: "shop.example", Record: "shop.example", Disposition: msgauth.PolicyQuarantine}}
	for name, c := range map[string]struct {
		v       *msgauth.Verdict
		known   mailbox.Reputation
		text    score
		rule    *mailbox.Rule
		want    decision
		reasons []string // beside the verdict's
	}{
		"a stranger":                           {pass, joe(none, none), 0, nil, accepted, []string{"Sender: the first mail from joe@shop.example, as far as is known"}},
		"a stranger who looks good":            {pass, joe(none, none), 0.1, nil, accepted, []string{"Sender: the first mail from joe@shop.example, as far as is known"}},
		"a stranger who looks like junk":       {pass, joe(none, none), 0.9, nil, junk, []string{"Text: looks like junk"}},
		"nobody asked, looks like junk":        {nil, mailbox.Reputation{}, 1, nil, junk, []string{"Text: looks like junk"}},
		"not confirmed, looks like junk":       {verdictNone(), mailbox.Reputation{}, 0.95, nil, junk, []string{"Text: looks like junk"}},
		"not confirmed, no score":              {verdictNone(), mailbox.Reputation{}, 0, nil, accepted, nil},
		"one who was written to":               {pass, joe(friend, none), 0, nil, accepted, []string{"Sender: this account has written to joe@shop.example before"}},
		"who was written to, looks like junk":  {pass, joe(friend, none), 1, nil, accepted, []string{"Sender: this account has written to joe@shop.example before", "Text: looks like junk, which counts for nothing with a sender who is known"}},
		"who was written to, of a bad domain":  {pass, joe(friend, bad), 0, nil, accepted, []string{"Sender: this account has written to joe@shop.example before"}},
		"a regular who looks like junk":        {pass, joe(regular, none), 1, nil, accepted, []string{"Sender: 3 messages from joe@shop.example came before, and no reader took them for junk", "Text: looks like junk, which counts for nothing with a sender who is known"}},
		"a regular of too few days":            {pass, joe(mailbox.Tally{First: day - 6, Received: 3}, none), 1, nil, junk, []string{"Text: looks like junk"}},
		"a regular with a complaint":           {pass, joe(mailbox.Tally{First: day - 60, Received: 9, Junked: 1}, none), 1, nil, junk, []string{"Text: looks like junk"}},
		"one who was taken out of Junk":        {pass, joe(saved, none), 1, nil, accepted, []string{"Sender: this account took mail from joe@shop.example out of Junk", "Text: looks like junk, which counts for nothing with a sender who is known"}},
		"one whom the reader does not want":    {pass, joe(pest, none), 0, nil, junk, []string{"Sender: this account put 3 messages from joe@shop.example into Junk"}},
		"not wanted, though written to":        {pass, joe(mailbox.Tally{First: 1, Wrote: 1, Received: 4, Junked: 3}, none), 0, nil, junk, []string{"Sender: this account put 3 messages from joe@shop.example into Junk"}},
		"not wanted, then taken back":          {pass, joe(mailbox.Tally{First: 1, Received: 4, Junked: 3, Rescued: 1}, none), 0, nil, accepted, nil},
		"two of many":                          {pass, joe(mailbox.Tally{First: 1, Received: 40, Junked: 6}, none), 0, nil, accepted, nil},
		"a stranger of a bad domain":           {pass, joe(none, bad), 0, nil, junk, []string{"Sender: readers here put 5 messages from shop.example into Junk"}},
		"a stranger of a domain with some bad": {pass, joe(none, mailbox.Tally{First: 1, Received: 20, Junked: 8}), 0, nil, accepted, []string{"Sender: the first mail from joe@shop.example, as far as is known"}},
		"not wanted, but a rule lets it in":    {pass, joe(pest, bad), 1, &mailbox.Rule{Account: 1, Sender: "shop.example"}, accepted, []string{"Rule: mail from shop.example is let in by this account"}},
		"known, but a rule refuses it":         {pass, joe(friend, none), 0, &mailbox.Rule{Sender: "shop.example", Block: true}, refused, []string{"Rule: mail from shop.example is not wanted on this server"}},
		"junk is wanted, and nobody confirms":  {quarantine, mailbox.Reputation{}, 0, nil, junk, nil},
	} {
		j := judge(c.v, c.known, c.text, c.rule, nil)
		reasons := j.reasons
		if c.v != nil && len(reasons) > 0 {
			if c.v == pass && reasons[0] != really {
				t.Errorf("%s: %q", name, reasons[0])
			}
			reasons = reasons[1:]
		}
		if j.decision != c.want || !slices.Equal(reasons, c.reasons) {
			t.Errorf("%s: %s, %q", name, j.decision, reasons)
		}
	}
}

// verdictNone is about a domain that says nothing of its mail.
func verdictNone() *msgauth.Verdict {
	return &msgauth.Verdict{DMARC: msgauth.DMARC{Result: msgauth.None, From: "shop.example"}}
}

// TestJudgeAsksListsLast: what block lists say counts where nothing else spoke.
func TestJudgeAsksListsLast(t *testing.T) {
	const day = 20000
	joe := func(t mailbox.Tally) mailbox.Reputation {
		return mailbox.Reputation{Sender: "joe@shop.example", Now: day, Address: t}
	}
	pass := &msgauth.Verdict{DMARC: msgauth.DMARC{Result: msgauth.Pass, From: "shop.example", Record: "shop.example", By: "DKIM"}}
	wants := func(p msgauth.DMARCPolicy) *msgauth.Verdict {
		return &msgauth.Verdict{DMARC: msgauth.DMARC{Result: msgauth.Fail, From: "shop.example", Record: "shop.example", Disposition: p}}
	}
	on := []*dns.Listing{{List: "bl.example", Reason: "junk; see https://bl.example/"}, {List: "mute.example"}}
	says := []string{
		"Block list: bl.example has the address 192.0.2.10, and says of it and of the way off: junk; see https://bl.example/",
		"Block list: mute.example has the address 192.0.2.10; who runs the list tells how to get off it",
	}
	for name, c := range map[string]struct {
		v      *msgauth.Verdict
		known  mailbox.Reputation
		text   score
		rule   *mailbox.Rule
		on     []*dns.Listing
		want   [2]decision // junk is wanted of lists, and refusal
		listed bool        // they are a reason
	}{
		"on no list":                 {nil, mailbox.Reputation{}, 0, nil, nil, [2]decision{accepted, accepted}, false},
		"nobody was asked":           {nil, mailbox.Reputation{}, 0, nil, on, [2]decision{junk, refused}, true},
		"nothing is said":            {verdictNone(), mailbox.Reputation{}, 0, nil, on, [2]decision{junk, refused}, true},
		"a confirmed stranger":       {pass, joe(mailbox.Tally{}), 0, nil, on, [2]decision{junk, refused}, true},
		"of whom little is known":    {pass, joe(mailbox.Tally{First: day - 2, Received: 2}), 0, nil, on, [2]decision{junk, refused}, true},
		"not wanted once, long ago":  {pass, joe(mailbox.Tally{First: 1, Received: 40, Junked: 6}), 0, nil, on, [2]decision{junk, refused}, true},
		"who was written to":         {pass, joe(mailbox.Tally{First: 1, Wrote: 1}), 0, nil, on, [2]decision{accepted, accepted}, false},
		"a regular":                  {pass, joe(mailbox.Tally{First: day - 7, Received: 3}), 0, nil, on, [2]decision{accepted, accepted}, false},
		"taken out of Junk":          {pass, joe(mailbox.Tally{First: day - 1, Rescued: 1}), 0, nil, on, [2]decision{accepted, accepted}, false},
		"whom the reader dislikes":   {pass, joe(mailbox.Tally{First: 1, Received: 4, Junked: 3}), 0, nil, on, [2]decision{junk, junk}, false},
		"looks like junk":            {pass, joe(mailbox.Tally{}), 1, nil, on, [2]decision{junk, junk}, false},
		"a rule lets it in":          {pass, joe(mailbox.Tally{}), 0, &mailbox.Rule{Sender: "shop.example"}, on, [2]decision{accepted, accepted}, false},
		"a rule refuses it":          {pass, joe(mailbox.Tally{}), 0, &mailbox.Rule{Sender: "shop.example", Block: true}, on, [2]decision{refused, refused}, false},
		"the domain wants a refusal": {wants(msgauth.PolicyReject), mailbox.Reputation{}, 0, nil, on, [2]decision{refused, refused}, false},
		"the domain wants junk":      {wants(msgauth.PolicyQuarantine), mailbox.Reputation{}, 0, nil, on, [2]decision{junk, junk}, false},
	} {
		without := judge(c.v, c.known, c.text, c.rule, nil)
		if without.open != (c.listed || c.on == nil) {
			t.Errorf("%s: nothing decided: %v", name, without.open)
		}
		for i, refuse := range []bool{false, true} {
			j := judge(c.v, c.known, c.text, c.rule, &listing{netip.MustParseAddr("192.0.2.10"), c.on, refuse})
			reasons := without.reasons
			if c.listed {
				reasons = slices.Concat(reasons, says)
			}
			reply := without.reply
			if c.listed && refuse {
				reply = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "Your address 192.0.2.10 is on the block list bl.example, which says of it and of the way off: junk; see https://bl.example/"}
			}
			if j.decision != c.want[i] || !slices.Equal(j.reasons, reasons) || j.reply != reply || j.open && c.listed {
				t.Errorf("%s, refuse %v: %s, %q, %v", name, refuse, j.decision, j.reasons, j.reply)
			}
		}
	}
}

func TestTogether(t *testing.T) {
	block, allow := &mailbox.Rule{Sender: "shop.example", Block: true}, &mailbox.Rule{Sender: "shop.example"}
	all := []judgement{judge(nil, mailbox.Reputation{}, 0, block, nil), judge(nil, mailbox.Reputation{}, 0, block, nil)}
	if err := together(all); err == nil {
		t.Error("what all refuse is taken")
	}
	all = []judgement{judge(nil, mailbox.Reputation{}, 0, block, nil), judge(nil, mailbox.Reputation{}, 0, allow, nil)}
	if err := together(all); err != nil || all[0].decision != junk || all[1].decision != accepted {
		t.Errorf("%v, %v", err, all)
	}
	if got, want := string(all[0].header()), "Roost-Verdict: junk;\r\n\tRule: mail from shop.example is not wanted on this server;\r\n\tKept: another recipient of the same message lets it in\r\n"; got != want {
		t.Errorf("%q", got)
	}
	if err := together(nil); err != nil {
		t.Error(err)
	}
}
