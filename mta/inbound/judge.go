package inbound

import (
	"fmt"
	"net/netip"
	"strings"

	"roost/mailbox"
	"roost/mta/dns"
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
	reasons []string   // in plain words, each one line of printable characters
	known   bool       // the author, to the account
	open    bool       // nothing spoke for the message or against it
}

// listing is what DNS block lists say of the client that brings a message.
type listing struct {
	client netip.Addr
	on     []*dns.Listing // the lists that have it
	refuse bool           // such mail; else it goes into Junk
}

// score is how much what a message says looks like junk: 1 is surely. The zero value
// is that nothing has looked at it.
type score float64

// looksLikeJunk is the score from which on a message does.
const looksLikeJunk score = 0.9

// judge decides what becomes of a message for an account by who sent it (nil:
// nobody was asked), what is known of the author (zero: nothing, or nobody confirms
// who it is), the score of what it says, and the rule about its sender that applies
// to the account (nil: none). What a person said comes first, then what the owner of
// the author's domain wants, then what readers did with mail of the author before,
// then what it looks like. Block lists (nil: none was asked) come last, for what is
// open after all that.
func judge(v *msgauth.Verdict, known mailbox.Reputation, text score, rule *mailbox.Rule, lists *listing) judgement {
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
		j.weigh(known, text)
	case v.DMARC.Disposition == msgauth.PolicyReject:
		j.decision = refused
		j.reply = smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: fmt.Sprintf(
			"The message says it is from %s, which neither SPF nor DKIM confirms, and the owner of %s wants such mail refused (DMARC)",
			v.DMARC.From, v.DMARC.Record)}
	case v.DMARC.Disposition == msgauth.PolicyQuarantine:
		j.decision = junk
	default:
		j.weigh(known, text)
	}
	if j.open && lists != nil && len(lists.on) > 0 {
		j.blockListed(lists)
	}
	return j
}

// blockListed decides by the block lists that have the client. Who is refused is told
// where to get off.
func (j *judgement) blockListed(lists *listing) {
	j.open, j.decision = false, junk
	for _, l := range lists.on {
		if l.Reason == "" {
			j.reasons = append(j.reasons, fmt.Sprintf("Block list: %s has the address %s; who runs the list tells how to get off it", l.List, lists.client))
		} else {
			j.reasons = append(j.reasons, fmt.Sprintf("Block list: %s has the address %s, and says of it and of the way off: %s", l.List, lists.client, l.Reason))
		}
	}
	if !lists.refuse {
		return
	}
	first := lists.on[0]
	text := fmt.Sprintf("Your address %s is on the block list %s", lists.client, first.List)
	if first.Reason != "" {
		text += ", which says of it and of the way off: " + first.Reason
	}
	j.decision, j.reply = refused, smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: text}
}

// weigh decides by the author's reputation and by what the message looks like. A
// known correspondent is let in whatever it looks like, unless the account's own
// reader takes such mail for junk.
func (j *judgement) weigh(known mailbox.Reputation, text score) {
	address, domain := &known.Address, &known.Domain
	why := ""
	switch {
	case known.Sender == "":
	case disliked(address, 3, 0.5):
		j.decision = junk
		j.reasons = append(j.reasons, fmt.Sprintf("Sender: this account put %s from %s into Junk", messages(address.Junked), known.Sender))
		return
	case address.Wrote != 0:
		why = fmt.Sprintf("Sender: this account has written to %s before", known.Sender)
	case address.Received >= 3 && known.Now-address.First >= 7 && address.Junked-address.Rescued < 1:
		why = fmt.Sprintf("Sender: %s from %s came before, and no reader took them for junk", messages(address.Received), known.Sender)
	case address.Rescued-address.Junked >= 1:
		why = fmt.Sprintf("Sender: this account took mail from %s out of Junk", known.Sender)
	}
	if why != "" {
		j.known = true
		j.reasons = append(j.reasons, why)
		if text >= looksLikeJunk {
			j.reasons = append(j.reasons, "Text: looks like junk, which counts for nothing with a sender who is known")
		}
		return
	}
	switch {
	case text >= looksLikeJunk:
		j.decision = junk
		j.reasons = append(j.reasons, "Text: looks like junk")
	case known.Sender != "" && disliked(domain, 5, 0.8):
		j.decision = junk
		j.reasons = append(j.reasons, fmt.Sprintf("Sender: readers here put %s from %s into Junk", messages(domain.Junked), known.Sender.Domain()))
	case known.Sender != "" && address.First == 0:
		j.open = true
		j.reasons = append(j.reasons, fmt.Sprintf("Sender: the first mail from %s, as far as is known", known.Sender))
	default:
		j.open = true
	}
}

// disliked says whether readers took so many messages for junk, and such a share.
func disliked(t *mailbox.Tally, least, share float64) bool {
	n := t.Junked - t.Rescued
	return n >= least-0.5 && n > share*t.Received
}

// messages tells a number that has faded.
func messages(n float64) string {
	switch m := int(n + 0.5); {
	case m <= 1:
		return "a message"
	default:
		return fmt.Sprintf("%d messages", m)
	}
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
		b = append(b, ";\r\n\t"+strings.Map(ascii, r)...)
	}
	return append(b, "\r\n"...)
}

// ascii keeps an address beyond it out of a header field that anybody may read.
func ascii(c rune) rune {
	if c > '~' {
		return '?'
	}
	return c
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
