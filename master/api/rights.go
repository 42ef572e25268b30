package api

// action is what a route does.
type action string

const (
	inspect action = "inspect"
	update  action = "update"
	ports   action = "ports"
	start   action = "start"
	stop    action = "stop"
	report  action = "report"
)

// allowed tells whether caller may do a to the service target, which is empty where no service is named. A service reports
// for itself only; what else it may do is not narrowed yet.
func allowed(caller string, a action, target string) bool {
	return a != report || caller == target
}
