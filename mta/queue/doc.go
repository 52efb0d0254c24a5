// Package queue sends what waits in the store's outbox: it picks the rows
// that are due, has outbound make an attempt at each, and commits what came
// of it.
//
// Rows for one destination go over a few connections, one after the other:
// line.go and courier.go. A row is marked before it is sent and changed in one
// commit after, in which the next row of the connection is marked. Delivered
// recipients leave the row, those refused for now wait for the next attempt,
// and of those given up the sender is told by a delivery status notification
// (RFC 3464) in that same commit. So a failure is told once, and never lost.
// Should the process die between an attempt and its commit, the attempt is made
// again: a message may then arrive twice, which is the one case where it may.
//
// The queue refuses to decide what may be sent, to talk SMTP itself, and to
// take orders: "try now" and "drop" are edits of a row, which ring the
// outbox's bell.
package queue
