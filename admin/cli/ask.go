package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"roost/admin"
)

// maxSecret is far above any password; a longer line is a mistake.
const maxSecret = 1024

// fromStdin marks a secret that is to be read from standard input: no line holds a NUL.
const fromStdin admin.Secret = "\x00"

// secretFlag makes a flag without a value of every admin.Secret.
type secretFlag struct{}

func (secretFlag) IsBool() bool { return true }

func (secretFlag) Decode(_ *kong.DecodeContext, target reflect.Value) error {
	target.SetString(string(fromStdin))
	return nil
}

// readSecrets fills in the secrets of args: from standard input when asked to, else by
// asking, twice, when there is a person at a terminal; one with the tag ask:"no" only from
// standard input. A secret left empty is made up by the operation, or there is none.
func readSecrets(args any, stdin io.Reader, stderr io.Writer) error {
	v := reflect.ValueOf(args).Elem()
	for i := range v.NumField() {
		secret := v.Field(i)
		if secret.Type() != reflect.TypeFor[admin.Secret]() {
			continue
		}
		var word string
		var err error
		if secret.String() == string(fromStdin) {
			word, err = firstLine(stdin)
		} else if f, ok := stdin.(*os.File); ok && v.Type().Field(i).Tag.Get("ask") != "no" && term.IsTerminal(int(f.Fd())) {
			word, err = ask(f, stderr)
		}
		if err != nil {
			return err
		}
		secret.SetString(word)
	}
	return nil
}

// askMissing lets arguments that know what to ask do so, when there is a person at a
// terminal.
func askMissing(args any, stdin io.Reader, stderr io.Writer) error {
	a, asks := args.(interface{ Ask(admin.Asker) error })
	f, file := stdin.(*os.File)
	if !asks || !file || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return a.Ask(questioner(f, stderr))
}

// questioner puts questions to w and reads an answer a line.
func questioner(r io.Reader, w io.Writer) admin.Asker {
	return func(question, suggestion string, check func(string) error) (string, error) {
		prompt := question + ": "
		if suggestion != "" {
			prompt = fmt.Sprintf("%s [%s]: ", question, suggestion)
		}
		for {
			fmt.Fprint(w, prompt)
			answer, err := line(r)
			if err != nil {
				return "", err
			}
			if answer = strings.TrimSpace(answer); answer == "" {
				answer = suggestion
			}
			if answer == "" {
				continue
			}
			err = check(answer)
			if err == nil {
				return answer, nil
			}
			fmt.Fprintf(w, "%s.\n", admin.Explain(err).Message)
		}
	}
}

// line reads one line and not an octet more: a password may be read next, by others. The
// end of the input is a person who had enough.
func line(r io.Reader) (string, error) {
	var answer []byte
	b := make([]byte, 1)
	for len(answer) < maxSecret {
		n, err := r.Read(b)
		if n == 1 && b[0] == '\n' {
			return string(answer), nil
		}
		answer = append(answer, b[:n]...)
		if errors.Is(err, io.EOF) {
			return "", &admin.Error{Kind: admin.Canceled, Message: "nothing was changed"}
		}
		if err != nil {
			return "", err
		}
	}
	return "", invalid("that answer is too long")
}

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxSecret+1)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case line == "":
		return "", invalid("there is no password on standard input")
	case len(line) > maxSecret || strings.Contains(line, "\x00"):
		return "", invalid("what is on standard input is no password")
	}
	return line, nil
}

func ask(tty *os.File, stderr io.Writer) (string, error) {
	read := func(prompt string) (string, error) {
		fmt.Fprint(stderr, prompt)
		word, err := term.ReadPassword(int(tty.Fd()))
		fmt.Fprintln(stderr)
		if errors.Is(err, io.EOF) {
			return "", &admin.Error{Kind: admin.Canceled, Message: "no password given"}
		}
		return string(word), err
	}
	first, err := read("New password (empty: make one up): ")
	if err != nil || first == "" {
		return "", err
	}
	second, err := read("Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", invalid("the two passwords differ")
	}
	return first, nil
}

// confirm asks a person at a terminal before something is done for good. A script is not
// asked: it has no doubts.
func confirm(args any, stdin io.Reader, stderr io.Writer) error {
	q, ok := args.(interface{ Question() string })
	f, tty := stdin.(*os.File)
	if !ok || !tty || q.Question() == "" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	fmt.Fprintf(stderr, "%s [y/N] ", q.Question())
	// A terminal hands out one line at a time.
	answer, err := bufio.NewReader(f).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return &admin.Error{Kind: admin.Canceled, Message: "nothing was changed"}
	}
	return nil
}

func invalid(message string) error { return &admin.Error{Kind: admin.Invalid, Message: message} }
