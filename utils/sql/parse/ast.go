// Package parse reads the SQL of a function: select <columns> [where <condition>], expressions over one JSON message.
//
//	text ──lex──► tokens ──parser──► Statement
//
// Parse never panics. It limits size and depth of a statement. Its errors name line, column, what was found and what
// was expected. It does not know which functions there are; forms with words in them (trim(both 'x' from a)) become
// calls.
package parse

import (
	"fmt"
	"strings"
)

// Limits of a statement, so that neither reading nor running it exhausts the stack.
const (
	MaxSize  = 64 << 10 // bytes
	MaxDepth = 100      // of nested expressions
	MaxChain = 1000     // operators in a row: a + b + c …
)

// Pos is a place in a statement, from 1; columns count characters.
type Pos struct{ Line, Col int }

// Error is an error of a statement, or of what it computes, with its place.
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

// Column is an entry of the select list. Star copies the fields of the object at Expr, of the whole message if Expr is
// nil.
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
	// Null is the literal null.
	Null struct{ Pos }
	// Bool is true or false.
	Bool struct {
		Pos
		Value bool
	}
	// Text is a literal in quotes, 'text'.
	Text struct {
		Pos
		Value string
	}
	// Number is a literal number.
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
		// Size is the length of a varchar or char, or the precision of a decimal; Scale is that of a decimal. Both are -1
		// when they are not given.
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

// reserved words name fields only in quotes, or after a point.
var reserved = setOf(`
	select distinct as from where group having order limit union
	and or not in between like escape is null true false unknown
	case when then else end cast
`)

func setOf(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}
