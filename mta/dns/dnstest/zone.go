package dnstest

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
)

type mark string

const (
	insecure mark = "insecure"
	secure   mark = "secure"
	bogus    mark = "bogus"
	servfail mark = "servfail"
	timeout  mark = "timeout"
	truncate mark = "truncate"
)

// worst orders marks: an answer over a chain of aliases gets the worst of
// theirs.
var worst = []mark{secure, insecure, truncate, bogus, servfail, timeout}

func parseMark(s string) (mark, bool) {
	m := mark(s)
	return m, slices.Contains(worst, m)
}

type rrset struct {
	name  string // canonical
	rtype uint16
}

// zone is never changed once it is served; edits make another.
type zone struct {
	records map[rrset][]mdns.RR
	marks   map[rrset]mark
	below   map[string]mark // by canonical name
}

func parse(literal string) (*zone, error) {
	z := &zone{records: map[rrset][]mdns.RR{}, marks: map[rrset]mark{}, below: map[string]mark{}}
	lines := bufio.NewScanner(strings.NewReader(literal))
	for lines.Scan() {
		directive, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), ";!")
		if !ok {
			continue
		}
		f := strings.Fields(directive)
		if len(f) < 2 {
			return nil, fmt.Errorf("zone: %q: want \";! mark name...\"", lines.Text())
		}
		m, ok := parseMark(f[0])
		if !ok {
			return nil, fmt.Errorf("zone: %q: unknown mark", lines.Text())
		}
		for _, name := range f[1:] {
			z.below[mdns.CanonicalName(name)] = m
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("zone: %w", err)
	}
	zp := mdns.NewZoneParser(strings.NewReader(literal), ".", "zone")
	zp.SetDefaultTTL(0)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		h := rr.Header()
		h.Name = mdns.CanonicalName(h.Name)
		k := rrset{h.Name, h.Rrtype}
		z.records[k] = append(z.records[k], rr)
		if m, ok := parseMark(strings.TrimSpace(strings.TrimPrefix(zp.Comment(), ";"))); ok {
			z.marks[k] = m
		}
	}
	if err := zp.Err(); err != nil {
		return nil, fmt.Errorf("zone: %w", err)
	}
	return z, nil
}

func (z *zone) with(more *zone) *zone {
	sum := &zone{records: maps.Clone(z.records), marks: maps.Clone(z.marks), below: maps.Clone(z.below)}
	for k, list := range more.records {
		sum.records[k] = append(slices.Clone(sum.records[k]), list...)
	}
	maps.Copy(sum.marks, more.marks)
	maps.Copy(sum.below, more.below)
	return sum
}

func (z *zone) without(name string, types []uint16) *zone {
	rest := &zone{records: maps.Clone(z.records), marks: maps.Clone(z.marks), below: z.below}
	gone := func(k rrset) bool {
		return k.name == name && (len(types) == 0 || slices.Contains(types, k.rtype))
	}
	maps.DeleteFunc(rest.records, func(k rrset, _ []mdns.RR) bool { return gone(k) })
	maps.DeleteFunc(rest.marks, func(k rrset, _ mark) bool { return gone(k) })
	return rest
}

type resolved struct {
	records []mdns.RR
	exists  bool
	mark    mark
	soa     mdns.RR // with a denial, where the zone has one
}

// resolve answers one question, through aliases.
func (z *zone) resolve(name string, rtype uint16) resolved {
	var out resolved
	name = mdns.CanonicalName(name)
	for range 9 {
		owner, exists := z.owner(name)
		out.exists = exists
		if list := z.records[rrset{owner, rtype}]; len(list) > 0 {
			out.mark = worse(out.mark, z.markOf(owner, rtype))
			out.records = append(out.records, renamed(list, name)...)
			return out
		}
		alias := z.records[rrset{owner, mdns.TypeCNAME}]
		if len(alias) == 0 {
			out.mark = worse(out.mark, z.markOf(name, rtype))
			out.soa = z.soa(name)
			return out
		}
		out.mark = worse(out.mark, z.markOf(owner, mdns.TypeCNAME))
		out.records = append(out.records, renamed(alias[:1], name)...)
		name = mdns.CanonicalName(alias[0].(*mdns.CNAME).Target)
	}
	return out
}

// owner finds the name whose records answer for name: itself, or a wildcard
// (RFC 4592). A name with others below it exists without records of its own.
func (z *zone) owner(name string) (owner string, exists bool) {
	if z.has(name) {
		return name, true
	}
	for parent := name; parent != "."; {
		parent = up(parent)
		wild := "*." + parent
		if parent == "." {
			wild = "*."
		}
		if z.has(wild) {
			return wild, true
		}
		if z.has(parent) {
			break
		}
	}
	return name, false
}

// has reports whether name or something below it holds a record.
func (z *zone) has(name string) bool {
	for k := range z.records {
		if k.name == name || mdns.IsSubDomain(name, k.name) {
			return true
		}
	}
	return false
}

func up(name string) string {
	_, parent, _ := strings.Cut(name, ".")
	if parent == "" {
		return "."
	}
	return parent
}

func (z *zone) soa(name string) mdns.RR {
	for {
		if list := z.records[rrset{name, mdns.TypeSOA}]; len(list) > 0 {
			return list[0]
		}
		if name == "." {
			return nil
		}
		name = up(name)
	}
}

// markOf is the mark of the record set, else of the nearest name above it.
func (z *zone) markOf(name string, rtype uint16) mark {
	if m, ok := z.marks[rrset{name, rtype}]; ok {
		return m
	}
	for {
		if m, ok := z.below[name]; ok {
			return m
		}
		if name == "." {
			return insecure
		}
		name = up(name)
	}
}

func worse(a, b mark) mark {
	if slices.Index(worst, b) > slices.Index(worst, a) {
		return b
	}
	return a
}

// renamed returns the records as those of name, which a wildcard made them.
func renamed(list []mdns.RR, name string) []mdns.RR {
	out := make([]mdns.RR, len(list))
	for i, rr := range list {
		out[i] = mdns.Copy(rr)
		out[i].Header().Name = name
	}
	return out
}
