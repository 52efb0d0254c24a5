package mailbox

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/mail"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"roost/mailbox/mailboxtest"
	"roost/mailbox/message"
)

// plain is what a search means, said without any of what the store keeps for it.
type plain struct {
	entry    Entry
	keywords []string
	size     int64
	date     time.Time
	part     *message.Part
	header   string
	body     string
}

func readPlain(t testing.TB, s *Store, id AccountID, f Folder, e Entry, date time.Time) *plain {
	text := readAll(t, s, id, f.ID, e.UID)
	part, err := message.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	if err := part.WriteText(&body, strings.NewReader(text), maxSearchText); err != nil && !errors.Is(err, message.ErrTooLong) {
		t.Fatal(err)
	}
	return &plain{
		entry: e, keywords: f.KeywordNames(e.Keywords), size: int64(len(text)), date: date, part: part,
		header: message.Fold(string(part.Header.AppendText(nil))), body: message.Fold(body.String()),
	}
}

func (p *plain) holds(q Query) bool {
	text := message.Fold(q.Text)
	sent, sentErr := mail.ParseDate(p.part.Header.Get("Date"))
	days := func(t time.Time) string { return t.Format(time.DateOnly) }
	switch q.Test {
	case TestAll:
		return true
	case TestAnd:
		return !slices.ContainsFunc(q.Args, func(a Query) bool { return !p.holds(a) })
	case TestOr:
		return slices.ContainsFunc(q.Args, p.holds)
	case TestNot:
		return !p.holds(q.Args[0])
	case TestUID:
		return slices.ContainsFunc(q.UIDs, func(r UIDRange) bool { return r.First <= p.entry.UID && p.entry.UID <= r.Last })
	case TestFlag:
		return p.entry.Flags&q.Flag == q.Flag
	case TestKeyword:
		return slices.ContainsFunc(p.keywords, func(k string) bool { return strings.EqualFold(k, q.Text) })
	case TestModSeq:
		return p.entry.ModSeq >= ModSeq(q.N)
	case TestBefore:
		return days(p.date) < days(q.Time)
	case TestOn:
		return days(p.date) == days(q.Time)
	case TestSince:
		return days(p.date) >= days(q.Time)
	case TestSentBefore:
		return sentErr == nil && days(sent) < days(q.Time)
	case TestSentOn:
		return sentErr == nil && days(sent) == days(q.Time)
	case TestSentSince:
		return sentErr == nil && days(sent) >= days(q.Time)
	case TestLarger:
		return p.size > q.N
	case TestSmaller:
		return p.size < q.N
	case TestHeader:
		return slices.ContainsFunc(p.part.Header.Texts(q.Name), func(v string) bool {
			return strings.Contains(message.Fold(v), text)
		})
	case TestBody:
		return strings.Contains(p.body, text)
	case TestText:
		return strings.Contains(p.header, text) || strings.Contains(p.body, text)
	}
	panic(fmt.Sprint("no such test: ", q.Test))
}

// TestSearchFindsWhatAPlainScanFinds asks a mailbox of strange and of ordinary
// mail thousands of questions, and holds every answer against a scan of the
// bytes.
func TestSearchFindsWhatAPlainScanFinds(t *testing.T) {
	s, ann, _ := newStore(t, Options{})
	r := rand.New(rand.NewPCG(5, 6))
	var dates []time.Time
	add := func(text string) {
		p := Placement{Account: ann.ID, Flags: Flags(r.IntN(32)), Date: time.Date(2026, 1, 1+r.IntN(20), r.IntN(24), r.IntN(60), 0, 0, time.FixedZone("", (r.IntN(53)-26)*30*60))}
		p.Prefix = []byte(prefixes[r.IntN(len(prefixes))])
		for k := range r.IntN(3) {
			p.Keywords = append(p.Keywords, fmt.Sprintf("k%d", k*r.IntN(3)))
		}
		dates = append(dates, p.Date)
		accept(t, s, text, p)
	}
	for _, text := range fixtureTexts() {
		add(text)
	}
	for _, text := range []string{"From zoe Mon\r\nSubject: mbox\r\n\r\nbody\r\n", "From zoe and nothing else\r\n", ">From zoe\r\n folded\r\nX-A: mbox\r\n", "From a\r\n b\r\n"} {
		add(text)
	}
	for range 120 {
		add(strangeMessage(r))
	}
	n := 60
	switch {
	case testing.Short():
		n = 20
	case os.Getenv("ROOST_LONG") != "":
		n = 3000
	}
	for _, text := range corpusTexts(t, n) {
		add(text)
	}
	snap, err := s.Snapshot(ann.ID, InboxID)
	if err != nil {
		t.Fatal(err)
	}
	var all []*plain
	for i, e := range snap.Entries {
		all = append(all, readPlain(t, s, ann.ID, snap.Folder, e, dates[i]))
	}
	hits := 0
	queries := max(400, n)
	if testing.Short() {
		queries = 50
	}
	for i := range queries {
		q := randomQuery(r, all, 0)
		var want []UID
		for _, p := range all {
			if p.holds(q) {
				want = append(want, p.entry.UID)
			}
		}
		got, err := s.Search(context.Background(), ann.ID, InboxID, q)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("query %d %+v:\nfound %v, %v\nwant  %v", i, q, got, err, want)
		}
		hits += len(want)
	}
	if hits == 0 {
		t.Error("no query found anything")
	}
}

// prefixes are header fields as a server puts them in front of a body.
var prefixes = []string{
	"",
	"Return-Path: <zoe@example.net>\r\nDelivered-To: ann@example.org\r\n",
	"Authentication-Results: mx.example.org;\r\n\tspf=pass smtp.mailfrom=example.net;\r\n dkim=none\r\nX-Roost-Reason: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n",
	"Return-Path: <>\r\nX-Odd: Zoë writes\r\n",
	"Subject: put in front\r\nDate: Sat, 3 Jan 2026 01:00:00 -0500\r\n",
}

var words = strings.Fields(`the and Hello meeting ZEBRA naïve Grüße STRASSE straße Ångström résumé Καλημέρα κόσμος ΣΊΣΥΦΟΣ
	Привет МИР ёлка שָׁלוֹם مَرْحَبًا 日本語 メール 안녕하세요 ﬁne ＡＢＣ İstanbul x<y a&b example.com 12:30 =20 ab é`)

// strangeMessage makes a message of words in some charset, encoding and form.
func strangeMessage(r *rand.Rand) string {
	pick := func(n int) string {
		var w []string
		for range 1 + r.IntN(n) {
			w = append(w, words[r.IntN(len(words))])
		}
		return strings.Join(w, " ")
	}
	encode := func(s string) string {
		switch r.IntN(3) {
		case 0:
			return "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
		case 1:
			half := len(s) / 2
			return "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(s[:half])) + "?=\r\n =?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(s[half:])) + "?="
		}
		return s
	}
	var b strings.Builder
	field := func(name, value string) {
		if r.IntN(4) > 0 {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	field("From", encode(pick(2))+" <"+[]string{"zoe", "bob", "c.d"}[r.IntN(3)]+"@example.net>")
	field("To", "ann@example.org, "+encode(pick(1))+" <x@example.com>")
	field("to", "Second@example.org")
	field("Cc", encode(pick(2))+" <cc@example.net>")
	field("Bcc", "")
	field("Subject", encode(pick(6)))
	field("Date", time.Date(2026, 1, 1+r.IntN(20), r.IntN(24), 0, 0, 0, time.FixedZone("", (r.IntN(25)-12)*3600)).Format(time.RFC1123Z))
	field("X-Note", encode(pick(4)))
	body := pick(40)
	switch r.IntN(5) {
	case 0:
		fmt.Fprintf(&b, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n", base64.StdEncoding.EncodeToString([]byte(body)))
	case 1:
		fmt.Fprintf(&b, "Content-Type: text/html; charset=utf-8\r\n\r\n<html><head><title>%s</title></head><p>%s<br>%s</p><script>hidden</script>\r\n", pick(2), strings.ReplaceAll(body, " ", "&nbsp;"), pick(9))
	case 2:
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n\r\n%s\r\n--q\r\nContent-Type: message/rfc822\r\n\r\nSubject: %s\r\n\r\n%s\r\n--q--\r\n", body, encode(pick(3)), pick(9))
	case 3:
		latin := []byte("Content-Type: text/plain; charset=iso-8859-1\r\n\r\n")
		for _, c := range body {
			latin = append(latin, byte(min(c, 0xFF)))
		}
		b.Write(latin)
	default:
		b.WriteString("\r\n" + body + "\r\n")
	}
	return b.String()
}

func randomQuery(r *rand.Rand, all []*plain, depth int) Query {
	some := all[r.IntN(len(all))]
	piece := func(s string) string {
		if len(s) == 0 || r.IntN(5) == 0 {
			return words[r.IntN(len(words))]
		}
		i := r.IntN(len(s))
		for i > 0 && !utf8.RuneStart(s[i]) {
			i--
		}
		j := min(len(s), i+1+r.IntN(14))
		for j < len(s) && !utf8.RuneStart(s[j]) {
			j++
		}
		if r.IntN(2) == 0 {
			return strings.ToUpper(s[i:j])
		}
		return s[i:j]
	}
	date := time.Date(2026, 1, 1+r.IntN(20), r.IntN(24), 0, 0, 0, time.UTC)
	kind := r.IntN(26)
	if depth > 2 && kind < 6 {
		kind += 6
	}
	args := func(n int) (a []Query) {
		for range n {
			a = append(a, randomQuery(r, all, depth+1))
		}
		return a
	}
	switch kind {
	case 0, 1:
		return Query{Test: TestAnd, Args: args(1 + r.IntN(3))}
	case 2, 3:
		return Query{Test: TestOr, Args: args(2)}
	case 4, 5:
		return Query{Test: TestNot, Args: args(1)}
	case 6:
		return Query{Test: TestUID, UIDs: []UIDRange{{3, UID(3 + r.IntN(100))}, {200, 220}}}
	case 7:
		return Query{Test: TestFlag, Flag: Flags(1 << r.IntN(5))}
	case 8:
		return Query{Test: TestKeyword, Text: fmt.Sprintf("K%d", r.IntN(4))}
	case 9:
		return Query{Test: TestModSeq, N: int64(some.entry.ModSeq)}
	case 10, 11:
		return Query{Test: []Test{TestBefore, TestOn, TestSince, TestSentBefore, TestSentOn, TestSentSince}[r.IntN(6)], Time: date}
	case 12:
		return Query{Test: []Test{TestLarger, TestSmaller}[r.IntN(2)], N: some.size}
	case 13, 14, 15, 16, 17:
		names := []string{"FROM", "to", "Cc", "bcc", "Subject", "X-Note", "Received", "Authentication-Results", "Date", "X-Odd", "Content-Type", "None"}
		name := names[r.IntN(len(names))]
		if r.IntN(6) == 0 {
			return Query{Test: TestHeader, Name: name}
		}
		return Query{Test: TestHeader, Name: name, Text: piece(some.part.Header.Text(name))}
	case 18, 19, 20:
		return Query{Test: TestBody, Text: piece(some.body)}
	}
	return Query{Test: TestText, Text: piece(some.header + some.body)}
}

// corpusTexts are at most n messages of each of the corpora beside the
// repository, with CRLF line ends; none where the corpora are missing.
func corpusTexts(t testing.TB, n int) []string {
	t.Helper()
	var texts []string
	for _, archive := range []string{mailboxtest.Torture, mailboxtest.RealMail, mailboxtest.LateMail} {
		k := 0
		for name, b := range mailboxtest.Messages(t, archive) {
			if !strings.HasSuffix(name, ".eml") || len(b) > 300<<10 {
				continue
			}
			if k++; k > n {
				break
			}
			texts = append(texts, string(mailboxtest.Transport(b)))
		}
	}
	return texts
}
