package inbound

import (
	"slices"
	"strings"
	"testing"

	"roost/mailbox"
	"roost/mta/msgauth"
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
		j := judge(c.v, c.rule)
		reply := ""
		if j.decision == refused {
			reply = j.reply.Error()
		}
		if j.decision != c.want || !strings.HasPrefix(reply, c.reply) || !slices.Equal(j.reasons, c.reasons) {
			t.Errorf("%s: %s, %q, %q", name, j.decision, reply, j.reasons)
		}
	}
}

func TestTogether(t *testing.T) {
	block, allow := &mailbox.Rule{Sender: "shop.example", Block: true}, &mailbox.Rule{Sender: "shop.example"}
	all := []judgement{judge(nil, block), judge(nil, block)}
	if err := together(all); err == nil {
		t.Error("what all refuse is taken")
	}
	all = []judgement{judge(nil, block), judge(nil, allow)}
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
