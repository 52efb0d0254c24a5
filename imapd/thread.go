package imapd

import (
	"cmp"
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// threading brings THREAD with the algorithms REFERENCES and ORDEREDSUBJECT
// (RFC 5256).
func threading() extension {
	return extension{
		name: "THREAD=REFERENCES",
		more: func(s *session) []imap.Cap {
			if s.account == nil {
				return nil
			}
			return []imap.Cap{"THREAD=ORDEREDSUBJECT"}
		},
		commands: []command{
			{name: "THREAD", in: selected, numbered: true, counts: true, run: runThread},
			{name: "UID THREAD", in: selected, run: runThread},
		},
	}
}

// A node is a message in a thread, or a place for one that is not here.
type node struct {
	*sortable // nil: not here
	parent    *node
	parents   bool // some node has it for a parent
	children  []*node
	kept      []*node // what takes an empty one's place
}

func runThread(ctx context.Context, s *session, c *call) error {
	s.dec.SP()
	algorithm := s.dec.Keyword()
	var build func([]*sortable) []*node
	switch algorithm {
	case "REFERENCES":
		build = byReferences
	case "ORDEREDSUBJECT":
		build = bySubject
	default:
		s.dec.Failf("unknown algorithm %.40q", algorithm)
	}
	s.dec.SP()
	p := searchParser{session: s}
	p.charsetName()
	s.dec.SP()
	q := p.keys()
	found, err := s.find(ctx, c, &p, searchReturn{all: true}, q, s.dec.EndLine())
	if err != nil {
		return err
	}
	all, err := s.sortables(ctx, c, found, true)
	if err != nil {
		return err
	}
	s.enc.Raw("* THREAD")
	if len(all) > 0 {
		s.enc.Raw(" ")
	}
	for _, root := range build(all) {
		s.enc.Raw("(")
		s.writeThread(root, c.uid)
		s.enc.Raw(")")
	}
	s.enc.Raw("\r\n")
	return s.searched(c)
}

// writeThread writes a node and those below it: an only child follows its
// parent, several are in parentheses each.
func (s *session) writeThread(n *node, uid bool) {
	for before := false; ; before = true {
		if n.sortable != nil {
			if before {
				s.enc.Raw(" ")
			}
			number := uint32(n.entry.UID)
			if !uid {
				number = s.view.number(n.entry.UID)
			}
			s.enc.Number(uint64(number))
		}
		if len(n.children) != 1 {
			break
		}
		n = n.children[0]
	}
	if len(n.children) > 0 && n.sortable != nil {
		s.enc.Raw(" ")
	}
	for _, child := range n.children {
		s.enc.Raw("(")
		s.writeThread(child, uid)
		s.enc.Raw(")")
	}
}

func bySent(a, b *sortable) int {
	return cmp.Or(cmp.Compare(a.sent, b.sent), cmp.Compare(a.entry.UID, b.entry.UID))
}

// bySubject makes a thread of all messages with one base subject: the oldest
// with the others below it, threads in the order of their oldest message
// (RFC 5256, ORDEREDSUBJECT).
func bySubject(all []*sortable) []*node {
	slices.SortFunc(all, bySent)
	var roots []*node
	of := make(map[string]*node)
	for _, m := range all {
		n := &node{sortable: m}
		if root := of[m.keys.Subject]; root != nil {
			root.children = append(root.children, n)
			continue
		}
		of[m.keys.Subject] = n
		roots = append(roots, n)
	}
	return roots
}

// byReferences makes threads of what messages say they follow, and joins those
// that share a base subject (RFC 5256, REFERENCES; its steps are named below).
// Messages are in UID order.
func byReferences(all []*sortable) []*node {
	t := threads{named: make(map[uint64]*node, len(all)), nodes: make([]*node, 0, len(all))}
	for _, m := range all {
		t.add(m) // step 1
	}
	roots := t.prune() // steps 2 and 3
	roots = joinSubjects(roots)
	sortNodes(roots) // steps 4 and 6
	return roots
}

// threads are the nodes by the hash of their Message-ID.
type threads struct {
	named map[uint64]*node
	nodes []*node
	room  []node // for the next ones

	order, stack []*node // leaveOut's
}

// new makes a node that has no name.
func (t *threads) new() *node {
	if len(t.room) == 0 {
		t.room = make([]node, 256)
	}
	n := &t.room[0]
	t.room = t.room[1:]
	t.nodes = append(t.nodes, n)
	return n
}

func (t *threads) node(id uint64) *node {
	n := t.named[id]
	if n == nil {
		n = t.new()
		t.named[id] = n
	}
	return n
}

func (t *threads) add(m *sortable) {
	var n *node
	if m.keys.ID != 0 {
		n = t.node(m.keys.ID)
	}
	if n == nil || n.sortable != nil { // no Message-ID, or one that is used twice
		n = t.new()
	}
	n.sortable = m
	var parent *node
	for _, id := range m.keys.References {
		next := t.node(id)
		// A link that is there stays, and none may close a circle.
		if parent != nil && next.parent == nil && !below(parent, next) {
			next.parent, parent.parents = parent, true
		}
		parent = next
	}
	n.parent = nil
	if parent != nil && !below(parent, n) {
		n.parent, parent.parents = parent, true
	}
}

// below reports whether n is top or somewhere below it.
func below(n, top *node) bool {
	if !top.parents {
		return n == top
	}
	for ; n != nil; n = n.parent {
		if n == top {
			return true
		}
	}
	return false
}

// prune makes the tree of the links, leaves out the places without a message
// that hold nothing together, and returns the roots.
func (t *threads) prune() []*node {
	var roots []*node
	for _, n := range t.nodes {
		if n.parent != nil {
			n.parent.children = append(n.parent.children, n)
		} else {
			roots = append(roots, n)
		}
	}
	out := make([]*node, 0, len(roots))
	for _, n := range roots {
		t.leaveOut(n)
		switch {
		case n.sortable != nil:
			out = append(out, n)
		case len(n.kept) > 1: // an empty root stays over several children
			n.children = n.kept
			out = append(out, n)
		default:
			out = append(out, n.kept...)
		}
	}
	return out
}

// leaveOut leaves out the empty nodes below top: their children take their place.
// Those that take top's own place, if it is empty, are in kept. References are
// bounded, but chains of them are not, so it keeps its own stack.
func (t *threads) leaveOut(top *node) {
	t.order, t.stack = t.order[:0], append(t.stack[:0], top)
	for len(t.stack) > 0 {
		n := t.stack[len(t.stack)-1]
		t.stack = append(t.stack[:len(t.stack)-1], n.children...)
		t.order = append(t.order, n)
	}
	for _, n := range slices.Backward(t.order) { // children before their parents
		below := n.children
		if slices.ContainsFunc(below, func(c *node) bool { return c.sortable == nil }) {
			below = nil
			for _, c := range n.children {
				if c.sortable != nil {
					below = append(below, c)
				} else {
					below = append(below, c.kept...)
				}
			}
		}
		if n.sortable != nil {
			n.children = below
		} else {
			n.kept = below
		}
	}
}

// joinSubjects joins threads whose base subject is the same (step 5).
func joinSubjects(roots []*node) []*node {
	first := func(n *node) *sortable {
		if n.sortable == nil {
			return n.children[0].sortable
		}
		return n.sortable
	}
	sortNodes(roots) // the first child of an empty root speaks for it
	of := make(map[string]*node)
	for _, n := range roots {
		m := first(n)
		have, there := of[m.keys.Subject]
		if m.keys.Subject != "" && (!there || n.sortable == nil && have.sortable != nil ||
			have.sortable != nil && have.keys.Reply && !m.keys.Reply && n.sortable != nil) {
			of[m.keys.Subject] = n
		}
	}
	var out []*node
	for _, n := range roots {
		m := first(n)
		top := of[m.keys.Subject]
		switch {
		case top == nil || top == n:
			out = append(out, n)
		case top.sortable == nil && n.sortable == nil:
			top.children = append(top.children, n.children...)
		case top.sortable == nil:
			top.children = append(top.children, n)
		case n.sortable != nil && m.keys.Reply && !top.keys.Reply:
			top.children = append(top.children, n)
		default: // two of one rank: siblings below an empty root
			was := *top
			*top = node{children: []*node{&was, n}}
		}
	}
	return out
}

// sortNodes puts nodes, and all below them, in the order of when they were
// sent; the first child speaks for an empty one.
func sortNodes(roots []*node) {
	var order [][]*node
	for stack := [][]*node{roots}; len(stack) > 0; {
		list := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		order = append(order, list)
		for _, n := range list {
			if len(n.children) > 0 {
				stack = append(stack, n.children)
			}
		}
	}
	for _, list := range slices.Backward(order) {
		slices.SortFunc(list, func(a, b *node) int { return bySent(a.speaker(), b.speaker()) })
	}
}

func (n *node) speaker() *sortable {
	for n.sortable == nil {
		n = n.children[0]
	}
	return n.sortable
}
