package mailbox

import (
	"encoding/json"
	"sync"
)

// memo remembers what rows of JSON were read as, by their bytes: accounts,
// domains and settings are asked for by every message and seldom change. A row
// that changed has other bytes, so nothing is ever out of date. The zero value
// is ready.
type memo[T any] struct {
	mu   sync.RWMutex
	read map[string]T
}

// memoRows is how many rows a memo keeps before it begins anew.
const memoRows = 1024

// parse reads a row. What the value points at is shared with others who read
// the row: nobody may write to it.
func (m *memo[T]) parse(row []byte) (T, error) {
	m.mu.RLock()
	v, ok := m.read[string(row)]
	m.mu.RUnlock()
	if ok {
		return v, nil
	}
	if err := json.Unmarshal(row, &v); err != nil {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.read == nil || len(m.read) >= memoRows {
		m.read = make(map[string]T)
	}
	m.read[string(row)] = v
	return v, nil
}

// memos are those of a store.
type memos struct {
	accounts memo[accountRow]
	domains  memo[delivery]
	settings memo[Settings]
}
