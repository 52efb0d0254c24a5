package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What SMTP takes, a program may put into a mailbox as well: APPENDLIMIT (RFC 7889) is
// not below SIZE (RFC 1870), at either door.
func TestAppendLimitIsNotBelowSize(t *testing.T) {
	w := startWorld(t)
	number := func(in, pattern string) int {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(in)
		if m == nil {
			t.Fatalf("no %s in %q", pattern, in)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	c := dialReader(t, "Roost", w.addr["imaps"], "me@roost.localhost")
	var said strings.Builder
	for _, command := range []string{"CAPABILITY", "STATUS INBOX (APPENDLIMIT)"} {
		fmt.Fprintf(c.conn, "x %s\r\n", command)
		for line := ""; !strings.HasPrefix(line, "x "); {
			var err error
			if line, err = c.r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			said.WriteString(line)
		}
	}
	limit := number(said.String(), `APPENDLIMIT=(\d+)`)
	if status := number(said.String(), `\(APPENDLIMIT (\d+)\)`); status != limit {
		t.Errorf("STATUS tells %d, CAPABILITY %d", status, limit)
	}
	for _, door := range []string{"smtp", "submission", "submissions"} {
		conn, err := net.Dial("tcp", w.addr[door])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		if door == "submissions" {
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		}
		r := bufio.NewReader(conn)
		fmt.Fprint(conn, "EHLO client.example\r\n")
		offers := ""
		for !strings.Contains(offers, "\n250 ") {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			offers += line
		}
		if size := number(offers, `SIZE (\d+)`); size == 0 || size > limit {
			t.Errorf("%s takes %d octets, APPEND %d", door, size, limit)
		}
	}
}
