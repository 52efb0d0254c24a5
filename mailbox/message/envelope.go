package message

// AppendEnvelope appends the ENVELOPE of a header section, rendered for IMAP
// (RFC 9051 7.5.2, RFC 3501 7.4.2). Bytes beyond ASCII go out in literals, as
// they came. The first of several equal fields counts, but the addresses of all
// of them are listed.
func AppendEnvelope(b []byte, h Header) []byte {
	b = append(b, '(')
	b = appendField(b, h, "Date", Field.Value)
	b = append(b, ' ')
	b = appendField(b, h, "Subject", Field.line)
	b = append(b, ' ')
	from := addresses(h, "From")
	b = appendAddresses(b, from)
	for _, name := range [...]string{"Sender", "Reply-To"} {
		list := addresses(h, name)
		if len(list) == 0 {
			list = from
		}
		b = append(b, ' ')
		b = appendAddresses(b, list)
	}
	for _, name := range [...]string{"To", "Cc", "Bcc"} {
		b = append(b, ' ')
		b = appendAddresses(b, addresses(h, name))
	}
	b = append(b, ' ')
	b = appendField(b, h, "In-Reply-To", Field.Value)
	b = append(b, ' ')
	b = appendField(b, h, "Message-ID", Field.Value)
	return append(b, ')')
}

// addresses is the list of all fields of that name together.
func addresses(h Header, name string) []Address {
	var list []Address
	for i := range h.fields {
		f := h.field(i)
		if !equalFold(f.name(), name) {
			continue
		}
		more, _ := ParseAddressList(f.line()) // for show: whatever is there
		if list == nil {
			list = more
		} else {
			list = append(list, more...)
		}
		if len(list) >= maxAddresses {
			break
		}
	}
	return list
}

// appendField appends a field as value gives it; NIL tells an absent field from an
// empty one.
func appendField(b []byte, h Header, name string, value func(Field) string) []byte {
	for i := range h.fields {
		if f := h.field(i); equalFold(f.name(), name) {
			return appendString(b, value(f))
		}
	}
	return append(b, "NIL"...)
}

func appendAddresses(b []byte, list []Address) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for _, a := range list {
		b = append(b, '(')
		switch a.Kind {
		case GroupBegin:
			b = append(b, "NIL NIL "...)
			b = appendString(b, a.Name)
			b = append(b, " NIL"...)
		case GroupEnd:
			b = append(b, "NIL NIL NIL NIL"...)
		default:
			b = appendNString(b, a.Name)
			b = append(b, ' ')
			b = appendNString(b, a.Route)
			b = append(b, ' ')
			// NIL here would mean a group: what is missing is empty.
			b = appendString(b, a.Local)
			b = append(b, ' ')
			b = appendString(b, a.Domain)
		}
		b = append(b, ')')
	}
	return append(b, ')')
}

// appendNString appends a string, or NIL for an empty one.
func appendNString(b []byte, s string) []byte {
	if s == "" {
		return append(b, "NIL"...)
	}
	return appendString(b, s)
}
