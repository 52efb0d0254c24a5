package inbound

import (
	"fmt"

	"roost/mailbox"
	"roost/mta/msgauth"
	"roost/mta/smtp"
)

// decision is what becomes of a message for one account.
type decision string

const (
	accepted decision = "accepted"
	junk     decision = "junk"
	refused  decision = "refused"
)

// judgement is a decision and why.
type judgement struct {
	decision
	reply   smtp.Reply // of a refusal
	reasons []string   // in plain words, each one line of printable ASCII
}

// judge decides what becomes of a message for an account by who sent it (nil:
// nobody was asked) and the rule about its sender that applies to the account
// (nil: none). What a person said comes before what a domain's owner wants. A
// score of what the message says belongs between the two.
func judge(v *msgauth.Verdict, rule *mailbox.Rule) judgement {
	j := judgement{decision: accepted}
	if v != nil {
		j.reasons = append(j.reasons, "DMARC: "+v.Author())
	}
	switch {
	case rule != nil && rule.Block:
		j.decision = refused
		j.reasons = append(j.reasons, "Rule: mail from "+rule.Sender+" is not wanted "+forWhom(rule))
		j.reply = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "Mail from " + rule.Sender + " is not wanted here"}
	case rule != nil:
		j.reasons = append(j.reasons, "Rule: mail from "+rule.Sender+" is let in "+forWhom(rule))
	case v == nil:
	case v.DMARC.Disposition == msgauth.PolicyReject:
		j.decision = refused
		j.reply = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: fmt.Sprintf(
			"The message says it is from %s, which neither SPF nor DKIM confirms, and the owner of %s wants such mail refused (DMARC)",
			v.DMARC.From, v.DMARC.Record)}
	case v.DMARC.Disposition == msgauth.PolicyQuarantine:
		j.decision = junk
	}
	return j
}

func forWhom(r *mailbox.Rule) string {
	if r.Account == 0 {
		return "on this server"
	}
	return "by this account"
}

// verdictField is the field that tells a reader what was decided and why. Ours
// are the only ones in a mailbox: those that come with a message are taken out.
const verdictField = msgauth.VerdictField

// header gives the judgement as a header field; without reasons there is none.
func (j *judgement) header() []byte {
	if len(j.reasons) == 0 {
		return nil
	}
	b := []byte(verdictField + ": " + string(j.decision))
	for _, r := range j.reasons {
		b = append(b, ";\r\n\t"+r...)
	}
	return append(b, "\r\n"...)
}

// together makes one answer of what was decided for each account, as there is
// one for all: it is a refusal only where all refuse. For an account that
// refuses what another takes, the message is junk: it has been promised then.
func together(all []judgement) error {
	for i := range all {
		if all[i].decision != refused {
			for k := range all {
				if all[k].decision == refused {
					all[k].decision = junk
					all[k].reasons = append(all[k].reasons, "Kept: another recipient of the same message lets it in")
				}
			}
			return nil
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[0].reply
}
