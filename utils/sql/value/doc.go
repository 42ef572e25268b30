// Package value has the values that a statement computes with: those of JSON, and numbers that are exact where SQL's
// are.
//
//	text ──Decode──► value ──Compare, Arith, Text …──► value ──Append──► text
//
// A value is one of
//
//	nil                       null, or a field that is missing
//	bool, string
//	Raw                       a number as the message has it
//	int64, *Decimal, float64  a number that was computed; a *Decimal is exact
//	Object, []any
//
// A value that a statement only copies keeps its digits: 1.10 stays 1.10, 123456789012345678901 too. Decode takes what
// JSON allows and nothing else. Time and memory are in proportion to the input. The package knows nothing of SQL's
// syntax.
package value
