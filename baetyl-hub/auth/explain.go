package auth

import (
	"fmt"

	"github.com/baetyl/baetyl/utils/topic"
)

// Explain returns the first permit with which a user may do an action, Publish or Subscribe, on a topic or filter, and
// its key in the configuration. client is the client id; "": one that the hub assigns. The error says why there is
// none, and what would help.
func (b *Book) Explain(username, client, action, name string) (rule, permit string, err error) {
	for i, p := range b.list {
		if p.Username != username {
			continue
		}
		for j, x := range p.Permissions {
			for k, f := range x.Permit {
				if filled, ok := filled(f, username, client); ok && x.Action == action && topic.Covers(filled, name) {
					return fmt.Sprintf("principals[%d].permissions[%d].permit[%d]", i, j, k), f, nil
				}
			}
		}
		const text = "no permit of principals[%d] with action %s covers it; add one to principals[%d].permissions"
		return "", "", fmt.Errorf(text, i, action, i)
	}
	return "", "", fmt.Errorf("no principal has this name; add one with username %q to principals", username)
}
