package records

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// State is what a check says of a record, or of something else about the server.
type State string

// The states.
const (
	Found       State = "found"       // there, and it does what it is for
	Missing     State = "missing"     // not there
	Wrong       State = "wrong"       // there, and says something else
	Conflicting State = "conflicting" // there, beside something that contradicts it
	Unknown     State = "unknown"     // nobody who knows has answered
	Passed      State = "ok"          // for what is no record: as it should be
)

// Good reports whether nothing is to be done.
func (s State) Good() bool { return s == Found || s == Passed }

// Finding is a record with what a check found in its place. Of the checks of a host some
// have no record: their Type and Value are empty, and Name is what was looked at.
type Finding struct {
	Record
	// Required: mail suffers while State is not good.
	Required bool     `json:"required,omitempty"`
	State    State    `json:"state,omitempty"`  // empty: not checked
	Found    []string `json:"found,omitempty"`  // what is there, as Value would have it
	Says     string   `json:"says,omitempty"`   // what was found, in a sentence
	Advice   string   `json:"advice,omitempty"` // what to do about it; may be there in a good state too
	// Change is the text of a better record, where that is neither Value nor nothing: an SPF
	// record with what it allows already, and us.
	Change string `json:"change,omitempty"`
	// Pending tells how long it may take until all others see what the zone's own servers
	// say; empty when the resolver agrees with them.
	Pending string `json:"pending,omitempty"`
	Source  string `json:"source,omitempty"` // who was believed
}

// Bad reports whether the finding makes a check fail.
func (f Finding) Bad() bool { return f.Required && f.State != "" && !f.State.Good() }

// verdict is the part of a finding that is decided.
type verdict struct {
	state  State
	found  []string
	says   string
	advice string
	change string
	source string
	ttl    time.Duration // of what was found
}

func found(have answer, format string, args ...any) verdict {
	return have.verdict(Found, fmt.Sprintf(format, args...), "")
}

func (have answer) verdict(s State, says, advice string) verdict {
	return verdict{state: s, found: have.values, says: says, advice: advice, source: have.source, ttl: have.ttl}
}

// add is the advice when a record is not there.
const add = "Add it."

// pending compares what the resolver gives with what the zone's own servers say.
func pending(own, others verdict) string {
	if own.source == others.source || own.state == others.state && sameSet(own.found, others.found) {
		return ""
	}
	switch {
	case others.state == Unknown:
		return "The zone's own servers have answered, but the resolver has not, and others may have the same trouble. " + others.says
	case own.state.Good() && len(others.found) == 0:
		return "The zone's own servers have it; others see it when the answer \"no such record\" has expired with them, mostly within the hour."
	case own.state.Good():
		return fmt.Sprintf("The zone's own servers have it; others may go on with the older answer for %s.", lasts(others.ttl))
	case others.state.Good():
		return fmt.Sprintf("Others may still see the older, good answer, for %s.", lasts(others.ttl))
	}
	return ""
}

// lasts is a TTL in words. Look-ups give none above an hour.
func lasts(d time.Duration) string {
	switch {
	case d <= 0:
		return "a while"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	}
	return "an hour or more"
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// listing is "a", "a and b" or "a, b and c", of at most five.
func listing(list []string) string {
	const most = 5
	if more := len(list) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), more)
	}
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " and " + list[last]
}

// brief is text from a stranger's record, fit for a sentence.
func brief(text string) string {
	const most = 120
	if len(text) > most {
		text = text[:most-1] + "…"
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '�' {
			return '?'
		}
		return c
	}, text)
}
