package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"roost/mailbox/mailboxtest"
)

// specimen is a message of the corpus, with the line ends of a message in
// transport.
type specimen struct{ name, text string }

// specimens are the messages of the MIME torture set, which is beside the
// repository.
func specimens(t *testing.T) (all []specimen) {
	t.Helper()
	mailboxtest.NeedCorpus(t)
	for name, data := range mailboxtest.Messages(t, mailboxtest.Torture) {
		all = append(all, specimen{name, string(mailboxtest.Transport(data))})
	}
	if len(all) < 300 {
		t.Fatalf("only %d messages", len(all))
	}
	return all
}

// Every message of the torture set is appended to Roost and to a Dovecot, and
// everything that FETCH can ask for is asked of both. Roost gives every message
// back as it was, its parts are parts of it, no connection drops, and where the
// two answer differently about a well-formed message, testdata/dovecot.golden
// says so and why.
func TestTortureBesideDovecot(t *testing.T) {
	all := specimens(t)
	imaps, _ := startDovecot(t)
	dovecot := dialReader(t, "Dovecot", imaps, "me")
	roost := dialReader(t, "Roost", startWorld(t).addr["imaps"], "me@roost.localhost")
	dovecot.drops = true // at base64 that ends early
	both := []*reader{roost, dovecot}
	for _, c := range both {
		var command strings.Builder
		command.WriteString("APPEND INBOX")
		for _, m := range all {
			binary := ""
			if strings.Contains(m.text, "\x00") {
				binary = "~"
			}
			fmt.Fprintf(&command, " %s{%d+}\r\n%s", binary, len(m.text), m.text)
		}
		if _, said := c.do(command.String()); !strings.HasPrefix(said, "OK") {
			t.Fatal(c.name, said)
		}
		if _, said := c.do("SELECT INBOX"); !strings.HasPrefix(said, "OK") {
			t.Fatal(c.name, said)
		}
	}
	asked := 0
	var differ []string
	compare := func(m specimen, item string, a, b node) {
		asked++
		x, y := a.String(), strings.ReplaceAll(b.String(), `"MISSING_DOMAIN"`, `""`)
		if strings.HasPrefix(item, "BODYSTRUCTURE") { // in any case of letters
			x, y = strings.ToLower(x), strings.ToLower(y)
		}
		if x != y && wellFormed(m.text) {
			differ = append(differ, fmt.Sprintf("%s %s", m.name, item))
		}
	}
	const whole = "(ENVELOPE BODY BODYSTRUCTURE RFC822.SIZE RFC822 RFC822.HEADER RFC822.TEXT BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODY.PEEK[]<7.50> BODY.PEEK[TEXT]<3.1000> BODY.PEEK[]<99999999.5> BODY.PEEK[HEADER.FIELDS (SUBJECT TO RECEIVED)] BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT TO RECEIVED)])"
	answer := make(map[*reader]fetched)
	for _, c := range both {
		var said string
		if answer[c], said = c.do("FETCH 1:* " + whole); !strings.HasPrefix(said, "OK") || len(answer[c]) != len(all) {
			t.Fatal(c.name, len(answer[c]), said)
		}
	}
	for i, m := range all {
		a, b := answer[roost][i+1], answer[dovecot][i+1]
		for _, item := range []string{"RFC822", "BODY[]"} {
			if got, _ := strconv.Unquote(a[item].text); got != m.text {
				t.Errorf("%s: %s is not the message", m.name, item)
			}
		}
		if a["RFC822.SIZE"].text != strconv.Itoa(len(m.text)) {
			t.Errorf("%s: RFC822.SIZE is %s, not %d", m.name, a["RFC822.SIZE"].text, len(m.text))
		}
		for item := range b {
			if _, ok := a[item]; !ok {
				t.Errorf("%s: no %s", m.name, item)
			}
		}
		for item := range a {
			if item != "FLAGS" && item != "BODY" { // BODY is in BODYSTRUCTURE
				compare(m, item, a[item], b[item])
			}
		}
		if got, said := roost.do(fmt.Sprintf("FETCH %d (PREVIEW)", i+1)); !strings.HasPrefix(said, "OK") || got[i+1]["PREVIEW"].text == "" {
			t.Errorf("%s: PREVIEW: %s", m.name, said)
		}
		structure := strings.EqualFold(a["BODYSTRUCTURE"].String(), b["BODYSTRUCTURE"].String())
		var sections []string
		for _, p := range partsOf(a["BODYSTRUCTURE"], "") {
			sections = append(sections, fmt.Sprintf("BODY.PEEK[%s]", p.number), fmt.Sprintf("BODY.PEEK[%s.MIME]", p.number), fmt.Sprintf("BODY.PEEK[%s]<2.9>", p.number))
			if p.message {
				sections = append(sections, fmt.Sprintf("BODY.PEEK[%s.HEADER]", p.number), fmt.Sprintf("BODY.PEEK[%s.TEXT]", p.number))
			}
			var binary string // what BINARY.PEEK gave last
			for _, item := range []string{"BINARY.PEEK[%s]", "BINARY.SIZE[%s]", "BINARY.PEEK[%s]<1.20>"} {
				item = fmt.Sprintf(item, p.number)
				var saw [2]node
				var asking sync.WaitGroup
				for n, c := range both {
					asking.Go(func() { saw[n] = c.binary(i+1, item) })
				}
				asking.Wait()
				switch text, _ := strconv.Unquote(saw[0].text); {
				case strings.HasPrefix(item, "BINARY.SIZE") && !strings.HasPrefix(binary, "NO") && saw[0].text != strconv.Itoa(len(binary)):
					t.Errorf("%s: %s is %s, not %d", m.name, item, saw[0].text, len(binary))
				case strings.HasSuffix(item, "]") && strings.HasPrefix(saw[0].text, "NO"):
					binary = saw[0].text
				case strings.HasSuffix(item, "]"):
					binary = text
				}
				if structure && !p.multipart && !p.message && saw[1].text != "BYE dropped" {
					compare(m, item, saw[0], saw[1])
				}
			}
		}
		if len(sections) == 0 {
			continue
		}
		var got [2]map[string]node
		for n, c := range both {
			f, said := c.do(fmt.Sprintf("FETCH %d (%s)", i+1, strings.Join(sections, " ")))
			if got[n] = f[i+1]; !strings.HasPrefix(said, "OK") {
				t.Errorf("%s: %s: %s", m.name, c.name, said)
			}
		}
		for item, value := range got[0] {
			if text, _ := strconv.Unquote(value.text); !strings.Contains(m.text, text) {
				t.Errorf("%s: %s is not from the message", m.name, item)
			}
			if structure {
				compare(m, item, value, got[1][item])
			}
		}
	}
	t.Logf("%d messages, %d answers, %d differ", len(all), asked, len(differ))
	checkExplained(t, "testdata/dovecot.golden", differ)
}

// binary asks for a BINARY item of a message. No answer is the NO or BYE. A
// message that made the server drop the connection is not asked about again.
func (c *reader) binary(number int, item string) node {
	if c.dropped == number {
		return node{text: "BYE dropped"}
	}
	got, said := c.do(fmt.Sprintf("FETCH %d (%s)", number, item))
	for name, value := range got[number] {
		if strings.HasPrefix(strings.Replace(item, ".PEEK", "", 1), strings.TrimSuffix(name, ">")) {
			return value
		}
	}
	if strings.HasPrefix(said, "BYE") {
		c.dropped = number
	}
	return node{text: strings.Join(strings.Fields(said)[:2], " ")}
}

// checkExplained compares with a golden file whose lines that begin with # are
// the explanations of those that follow.
func checkExplained(t *testing.T, file string, got []string) {
	t.Helper()
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	want := make(map[string]bool)
	for line := range strings.Lines(string(golden)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			want[line] = true
		}
	}
	slices.Sort(got)
	for _, line := range slices.Compact(got) {
		if !want[line] {
			t.Errorf("%s does not explain: %s", file, line)
		}
		delete(want, line)
	}
	for line := range want {
		t.Errorf("%s explains what is not so: %s", file, line)
	}
}

// bodyPart is a part of a message by its section number.
type bodyPart struct {
	number             string
	message, multipart bool
}

// partsOf numbers the parts of a BODYSTRUCTURE (RFC 9051 section 6.4.5.1).
func partsOf(n node, number string) (all []bodyPart) {
	below := func(i int) string {
		if number == "" {
			return strconv.Itoa(i)
		}
		return number + "." + strconv.Itoa(i)
	}
	if isMultipart(n) {
		for i, child := range n.list {
			if child.text != "" {
				break
			}
			at := below(i + 1)
			all = append(all, bodyPart{at, isMessage(child), isMultipart(child)})
			all = append(all, partsOf(child, at)...)
		}
		return all
	}
	if number == "" {
		all = append(all, bodyPart{"1", isMessage(n), false})
		number = "1"
	}
	if isMessage(n) {
		inner := n.list[8]
		if isMultipart(inner) {
			return append(all, partsOf(inner, number)...)
		}
		all = append(all, bodyPart{number + ".1", isMessage(inner), false})
		all = append(all, partsOf(inner, number+".1")...)
	}
	return all
}

func isMultipart(n node) bool { return len(n.list) > 0 && n.list[0].text == "" }

func isMessage(n node) bool {
	return len(n.list) > 9 && strings.EqualFold(n.list[0].text, `"message"`) && strings.EqualFold(n.list[1].text, `"rfc822"`) && n.list[8].text == ""
}

var headerField = regexp.MustCompile(`^[!-9;-~]+:`)

// wellFormed says whether a message's header is lines that are fields or their
// continuations, and no octet of it is one that a message must not have.
func wellFormed(text string) bool {
	if strings.Contains(text, "\x00") || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") {
		return false
	}
	header, _, ok := strings.Cut(text, "\r\n\r\n")
	if !ok {
		return false
	}
	for i, line := range strings.Split(header, "\r\n") {
		folded := i > 0 && (line[0] == ' ' || line[0] == '\t') && strings.TrimSpace(line) != ""
		if !folded && !headerField.MatchString(line) || len(line) > 998 {
			return false
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r >= 0x80 || r < ' ' && r != '\t' }) {
			return false
		}
	}
	return true
}

// Every message of the torture set that SMTP may carry is delivered and read
// back: below what Roost writes above it, it is what was sent.
func TestTortureDelivered(t *testing.T) {
	all := specimens(t)
	w := startWorld(t)
	conn, err := net.Dial("tcp", w.addr["smtp"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	r := bufio.NewReader(conn)
	says := func() string {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line[3] == ' ' {
				return strings.TrimSpace(line)
			}
		}
	}
	says()
	fmt.Fprint(conn, "EHLO torture.example\r\n")
	says()
	var taken []specimen
	for _, m := range all {
		if !strings.HasSuffix(m.text, "\r\n") {
			m.text += "\r\n"
		}
		fmt.Fprintf(conn, "MAIL FROM:<a@torture.example>\r\nRCPT TO:<me@roost.localhost>\r\nDATA\r\n")
		says()
		says()
		if said := says(); !strings.HasPrefix(said, "354") {
			t.Fatal(m.name, said)
		}
		text := strings.ReplaceAll("\r\n"+m.text, "\r\n.", "\r\n..")[2:]
		fmt.Fprintf(conn, "%s.\r\n", text)
		switch said := says(); {
		case strings.HasPrefix(said, "250"):
			taken = append(taken, m)
		default:
			t.Logf("%s: %s", m.name, said)
		}
	}
	c := dialReader(t, "Roost", w.addr["imaps"], "me@roost.localhost")
	var found []string
	for _, box := range []string{"INBOX", "Junk"} {
		c.do("SELECT " + box)
		got, _ := c.do("FETCH 1:* (BODY.PEEK[])")
		for n := range len(got) {
			text, _ := strconv.Unquote(got[n+1]["BODY[]"].text)
			found = append(found, text)
		}
	}
	if len(found) != len(taken) {
		t.Errorf("%d answered with 250, %d are there", len(taken), len(found))
	}
	for _, m := range taken {
		i := slices.IndexFunc(found, func(text string) bool { return strings.HasSuffix(text, "\r\n"+m.text) })
		if i < 0 {
			t.Errorf("%s is not there as it was sent", m.name)
			continue
		}
		found = slices.Delete(found, i, i+1)
	}
	t.Logf("%d of %d messages were taken", len(taken), len(all))
}
