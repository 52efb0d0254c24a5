package msgauth

import (
	"bufio"
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Key is one DKIM key of a domain.
type Key struct {
	Selector string // its record is at Selector._domainkey.domain
	PKCS8    []byte // the private key in DER form: RSA of 2048 to 4096 bits, or Ed25519
}

const (
	// maxHeader bounds the header that is held in memory while its fields
	// are counted, in octets.
	maxHeader = 1 << 20

	// maxFieldList bounds the names in h=, in octets: not every verifier takes
	// a tag of any length.
	maxFieldList = 900
)

// ErrHeader: the message has no header that could be signed.
var ErrHeader = errors.New("no header that can be signed")

// alwaysSealed are fields that decide what a reader believes about a
// message. Each is listed once more than it is there, so that none can be
// added (RFC 6376 section 8.15).
func alwaysSealed() []string {
	return []string{"From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID"}
}

// sealedWhenPresent are listed once more than they are there if they are
// there at all: a gateway may have good reason to add one.
func sealedWhenPresent() []string {
	return []string{"Sender", "In-Reply-To", "References", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"}
}

// signedWhenPresent may be added to on the way, but not changed. The
// List-Unsubscribe pair must be covered for one-click (RFC 8058 section 4).
func signedWhenPresent() []string {
	return []string{
		"Resent-From", "Resent-To", "Resent-Date", "Resent-Message-ID",
		"List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Post", "List-Archive",
		"Auto-Submitted", "Autocrypt",
	}
}

// Sign reads a message, whose lines end in CRLF, once and in bounded memory,
// and returns the DKIM-Signature fields to put in front of it, each ending
// in CRLF: one for every key, in their order. The canonical forms are
// relaxed/relaxed, and the signatures do not expire.
//
// A message without a From field, with a line in its header that is no
// field, or with a header of more than a megabyte, is ErrHeader: what each
// reader takes for another message is not to be vouched for (RFC 6376
// section 8.15). A key that is none is ErrKey. Without keys there is nothing
// to do and the result is empty.
func Sign(message io.Reader, domain string, keys []Key) ([]byte, error) {
	return new(Keyring).Sign(message, domain, keys)
}

// Sign is the function Sign with keys that are read only once.
func (k *Keyring) Sign(message io.Reader, domain string, keys []Key) ([]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	body := bufio.NewReader(message)
	header, err := readHeader(body)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", domain, err)
	}
	fields, err := fieldList(header)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", domain, err)
	}
	var signers []crypto.Signer
	for _, key := range keys {
		signer, err := k.signer(key.PKCS8)
		if err != nil {
			return nil, fmt.Errorf("sign for %s with %s: %w", domain, key.Selector, err)
		}
		signers = append(signers, signer)
	}
	relaxed := newRelaxedBody()
	if _, err := io.Copy(relaxed, body); err != nil {
		return nil, fmt.Errorf("sign for %s: %w", domain, err)
	}
	s := newSeal(domain, fields, unfolded(header, fields), relaxed.sum())
	var out []byte
	for i, signer := range signers {
		field, err := s.sign(keys[i].Selector, signer)
		if err != nil {
			return nil, fmt.Errorf("sign for %s with %s: %w", domain, keys[i].Selector, err)
		}
		out = append(out, field...)
	}
	return out, nil
}

// readHeader reads up to and with the empty line that ends the header. It
// adds one where the message ends without, as the message is the same for
// whoever receives it.
func readHeader(r *bufio.Reader) ([]byte, error) {
	var header []byte
	start := true // of a line
	for {
		line, err := r.ReadSlice('\n')
		header = append(header, line...)
		if len(header) > maxHeader {
			return nil, fmt.Errorf("%w: more than %d octets", ErrHeader, maxHeader)
		}
		switch {
		case err == nil && start && len(bytes.TrimRight(line, "\r\n")) == 0:
			return header, nil
		case err == io.EOF:
			if len(header) > 0 && header[len(header)-1] != '\n' {
				header = append(header, "\r\n"...)
			}
			return append(header, "\r\n"...), nil
		case err != nil && err != bufio.ErrBufferFull:
			return nil, err
		}
		start = err == nil
	}
}

// fieldList decides what to sign of a header: the names for h=.
func fieldList(header []byte) ([]string, error) {
	count := map[string]int{}
	for line := range bytes.Lines(header) {
		name := fieldName(line)
		if name == "" && !folded(line) && len(bytes.TrimRight(line, "\r\n")) > 0 || folded(line) && len(count) == 0 {
			return nil, fmt.Errorf("%w: a line in it is no field", ErrHeader)
		}
		if name != "" {
			count[name]++
		}
	}
	if count["from"] == 0 {
		return nil, fmt.Errorf("%w: no From field", ErrHeader)
	}
	var list []string
	size := 0
	add := func(name string, times int) {
		for range times {
			if size += len(name) + len(":"); size > maxFieldList {
				return
			}
			list = append(list, name)
		}
	}
	for _, name := range alwaysSealed() {
		add(name, count[strings.ToLower(name)]+1)
	}
	for _, name := range sealedWhenPresent() {
		if n := count[strings.ToLower(name)]; n > 0 {
			add(name, n+1)
		}
	}
	for _, name := range signedWhenPresent() {
		add(name, count[strings.ToLower(name)])
	}
	return list, nil
}

// unfolded returns the fields of a header that are in list, each on one
// line: the same to a relaxed signature.
func unfolded(header []byte, list []string) []byte {
	wanted := map[string]bool{}
	for _, name := range list {
		wanted[strings.ToLower(name)] = true
	}
	out := make([]byte, 0, len(header))
	keep := false
	for line := range bytes.Lines(header) {
		text := bytes.TrimRight(line, "\r\n")
		if folded(line) {
			if keep {
				out = append(out[:len(out)-len("\r\n")], text...)
				out = append(out, "\r\n"...)
			}
			continue
		}
		if keep = wanted[fieldName(line)]; keep {
			out = append(append(out, text...), "\r\n"...)
		}
	}
	return out
}

func folded(line []byte) bool { return line[0] == ' ' || line[0] == '\t' }

// fieldName returns the name of the field that begins on a line, in lower
// case, or "" where none does (RFC 5322 section 2.2). White space before the
// colon is the obsolete syntax of its section 4.5.
func fieldName(line []byte) string {
	name, _, ok := bytes.Cut(line, []byte(":"))
	if !ok || folded(line) {
		return ""
	}
	name = bytes.TrimRight(name, " \t")
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return strings.ToLower(string(name))
}
