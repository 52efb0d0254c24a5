package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

// reader is an IMAP client that understands what FETCH answers, to compare two
// servers by meaning: a string is the same quoted and as a literal.
type reader struct {
	*testing.T
	name, addr, user string
	// drops allows the server to drop the connection: it is made anew.
	drops   bool
	dropped int // at this message
	conn    *tls.Conn
	r       *bufio.Reader
	tag     int
}

// fetched is what a server said of messages: by number and item.
type fetched map[int]map[string]node

// node is a value: a list, or a string or atom as Go writes it.
type node struct {
	text string
	list []node
}

func (n node) String() string {
	if n.text != "" {
		return n.text
	}
	var all []string
	for _, m := range n.list {
		all = append(all, m.String())
	}
	return "(" + strings.Join(all, " ") + ")"
}

func dialReader(t *testing.T, name, addr, user string) *reader {
	t.Helper()
	c := &reader{T: t, name: name, addr: addr, user: user}
	c.dial()
	t.Cleanup(func() { c.conn.Close() })
	return c
}

func (c *reader) dial() {
	c.Helper()
	conn, err := tls.Dial("tcp", c.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		c.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	c.conn, c.r = conn, bufio.NewReaderSize(conn, 64<<10)
	c.r.ReadString('\n')
	for _, command := range []string{"LOGIN " + c.user + " roost", "SELECT INBOX"} {
		if _, said := c.do(command); !strings.HasPrefix(said, "OK") {
			c.Fatal(c.name, said)
		}
	}
}

// do gives one command. It returns what FETCH said and the tagged line. A
// connection that drops without leave fails the test.
func (c *reader) do(command string) (fetched, string) {
	c.Helper()
	c.tag++
	tag := "t" + strconv.Itoa(c.tag) + " "
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c.conn, tag+command+"\r\n")
		sent <- err
	}()
	all := make(fetched)
	for {
		line, err := c.line(all)
		if err != nil && c.drops {
			c.conn.Close()
			<-sent
			c.dial()
			return nil, "BYE dropped"
		}
		if err != nil {
			c.Errorf("%s: %.200s: %v", c.name, command, err)
			return nil, "BYE lost"
		}
		if said, ok := strings.CutPrefix(line, tag); ok {
			if err := <-sent; err != nil {
				c.Fatal(err)
			}
			return all, said
		}
	}
}

// line reads a line, and into all if it is a FETCH response.
func (c *reader) line(all fetched) (string, error) {
	head, err := c.r.Peek(2)
	if err != nil || string(head) != "* " {
		line, err := c.r.ReadString('\n')
		return line, err
	}
	c.r.Discard(2)
	number, err := c.word()
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		line, err := c.r.ReadString('\n')
		return "* " + number + line, err
	}
	c.r.Discard(1)
	if verb, err := c.word(); err != nil || verb != "FETCH" {
		line, err := c.r.ReadString('\n')
		return "* " + number + " " + verb + line, err
	}
	if _, err := c.r.Discard(len(" (")); err != nil {
		return "", err
	}
	if all[n] == nil {
		all[n] = make(map[string]node)
	}
	for {
		name, err := c.word()
		if err != nil {
			return "", err
		}
		c.r.Discard(1)
		if all[n][strings.ToUpper(name)], err = c.value(); err != nil {
			return "", fmt.Errorf("message %d, %s: %w", n, name, err)
		}
		if b, err := c.r.ReadByte(); err != nil || b == ')' {
			c.r.ReadString('\n')
			return "", err
		}
	}
}

// word reads up to a space, a parenthesis or a line's end outside of brackets.
func (c *reader) word() (string, error) {
	var b strings.Builder
	for deep := 0; ; {
		next, err := c.r.Peek(1)
		if err != nil {
			return "", err
		}
		switch next[0] {
		case '[':
			deep++
		case ']':
			deep--
		case ' ', '(', ')', '\r':
			if deep <= 0 {
				return b.String(), nil
			}
		}
		b.Write(next)
		c.r.Discard(1)
	}
}

func (c *reader) value() (node, error) {
	next, err := c.r.Peek(1)
	if err != nil {
		return node{}, err
	}
	switch next[0] {
	case '(':
		c.r.Discard(1)
		var n node
		for {
			switch next, err := c.r.Peek(1); {
			case err != nil:
				return n, err
			case next[0] == ')':
				c.r.Discard(1)
				return n, nil
			case next[0] == ' ':
				c.r.Discard(1)
			}
			m, err := c.value()
			if err != nil {
				return n, err
			}
			n.list = append(n.list, m)
		}
	case '"':
		c.r.Discard(1)
		var b strings.Builder
		for {
			ch, err := c.r.ReadByte()
			if err != nil {
				return node{}, err
			}
			switch ch {
			case '"':
				return node{text: strconv.Quote(b.String())}, nil
			case '\r', '\n':
				return node{}, fmt.Errorf("a line ends in the quoted string %q", b.String())
			case '\\':
				ch, _ = c.r.ReadByte()
			}
			b.WriteByte(ch)
		}
	case '{', '~':
		size, err := c.r.ReadString('\n')
		if err != nil {
			return node{}, err
		}
		n, err := strconv.Atoi(strings.Trim(size, "~{}\r\n"))
		if err != nil {
			return node{}, err
		}
		b := make([]byte, n)
		_, err = io.ReadFull(c.r, b)
		return node{text: strconv.Quote(string(b))}, err
	}
	text, err := c.word()
	if err == nil && text == "" {
		return node{}, fmt.Errorf("%q where a value should be", next)
	}
	return node{text: text}, err
}
