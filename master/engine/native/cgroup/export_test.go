package cgroup

// WithoutV2 is the group on a kernel whose v2 cannot freeze, or that has v1 alone.
func WithoutV2(g *Group) *Group {
	out := &Group{Service: g.Service, Instance: g.Instance, write: g.write}
	for _, d := range g.dirs {
		if !d.v2 {
			out.dirs = append(out.dirs, d)
		}
	}
	return out
}
