package local

import "github.com/pulumi/pulumi-go-provider/infer"

// Logging says which of a command's streams are shown while it runs; without it both are.
type Logging string

// What Logging can be.
const (
	LogStdout          Logging = "stdout"
	LogStderr          Logging = "stderr"
	LogStdoutAndStderr Logging = "stdoutAndStderr"
	NoLogging          Logging = "none"
)

// Values lists what Logging can be.
func (Logging) Values() []infer.EnumValue[Logging] {
	return []infer.EnumValue[Logging]{
		{Name: "stdout", Value: LogStdout, Description: "Log stdout but not stderr"},
		{Name: "stderr", Value: LogStderr, Description: "Log stderr but not stdout"},
		{Name: "stdoutAndStderr", Value: LogStdoutAndStderr, Description: "Log stdout and stderr"},
		{Name: "none", Value: NoLogging, Description: "Log nothing"},
	}
}

func (l *Logging) has(stream Logging) bool {
	return l == nil || *l == stream || *l == LogStdoutAndStderr
}
