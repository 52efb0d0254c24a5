package message

import "strconv"

// AppendBodyStructure appends the BODYSTRUCTURE of a part, rendered for IMAP
// (RFC 9051 7.5.2), or without extended the BODY, which lacks extension data.
// Sizes are of the body as it stands in the message; lines are its line feeds.
func AppendBodyStructure(b []byte, p *Part, extended bool) []byte {
	b = append(b, '(')
	if p.Multipart() {
		for _, c := range p.Children {
			b = AppendBodyStructure(b, c, extended)
		}
		b = append(b, ' ')
		b = appendString(b, p.Subtype)
		if extended {
			b = append(b, ' ')
			b = appendParams(b, p.Params)
			b = p.appendExtension(b)
		}
		return append(b, ')')
	}

	b = appendString(b, p.Type)
	b = append(b, ' ')
	b = appendString(b, p.Subtype)
	b = append(b, ' ')
	b = appendParams(b, p.shownParams())
	b = append(b, ' ')
	b = appendNString(b, p.ID)
	b = append(b, ' ')
	b = appendNString(b, p.Description)
	b = append(b, ' ')
	b = appendString(b, p.Encoding)
	b = append(b, ' ')
	b = strconv.AppendInt(b, p.Size(), 10)
	if p.Message != nil {
		b = append(b, ' ')
		b = AppendEnvelope(b, p.Message.Header)
		b = append(b, ' ')
		b = AppendBodyStructure(b, p.Message, extended)
	}
	if p.Message != nil || p.Type == "text" {
		b = append(b, ' ')
		b = strconv.AppendInt(b, p.Lines, 10)
	}
	if extended {
		b = append(b, ' ')
		b = appendNString(b, p.MD5)
		b = p.appendExtension(b)
	}
	return append(b, ')')
}

// shownParams has the charset that a text part without one is in (RFC 2046 4.1.2).
func (p *Part) shownParams() Params {
	if p.Type != "text" {
		return p.Params
	}
	for _, param := range p.Params {
		if param.Name == "charset" || param.Name == "charset*" {
			return p.Params
		}
	}
	return append(p.Params[:len(p.Params):len(p.Params)], Param{"charset", "us-ascii"})
}

// appendExtension appends disposition, language and location.
func (p *Part) appendExtension(b []byte) []byte {
	b = append(b, ' ')
	if p.Disposition == "" {
		b = append(b, "NIL"...)
	} else {
		b = append(b, '(')
		b = appendString(b, p.Disposition)
		b = append(b, ' ')
		b = appendParams(b, p.DispositionParams)
		b = append(b, ')')
	}
	b = append(b, ' ')
	if len(p.Language) == 0 {
		b = append(b, "NIL"...)
	} else {
		b = append(b, '(')
		for i, l := range p.Language {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendString(b, l)
		}
		b = append(b, ')')
	}
	b = append(b, ' ')
	return appendNString(b, p.Location)
}

func appendParams(b []byte, ps Params) []byte {
	if len(ps) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for i, p := range ps {
		if i > 0 {
			b = append(b, ' ')
		}
		b = appendString(b, p.Name)
		b = append(b, ' ')
		b = appendString(b, p.Value)
	}
	return append(b, ')')
}

// appendString appends a quoted string, or a literal when the text cannot be
// quoted (RFC 9051 4.3). No value here holds CR, LF or NUL: unfold saw to that.
func appendString(b []byte, s string) []byte {
	escapes := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80:
			b = append(b, '{')
			b = strconv.AppendInt(b, int64(len(s)), 10)
			b = append(b, "}\r\n"...)
			return append(b, s...)
		case c == '"' || c == '\\':
			escapes = true
		}
	}
	b = append(b, '"')
	if !escapes {
		b = append(b, s...)
		return append(b, '"')
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
