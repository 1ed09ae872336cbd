package output

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestEveryLineIsLoggedOnceItIsWhole(t *testing.T) {
	var lines []string
	c := New(func(line string) { lines = append(lines, line) }, nil)
	for _, part := range []string{"fir", "st\nsecond\n\nthi", "rd"} {
		fmt.Fprint(&c.Stdout, part)
	}
	if !slices.Equal(lines, []string{"first", "second", ""}) {
		t.Errorf("%q", lines)
	}
	c.Close()
	if !slices.Equal(lines, []string{"first", "second", "", "third"}) {
		t.Errorf("%q", lines)
	}
}

func TestALineWithoutEndIsLoggedInParts(t *testing.T) {
	var lengths []int
	c := New(nil, func(line string) { lengths = append(lengths, len(line)) })
	fmt.Fprint(&c.Stderr, strings.Repeat("x", 2*logLineBytes+5)+"\n")
	c.Close()
	if !slices.Equal(lengths, []int{logLineBytes, logLineBytes, 5}) {
		t.Error(lengths)
	}
}

func TestAFailureHasTheLastLinesOfBothStreamsInTheirOrder(t *testing.T) {
	c := New(nil, nil)
	for i := range 100 {
		fmt.Fprintf(&c.Stdout, "out %d\n", i)
		fmt.Fprintf(&c.Stderr, "err %d\n", i)
	}
	lines := strings.Split(c.Failure(errors.New("failed"), "the command").Error(), "\n")
	if len(lines) != 2+lastLines || lines[0] != `failed: running "the command"` || lines[1] != "[...]" ||
		lines[2] != "out 70" || lines[3] != "err 70" || lines[len(lines)-1] != "err 99" {
		t.Errorf("%q", lines)
	}
}

func TestAFailureWithoutOutputIsTheErrorAlone(t *testing.T) {
	if text := New(nil, nil).Failure(errors.New("failed"), "").Error(); text != "failed" {
		t.Error(text)
	}
}

func TestAFailureIsShortWhateverWasPrinted(t *testing.T) {
	c := New(nil, nil)
	for range 100 {
		fmt.Fprint(&c.Stdout, strings.Repeat("x", lastBytes/10))
	}
	if text := c.Failure(errors.New("failed"), strings.Repeat("c", 1000)).Error(); len(text) > lastBytes+300 {
		t.Error(len(text))
	}
}
