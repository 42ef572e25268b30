package conf

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. In a file it is a whole number or a number with a binary unit: 512, 32k, 4m, 1g
// ("Supported units", Baetyl Configuration Interpretation). Upper case and a trailing b are accepted. A negative or
// fractional size is an error.
type Size int64

// Int returns s as an int, the largest int where s is larger: an int has 32 bits on small processors, and 4g would be
// 0.
func (s Size) Int() int { return int(min(s, math.MaxInt)) }

// UnmarshalYAML reads a size from YAML.
func (s *Size) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return errors.New("expected a size such as 32k, found a list or a mapping")
	}
	return s.UnmarshalText([]byte(text))
}

// UnmarshalText reads a size from text.
func (s *Size) UnmarshalText(b []byte) error {
	v, err := ParseSize(string(b))
	if err == nil {
		*s = v
	}
	return err
}

// ParseSize reads a size as written in a configuration file.
func ParseSize(text string) (Size, error) {
	t := strings.ToLower(strings.TrimSpace(text))
	t = strings.TrimSuffix(t, "b")
	shift := 0
	if n := len(t); n > 0 {
		if i := strings.IndexByte("kmgt", t[n-1]); i >= 0 {
			shift, t = 10*(i+1), t[:n-1]
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(t), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) && n > 0, err == nil && n > math.MaxInt64>>shift:
		return 0, fmt.Errorf("invalid size: '%s' is too large", text)
	case err == nil && n < 0:
		return 0, fmt.Errorf("invalid size: '%s' is negative", text)
	case err != nil:
		return 0, fmt.Errorf("invalid size: '%s'; write bytes or a number with k, m or g", text)
	}
	return Size(n << shift), nil
}

// String prints the size as it may stand in a file, in the largest unit that divides it.
func (s Size) String() string {
	unit := -1
	for ; s != 0 && s%1024 == 0 && unit < 3; unit++ {
		s /= 1024
	}
	if unit < 0 {
		return strconv.FormatInt(int64(s), 10)
	}
	return strconv.FormatInt(int64(s), 10) + "kmgt"[unit:unit+1]
}
