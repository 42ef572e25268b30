// Package value holds what a statement computes with: the values of JSON, and numbers that are exact where SQL's are.
//
//	text ──Decode──► value ──Compare, Add, Text …──► value ──Append──► text
//
// A value is one of
//
//	nil                       null, and what is missing
//	bool, string
//	Raw                       a number as the message has it
//	int64, *Decimal, float64  a number that was computed; a *Decimal is exact
//	Object, []any
//
// It promises that what is only passed on comes out as it came in (1.10 stays 1.10, 123456789012345678901 too), that
// Decode takes what JSON allows and nothing else, and that time and memory stay in proportion to the input. It knows
// nothing of SQL's syntax.
package value
