package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// FuzzPath holds that a path which parses is written so that it parses to the
// same again, and that nothing from the wire can start a second line.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"FROM:<a@b.example> SIZE=1", "FROM:<>", `FROM:<"a\"b"@[IPv6:::1]> SMTPUTF8`, "FROM:<@a,@b:c@d> AUTH=a+2Bb", "from:<ü@ü.example> SMTPUTF8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		_, _, _ = parseRcpt("TO:"+strings.TrimPrefix(arg, "FROM:"), true)
		p, _, err := parseMail(arg)
		if err != nil {
			var r Reply
			if !errors.As(err, &r) || !r.Permanent() {
				t.Fatalf("%q: %v is no refusal", arg, err)
			}
			if wire := string(r.append(nil)); strings.Count(wire, "\n") != 1 {
				t.Fatalf("%q: answer %q", arg, wire)
			}
			return
		}
		again, err := ParsePath(p.String())
		if err != nil || again != p {
			t.Fatalf("%q: %#v written as %q is %#v, %v", arg, p, p.String(), again, err)
		}
	})
}

// FuzzData holds the reader to a plain statement of RFC 5321 4.5.2, whatever
// pieces the bytes come in, and the writer to being its inverse.
func FuzzData(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\n", ".\r\n", "..\r\n.\r\nNOOP\r\n", "a\n.\n.\r\n\r\n.\r\n", "\r\r\n.\r\n", ".\r\r\n.\r\n", "a\r.\r\n.\r\n"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, wire []byte, piece int) {
		if piece < 1 || piece > 100 {
			piece = 1
		}
		src := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(wire)), 16)
		d := &dataReader{r: src}
		var got []byte
		buf := make([]byte, piece)
		var err error
		for err == nil {
			var n int
			n, err = d.Read(buf)
			got = append(got, buf[:n]...)
		}
		refused, end := d.drain(1 << 30)
		rest, _ := io.ReadAll(src)

		// The end is the first CRLF.CRLF, with a CRLF before the first line.
		framed := append([]byte("\r\n"), wire...)
		at := bytes.Index(framed, []byte("\r\n.\r\n"))
		if at < 0 {
			if end == nil || errors.Is(err, io.EOF) {
				t.Fatalf("%q ended", wire)
			}
			return
		}
		if end != nil || !bytes.Equal(rest, framed[at+5:]) {
			t.Fatalf("%q: end %v, rest %q", wire, end, rest)
		}
		body := framed[:at+2]
		bare := bytes.ReplaceAll(body, []byte("\r\n"), nil)
		if bytes.ContainsAny(bare, "\r\n") {
			if refused == nil || err == io.EOF {
				t.Fatalf("%q was taken", wire)
			}
			return
		}
		want := bytes.ReplaceAll(body, []byte("\r\n."), []byte("\r\n"))[2:]
		if err != io.EOF || refused != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q: got %q and %v, want %q", wire, got, err, want)
		}

		var out bytes.Buffer
		w := &dataWriter{w: bufio.NewWriter(&out)}
		for len(got) > 0 {
			n, err := w.Write(got[:min(piece, len(got))])
			if err != nil {
				t.Fatal(err)
			}
			got = got[n:]
		}
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		back, err := io.ReadAll(&dataReader{r: bufio.NewReader(&out)})
		if err != nil || !bytes.Equal(back, want) {
			t.Fatalf("written and read: %q, %v, want %q", back, err, want)
		}
	})
}

// FuzzReply holds that a reply which parses can be said again and is the same.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"220 x\r\n", "250-2.0.0 a\r\n250 2.0.0 b\r\n", "250\n", "550-a\r\n550-\r\n550 5.1.1 c\r\n", "250-a\r\n251 b\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := readReply(bufio.NewReader(bytes.NewReader(wire)), nil)
		if err != nil {
			return
		}
		if r.Code < 200 || r.Code > 599 || strings.ContainsAny(r.Text, "\r\x00") {
			t.Fatalf("%q: %#v", wire, r)
		}
		if r.Enhanced != (Enhanced{}) && r.Enhanced[0] != r.Code/100 {
			t.Fatalf("%q: %v", wire, r)
		}
		said := r.append(nil)
		if _, err := readReply(bufio.NewReader(bytes.NewReader(said)), nil); err != nil {
			t.Fatalf("%q said as %q: %v", wire, said, err)
		}
	})
}

// FuzzLine throws bytes at a connection's line reader.
func FuzzLine(f *testing.F) {
	f.Add([]byte("NOOP\r\nEHLO x\n\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		c := &Conn{r: bufio.NewReaderSize(bytes.NewReader(wire), 16)}
		for range 100 {
			line, err := c.readLine(64)
			if err == nil && (len(line) > 62 || strings.ContainsAny(line, "\r\n\x00") || !bytes.Contains(wire, []byte(line+"\r\n"))) {
				t.Fatalf("%q gave line %q", wire, line)
			}
			if err == io.EOF {
				return
			}
		}
	})
}

// FuzzChunks holds the reader of BDAT to a plain statement of RFC 3030: the
// chunks' octets in a row, or a refusal, and nothing of them read as commands.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("a\r\nb"), 2, 3)
	f.Add([]byte("a\r\n.\r\nQUIT\r\n"), 3, 100)
	f.Add([]byte("a\nb\r"), 1, 1)
	f.Fuzz(func(t *testing.T, message []byte, chunk, piece int) {
		if chunk < 1 || chunk > len(message) {
			chunk = max(len(message), 1)
		}
		if piece < 1 || piece > 100 {
			piece = 1
		}
		var wire bytes.Buffer
		for at := chunk; at < len(message); at += chunk {
			fmt.Fprintf(&wire, "BDAT %d\r\n%s", min(chunk, len(message)-at), message[at:min(at+chunk, len(message))])
		}
		wire.WriteString("BDAT 0 LAST\r\nrest")
		c := &Conn{server: NewServer(Options{}), w: bufio.NewWriter(io.Discard)}
		c.r = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(message[:min(chunk, len(message))]), &wire), 16)
		b := &chunkReader{c: c, left: int64(min(chunk, len(message))), do: func(verb, arg string) error {
			t.Fatalf("%q: %s %s was read as a command", message, verb, arg)
			return nil
		}}
		var got []byte
		buf := make([]byte, piece)
		var err error
		for err == nil {
			var n int
			n, err = b.Read(buf)
			got = append(got, buf[:n]...)
		}
		if bytes.ContainsAny(bytes.ReplaceAll(message, []byte("\r\n"), nil), "\r\n") {
			if b.bad == nil || err == io.EOF {
				t.Fatalf("%q was taken", message)
			}
			return
		}
		want := message
		if len(want) > 0 && !bytes.HasSuffix(want, []byte("\r\n")) {
			want = append(bytes.Clone(want), "\r\n"...)
		}
		rest, _ := io.ReadAll(c.r)
		if err != io.EOF || !bytes.Equal(got, want) || string(rest) != "rest" {
			t.Fatalf("%q in chunks of %d: got %q and %v, rest %q", message, chunk, got, err, rest)
		}
	})
}

// FuzzParameters holds that what is taken of DSN parameters is the same when a
// client writes it again.
func FuzzParameters(f *testing.F) {
	f.Add("QQ+2B314", "SUCCESS,DELAY", "rfc822;a+2Bb@c.example")
	f.Add("1", "never", `utf-8;b\x{F8}b@c.example`)
	f.Add("a+", ",", "utf-8;ü@\\x{0}")
	f.Fuzz(func(t *testing.T, envid, notify, orcpt string) {
		if id, err := parseEnvID(envid); err == nil {
			// The limit is on what came: what is written may be longer.
			again, ok := decodeXtext(encodeXtext(id))
			if !ok || again != id || strings.ContainsAny(encodeXtext(id), " =\r\n") {
				t.Fatalf("ENVID %q is %q, written %q", envid, id, encodeXtext(id))
			}
		}
		if n, err := ParseNotify(notify); err == nil {
			if again, err := ParseNotify(n.String()); err != nil || again != n {
				t.Fatalf("NOTIFY %q is %v, then %v, %v", notify, n, again, err)
			}
		}
		if o, err := parseORcpt(orcpt, true); err == nil {
			wire := encodeORcpt(o)
			if !isASCII(wire) || strings.ContainsAny(wire, " =\r\n\x00") {
				t.Fatalf("ORCPT %q is written %q", orcpt, wire)
			}
			if len(wire) > maxORcpt {
				return
			}
			if again, err := parseORcpt(wire, false); err != nil || again != o {
				t.Fatalf("ORCPT %q is %q, written %q, then %q, %v", orcpt, o, wire, again, err)
			}
		}
	})
}
