package mailbox

import (
	"bytes"
	"errors"
	"io"

	"roost/mailbox/message"
)

// candidate is a message that a search looks into, as far as it has to. What it
// says is what a search means; everything else only saves it from being asked.
type candidate struct {
	run   *searchRun
	entry Entry

	msg    *Message
	fields *message.Header
	part   *message.Part
	body   io.ReaderAt // what part is of

	// Memory that one after the other uses.
	header []byte
	folded []byte // the header's text; empty until it is asked for
}

// next goes on to a message that was opened.
func (c *candidate) next(run *searchRun, e Entry, m *Message) {
	if c.msg != nil {
		m.room = c.msg.room
	}
	*c = candidate{run: run, entry: e, msg: m, header: c.header, folded: c.folded[:0]}
}

func (c *candidate) holds(q *Query) (bool, error) {
	var err error
	t := q.judge(func(q *Query) truth {
		if err != nil {
			return no
		}
		var t truth
		t, err = c.leaf(q)
		return t
	})
	return t == yes, err
}

func (c *candidate) leaf(q *Query) (truth, error) {
	if q.cost == costEntry {
		return q.byEntry(c.run.folder, c.entry), nil
	}
	if q.cost == costRow {
		return q.byRow(&c.msg.Facts, c.run.now), nil
	}
	if q.Test == TestHeader {
		h, err := c.head()
		if err != nil {
			return no, err
		}
		return truthOf(fieldHas(h, q)), nil
	}
	if err := c.parse(); err != nil {
		return no, err
	}
	if q.Test == TestText {
		if len(c.folded) == 0 {
			c.header = c.part.Header.AppendText(c.header[:0])
			c.folded = message.AppendFold(c.folded, c.header)
		}
		if bytes.Contains(c.folded, []byte(q.Text)) {
			return yes, nil
		}
	}
	return c.inBody(q.Text)
}

// head reads the message's header, and no further unless that was done already.
func (c *candidate) head() (message.Header, error) {
	if c.part != nil {
		return c.part.Header, nil
	}
	if c.fields == nil {
		b, err := c.msg.bytes()
		if err != nil {
			return message.Header{}, err
		}
		var h message.Header
		if b != nil {
			h = message.HeaderOf(b)
		} else if h, err = message.ReadHeader(c.msg.Reader()); err != nil {
			return h, err
		}
		c.fields = &h
	}
	return *c.fields, nil
}

// parse reads the message's structure.
func (c *candidate) parse() error {
	if c.part != nil {
		return nil
	}
	b, err := c.msg.bytes()
	switch {
	case err != nil:
	case b != nil:
		c.part, c.body = message.ParseBytes(b), bytes.NewReader(b)
	default:
		c.body = c.msg
		c.part, err = message.Parse(c.msg.Reader())
	}
	return err
}

// inBody looks through the body's text, no further than to the first hit.
func (c *candidate) inBody(text string) (truth, error) {
	f := finder{text: []byte(text)}
	w := message.FoldWriter{W: &f}
	err := c.part.WriteText(&w, c.body, maxSearchText)
	if err == nil || errors.Is(err, message.ErrTooLong) {
		err = w.Close()
	}
	if errors.Is(err, errFound) || err == nil && len(text) == 0 {
		return yes, nil
	}
	return no, err
}

var errFound = errors.New("found")

// finder is a writer that ends with errFound once text was written to it.
type finder struct {
	text []byte
	rest []byte // the end of what was written, shorter than text
}

func (f *finder) Write(b []byte) (int, error) {
	if bytes.Contains(b, f.text) {
		return 0, errFound
	}
	keep := max(len(f.text)-1, 0)
	if len(f.rest) > 0 {
		f.rest = append(f.rest, b[:min(keep, len(b))]...)
		if bytes.Contains(f.rest, f.text) {
			return 0, errFound
		}
	}
	if len(b) >= keep {
		f.rest = append(f.rest[:0], b[len(b)-keep:]...)
		return len(b), nil
	}
	if len(f.rest) == 0 {
		f.rest = append(f.rest, b...)
	}
	f.rest = append(f.rest[:0], f.rest[max(len(f.rest)-keep, 0):]...)
	return len(b), nil
}
