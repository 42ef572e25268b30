// Package parse reads the SQL of a function: select <columns> [where <condition>], expressions over one JSON message.
//
//	text ──lex──► tokens ──Parse──► Statement
//
// It promises never to panic, that size and depth of a statement are bounded, and that an error names line, column,
// what was found and what was expected. It does not know which functions there are; forms with words in them
// (trim(both 'x' from a)) become calls.
package parse

import "fmt"

// Bounds of a statement: neither reading nor running it can exhaust the stack.
const (
	MaxSize  = 64 << 10 // bytes
	MaxDepth = 100      // of nested expressions
	MaxChain = 1000     // operators in a row: a + b + c …
)

// Pos is a place in a statement, from 1; columns count characters.
type Pos struct{ Line, Col int }

// Error is what is wrong with a statement, or with what it computes, and where.
type Error struct {
	Pos  Pos
	Text string
}

// Error is line:column: text.
func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Pos.Line, e.Pos.Col, e.Text) }

// Statement is a parsed statement; Where is nil if there is none.
type Statement struct {
	Columns []Column
	Where   Expr
}

// Column is one of the select list. Star copies the fields of the object at Expr, of the whole message if Expr is nil.
type Column struct {
	Star bool
	Expr Expr
	As   []string // where it goes in the result, outermost key first
}

// Expr is one of the types below.
type Expr interface{ Position() Pos }

// Position is where the expression, or its operator, begins.
func (p Pos) Position() Pos { return p }

type (
	// Null, Bool, Text and Number are literals.
	Null struct{ Pos }
	Bool struct {
		Pos
		Value bool
	}
	Text struct {
		Pos
		Value string
	}
	Number struct {
		Pos
		Value string // as JSON writes it
	}
	// Path is a field of the message: a.b[0].c.
	Path struct {
		Pos
		Steps []Step
	}
	// Call is a function call.
	Call struct {
		Pos
		Name string // lower case
		Args []Expr
	}
	// Unary has the operator "-" or "not".
	Unary struct {
		Pos
		Op string
		X  Expr
	}
	// Binary has one of or and = <> < <= > >= + - * / % ||
	Binary struct {
		Pos
		Op   string
		L, R Expr
	}
	// Between is x between low and high.
	Between struct {
		Pos
		X, Low, High Expr
	}
	// In is x in (list).
	In struct {
		Pos
		X    Expr
		List []Expr
	}
	// Like is x like pattern; Escape may be nil.
	Like struct {
		Pos
		X, Pattern, Escape Expr
	}
	// Is is x is null, true, false or unknown.
	Is struct {
		Pos
		X    Expr
		What string
	}
	// Case has both forms: Of is nil where each When is a condition. Else may be nil.
	Case struct {
		Pos
		Of    Expr
		Whens []When
		Else  Expr
	}
	// When is one branch of a Case.
	When struct{ If, Then Expr }
	// Cast is cast(x as type).
	Cast struct {
		Pos
		X    Expr
		Type string // a value of types
		// Size is the length of a varchar or char, the precision of a decimal; Scale that of a decimal. -1 if it is not
		// given.
		Size, Scale int
	}
)

// Step is a key of an object, or an index of an array from 0 if Key is nil.
type Step struct {
	Key   *string
	Index int
}

// Types that a Cast has.
const (
	Integer = "integer"
	Double  = "double"
	Decimal = "decimal"
	Varchar = "varchar"
	Char    = "char"
	Boolean = "boolean"
)

var types = map[string]string{
	"tinyint": Integer, "smallint": Integer, "int": Integer, "integer": Integer, "bigint": Integer,
	"float": Double, "real": Double, "double": Double,
	"decimal": Decimal, "numeric": Decimal,
	"varchar": Varchar, "string": Varchar, "text": Varchar, "char": Char, "character": Char,
	"bool": Boolean, "boolean": Boolean,
}

// reserved words are fields only in quotes, or behind a point.
var reserved = map[string]bool{
	"select":   true,
	"distinct": true,
	"as":       true,
	"from":     true,
	"where":    true,
	"group":    true,
	"having":   true,
	"order":    true,
	"limit":    true,
	"union":    true,
	"and":      true,
	"or":       true,
	"not":      true,
	"in":       true,
	"between":  true,
	"like":     true,
	"escape":   true,
	"is":       true,
	"null":     true,
	"true":     true,
	"false":    true,
	"unknown":  true,
	"case":     true,
	"when":     true,
	"then":     true,
	"else":     true,
	"end":      true,
	"cast":     true,
}
