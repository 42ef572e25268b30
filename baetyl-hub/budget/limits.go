package budget

import "github.com/baetyl/baetyl/utils/conf"

// Limits are those of a principal, as they stand in the configuration. 0 is the default.
type Limits struct {
	Connections int `yaml:"connections" json:"connections" validate:"min=0"`
	Totals      `yaml:",inline" json:",inline"`
	Publish     Rate `yaml:"publish" json:"publish"`
}

// Totals are the limits that the hub has as well. 0 is the default.
type Totals struct {
	Sessions      int `yaml:"sessions" json:"sessions" validate:"min=0"` // that outlive their connection
	Subscriptions int `yaml:"subscriptions" json:"subscriptions" validate:"min=0"`
	Retained      struct {
		Messages int       `yaml:"messages" json:"messages" validate:"min=0"`
		Bytes    conf.Size `yaml:"bytes" json:"bytes"`
	} `yaml:"retained" json:"retained"`
	Queued Queued `yaml:"queued" json:"queued"`
}

// Queued is how many bytes may wait. 0 is the default.
type Queued struct {
	Memory conf.Size `yaml:"memory" json:"memory"`
	Disk   conf.Size `yaml:"disk" json:"disk"`
}

// Or returns the limits, with those of base where they are 0.
func (l Limits) Or(base Values) Values {
	own := l.Values()
	for r, v := range own {
		if v == 0 {
			own[r] = base[r]
		}
	}
	return own
}

// Values returns the limits by resource.
func (l Limits) Values() Values {
	return Values{
		Connections: int64(l.Connections), Sessions: int64(l.Sessions), Subscriptions: int64(l.Subscriptions),
		Retained: int64(l.Retained.Messages), RetainedBytes: int64(l.Retained.Bytes),
		Memory: int64(l.Queued.Memory), Disk: int64(l.Queued.Disk),
	}
}
